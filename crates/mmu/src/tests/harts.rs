//! Statements about what other harts must know, and when.

use super::guest::Guest;
use super::memory::CROOKED;
use super::{config, from_vs, from_vu, pool};
use crate::fill::{FillError, Filled};
use crate::flush::{Dropped, Flush};
use crate::log::FenceLog;
use crate::shadow::{Shadow, SwitchError, View};
use crate::walk::{Access, Kind};
use isa::address::GuestVirt;
use isa::pte::Pte;
use isa::satp::{SV39, SV57, Satp};

const AD: u64 = Pte::A | Pte::D;
const RW: u64 = Pte::R | Pte::W;
const RX: u64 = Pte::R | Pte::X;
const GPA: u64 = 0xa000_0000;
const VA: u64 = 0x20_0000;
const HIGH: u64 = 0xffff_ffe0_0000_0000;

/// A guest with two harts, both in one address space with ASID 1.
fn two_harts(mode: u8) -> Guest {
    let mut guest = Guest::new(100);
    guest.shadow = Shadow::new(pool(100), &config(2, 8)).expect("a shadow");
    guest.satp = guest.memory.space(mode, 1);
    for hart in [0, 1] {
        let _ = guest.shadow.switch(hart, guest.satp);
    }
    guest
}

/// Fills one time, which must only clear the way, and says what for.
fn cleared(guest: &mut Guest, va: u64, access: Access) -> Dropped {
    match guest.fill(GuestVirt(va), access) {
        Ok(Filled::Cleared(dropped)) => dropped,
        other => panic!("{va:#x}: {other:?}"),
    }
}

#[test]
fn an_instruction_takes_the_place_of_another_after_all_harts_have_forgotten_that() {
    let mut guest = two_harts(SV39);
    for gpa in [GPA, GPA + 0x1000] {
        guest.memory.map(guest.satp, HIGH, 0, gpa, RX | Pte::G | AD);
        if gpa != GPA {
            let dropped = cleared(&mut guest, HIGH, from_vs(Kind::Fetch));
            assert_eq!(dropped, Dropped::leaf(GuestVirt(HIGH), true));
            assert_eq!(guest.leaf(View::Vs, HIGH), None);
        }
        let dropped = guest.install(HIGH, from_vs(Kind::Fetch));
        assert!(!dropped.all_harts);
    }
}

#[test]
fn a_data_page_takes_the_place_of_another_at_once() {
    let mut guest = two_harts(SV39);
    for gpa in [GPA, GPA + 0x1000] {
        guest.memory.map(guest.satp, VA, 0, gpa, RW | AD);
        assert!(!guest.install(VA, from_vs(Kind::Load)).all_harts);
    }
}

#[test]
fn all_harts_know_of_the_first_private_instruction_before_it_is_there() {
    let mut guest = two_harts(SV39);
    guest.memory.map(guest.satp, VA, 0, GPA, RX | AD);
    let dropped = cleared(&mut guest, VA, from_vs(Kind::Fetch));
    assert_eq!(dropped, Dropped::announced(Flush::None));
    assert!(guest.shadow.context(1).private_execute);
    assert_eq!(guest.leaf(View::Vs, VA), None);
    assert!(!guest.install(VA, from_vs(Kind::Fetch)).all_harts);
}

#[test]
fn all_harts_know_of_an_entry_that_hides_a_shared_one_before_and_after() {
    let mut guest = two_harts(SV39);
    guest.memory.map(guest.satp, HIGH, 0, GPA, RX | Pte::G | AD);
    guest.install(HIGH, from_vs(Kind::Fetch));
    guest.memory.map(guest.satp, HIGH + 0x1000, 0, GPA, RW | AD);
    let load = from_vs(Kind::Load);
    assert!(!guest.shadow.context(1).private_upper);
    cleared(&mut guest, HIGH + 0x1000, load);
    assert!(guest.shadow.context(1).private_upper);
    assert_eq!(guest.rights(View::Vs, HIGH), RX);
    assert!(cleared(&mut guest, HIGH + 0x1000, load).vs_executable);
    assert_eq!(guest.rights(View::Vs, HIGH), 0);
    assert!(!guest.install(HIGH + 0x1000, load).all_harts);
}

#[test]
fn what_is_shared_comes_back_after_all_harts_have_forgotten_what_hid_it() {
    let mut guest = two_harts(SV39);
    guest.memory.map(guest.satp, HIGH, 0, GPA, RX | Pte::G | AD);
    guest.memory.map(guest.satp, HIGH + 0x1000, 0, GPA, RX | AD);
    for va in [HIGH, HIGH + 0x1000, HIGH] {
        guest.install(va, from_vs(Kind::Fetch));
    }
    assert!(guest.shadow.fence(None, Some(1)).all_harts);
    assert_eq!(guest.rights(View::Vs, HIGH), 0);
    guest.fault(HIGH, from_vs(Kind::Fetch));
    assert_eq!(guest.rights(View::Vs, HIGH), RX);
}

/// A leaf of 2 MiB in VU, of which one page is shadowed.
fn pieces() -> Guest {
    let mut guest = two_harts(SV39);
    guest
        .memory
        .map(guest.satp, VA, 1, CROOKED, RW | Pte::U | AD);
    guest.install(VA + 0x1000, from_vu(Kind::Load));
    guest
}

