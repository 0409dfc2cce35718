//! Chapter "System Reset Extension".

use super::*;

#[test]
fn types_and_reasons_are_passed_on_and_the_call_does_not_return() {
    let kinds = [
        ResetKind::Shutdown,
        ResetKind::ColdReboot,
        ResetKind::WarmReboot,
    ];
    let reasons = [ResetReason::None, ResetReason::SystemFailure];
    for (kind_number, kind) in (0..).zip(kinds) {
        for (reason_number, reason) in (0..).zip(reasons) {
            let mut machine = Mock::new(1);
            let outcome = ask(&mut machine, SRST, 0, &[kind_number, reason_number]);
            assert_eq!(outcome, Outcome::Stop);
            assert_eq!(machine.events, [Happening::Reset(kind, reason)]);
        }
    }
}

#[test]
fn reserved_and_foreign_numbers_are_invalid_parameters() {
    let mut machine = Mock::new(1);
    for kind in [3, 0xefff_ffff, 0xf000_0000, 0xffff_ffff] {
        assert_eq!(ask(&mut machine, SRST, 0, &[kind, 0]), error(INVALID_PARAM));
    }
    for reason in [2, 0xdfff_ffff, 0xe000_0000, 0xf000_0000, 0xffff_ffff] {
        assert_eq!(
            ask(&mut machine, SRST, 0, &[0, reason]),
            error(INVALID_PARAM)
        );
    }
    assert_eq!(machine.events, []);
}

#[test]
fn both_parameters_are_32_bits_wide() {
    let mut machine = Mock::new(1);
    assert_eq!(
        ask(&mut machine, SRST, 0, &[1 << 32 | 1, 7 << 32 | 1]),
        Outcome::Stop
    );
    let reset = Happening::Reset(ResetKind::ColdReboot, ResetReason::SystemFailure);
    assert_eq!(machine.events, [reset]);
}
