//! What a write leaves in each CSR.

use isa::csr::{self, interrupt, senvcfg, sstatus};
use proptest::prelude::*;
use vcpu::{Hart, Mode, warl};

use crate::support::{EVERYTHING, LEAST, PLAIN, Still, any_features, any_hart, any_value, hart};

fn csrs() -> impl Iterator<Item = u16> {
    (0..0x1000).filter(|csr| Hart::write_rule(*csr).is_some())
}

proptest! {
    #[test]
    fn writing_back_what_was_read_changes_nothing((hart, features) in any_hart()) {
        for csr in csrs() {
            let mut after = Hart { mode: Mode::Supervisor, ..hart.clone() };
            let before = after.clone();
            let value = after.read_csr(csr, &Still).unwrap();
            after.write_csr(&features, csr, value).unwrap();
            prop_assert_eq!(&before, &after, "{}", csr::name(csr).unwrap());
        }
    }

    #[test]
    fn a_write_leaves_a_legal_value_whatever_was_there(
        old in any_value(), written in any_value(), features in any_features(),
    ) {
        for csr in csrs() {
            let rule = Hart::write_rule(csr).unwrap();
            let left = rule(old, written, &features);
            prop_assert_eq!(rule(left, left, &features), left, "{}", csr::name(csr).unwrap());
        }
    }

    #[test]
    fn a_write_changes_one_csr_only(
        (hart, features) in any_hart(), written in any_value(), which in 0..11usize,
    ) {
        let csr = csrs().nth(which).unwrap();
        let before = Hart { mode: Mode::Supervisor, ..hart };
        let mut after = before.clone();
        after.write_csr(&features, csr, written).unwrap();
        let old = before.read_csr(csr, &Still).unwrap();
        let rule = Hart::write_rule(csr).unwrap();
        prop_assert_eq!(after.read_csr(csr, &Still), Ok(rule(old, written, &features)));
        for other in csrs().filter(|other| *other != csr) {
            prop_assert_eq!(after.read_csr(other, &Still), before.read_csr(other, &Still));
        }
        prop_assert_eq!((after.x, after.pc, after.mode), (before.x, before.pc, before.mode));
    }

    #[test]
    fn sstatus_keeps_what_it_has_and_reports_units_dirty_or_off(
        old in any_value(), written in any_value(), features in any_features(),
    ) {
        let value = warl::sstatus(old, written, &features);
        prop_assert_eq!(value & PLAIN, written & PLAIN);
        prop_assert_eq!(value & sstatus::UXL, 2 << 32);
        for unit in [sstatus::FS, sstatus::VS] {
            let on = features.sstatus & unit != 0 && written & unit != 0;
            prop_assert_eq!(value & unit, if on { unit } else { 0 });
        }
        let dirty = value & sstatus::FS == sstatus::FS || value & sstatus::VS == sstatus::VS;
        prop_assert_eq!(value & sstatus::SD != 0, dirty);
        let known = PLAIN | sstatus::FS | sstatus::VS | sstatus::UXL | sstatus::SD;
        prop_assert_eq!(value & !known, 0);
    }

    #[test]
    fn sie_holds_the_three_supervisor_interrupts(
        old in any_value(), written in any_value(), features in any_features(),
    ) {
        prop_assert_eq!(warl::sie(old, written, &features), written & 0x222);
    }

    #[test]
    fn a_guest_changes_no_bit_of_sip_but_ssip(
        pending in 0..8u64, written in any_value(), features in any_features(),
    ) {
        let bit = |number: u32, bit: u64| (pending >> number & 1) * bit;
        let old = bit(0, interrupt::SSI) | bit(1, interrupt::STI) | bit(2, interrupt::SEI);
        let value = warl::sip(old, written, &features);
        prop_assert_eq!(value & 0x220, old & 0x220);
        prop_assert_eq!(value & !0x220, written & 2);
    }

    #[test]
    fn stvec_takes_direct_and_vectored_mode_and_ignores_the_rest(
        old in any_value(), written in any_value(),
    ) {
        let old = old & !2;
        let value = warl::stvec(old, written, &EVERYTHING);
        prop_assert_eq!(value, if written & 3 < 2 { written } else { old });
    }

    #[test]
    fn sepc_holds_any_even_address(old in any_value(), written in any_value()) {
        prop_assert_eq!(warl::sepc(old, written, &LEAST), written - written % 2);
    }

    #[test]
    fn registers_for_the_guest_s_own_use_hold_anything(old in any_value(), written in any_value()) {
        prop_assert_eq!(warl::sscratch(old, written, &LEAST), written);
        prop_assert_eq!(warl::scause(old, written, &LEAST), written);
        prop_assert_eq!(warl::stval(old, written, &LEAST), written);
    }

    #[test]
    fn a_write_of_satp_with_an_unsupported_mode_has_no_effect(
        fields in any_value(), written in any_value(), mode in 0..16u64, features in any_features(),
    ) {
        let old = warl::satp(0, fields << 4 >> 4, &features);
        let written = written << 4 >> 4 | mode << 60;
        let supported = features.satp_modes >> mode & 1 != 0;
        prop_assert_eq!(
            warl::satp(old, written, &features),
            if supported { written } else { old }
        );
    }

    #[test]
    fn scounteren_is_32_bits_of_what_is_offered(
        old in any_value(), written in any_value(), features in any_features(),
    ) {
        let value = warl::scounteren(old, written, &features);
        prop_assert_eq!(value, written & features.scounteren);
        prop_assert!(value <= u32::MAX.into());
    }

    #[test]
    fn senvcfg_never_holds_the_reserved_value_of_cbie(
        old in any_value(), written in any_value(), features in any_features(),
    ) {
        let value = warl::senvcfg(old, written, &features);
        prop_assert_ne!(value & senvcfg::CBIE, 2 << 4);
        let others = !senvcfg::CBIE;
        prop_assert_eq!(value & others, written & features.senvcfg & others);
        if features.senvcfg & senvcfg::CBIE != 0 && written & senvcfg::CBIE != 2 << 4 {
            prop_assert_eq!(value & senvcfg::CBIE, written & senvcfg::CBIE);
        }
    }

    #[test]
    fn what_the_host_lacks_reads_as_zero((hart, features) in any_hart()) {
        prop_assert_eq!(hart.sstatus & (sstatus::FS | sstatus::VS) & !features.sstatus, 0);
        prop_assert_eq!(hart.senvcfg & !features.senvcfg, 0);
        prop_assert_eq!(hart.scounteren & !features.scounteren, 0);
        prop_assert!(features.satp_modes >> (hart.satp >> 60) & 1 != 0);
    }
}

