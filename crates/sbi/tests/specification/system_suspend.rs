//! Chapter "System Suspend Extension".

use super::*;

#[test]
fn the_last_started_hart_suspends_the_system() {
    let mut machine = Mock::new(3);
    for kind in [0, 0xffff_ffff_0000_0000] {
        let resume = Start {
            address: GuestPhys(MEMORY_BASE + 2),
            opaque: 5,
        };
        let outcome = ask(&mut machine, SUSP, 0, &[kind, MEMORY_BASE + 2, 5]);
        assert_eq!(outcome, Outcome::SystemSuspend { resume });
    }
}

#[test]
fn it_need_not_be_hart_0() {
    let mut machine = Mock::new(3);
    machine.status = vec![
        HartStatus::Stopped,
        HartStatus::Started,
        HartStatus::Stopped,
    ];
    let suspend = call(SUSP, 0, &[0, MEMORY_BASE, 5]);
    let outcome = handle(&suspend, 1, &mut machine);
    assert!(matches!(outcome, Outcome::SystemSuspend { .. }));
}

#[test]
fn another_hart_that_is_not_stopped_denies_it() {
    let mut machine = Mock::new(3);
    for status in [
        HartStatus::Started,
        HartStatus::StartPending,
        HartStatus::StopPending,
        HartStatus::Suspended,
        HartStatus::SuspendPending,
        HartStatus::ResumePending,
    ] {
        machine.status[2] = status;
        let outcome = ask(&mut machine, SUSP, 0, &[0, MEMORY_BASE, 0]);
        assert_eq!(outcome, error(DENIED), "{status:?}");
    }
}

#[test]
fn reserved_and_platform_sleep_types_are_invalid_parameters() {
    let mut machine = Mock::new(1);
    for kind in [1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
        let outcome = ask(&mut machine, SUSP, 0, &[kind, MEMORY_BASE, 0]);
        assert_eq!(outcome, error(INVALID_PARAM), "{kind:#x}");
    }
}

#[test]
fn a_resume_address_outside_of_memory_is_an_invalid_address() {
    let mut machine = Mock::new(1);
    for address in [
        0,
        MEMORY_BASE + 1,
        MEMORY_BASE + MEMORY_SIZE as u64,
        u64::MAX,
    ] {
        let outcome = ask(&mut machine, SUSP, 0, &[0, address, 0]);
        assert_eq!(outcome, error(INVALID_ADDRESS), "{address:#x}");
    }
}
