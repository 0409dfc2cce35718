//! The reference emulator against another implementation: random privileged programs run on QEMU
//! in S-mode, with nothing virtualised, and must leave the same trace as they leave here.
//!
//! A program executes a few thousand random instructions: accesses to every CSR, `sret`, fences,
//! cache-block operations, exceptions and software interrupts, in both modes, with and without
//! paging. After each it writes down the destination register and all supervisor CSRs; its trap
//! handler writes down every trap. What is written down goes to the serial port at the end.
//!
//! What the specification leaves open and the two decide differently is not tried: see
//! [`machine::Refused`].

use std::collections::BTreeSet;

mod machine;
mod program;
mod qemu;
mod random;

use program::{LOG, Program, TRAP};

const STEPS: usize = 4000;

#[test]
fn random_programs_leave_the_trace_that_they_leave_on_qemu() {
    for seed in 0..3 {
        let program = Program::random(seed, STEPS);
        let expected = program.machine.log(LOG);
        let actual = qemu::run(seed, &program.machine.image, expected.len());
        for (number, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
            assert!(
                expected == actual,
                "seed {seed}, entry {number}: {} is {expected:#x} here and {actual:#x} on QEMU",
                program.entries.get(number).map_or("?", String::as_str),
            );
        }
        assert_eq!(actual.len(), expected.len());
        check_coverage(&program, &expected);
    }
}

/// A trace that agrees says little if nothing has happened.
fn check_coverage(program: &Program, log: &[u64]) {
    let seen = |what: &str| -> BTreeSet<u64> {
        let entries = program.entries.iter().zip(log);
        entries
            .filter(|(name, _)| name.ends_with(what))
            .map(|(_, value)| *value)
            .collect()
    };
    let interrupt = 1 << 63 | 1;
    assert_eq!(seen("trap's scause"), BTreeSet::from([2, 3, 8, interrupt]));
    assert_eq!(seen("trap by vector"), BTreeSet::from([0, 1]));
    let modes: BTreeSet<u64> = seen(": satp").iter().map(|satp| satp >> 60).collect();
    assert_eq!(modes, BTreeSet::from([0, 8, 9, 10]));
    // Interrupts from both modes, with SIE clear (in VU) and set.
    let traps = log.windows(TRAP.len()).zip(&program.entries);
    let interrupts = traps.filter(|(trap, name)| name.ends_with(TRAP[0]) && trap[1] == interrupt);
    let from: BTreeSet<u64> = interrupts.map(|(trap, _)| trap[4] & 0x122).collect();
    assert_eq!(from, BTreeSet::from([0x000, 0x020, 0x120]));
    // SPP, SPIE, SIE in every combination, after a step.
    let stacks: BTreeSet<u64> = seen(": sstatus")
        .iter()
        .map(|value| value & 0x122)
        .collect();
    assert_eq!(stacks.len(), 8);
}
