//! Statements about what a fill maps.

use super::guest::Guest;
use super::memory::{CROOKED, DEVICE, HUGE};
use super::{from_vs, from_vu, window};
use crate::fill::{FillError, Filled, Frame};
use crate::flush::Flush;
use crate::paging::Paging;
use crate::shadow::{SwitchError, View};
use crate::walk::{Access, Kind};
use isa::address::{GuestPhys, GuestVirt};
use isa::pte::Pte;
use isa::satp::{SV39, SV48, SV57, levels};
use std::vec;

const AD: u64 = Pte::A | Pte::D;
const RW: u64 = Pte::R | Pte::W;
const RX: u64 = Pte::R | Pte::X;
/// 512 MiB into RAM, aligned to 2 MiB in the guest and in the host.
const GPA: u64 = 0xa000_0000;
const HOST: u64 = 0x4_a000_0000;
const VA: u64 = 0x20_0000;
/// In the half that the guest's kernel has.
const HIGH: u64 = 0xffff_ffe0_0000_0000;

#[test]
fn a_leaf_is_for_u_mode_used_and_never_global() {
    let mut guest = Guest::paged(SV39);
    guest
        .memory
        .map(guest.satp, HIGH, 0, GPA, Pte::RWX | Pte::G | AD);
    guest.install(HIGH, from_vs(Kind::Load));
    let flags = Pte::V | Pte::U | Pte::RWX | AD;
    assert_eq!(guest.leaf(View::Vs, HIGH), Some((HOST, flags, 0)));
}

#[test]
fn the_memory_type_of_the_processor_is_in_each_leaf_and_no_pointer() {
    let mut guest = Guest::paged(SV39);
    guest.shadow.leaf_bits = 0x7 << 60;
    guest.memory.map(guest.satp, VA, 0, GPA, RW | AD);
    guest.install(VA, from_vs(Kind::Load));
    let (_, flags, _) = guest.leaf(View::Vs, VA).unwrap();
    assert_eq!(flags >> 54, 0x7 << 6);
    super::invariants::check(&guest.shadow);
}

#[test]
fn a_page_is_not_writable_before_the_guest_has_set_d() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, VA, 0, GPA, RW);
    guest.install(VA, from_vs(Kind::Load));
    assert_eq!(guest.rights(View::Vs, VA), Pte::R);
    assert!(!guest.frames.was_writable(GPA));
    let dropped = guest.install(VA, from_vs(Kind::Store));
    assert_eq!(guest.rights(View::Vs, VA), RW);
    assert_eq!(dropped.flush, Flush::Address(GuestVirt(VA)));
    assert!(guest.frames.was_writable(GPA));
}

#[test]
fn a_dirty_page_is_writable_at_once() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, VA, 0, GPA, RW | AD);
    guest.install(VA, from_vs(Kind::Load));
    assert_eq!(guest.rights(View::Vs, VA), RW);
}

#[test]
fn a_user_page_is_executable_in_vu_and_never_in_vs() {
    let mut guest = Guest::paged(SV39);
    guest
        .memory
        .map(guest.satp, VA, 0, GPA, Pte::RWX | Pte::U | AD);
    guest.install(VA, from_vu(Kind::Fetch));
    guest.install(
        VA,
        Access {
            sum: true,
            ..from_vs(Kind::Load)
        },
    );
    assert_eq!(guest.rights(View::Vu, VA), Pte::RWX);
    assert_eq!(guest.rights(View::Vs, VA), RW);
}

#[test]
fn a_supervisor_page_is_not_in_vu() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, VA, 0, GPA, RW | AD);
    guest.install(VA, from_vs(Kind::Load));
    assert_eq!(guest.leaf(View::Vu, VA), None);
    let access = from_vs(Kind::Load);
    let translation = guest.translate(VA, access).unwrap();
    let (memory, frames) = (&guest.memory, &guest.frames);
    let forged = from_vu(Kind::Load);
    let filled = guest
        .shadow
        .fill(memory, frames, 0, GuestVirt(VA), &translation, forged);
    assert_eq!(filled, Err(FillError::Rights));
}

#[test]
fn a_load_that_mxr_allows_is_left_to_the_monitor() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, VA, 0, GPA, Pte::X | Pte::A);
    let mxr = Access {
        mxr: true,
        ..from_vs(Kind::Load)
    };
    assert_eq!(guest.fault(VA, mxr), Ok(Filled::ExecuteOnly));
    guest.install(VA, from_vs(Kind::Fetch));
    assert_eq!(guest.rights(View::Vs, VA), Pte::X);
    assert_eq!(guest.fault(VA, mxr), Ok(Filled::ExecuteOnly));
    assert_eq!(guest.rights(View::Vs, VA), Pte::X);
}

#[test]
fn a_second_fill_of_the_same_leaf_is_spurious() {
    let mut guest = Guest::paged(SV48);
    guest.memory.map(guest.satp, VA, 0, GPA, RW | AD);
    guest.install(VA, from_vs(Kind::Store));
    assert_eq!(
        guest.fault(VA, from_vs(Kind::Store)),
        Ok(Filled::Spurious(Flush::Address(GuestVirt(VA))))
    );
    assert_eq!(guest.shadow.statistics().spurious, 1);
}

