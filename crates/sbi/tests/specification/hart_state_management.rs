//! Chapter "Hart State Management Extension".

use super::*;

#[test]
fn a_stopped_hart_starts() {
    let mut machine = Mock::new(2);
    assert_eq!(ask(&mut machine, HSM, 2, &[1]), ok(1));
    assert_eq!(ask(&mut machine, HSM, 0, &[1, MEMORY_BASE + 4, 77]), ok(0));
    let start = Start {
        address: GuestPhys(MEMORY_BASE + 4),
        opaque: 77,
    };
    assert_eq!(machine.take_events(), [Happening::Start(1, start)]);
    assert_eq!(ask(&mut machine, HSM, 2, &[1]), ok(0));
}

#[test]
fn a_hart_that_is_not_stopped_is_already_available() {
    let mut machine = Mock::new(2);
    for status in [
        HartStatus::Started,
        HartStatus::StartPending,
        HartStatus::StopPending,
        HartStatus::Suspended,
        HartStatus::SuspendPending,
        HartStatus::ResumePending,
    ] {
        machine.status[1] = status;
        assert_eq!(
            ask(&mut machine, HSM, 0, &[1, MEMORY_BASE, 0]),
            error(ALREADY_AVAILABLE)
        );
        assert_eq!(ask(&mut machine, HSM, 2, &[1]), ok(status as u64));
    }
    assert_eq!(
        ask(&mut machine, HSM, 0, &[0, 0, 0]),
        error(ALREADY_AVAILABLE)
    );
}

#[test]
fn a_start_that_fails_says_why() {
    let mut machine = Mock::new(2);
    for (reason, code) in [
        (StartError::AlreadyAvailable, ALREADY_AVAILABLE),
        (StartError::Failed, FAILED),
    ] {
        machine.start_error = Some(reason);
        assert_eq!(ask(&mut machine, HSM, 0, &[1, MEMORY_BASE, 0]), error(code));
    }
}

#[test]
fn a_start_address_outside_of_memory_is_an_invalid_address() {
    let mut machine = Mock::new(2);
    let end = MEMORY_BASE + MEMORY_SIZE as u64;
    for address in [
        0,
        MEMORY_BASE - 2,
        end,
        u64::MAX,
        u64::MAX - 1,
        MEMORY_BASE + 1,
    ] {
        assert_eq!(
            ask(&mut machine, HSM, 0, &[1, address, 0]),
            error(INVALID_ADDRESS)
        );
    }
    assert_eq!(machine.events, []);
    assert_eq!(ask(&mut machine, HSM, 0, &[1, end - 2, 0]), ok(0));
}

#[test]
fn a_hart_id_that_does_not_exist_is_an_invalid_parameter() {
    let mut machine = Mock::new(2);
    for id in [2, 64, u64::MAX] {
        assert_eq!(
            ask(&mut machine, HSM, 0, &[id, MEMORY_BASE, 0]),
            error(INVALID_PARAM)
        );
        assert_eq!(ask(&mut machine, HSM, 2, &[id]), error(INVALID_PARAM));
    }
}

#[test]
fn a_hart_that_stops_does_not_return() {
    let mut machine = Mock::new(3);
    assert_eq!(handle(&call(HSM, 1, &[]), 2, &mut machine), Outcome::Stop);
    assert_eq!(machine.take_events(), [Happening::Stop(2)]);
}

/// Its next user starts afresh, and nothing is written to memory that it had lent.
#[test]
fn a_hart_that_stops_forgets_what_was_configured() {
    let mut machine = Mock::new(1);
    let sleeper = machine.per_hart[0].clone();
    assert_eq!(ask(&mut machine, STA, 0, &[MEMORY_BASE, 0, 0]), ok(0));
    assert_eq!(ask(&mut machine, PMU, 2, &[0, 1, 0b110, 1, 0]), ok(0));
    assert_ne!(machine.per_hart[0].pmu, sleeper.pmu);
    assert_eq!(ask(&mut machine, HSM, 1, &[]), Outcome::Stop);
    assert_eq!(machine.per_hart[0].pmu, sleeper.pmu);
    assert_eq!(machine.per_hart[0].steal_time, sleeper.steal_time);
}

#[test]
fn a_retentive_suspension_ignores_the_resume_address() {
    let mut machine = Mock::new(1);
    for kind in [0, 0xffff_ffff_0000_0000] {
        assert_eq!(
            ask(&mut machine, HSM, 3, &[kind, 1, 2]),
            Outcome::Suspend { resume: None }
        );
    }
}

#[test]
fn a_non_retentive_suspension_resumes_at_its_address() {
    let mut machine = Mock::new(1);
    for kind in [0x8000_0000, 0xffff_ffff_8000_0000] {
        let resume = Some(Start {
            address: GuestPhys(MEMORY_BASE),
            opaque: 5,
        });
        let outcome = ask(&mut machine, HSM, 3, &[kind, MEMORY_BASE, 5]);
        assert_eq!(outcome, Outcome::Suspend { resume });
        assert_eq!(
            ask(&mut machine, HSM, 3, &[kind, 0, 5]),
            error(INVALID_ADDRESS)
        );
    }
}

#[test]
fn other_suspend_types_are_invalid_parameters() {
    let mut machine = Mock::new(1);
    for kind in [
        1,
        0x0fff_ffff,
        0x1000_0000,
        0x7fff_ffff,
        0x8000_0001,
        0x9000_0000,
        0xffff_ffff,
    ] {
        assert_eq!(
            ask(&mut machine, HSM, 3, &[kind, MEMORY_BASE, 0]),
            error(INVALID_PARAM)
        );
    }
}
