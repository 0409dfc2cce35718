//! Traps, the way back, and interrupts.

use isa::csr::{Exception, Interrupt, sstatus};
use isa::encode;
use proptest::prelude::*;
use vcpu::{Cause, Hart, Mode, Trap};

use crate::support::{EVERYTHING, any_hart, any_value, execute, hart};

const MODES: [Mode; 2] = [Mode::User, Mode::Supervisor];
const INTERRUPTS: [Interrupt; 3] = [Interrupt::Software, Interrupt::Timer, Interrupt::External];

fn any_cause() -> impl Strategy<Value = Cause> {
    let exceptions: Vec<Exception> = (0..16).filter_map(Exception::from_code).collect();
    prop_oneof![
        prop::sample::select(exceptions).prop_map(Cause::Exception),
        prop::sample::select(INTERRUPTS.to_vec()).prop_map(Cause::Interrupt),
    ]
}

/// The fields of `sstatus` that a trap and `sret` work on.
fn stack(hart: &Hart) -> (bool, bool, bool) {
    let has = |bit| hart.sstatus & bit != 0;
    (has(sstatus::SIE), has(sstatus::SPIE), has(sstatus::SPP))
}

proptest! {
    #[test]
    fn a_trap_saves_where_and_why_and_disables_interrupts(
        (before, _) in any_hart(), cause in any_cause(), value in any_value(),
    ) {
        let mut after = before.clone();
        after.take_trap(Trap { cause, value });
        prop_assert_eq!(after.sepc, before.pc);
        prop_assert_eq!(after.stval, value);
        let code = match cause {
            Cause::Exception(exception) => exception as u64,
            Cause::Interrupt(interrupt) => 1 << 63 | interrupt as u64,
        };
        prop_assert_eq!(after.scause, code);
        prop_assert_eq!(after.mode, Mode::Supervisor);
        let (was_enabled, ..) = stack(&before);
        prop_assert_eq!(stack(&after), (false, was_enabled, before.mode == Mode::Supervisor));
    }

    #[test]
    fn a_trap_changes_nothing_else(
        (before, _) in any_hart(), cause in any_cause(), value in any_value(),
    ) {
        let mut after = before.clone();
        after.take_trap(Trap { cause, value });
        let fields = sstatus::SIE | sstatus::SPIE | sstatus::SPP;
        prop_assert_eq!(after.sstatus & !fields, before.sstatus & !fields);
        let restored = Hart {
            pc: before.pc,
            mode: before.mode,
            sstatus: before.sstatus,
            sepc: before.sepc,
            scause: before.scause,
            stval: before.stval,
            ..after
        };
        prop_assert_eq!(restored, before);
    }

    #[test]
    fn only_interrupts_are_vectored(
        (before, _) in any_hart(), cause in any_cause(), base in any_value(), vectored in any::<bool>(),
    ) {
        let base = base & !3;
        let mut hart = Hart { stvec: base | u64::from(vectored), ..before };
        hart.take_trap(Trap { cause, value: 0 });
        let expected = match cause {
            Cause::Interrupt(interrupt) if vectored => base.wrapping_add(4 * interrupt as u64),
            _ => base,
        };
        prop_assert_eq!(hart.pc, expected);
    }

    #[test]
    fn sret_undoes_a_trap((before, features) in any_hart(), cause in any_cause()) {
        let mut hart = before.clone();
        hart.take_trap(Trap { cause, value: 0 });
        execute(&mut hart, &features, encode::sret()).expect("legal in VS");
        prop_assert_eq!((hart.pc, hart.mode), (before.pc, before.mode));
        let (was_enabled, ..) = stack(&before);
        prop_assert_eq!(stack(&hart), (was_enabled, true, false));
    }

    #[test]
    fn after_sret_nothing_has_changed_but_mode_pc_and_sstatus((before, features) in any_hart()) {
        let before = Hart { mode: Mode::Supervisor, ..before };
        let mut after = before.clone();
        execute(&mut after, &features, encode::sret()).expect("legal in VS");
        let (_, was_enabled, to_supervisor) = stack(&before);
        prop_assert_eq!(stack(&after), (was_enabled, true, false));
        prop_assert_eq!(after.mode, if to_supervisor { Mode::Supervisor } else { Mode::User });
        prop_assert_eq!(after.pc, before.sepc);
        let fields = sstatus::SIE | sstatus::SPIE | sstatus::SPP;
        prop_assert_eq!(after.sstatus & !fields, before.sstatus & !fields);
        let restored =
            Hart { pc: before.pc, mode: before.mode, sstatus: before.sstatus, ..after };
        prop_assert_eq!(restored, before);
    }
}

#[test]
fn sret_is_illegal_in_user_mode() {
    let mut hart = hart(Mode::User);
    let before = hart.clone();
    let trap = execute(&mut hart, &EVERYTHING, encode::sret()).unwrap_err();
    assert_eq!(
        trap,
        Trap::exception(Exception::IllegalInstruction, 0x1020_0073)
    );
    assert_eq!(hart, before);
}

/// Every combination of pending, enabled, mode and SIE.
fn all_interrupt_states() -> impl Iterator<Item = Hart> {
    let bits = |set: u64| {
        let pick = |at: u32, interrupt: Interrupt| (set >> at & 1) << interrupt as u64;
        pick(0, Interrupt::Software) | pick(1, Interrupt::Timer) | pick(2, Interrupt::External)
    };
    (0..256u64).map(move |state| Hart {
        sip: bits(state),
        sie: bits(state >> 3),
        sstatus: sstatus::UXL_64 | if state & 64 != 0 { sstatus::SIE } else { 0 },
        mode: MODES[(state >> 7) as usize],
        ..Hart::default()
    })
}

#[test]
fn external_comes_before_software_before_timer() {
    for hart in all_interrupt_states() {
        let is_ready = |interrupt: Interrupt| {
            let bit = 1u64 << interrupt as u64;
            hart.sip & bit != 0 && hart.sie & bit != 0
        };
        let first = if is_ready(Interrupt::External) {
            Some(Interrupt::External)
        } else if is_ready(Interrupt::Software) {
            Some(Interrupt::Software)
        } else if is_ready(Interrupt::Timer) {
            Some(Interrupt::Timer)
        } else {
            None
        };
        let masked = hart.mode == Mode::Supervisor && hart.sstatus & sstatus::SIE == 0;
        assert_eq!(
            hart.pending_interrupt(),
            if masked { None } else { first },
            "{hart:?}"
        );
    }
}

#[test]
fn a_wait_ends_by_an_interrupt_that_is_enabled_though_masked() {
    for hart in all_interrupt_states() {
        let ready = INTERRUPTS.into_iter().any(|interrupt| {
            hart.sip >> interrupt as u64 & 1 != 0 && hart.sie >> interrupt as u64 & 1 != 0
        });
        assert_eq!(hart.ends_wait(), ready, "{hart:?}");
        assert!(hart.pending_interrupt().is_none() || hart.ends_wait());
    }
}

#[test]
fn devices_raise_and_lower_each_bit_of_sip_by_itself() {
    for bit in 0..64 {
        let mut hart = Hart {
            sip: 0x222,
            ..Hart::default()
        };
        hart.set_pending(1 << bit, false);
        assert_eq!(hart.sip, 0x222 & !(1 << bit));
        let mut hart = Hart::default();
        hart.set_pending(1 << bit, true);
        assert_eq!(hart.sip, 0x222 & 1 << bit);
    }
}
