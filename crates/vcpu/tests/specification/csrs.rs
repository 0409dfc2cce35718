//! Which CSRs can be reached, from where.

use isa::address::GuestPhys;
use isa::csr::{self, sstatus};
use isa::encode;
use isa::reg::Reg;
use vcpu::{Hart, Illegal, Mode};

use crate::support::{EVERYTHING, LEAST, Still, execute, hart};

/// The supervisor CSRs of a hart without Sstc, Smstateen, AIA and the like.
const SUPERVISOR: [u16; 11] = [
    csr::SSTATUS,
    csr::SIE,
    csr::STVEC,
    csr::SCOUNTEREN,
    csr::SENVCFG,
    csr::SSCRATCH,
    csr::SEPC,
    csr::SCAUSE,
    csr::STVAL,
    csr::SIP,
    csr::SATP,
];

const COUNTERS: core::ops::RangeInclusive<u16> = 0xc00..=0xc1f;

#[test]
fn a_supervisor_reads_its_csrs_and_the_counters_and_no_others() {
    let hart = hart(Mode::Supervisor);
    for csr in 0..=u16::MAX {
        let readable = SUPERVISOR.contains(&csr) || COUNTERS.contains(&csr);
        assert_eq!(hart.read_csr(csr, &Still).is_ok(), readable, "{csr:#x}");
    }
}

#[test]
fn a_supervisor_writes_its_csrs_and_no_others() {
    for csr in 0..=u16::MAX {
        let mut hart = hart(Mode::Supervisor);
        let written = hart.write_csr(&EVERYTHING, csr, 0);
        assert_eq!(written.is_ok(), SUPERVISOR.contains(&csr), "{csr:#x}");
    }
}

#[test]
fn a_user_reads_the_counters_that_scounteren_permits_and_writes_nothing() {
    for enabled in (0..32).map(|bit| 1u64 << bit).chain([0, 0xffff_ffff]) {
        let mut hart = Hart {
            scounteren: enabled,
            ..hart(Mode::User)
        };
        for csr in 0..=0xfff {
            let readable = COUNTERS.contains(&csr) && enabled >> (csr & 31) & 1 != 0;
            assert_eq!(hart.read_csr(csr, &Still).is_ok(), readable, "{csr:#x}");
            assert_eq!(
                hart.write_csr(&EVERYTHING, csr, 0),
                Err(Illegal),
                "{csr:#x}"
            );
        }
    }
}

#[test]
fn a_supervisor_reads_the_counters_whatever_scounteren_says() {
    let hart = Hart {
        scounteren: 0,
        ..hart(Mode::Supervisor)
    };
    assert_eq!(hart.read_csr(csr::CYCLE, &Still), Ok(1001));
    assert_eq!(hart.read_csr(csr::TIME, &Still), Ok(2002));
    assert_eq!(hart.read_csr(csr::INSTRET, &Still), Ok(3003));
    for counter in csr::HPMCOUNTER3..=csr::HPMCOUNTER31 {
        assert_eq!(hart.read_csr(counter, &Still), Ok(0));
    }
}

#[test]
fn an_access_to_a_unit_s_csr_that_the_hardware_refused_is_illegal() {
    let units = [
        csr::FFLAGS,
        csr::FRM,
        csr::FCSR,
        csr::VSTART,
        csr::VXSAT,
        csr::VXRM,
        csr::VCSR,
        csr::VL,
        csr::VTYPE,
        csr::VLENB,
    ];
    for csr in units {
        let mut hart = hart(Mode::Supervisor);
        assert!(execute(&mut hart, &EVERYTHING, encode::csrrs(Reg::A0, csr, Reg::X0)).is_err());
    }
}

#[test]
fn a_hart_starts_as_the_boot_protocol_wants_it() {
    let hart = Hart::new(&LEAST, 3, GuestPhys(0x8200_0000), GuestPhys(0x8020_0000));
    assert_eq!(hart.pc, 0x8020_0000);
    assert_eq!(hart.mode, Mode::Supervisor);
    assert_eq!(hart.x[Reg::A0.index()], 3);
    assert_eq!(hart.x[Reg::A1.index()], 0x8200_0000);
    assert_eq!(hart.satp, 0);
    assert_eq!(hart.sstatus, sstatus::UXL_64, "no unit, no interrupts");
    assert_eq!((hart.sie, hart.sip, hart.scounteren), (0, 0, 0));
}

#[test]
fn a_hart_starts_as_stock_firmware_leaves_it() {
    // Read with a debugger at the first instruction of a payload of OpenSBI 1.5 on QEMU 10.
    let hart = Hart::new(
        &EVERYTHING,
        0,
        GuestPhys(0x87e0_0000),
        GuestPhys(0x8020_0000),
    );
    assert_eq!(hart.sstatus, 0x8000_0002_0000_6600);
    assert_eq!(hart.scounteren, 7);
    assert_eq!(hart.stvec, 0x8020_0000);
    let zeroes = [
        hart.sie,
        hart.sip,
        hart.senvcfg,
        hart.sscratch,
        hart.sepc,
        hart.scause,
        hart.stval,
    ];
    assert_eq!(zeroes, [0; 7]);
}
