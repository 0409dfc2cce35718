//! Statements about fences.

use super::guest::Guest;
use super::memory::CROOKED;
use super::{from_vs, from_vu, window};
use crate::flush::{Dropped, Flush};
use crate::paging::Paging;
use crate::shadow::View;
use crate::walk::{Access, Kind};
use isa::address::GuestVirt;
use isa::pte::Pte;
use isa::satp::{SV39, SV48, Satp};

const AD: u64 = Pte::A | Pte::D;
const RW: u64 = Pte::R | Pte::W;
const RX: u64 = Pte::R | Pte::X;
const GPA: u64 = 0xa000_0000;
const VA: u64 = 0x20_0000;
const HIGH: u64 = 0xffff_ffe0_0000_0000;

/// Two address spaces, ASIDs 1 and 2, in the second of which it is. Each has a page at `VA` (in
/// both views), the one after it, and a global one at `HIGH`. Gives the first of them too.
fn two_spaces() -> (Guest, Satp) {
    let mut guest = Guest::paged(SV48);
    let first = guest.satp;
    for asid in [1, 2] {
        if asid == 2 {
            let second = guest.memory.space(SV48, 2);
            guest.switch(second);
        }
        for va in [VA, VA + 0x1000] {
            guest.memory.map(guest.satp, va, 0, GPA, RW | Pte::U | AD);
            guest.install(va, from_vu(Kind::Load));
            guest.install(
                va,
                Access {
                    sum: true,
                    ..from_vs(Kind::Load)
                },
            );
        }
        guest.memory.map(guest.satp, HIGH, 0, GPA, RX | Pte::G | AD);
        let _ = guest.fault(HIGH, from_vs(Kind::Fetch));
    }
    (guest, first)
}

/// Which of the leaves are there: `VA` in VS, in VU, the page after it, the global one.
fn present(guest: &Guest) -> [bool; 4] {
    [
        (View::Vs, VA),
        (View::Vu, VA),
        (View::Vu, VA + 0x1000),
        (View::Vs, HIGH),
    ]
    .map(|(view, va)| guest.leaf(view, va).is_some())
}

#[test]
fn a_fence_of_an_address_and_asid_drops_that_page_in_both_views() {
    let (mut guest, first) = two_spaces();
    assert_eq!(
        guest.fence(Some(VA), Some(2)),
        Flush::Address(GuestVirt(VA))
    );
    assert_eq!(present(&guest), [false, false, true, true]);
    guest.switch(first);
    assert_eq!(present(&guest), [true; 4]);
}

#[test]
fn a_fence_of_an_address_drops_it_in_all_contexts() {
    let (mut guest, first) = two_spaces();
    assert_eq!(
        guest.fence(Some(VA + 8), None),
        Flush::Address(GuestVirt(VA + 8))
    );
    assert_eq!(present(&guest), [false, false, true, true]);
    guest.switch(first);
    assert_eq!(present(&guest), [false, false, true, true]);
}

#[test]
fn a_fence_of_an_asid_drops_all_of_it_but_what_is_global() {
    let (mut guest, first) = two_spaces();
    let second = guest.satp;
    assert_eq!(guest.fence(None, Some(1)), Flush::Asid { first: 3 });
    assert_eq!(present(&guest), [true; 4]);
    guest.switch(first);
    assert_eq!(present(&guest), [false, false, false, true]);
    guest.switch(second);
    assert_eq!(guest.fence(None, Some(77)), Flush::None);
    assert_eq!(present(&guest), [true; 4]);
}

#[test]
fn a_fence_of_everything_drops_everything() {
    let (mut guest, first) = two_spaces();
    assert_eq!(guest.fence(None, None), Flush::All);
    assert_eq!(present(&guest), [false; 4]);
    guest.switch(first);
    assert_eq!(present(&guest), [false; 4]);
    super::invariants::check(&guest.shadow);
    // The window's, and two roots each of three contexts.
    assert_eq!(guest.shadow.statistics().live_tables, 7);
}

#[test]
fn only_a_fence_for_all_asids_drops_a_global_page() {
    let (mut guest, _) = two_spaces();
    assert_eq!(guest.fence(Some(HIGH), Some(2)), Flush::None);
    assert_eq!(present(&guest), [true; 4]);
    let dropped = guest.shadow.fence(Some(GuestVirt(HIGH)), None);
    let expected = Dropped {
        flush: Flush::Address(GuestVirt(HIGH)),
        vs_executable: true,
        all_harts: true,
    };
    assert_eq!(dropped, expected);
    assert_eq!(present(&guest), [true, true, true, false]);
}

#[test]
fn a_fence_of_a_data_page_does_not_count_as_executable() {
    let (mut guest, _) = two_spaces();
    assert!(!guest.shadow.fence(Some(GuestVirt(VA)), None).vs_executable);
    assert!(!guest.shadow.fence(None, Some(1)).vs_executable);
}

