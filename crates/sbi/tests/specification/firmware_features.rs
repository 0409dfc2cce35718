//! Chapter "SBI Firmware Features Extension".

use super::*;

const MISALIGNED: u64 = 0;
const LOCK: u64 = 1;

fn set(machine: &mut Mock, feature: u64, value: u64, flags: u64) -> Outcome {
    ask(machine, FWFT, 0, &[feature, value, flags])
}

#[test]
fn misaligned_delegation_is_the_hosts() {
    let mut machine = Mock::new(1);
    for traps in [false, true] {
        machine.misaligned_traps = traps;
        let value = u64::from(traps);
        assert_eq!(ask(&mut machine, FWFT, 1, &[MISALIGNED]), ok(value));
        assert_eq!(set(&mut machine, MISALIGNED, value, 0), ok(0));
        assert_eq!(set(&mut machine, MISALIGNED, 1 - value, 0), error(DENIED));
        assert_eq!(ask(&mut machine, FWFT, 1, &[MISALIGNED]), ok(value));
    }
}

#[test]
fn a_locked_feature_says_so() {
    let mut machine = Mock::new(2);
    // A lock that was denied is none.
    assert_eq!(set(&mut machine, MISALIGNED, 1, LOCK), error(DENIED));
    assert_eq!(set(&mut machine, MISALIGNED, 1, 0), error(DENIED));
    assert_eq!(set(&mut machine, MISALIGNED, 0, LOCK), ok(0));
    assert_eq!(set(&mut machine, MISALIGNED, 1, 0), error(DENIED_LOCKED));
    assert_eq!(set(&mut machine, MISALIGNED, 0, 0), ok(0));
    assert_eq!(set(&mut machine, MISALIGNED, 1, LOCK), error(DENIED_LOCKED));
    // Its scope is local.
    let other = call(FWFT, 0, &[MISALIGNED, 1, 0]);
    assert_eq!(handle(&other, 1, &mut machine), error(DENIED));
}

#[test]
fn values_and_flags_that_are_not_defined_are_invalid_parameters() {
    let mut machine = Mock::new(1);
    for (value, flags) in [
        (2, 0),
        (1 << 32, 0),
        (u64::MAX, 0),
        (0, 2),
        (0, 1 << 63),
        (1, 3),
    ] {
        let outcome = set(&mut machine, MISALIGNED, value, flags);
        assert_eq!(outcome, error(INVALID_PARAM), "{value:#x} {flags:#x}");
    }
}

#[test]
fn features_that_the_machine_has_not_are_not_supported() {
    let mut machine = Mock::new(1);
    for feature in 1..=5 {
        assert_eq!(ask(&mut machine, FWFT, 1, &[feature]), error(NOT_SUPPORTED));
        assert_eq!(set(&mut machine, feature, 0, 0), error(NOT_SUPPORTED));
    }
}

#[test]
fn reserved_features_and_those_of_platforms_are_denied() {
    let mut machine = Mock::new(1);
    for feature in [
        6,
        0x3fff_ffff,
        0x4000_0000,
        0x7fff_ffff,
        0x8000_0000,
        0xbfff_ffff,
        0xc000_0000,
        0xffff_ffff,
    ] {
        assert_eq!(ask(&mut machine, FWFT, 1, &[feature]), error(DENIED));
        assert_eq!(set(&mut machine, feature, 0, 0), error(DENIED));
    }
}

#[test]
fn a_feature_has_32_bits() {
    let mut machine = Mock::new(1);
    let outcome = ask(&mut machine, FWFT, 1, &[1 << 32 | MISALIGNED]);
    assert_eq!(outcome, ok(0));
}
