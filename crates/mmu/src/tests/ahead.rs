//! Statements about what is done late, and what early: logged fences and neighbours.

use super::from_vs;
use super::guest::Guest;
use crate::flush::Flush;
use crate::log::FenceLog;
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

/// Switches with a log that has `count` fences of `va`, of which it holds two.
fn switch(guest: &mut Guest, satp: Satp, count: u64, va: u64) -> Flush {
    guest.satp = satp;
    let log = FenceLog {
        count,
        addresses: &[va; 2],
    };
    guest
        .shadow
        .switch_logged(0, satp, log)
        .expect("a mode")
        .dropped
        .flush
}

/// A fault and its neighbours.
fn fill_around(guest: &mut Guest, va: u64, kind: Kind) {
    guest.install(va, from_vs(kind));
    let translation = guest.translate(va, from_vs(kind)).unwrap();
    let (memory, frames) = (&guest.memory, &guest.frames);
    guest.shadow.fill_around(
        memory,
        frames,
        0,
        GuestVirt(va),
        &translation,
        from_vs(kind),
    );
    super::invariants::check(&guest.shadow);
}

#[test]
fn a_logged_fence_reaches_a_context_when_it_is_used_again() {
    for count in [1, 2, 3] {
        let mut guest = Guest::paged(SV39);
        let first = guest.satp;
        for va in [VA, VA + 0x1000] {
            guest.memory.map(first, va, 0, GPA, RW | AD);
            guest.install(va, from_vs(Kind::Load));
        }
        let second = guest.memory.space(SV39, 2);
        switch(&mut guest, second, 0, 0);
        assert_eq!(
            guest.shadow.fence_current(0, GuestVirt(VA)).flush,
            Flush::None
        );
        assert_ne!(switch(&mut guest, first, count, VA), Flush::None);
        assert_eq!(guest.rights(View::Vs, VA), 0);
        // A log that does not go back far enough stands for a fence of everything.
        assert_eq!(
            guest.rights(View::Vs, VA + 0x1000),
            if count == 3 { 0 } else { RW }
        );
    }
}

#[test]
fn a_logged_fence_reaches_what_another_mode_shares() {
    for count in [1, 3] {
        let mut guest = Guest::paged(SV39);
        let first = guest.satp;
        guest.memory.map(first, HIGH, 0, GPA, RX | Pte::G | AD);
        guest.install(HIGH, from_vs(Kind::Fetch));
        let other = guest.memory.space(SV48, 2);
        switch(&mut guest, other, 0, 0);
        let _ = guest.shadow.fence_current(0, GuestVirt(HIGH));
        // Neither the context that filled it nor a new one may have it.
        let new = guest.memory.space(SV39, 3);
        assert_ne!(switch(&mut guest, new, count, HIGH), Flush::None);
        assert_eq!(guest.rights(View::Vs, HIGH), 0);
        switch(&mut guest, first, count, HIGH);
        assert_eq!(guest.rights(View::Vs, HIGH), 0);
    }
}

#[test]
fn the_neighbours_of_a_page_are_filled_as_far_as_they_are_accessed() {
    let mut guest = Guest::paged(SV39);
    for (page, flags) in [
        (0, RW | AD),
        (1, RW | AD),
        (2, RW | Pte::A),
        (3, RW),
        (4, 0),
        (5, RW | AD | Pte::U),
        (8, RW | AD),
    ] {
        guest.memory.map(
            guest.satp,
            VA + page * 0x1000,
            0,
            GPA + page * 0x1000,
            flags,
        );
    }
    fill_around(&mut guest, VA + 0x1000, Kind::Load);
    let rights = [0, 1, 2, 3, 4, 5].map(|page| guest.rights(View::Vs, VA + page * 0x1000));
    assert_eq!(rights, [RW, RW, Pte::R, 0, 0, 0]);
    assert_eq!(guest.leaf(View::Vs, VA).unwrap().0, 0x4_a000_0000);
    assert!(guest.frames.was_writable(GPA) && !guest.frames.was_writable(GPA + 0x2000));
}

#[test]
fn a_neighbour_that_the_view_may_not_use_is_not_filled() {
    let mut guest = Guest::paged(SV39);
    for (page, flags) in [(0, RW | AD), (1, Pte::X | Pte::A)] {
        let va = VA + page * 0x1000;
        guest.memory.map(guest.satp, va, 0, GPA, flags | Pte::U);
    }
    let access = Access {
        sum: true,
        ..from_vs(Kind::Load)
    };
    guest.install(VA, access);
    let translation = guest.translate(VA, access).unwrap();
    let (memory, frames) = (&guest.memory, &guest.frames);
    guest
        .shadow
        .fill_around(memory, frames, 0, GuestVirt(VA), &translation, access);
    assert_eq!(guest.leaf(View::Vs, VA + 0x1000), None);
    super::invariants::check(&guest.shadow);
}

#[test]
fn a_neighbour_that_is_not_global_stays_out_of_what_is_shared() {
    for pointer in [0, Pte::G] {
        let mut guest = Guest::paged(SV39);
        let first = guest.satp;
        guest
            .memory
            .map(first, HIGH, 0, GPA, RX | (Pte::G ^ pointer) | AD);
        guest.memory.map(first, HIGH + 0x1000, 0, GPA, RX | AD);
        guest
            .memory
            .map(first, HIGH + 0x2000, 0, GPA, RX | Pte::G | AD);
        let top = first.root().add((HIGH >> 30 & 511) * 8);
        let entry = crate::walk::GuestMemory::read_pte(&guest.memory, top).unwrap();
        guest.memory.write(top.0, entry | pointer);
        fill_around(&mut guest, HIGH, Kind::Fetch);
        let rights = [0, 1, 2].map(|page| guest.rights(View::Vs, HIGH + page * 0x1000));
        assert_eq!(rights, [RX, if pointer == 0 { 0 } else { RX }, RX]);
    }
}

#[test]
fn a_patched_neighbour_is_filled_as_its_copy() {
    let mut guest = Guest::paged(SV39);
    for page in [0, 1] {
        guest.memory.map(
            guest.satp,
            HIGH + page * 0x1000,
            0,
            GPA + page * 0x1000,
            RX | Pte::G | AD,
        );
    }
    let copy = guest.frames.patch(GPA + 0x1000);
    fill_around(&mut guest, HIGH, Kind::Fetch);
    let (page, flags, _) = guest.leaf(View::Vs, HIGH + 0x1000).unwrap();
    assert_eq!((page, flags & Pte::RWX), (copy.0, Pte::X));
    assert!(
        guest
            .frames
            .copies_at
            .borrow()
            .contains(&(GPA + 0x1000, HIGH + 0x1000))
    );
}
