//! Chapter "Base Extension".

use super::*;

#[test]
fn the_version_is_3_0() {
    assert_eq!(ask(&mut Mock::new(1), BASE, 0, &[]), ok(0x0300_0000));
}

/// The specification's table assigns 0 to 11.
#[test]
fn the_implementation_is_none_of_the_assigned_ones() {
    let mut machine = Mock::new(1);
    assert_eq!(ask(&mut machine, BASE, 1, &[]), ok(IMPLEMENTATION_ID));
    for assigned in 0..=11 {
        assert_ne!(ask(&mut machine, BASE, 1, &[]), ok(assigned));
    }
}

#[test]
fn the_implementation_version_is_that_of_the_crate() {
    let version = ask(&mut Mock::new(1), BASE, 2, &[]);
    let Outcome::Return { error: 0, value } = version else {
        panic!("{version:?}")
    };
    let text = format!("{}.{}.{}", value >> 16, value >> 8 & 0xff, value & 0xff);
    assert_eq!(text, env!("CARGO_PKG_VERSION"));
}

/// Chapter "Firmware Specific Extension Space": the low bits are the implementation ID.
#[test]
fn a_monitor_in_a_guest_learns_where_the_window_ends() {
    let mut machine = Mock::new(1);
    let own = 0x0a00_0000 | IMPLEMENTATION_ID;
    assert_eq!(ask(&mut machine, BASE, 3, &[own]), ok(1));
    assert_eq!(ask(&mut machine, own, 0, &[]), ok(mock::WINDOW_END));
    for function in [1, 2, u64::MAX] {
        assert_eq!(
            ask(&mut machine, own, function, &[]),
            Error::NotSupported.into()
        );
    }
}

#[test]
fn extensions_are_probed() {
    let mut machine = Mock::new(1);
    for extension in [
        BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN, PMU, SUSP, STA, FWFT,
    ]
    .into_iter()
    .chain(0..9)
    {
        assert_eq!(
            ask(&mut machine, BASE, 3, &[extension]),
            ok(1),
            "{extension:#x}"
        );
    }
    // CPPC, NACL, SSE, DBTR, MPXY are real, and not offered.
    for extension in [
        9,
        0xf,
        0x11,
        0x4350_5043,
        0x4e41_434c,
        0x53_5345,
        0x4442_5452,
        0x4d50_5859,
        u64::MAX,
    ] {
        assert_eq!(
            ask(&mut machine, BASE, 3, &[extension]),
            ok(0),
            "{extension:#x}"
        );
    }
}

#[test]
fn machine_ids_are_the_hosts() {
    let mut machine = Mock::new(1);
    assert_eq!(ask(&mut machine, BASE, 4, &[]), ok(IDS.vendor));
    assert_eq!(ask(&mut machine, BASE, 5, &[]), ok(IDS.architecture));
    assert_eq!(ask(&mut machine, BASE, 6, &[]), ok(IDS.implementation));
}