#[test]
fn all_harts_forget_the_pieces_of_a_leaf() {
    for (address, asid) in [
        (Some(GuestVirt(VA)), None),
        (Some(GuestVirt(VA)), Some(1)),
        (None, Some(1)),
    ] {
        assert!(pieces().shadow.fence(address, asid).all_harts);
    }
    let mut guest = pieces();
    assert!(guest.shadow.fence_current(0, GuestVirt(VA)).all_harts);
    // The leaf becomes a whole one, and the place of a table that has one in pieces is taken.
    for level in [1, 2] {
        let mut guest = pieces();
        let gpa = 0xc000_0000;
        guest
            .memory
            .map(guest.satp, VA, level, gpa, RW | Pte::U | AD);
        cleared(&mut guest, VA, from_vu(Kind::Load));
        assert!(!guest.install(VA, from_vu(Kind::Load)).all_harts);
        assert_eq!(guest.leaf(View::Vu, VA).unwrap().2, level);
    }
}

#[test]
fn a_fence_is_carried_out_by_its_hart_whatever_another_has_dropped() {
    let mut guest = two_harts(SV39);
    let va = GuestVirt(VA);
    for _ in 0..2 {
        let local = Dropped::local(Flush::Address(va));
        assert_eq!(guest.shadow.fence(Some(va), None), local);
        assert_eq!(guest.shadow.fence(Some(va), Some(1)), local);
        assert_eq!(guest.shadow.fence_current(1, va), local);
        let local = Dropped::local(Flush::Asid { first: 3 });
        assert_eq!(guest.shadow.fence(None, Some(1)), local);
        guest.memory.map(guest.satp, VA, 0, GPA, RW | AD);
        guest.install(VA, from_vs(Kind::Load));
    }
}

#[test]
fn a_context_sees_the_fences_of_each_hart_when_that_hart_comes() {
    let mut guest = two_harts(SV39);
    let first = guest.satp;
    let second = guest.memory.space(SV39, 2);
    guest.memory.map(first, VA, 0, GPA, RW | AD);
    let addresses = &[VA; 2];
    let go = |guest: &mut Guest, hart, satp, count| {
        let log = FenceLog { count, addresses };
        guest.shadow.switch_logged(hart, satp, log).expect("room")
    };
    go(&mut guest, 1, second, 0);
    // The first hart has seen what it logged there, which is nothing to the second.
    go(&mut guest, 0, second, 1);
    go(&mut guest, 0, first, 1);
    guest.install(VA, from_vs(Kind::Load));
    let dropped = go(&mut guest, 1, first, 1).dropped;
    assert_eq!(dropped.flush, Flush::Address(GuestVirt(VA)));
    assert_eq!(guest.rights(View::Vs, VA), 0);
    guest.install(VA, from_vs(Kind::Load));
    go(&mut guest, 1, second, 1);
    assert_eq!(go(&mut guest, 1, first, 1).dropped, Dropped::NONE);
    assert_eq!(guest.rights(View::Vs, VA), RW);
}

#[test]
fn a_full_pool_is_said_and_room_is_made_for_one_operation_at_least() {
    let mut guest = two_harts(SV57);
    guest.shadow = Shadow::new(pool(35), &config(2, 8)).expect("a shadow");
    let space = |guest: &Guest, asid| guest.memory.space(SV57, asid);
    let spaces = [space(&guest, 1), space(&guest, 2)];
    for hart in [0, 1] {
        let _ = guest.shadow.switch(hart, spaces[hart]);
    }
    guest.satp = spaces[0];
    let mut full = 0;
    for number in 0..60_u64 {
        let va = number << 48;
        guest.memory.map(guest.satp, va, 0, GPA, RW | Pte::U | AD);
        let mut filled = guest.fill(GuestVirt(va), from_vu(Kind::Load));
        if filled == Err(FillError::Full) {
            full += 1;
            assert_eq!(guest.shadow.make_room(), Dropped::ALL);
            // What rests is not there yet.
            filled = guest.fill(GuestVirt(va), from_vu(Kind::Load));
            assert_eq!(filled, Err(FillError::Full));
            guest.shadow.settle();
            filled = guest.fill(GuestVirt(va), from_vu(Kind::Load));
        }
        assert!(matches!(filled, Ok(Filled::Installed(_))), "{filled:?}");
        super::invariants::check(&guest.shadow);
    }
    assert!((6..=12).contains(&full), "{full}");
}

#[test]
fn no_context_that_a_hart_is_in_makes_room() {
    let mut guest = two_harts(SV39);
    guest.shadow = Shadow::new(pool(100), &config(2, 3)).expect("a shadow");
    let spaces = [1, 2, 3, 4].map(|asid| guest.memory.space(SV39, asid));
    // The second hart stays in what was used first.
    let _ = guest.shadow.switch(1, spaces[0]);
    let there = guest.shadow.context(1);
    for satp in &spaces[1..] {
        if guest.shadow.switch(0, *satp) == Err(SwitchError::Full) {
            let _ = guest.shadow.make_room();
            guest.shadow.settle();
            assert!(guest.shadow.switch(0, *satp).is_ok());
        }
        assert_eq!(guest.shadow.context(1), there);
    }
    assert_eq!(guest.shadow.follow(1, spaces[0]), Some(()));
    assert_eq!(guest.shadow.follow(1, Satp(0)), None);
}