#[test]
fn a_fence_of_what_is_not_there_costs_nothing() {
    let (mut guest, _) = two_spaces();
    for va in [VA + 0x5000, window(Paging::Sv57, 0).0, 1 << 47, 1 << 60] {
        assert_eq!(
            guest.shadow.fence(Some(GuestVirt(va)), None),
            Dropped::NONE,
            "{va:#x}"
        );
    }
    assert_eq!(present(&guest), [true; 4]);
}

#[test]
fn a_fence_in_a_superpage_drops_all_pieces_of_it() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, VA, 1, CROOKED, RX | AD);
    guest
        .memory
        .map(guest.satp, VA + 0x20_0000, 0, GPA, RX | AD);
    for va in [VA, VA + 0x1000, VA + 0x1f_f000, VA + 0x20_0000] {
        guest.install(va, from_vs(Kind::Fetch));
    }
    let dropped = guest.shadow.fence(Some(GuestVirt(VA + 0x8000)), Some(1));
    assert_eq!(
        dropped,
        Dropped {
            flush: Flush::Asid { first: 3 },
            vs_executable: true,
            all_harts: true,
        }
    );
    for va in [VA, VA + 0x1000, VA + 0x1f_f000] {
        assert_eq!(guest.leaf(View::Vs, va), None);
    }
    assert_eq!(guest.rights(View::Vs, VA + 0x20_0000), RX);
    super::invariants::check(&guest.shadow);
}

#[test]
fn pieces_beside_the_window_are_dropped_and_the_window_stays() {
    // A leaf of 512 GiB, of which only this is RAM.
    let va = 0xffff_ff80_8000_0000;
    for fenced in [va, va + (5 << 30)] {
        let mut guest = Guest::paged_in(Paging::Sv48, SV48);
        guest.memory.map(guest.satp, va, 3, 0, RX | Pte::G | AD);
        guest.install(va, from_vs(Kind::Fetch));
        let (page, _, level) = guest.leaf(View::Vs, va).unwrap();
        assert_eq!((page, level), (0x4_8000_0000, 2));
        let at_window = guest.shadow.fence(Some(window(Paging::Sv48, 0)), None);
        assert_eq!(at_window, Dropped::NONE);
        super::invariants::check(&guest.shadow);
        let dropped = guest.shadow.fence(Some(GuestVirt(fenced)), None);
        assert_eq!(dropped, Dropped::ALL);
        assert_eq!(guest.leaf(View::Vs, va), None);
        super::invariants::check(&guest.shadow);
    }
}

#[test]
fn dropping_the_executable_leaf_takes_no_other() {
    let mut guest = Guest::paged(SV39);
    for (page, flags) in [(0, RX | Pte::G), (1, RX | Pte::G), (2, RW | Pte::G)] {
        guest
            .memory
            .map(guest.satp, HIGH + page * 0x1000, 0, GPA, flags | AD);
        guest.install(HIGH + page * 0x1000, from_vs(Kind::Load));
    }
    let dropped = guest.shadow.drop_execute(0, GuestVirt(HIGH + 0x10));
    assert!(dropped.vs_executable);
    assert_eq!(dropped.flush, Flush::Address(GuestVirt(HIGH + 0x10)));
    assert_eq!(
        guest.shadow.drop_execute(0, GuestVirt(HIGH + 0x2000)),
        Dropped::NONE
    );
    let rights = [0, 1, 2].map(|page| guest.rights(View::Vs, HIGH + page * 0x1000));
    assert_eq!(rights, [0, RX, RW]);
}

#[test]
fn dropping_a_copy_takes_its_leaf_from_every_context() {
    let mut guest = Guest::paged(SV39);
    let gpa = 0x8800_0000;
    guest.frames.patch(gpa);
    let second = guest.memory.space(SV48, 2);
    let spaces = [guest.satp, second, Satp(0)];
    for satp in spaces {
        guest.switch(satp);
        if satp.0 != 0 {
            guest.memory.map(satp, gpa, 0, gpa, RX | AD);
        }
        guest.install(gpa, from_vs(Kind::Fetch));
    }
    let dropped = guest.shadow.drop_copy(GuestVirt(gpa));
    assert_eq!(
        dropped,
        Dropped {
            flush: Flush::Address(GuestVirt(gpa)),
            vs_executable: true,
            all_harts: true,
        }
    );
    for satp in spaces {
        guest.switch(satp);
        assert_eq!(guest.leaf(View::Vs, gpa), None, "{satp:?}");
    }
    // This address does not exist, though its low bits are those of the leaf.
    guest.install(gpa, from_vs(Kind::Fetch));
    let alias = GuestVirt(gpa | 0x8000_0000_0000_0000);
    assert_eq!(guest.shadow.drop_copy(alias), Dropped::NONE);
    assert!(guest.leaf(View::Vs, gpa).is_some());
}