#[test]
fn a_superpage_stays_one() {
    for mode in [SV39, SV48, SV57] {
        let mut guest = Guest::paged(mode);
        guest.memory.map(guest.satp, VA, 1, GPA, RX | AD);
        guest.memory.map(guest.satp, HIGH, 2, 0xc000_0000, RW | AD);
        guest.install(VA + 0x12345, from_vs(Kind::Load));
        guest.install(HIGH + 0x1234_5678, from_vs(Kind::Store));
        let (page, _, level) = guest.leaf(View::Vs, VA).unwrap();
        assert_eq!((page, level), (HOST, 1));
        let (page, _, level) = guest.leaf(View::Vs, HIGH).unwrap();
        assert_eq!((page, level), (0x4_c000_0000, 2));
        assert_eq!(
            *guest.frames.writable.borrow(),
            vec![(0xc000_0000, 1 << 30)]
        );
    }
}

#[test]
fn a_superpage_over_crooked_memory_is_mapped_in_pages() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, VA, 1, CROOKED, RW | AD);
    guest.install(VA + 0x3000, from_vs(Kind::Load));
    let (page, _, level) = guest.leaf(View::Vs, VA + 0x3000).unwrap();
    assert_eq!((page, level), (0x6_0000_4000, 0));
    assert_eq!(guest.leaf(View::Vs, VA), None);
}

#[test]
fn a_gigapage_with_a_patched_frame_is_mapped_in_the_largest_pages_without_it() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, 0, 2, 0xc000_0000, RX | AD);
    let copy = guest.frames.patch(0xc000_5000);
    guest.install(0x5000, from_vs(Kind::Fetch));
    guest.install(0x6000, from_vs(Kind::Fetch));
    guest.install(0x20_0000, from_vs(Kind::Fetch));
    let leaf = |va| {
        guest
            .leaf(View::Vs, va)
            .map(|(page, flags, level)| (page, flags & Pte::RWX, level))
    };
    assert_eq!(leaf(0x5000), Some((copy.0, Pte::X, 0)));
    assert_eq!(leaf(0x6000), Some((0x4_c000_6000, RX, 0)));
    assert_eq!(leaf(0x20_0000), Some((0x4_c020_0000, RX, 1)));
    assert_eq!(
        *guest.frames.copies_at.borrow(),
        vec![(0xc000_5000, 0x5000)]
    );
}

#[test]
fn a_patched_frame_is_executed_as_its_copy_and_read_as_itself() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, HIGH, 0, GPA, Pte::RWX | AD);
    guest.memory.map(guest.satp, HIGH + 0x1000, 0, GPA, RW | AD);
    guest
        .memory
        .map(guest.satp, VA, 0, GPA, Pte::RWX | Pte::U | AD);
    let copy = guest.frames.patch(GPA);
    guest.install(HIGH, from_vs(Kind::Fetch));
    assert_eq!(guest.leaf(View::Vs, HIGH).unwrap().0, copy.0);
    assert_eq!(guest.rights(View::Vs, HIGH), Pte::X);
    assert_eq!(
        guest.fault(HIGH, from_vs(Kind::Load)),
        Ok(Filled::ExecuteOnly)
    );
    assert_eq!(
        guest.fault(HIGH, from_vs(Kind::Store)),
        Ok(Filled::WriteProtected)
    );
    guest.install(HIGH + 0x1000, from_vs(Kind::Load));
    assert_eq!(guest.leaf(View::Vs, HIGH + 0x1000).unwrap().0, HOST);
    assert_eq!(guest.rights(View::Vs, HIGH + 0x1000), Pte::R);
    assert_eq!(
        guest.fault(HIGH + 0x1000, from_vs(Kind::Store)),
        Ok(Filled::WriteProtected)
    );
    guest.install(VA, from_vu(Kind::Fetch));
    assert_eq!(guest.leaf(View::Vu, VA).unwrap().0, HOST);
    assert_eq!(guest.rights(View::Vu, VA), RX);
    assert_eq!(
        guest.fault(VA, from_vu(Kind::Store)),
        Ok(Filled::WriteProtected)
    );
    assert!(!guest.frames.was_writable(GPA));
}

#[test]
fn a_protected_frame_is_executed_itself_and_not_written() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, VA, 0, GPA, Pte::RWX | AD);
    guest.frames.frames.insert(GPA, Frame::Protected);
    guest.install(VA, from_vs(Kind::Fetch));
    assert_eq!(guest.leaf(View::Vs, VA).unwrap().0, HOST);
    assert_eq!(guest.rights(View::Vs, VA), RX);
    assert_eq!(
        guest.fault(VA, from_vs(Kind::Store)),
        Ok(Filled::WriteProtected)
    );
}

