//! Svvptc: what has become valid is seen without a fence, also by harts that keep what they have found
//! absent, at any level.

use super::machine::Machine;
use super::{from_vs, from_vu};
use crate::paging::{Paging, size};
use crate::shadow::View;
use crate::walk::{Access, Kind};
use isa::pte::Pte;
use isa::satp::SV48;

const GPA: u64 = 0xa000_0000;
const VA: u64 = 0x20_0000;
const HIGH: u64 = 0xffff_ffe0_0000_0000;

/// A page of the kernel's and one of the user's, and how each is accessed.
fn places() -> [(u64, u64, View, Access); 2] {
    let data = Pte::V | Pte::R | Pte::W | Pte::A | Pte::D;
    [
        (HIGH, data | Pte::G, View::Vs, from_vs(Kind::Store)),
        (VA, data | Pte::U, View::Vu, from_vu(Kind::Load)),
    ]
}

#[test]
fn a_page_that_has_become_valid_is_seen_without_a_fence() {
    // Pages ahead of it, behind which it is absent at the last level, the one above, and so on.
    for level in (0..3).rev() {
        let probes = [0, size(level)].map(|ahead| [HIGH + ahead, VA + ahead]);
        let mut machine = Machine::new(Paging::Sv57, 256, 1, 16, probes.concat());
        let satp = machine.memory.space(SV48, 1);
        for (va, flags, ..) in places() {
            machine.memory.map(satp, va + size(level), 0, GPA, flags);
        }
        machine.switch(0, satp);
        for (va, _, view, access) in places() {
            // What is next to it is there, and the hart has looked at it and found nothing.
            machine.access(0, va + size(level), access);
            machine.speculate(0, va, view);
            machine.access(0, va, access);
        }
        let before = machine.done;
        for (va, flags, _, access) in places() {
            machine.memory.map(satp, va, 0, GPA + 0x1000, flags);
            machine.record();
            machine.access(0, va, access);
        }
        assert_eq!(machine.done - before, 2, "level {level}");
    }
}

#[test]
fn a_leaf_that_was_filled_beside_an_absent_one_is_seen_by_a_hart_that_looked_before() {
    let mut machine = Machine::new(Paging::Sv48, 256, 2, 16, [HIGH, VA].into());
    let satp = machine.memory.space(SV48, 1);
    for hart in 0..2 {
        machine.switch(hart, satp);
        for (va, _, view, _) in places() {
            machine.speculate(hart, va, view);
        }
    }
    for (va, flags, ..) in places() {
        machine.memory.map(satp, va, 0, GPA, flags);
    }
    machine.record();
    // The first fills; the second finds the leaf in the tables and its absence in its TLB.
    for hart in 0..2 {
        for (va, _, _, access) in places() {
            machine.access(hart, va, access);
        }
    }
    assert_eq!(machine.done, 4);
    assert!(machine.shadow.statistics().spurious > 0);
}