#[test]
fn a_reserved_value_of_cbie_leaves_cbie_as_it_was() {
    for cbie in [0, 1, 3] {
        let written = 2 << 4 | senvcfg::CBZE;
        let value = warl::senvcfg(cbie << 4 | senvcfg::FIOM, written, &EVERYTHING);
        assert_eq!(value, cbie << 4 | senvcfg::CBZE);
    }
}

#[test]
fn each_unit_is_switched_on_by_any_state_but_off() {
    for state in 0..4u64 {
        let fs = warl::sstatus(0, state << 13, &EVERYTHING);
        let vs = warl::sstatus(0, state << 9, &EVERYTHING);
        let on = u64::from(state != 0);
        assert_eq!(fs & !sstatus::UXL, on * (sstatus::FS | sstatus::SD));
        assert_eq!(vs & !sstatus::UXL, on * (sstatus::VS | sstatus::SD));
    }
}

#[test]
fn slots_are_where_the_offsets_say() {
    let mut hart = hart(Mode::Supervisor);
    // Each gets a value of its own, as far as it can hold one.
    for (number, csr) in csrs().enumerate() {
        let value = if csr == csr::SSTATUS {
            sstatus::SUM
        } else {
            (number as u64) << 32 | 0x2
        };
        hart.write_csr(&EVERYTHING, csr, value).unwrap();
    }
    let fields = [
        (
            csr::SSTATUS,
            core::mem::offset_of!(Hart, sstatus),
            hart.sstatus,
        ),
        (csr::SIE, core::mem::offset_of!(Hart, sie), hart.sie),
        (csr::SIP, core::mem::offset_of!(Hart, sip), hart.sip),
        (csr::STVEC, core::mem::offset_of!(Hart, stvec), hart.stvec),
        (
            csr::SSCRATCH,
            core::mem::offset_of!(Hart, sscratch),
            hart.sscratch,
        ),
        (csr::SEPC, core::mem::offset_of!(Hart, sepc), hart.sepc),
        (
            csr::SCAUSE,
            core::mem::offset_of!(Hart, scause),
            hart.scause,
        ),
        (csr::STVAL, core::mem::offset_of!(Hart, stval), hart.stval),
        (csr::SATP, core::mem::offset_of!(Hart, satp), hart.satp),
        (
            csr::SCOUNTEREN,
            core::mem::offset_of!(Hart, scounteren),
            hart.scounteren,
        ),
        (
            csr::SENVCFG,
            core::mem::offset_of!(Hart, senvcfg),
            hart.senvcfg,
        ),
    ];
    assert_eq!(fields.len(), csrs().count());
    for (csr, offset, value) in fields {
        assert_eq!(Hart::csr_offset(csr), Some(offset));
        assert_eq!(hart.read_csr(csr, &Still), Ok(value));
    }
    assert_eq!(Hart::csr_offset(csr::CYCLE), None);
    assert_eq!(Hart::csr_offset(csr::STIMECMP), None);
}