#[test]
fn a_frame_that_gets_patched_takes_its_superpage_apart() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, HIGH, 1, GPA, RX | AD);
    guest.install(HIGH, from_vs(Kind::Fetch));
    let copy = guest.frames.patch(GPA + 0x7000);
    let dropped = guest.install(HIGH + 0x7000, from_vs(Kind::Fetch));
    assert!(dropped.vs_executable);
    assert!(matches!(dropped.flush, Flush::Asid { .. } | Flush::All));
    assert_eq!(guest.leaf(View::Vs, HIGH + 0x7000).unwrap().0, copy.0);
    assert_eq!(guest.leaf(View::Vs, HIGH), None);
    super::invariants::check(&guest.shadow);
}

#[test]
fn pages_give_way_to_a_superpage_and_their_table_is_freed() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, VA, 0, GPA, RX | AD);
    guest.install(VA, from_vs(Kind::Fetch));
    let before = guest.shadow.statistics().live_tables;
    guest.memory.map(guest.satp, VA, 1, GPA, RX | AD);
    let dropped = guest.install(VA + 0x1000, from_vs(Kind::Fetch));
    assert!(matches!(dropped.flush, Flush::Asid { .. }));
    assert_eq!(guest.leaf(View::Vs, VA).unwrap().2, 1);
    assert_eq!(guest.shadow.statistics().live_tables, before - 1);
    super::invariants::check(&guest.shadow);
}

#[test]
fn bare_maps_all_ram_for_both_views_in_superpages() {
    let mut guest = Guest::new(17);
    for (view, access) in [
        (View::Vs, from_vs(Kind::Fetch)),
        (View::Vu, from_vu(Kind::Store)),
    ] {
        guest.install(0x8000_1234, access);
        let (page, flags, level) = guest.leaf(view, 0x8000_1234).unwrap();
        assert_eq!(
            (page, flags & Pte::RWX, level),
            (0x4_8000_0000, Pte::RWX, 2)
        );
    }
    let beyond = guest.fault(1 << 60, from_vs(Kind::Load));
    assert_eq!(beyond, Err(FillError::Beyond(GuestVirt(1 << 60))));
    super::invariants::check(&guest.shadow);
}

#[test]
fn what_is_not_ram_is_named() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, VA, 1, DEVICE, RW | AD);
    let filled = guest.fault(VA + 0x1004, from_vs(Kind::Load));
    assert_eq!(filled, Err(FillError::NotRam(GuestPhys(DEVICE + 0x1004))));
    assert_eq!(guest.leaf(View::Vs, VA), None);
}

#[test]
fn a_guest_in_the_mode_of_the_shadow_cannot_have_the_window() {
    for (paging, mode) in [
        (Paging::Sv39, SV39),
        (Paging::Sv48, SV48),
        (Paging::Sv57, SV57),
    ] {
        let mut guest = Guest::paged_in(paging, mode);
        for va in [window(paging, 0).0, window(paging, 2).0 - 1] {
            guest.memory.map(guest.satp, va, 0, GPA, RW | AD);
            let filled = guest.fault(va, from_vs(Kind::Load));
            assert_eq!(filled, Err(FillError::Window(GuestVirt(va))));
        }
        for va in [window(paging, 0).0 - 0x1000, window(paging, 2).0] {
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
        super::invariants::check(&guest.shadow);
    }
}

#[test]
fn a_guest_in_a_narrower_mode_has_all_of_its_addresses() {
    for (paging, mode) in [
        (Paging::Sv57, SV39),
        (Paging::Sv57, SV48),
        (Paging::Sv48, SV39),
    ] {
        let mut guest = Guest::paged_in(paging, mode);
        let bits = 12 + 9 * levels(mode).unwrap();
        for slot in 0..512_u64 {
            let va = ((slot << (bits - 9) << (64 - bits)) as i64 >> (64 - bits)) as u64;
            guest.memory.map(guest.satp, va, 0, GPA, RW | AD);
            guest.install(va, from_vs(Kind::Load));
            assert_eq!(guest.rights(View::Vs, va), RW, "{va:#x}");
        }
        super::invariants::check(&guest.shadow);
    }
}

#[test]
fn a_mode_wider_than_the_shadow_is_not_there() {
    let mut guest = Guest::paged_in(Paging::Sv39, SV39);
    let wider = guest.memory.space(SV48, 1);
    let switched = guest.shadow.switch(0, wider);
    assert_eq!(switched, Err(SwitchError::Reserved));
}

#[test]
fn a_leaf_of_512_gib_stays_one() {
    for paging in [Paging::Sv48, Paging::Sv57] {
        let mut guest = Guest::paged_in(paging, SV48);
        for va in [0x1234, u64::MAX - 7] {
            guest.memory.map(guest.satp, va, 3, HUGE, RW | AD);
            guest.install(va, from_vs(Kind::Load));
            let leaf = guest.leaf(View::Vs, va);
            let leaf = leaf.map(|(page, _, level)| (page, level));
            assert_eq!(leaf, Some((2 * HUGE, 3)));
        }
        super::invariants::check(&guest.shadow);
    }
}
