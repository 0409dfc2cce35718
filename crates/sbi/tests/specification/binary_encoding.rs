//! Chapter "Binary Encoding".

use super::*;

#[test]
fn error_codes_are_those_of_the_table() {
    let codes = [
        (Error::Failed, FAILED),
        (Error::NotSupported, NOT_SUPPORTED),
        (Error::InvalidParameter, INVALID_PARAM),
        (Error::Denied, DENIED),
        (Error::InvalidAddress, INVALID_ADDRESS),
        (Error::AlreadyAvailable, ALREADY_AVAILABLE),
        (Error::AlreadyStarted, ALREADY_STARTED),
        (Error::AlreadyStopped, ALREADY_STOPPED),
        (Error::NoSharedMemory, NO_SHMEM),
        (Error::DeniedLocked, DENIED_LOCKED),
    ];
    for (error, code) in codes {
        assert_eq!(error.code(), code);
    }
}

#[test]
fn unknown_extensions_are_not_supported() {
    let mut machine = Mock::new(1);
    // CPPC, NACL, SSE, DBTR, MPXY, the reserved legacy numbers, a vendor's.
    for extension in [
        0x4350_5043,
        0x4e41_434c,
        0x53_5345,
        0x4442_5452,
        0x4d50_5859,
        9,
        0xf,
        0x11,
        0x0900_0000,
        u64::MAX,
        0x1_0000_0010,
        1 << 32,
    ] {
        assert_eq!(
            ask(&mut machine, extension, 0, &[]),
            error(NOT_SUPPORTED),
            "{extension:#x}"
        );
    }
}

#[test]
fn unknown_functions_are_not_supported() {
    let mut machine = Mock::new(2);
    for (extension, first_unknown) in [
        (BASE, 7),
        (TIME, 1),
        (IPI, 1),
        (RFENCE, 3),
        (HSM, 4),
        (SRST, 1),
        (DBCN, 3),
        (PMU, 9),
        (SUSP, 1),
        (STA, 1),
        (FWFT, 2),
    ] {
        for function in [first_unknown, first_unknown + 100, 1 << 32, u64::MAX] {
            let outcome = ask(&mut machine, extension, function, &[0; 6]);
            assert_eq!(outcome, error(NOT_SUPPORTED), "{extension:#x} {function}");
        }
    }
    assert_eq!(machine.events, []);
}

#[test]
fn a_hart_mask_counts_from_its_base() {
    let mut machine = Mock::new(70);
    assert_eq!(ask(&mut machine, IPI, 0, &[0b101, 66]), ok(0));
    assert_eq!(
        machine.take_events(),
        [Happening::Ipi(66), Happening::Ipi(68)]
    );
}

#[test]
fn base_minus_one_means_all_harts_whatever_the_mask() {
    let mut machine = Mock::new(3);
    for mask in [0, 0b1000, u64::MAX] {
        assert_eq!(ask(&mut machine, IPI, 0, &[mask, ALL]), ok(0));
        let all: Vec<Happening> = (0..3).map(Happening::Ipi).collect();
        assert_eq!(machine.take_events(), all);
    }
}

#[test]
fn a_hart_that_does_not_exist_is_an_invalid_parameter_and_nothing_happens() {
    let mut machine = Mock::new(2);
    for (mask, base) in [
        (0b100, 0),
        (0b111, 0),
        (1, 2),
        (1, ALL - 1),
        (0b1000, ALL - 2),
        (u64::MAX, 0),
    ] {
        for (extension, function) in [(IPI, 0), (RFENCE, 0), (RFENCE, 1), (RFENCE, 2)] {
            let outcome = ask(&mut machine, extension, function, &[mask, base, 0, 0, 0]);
            assert_eq!(outcome, error(INVALID_PARAM), "{mask:#x} {base:#x}");
        }
    }
    assert_eq!(machine.events, []);
}

#[test]
fn the_base_of_a_mask_need_not_exist() {
    let mut machine = Mock::new(2);
    assert_eq!(ask(&mut machine, IPI, 0, &[0, 77]), ok(0));
    assert_eq!(machine.events, []);
}
