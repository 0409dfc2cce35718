//! Statements about contexts, what they share and how room is made.

use super::guest::Guest;
use super::{POOL_PHYSICAL, config, from_vs, from_vu, pool};
use crate::flush::{Dropped, Flush};
use crate::paging::Paging;
use crate::pool::Pool;
use crate::shadow::{Config, NewError, Shadow, SwitchError, View};
use crate::walk::Kind;
use crate::window::Window;
use isa::address::{GuestVirt, HostPhys};
use isa::pte::Pte;
use isa::satp::{SV39, SV48, SV57, Satp};

const AD: u64 = Pte::A | Pte::D;
const RW: u64 = Pte::R | Pte::W;
const RX: u64 = Pte::R | Pte::X;
const GPA: u64 = 0xa000_0000;
const VA: u64 = 0x20_0000;
const HIGH: u64 = 0xffff_ffe0_0000_0000;

#[test]
fn a_pool_that_could_run_out_is_refused() {
    let found = Shadow::new(pool(16), &config(1, 8)).err();
    assert_eq!(
        found,
        Some(NewError::PoolTooSmall {
            pages: 16,
            minimum: 17
        })
    );
    assert!(std::format!("{}", found.unwrap()).contains("at least 17"));
    let crooked = Pool {
        physical: POOL_PHYSICAL.add(8),
        ..pool(17)
    };
    let found = Shadow::new(crooked, &config(1, 8)).err();
    assert_eq!(
        found,
        Some(NewError::PoolUnaligned(HostPhys(POOL_PHYSICAL.0 + 8)))
    );
}

#[test]
fn a_window_out_of_place_is_refused() {
    for paging in [Paging::Sv39, Paging::Sv48, Paging::Sv57] {
        let (first, slot) = (paging.upper_half(), paging.slot());
        let refused = |va: u64, entries: usize| {
            let window = Window {
                paging,
                first_slot: GuestVirt(va),
                entries: &[0xef; 2][..entries],
            };
            let config = Config {
                window,
                ..config(1, 8)
            };
            Shadow::new(pool(17), &config).err() == Some(NewError::Window(GuestVirt(va)))
        };
        assert!(refused(first + 0x1000, 1));
        assert!(refused(first - slot, 1));
        assert!(refused(0, 1));
        assert!(refused(0_u64.wrapping_sub(slot), 2));
        assert!(!refused(0_u64.wrapping_sub(slot), 1));
        assert!(!refused(first, 2));
    }
}

#[test]
fn the_satp_of_a_context_has_the_mode_of_the_shadow() {
    let mut guest = Guest::new(64);
    let bare = guest.shadow.context(0);
    assert_eq!(Satp(bare.satp_vs).mode(), SV57);
    for (number, mode) in [SV39, SV48, SV57].into_iter().enumerate() {
        let satp = guest.memory.space(mode, 3);
        let context = guest.switch(satp).context;
        let asid = 2 * (number as u16 + 1) + 1;
        for (satp, asid) in [(context.satp_vs, asid), (context.satp_vu, asid + 1)] {
            assert_eq!((Satp(satp).mode(), Satp(satp).asid()), (SV57, asid));
        }
        assert_ne!(context.satp_vs << 20, context.satp_vu << 20);
    }
    assert!(
        guest
            .shadow
            .switch(0, Satp::new(5, 0, isa::address::GuestPhys(0)))
            == Err(SwitchError::Reserved)
    );
}

#[test]
fn a_guest_finds_its_shadow_again_after_a_switch() {
    let mut guest = Guest::paged(SV39);
    let (first, context) = (guest.satp, guest.shadow.context(0));
    guest.memory.map(first, VA, 0, GPA, RW | AD);
    guest.install(VA, from_vs(Kind::Load));
    let second = guest.memory.space(SV39, 2);
    guest.switch(second);
    assert_eq!(guest.leaf(View::Vs, VA), None);
    let switched = guest.switch(first);
    assert_eq!(switched.context, context);
    assert_eq!(switched.dropped.flush, Flush::None);
    assert_eq!(guest.rights(View::Vs, VA), RW);
}

#[test]
fn asid_and_root_each_make_a_context_of_their_own() {
    let mut guest = Guest::paged(SV39);
    let satp = guest.satp;
    let context = guest.shadow.context(0);
    for other in [
        Satp::new(SV39, 2, satp.root()),
        Satp::new(SV39, 1, satp.root().add(4096)),
        Satp::new(SV48, 1, satp.root()),
    ] {
        assert_ne!(guest.switch(other).context.satp_vs, context.satp_vs);
    }
    assert_eq!(guest.shadow.statistics().created, 5);
}

#[test]
fn a_global_page_is_shared_with_contexts_old_and_new() {
    for mode in [SV39, SV48, SV57] {
        let mut guest = Guest::paged(mode);
        let first = guest.satp;
        let second = guest.memory.space(mode, 2);
        guest.switch(second);
        guest.switch(first);
        guest.memory.map(first, HIGH, 0, GPA, RX | Pte::G | AD);
        guest.install(HIGH, from_vs(Kind::Fetch));
        assert!(!guest.shadow.context(0).private_execute);
        for satp in [second, guest.memory.space(mode, 3)] {
            assert!(!guest.switch(satp).dropped.vs_executable);
            assert_eq!(guest.rights(View::Vs, HIGH), RX);
            assert_eq!(guest.rights(View::Vu, HIGH), 0);
        }
        super::invariants::check(&guest.shadow);
    }
}

#[test]
fn a_global_page_is_not_shared_with_another_mode() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, HIGH, 0, GPA, RX | Pte::G | AD);
    guest.install(HIGH, from_vs(Kind::Fetch));
    let other = guest.memory.space(SV48, 1);
    assert!(guest.switch(other).dropped.vs_executable);
    assert_eq!(guest.leaf(View::Vs, HIGH), None);
    guest.switch(Satp(0));
    assert_eq!(guest.leaf(View::Vs, HIGH), None);
}

#[test]
fn a_global_page_of_the_lower_half_is_private() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, VA, 0, GPA, RX | Pte::G | AD);
    guest.install(VA, from_vs(Kind::Fetch));
    assert!(guest.shadow.context(0).private_execute);
    let other = guest.memory.space(SV39, 2);
    assert!(guest.switch(other).dropped.vs_executable);
    assert_eq!(guest.leaf(View::Vs, VA), None);
}

#[test]
fn a_page_that_is_not_global_takes_its_root_slot_out_of_the_shared_ones() {
    for mode in [SV39, SV48, SV57] {
        let mut guest = Guest::paged(mode);
        guest.memory.map(guest.satp, HIGH, 0, GPA, RX | Pte::G | AD);
        guest.memory.map(guest.satp, HIGH + 0x1000, 0, GPA, RW | AD);
        guest.install(HIGH, from_vs(Kind::Fetch));
        let dropped = guest.install(HIGH + 0x1000, from_vs(Kind::Load));
        assert!(matches!(dropped.flush, Flush::Asid { .. } | Flush::All));
        assert!(dropped.vs_executable);
        assert_eq!(guest.rights(View::Vs, HIGH), 0);
        assert_eq!(guest.rights(View::Vs, HIGH + 0x1000), RW);
        guest.install(HIGH, from_vs(Kind::Fetch));
        assert!(guest.shadow.context(0).private_execute);
        let other = guest.memory.space(mode, 2);
        guest.switch(other);
        assert_eq!(guest.rights(View::Vs, HIGH), RX);
        assert_eq!(guest.rights(View::Vs, HIGH + 0x1000), 0);
        super::invariants::check(&guest.shadow);
    }
}

#[test]
fn a_fence_of_its_asid_gives_a_context_back_what_is_shared() {
    let mut guest = Guest::paged(SV39);
    guest.memory.map(guest.satp, HIGH, 0, GPA, RX | Pte::G | AD);
    guest.memory.map(guest.satp, HIGH + 0x1000, 0, GPA, RX | AD);
    guest.install(HIGH, from_vs(Kind::Fetch));
    guest.install(HIGH + 0x1000, from_vs(Kind::Fetch));
    guest.fence(None, Some(1));
    assert!(!guest.shadow.context(0).private_execute);
    // Not before every hart has forgotten the instructions that were there instead.
    assert_eq!(guest.rights(View::Vs, HIGH), 0);
    guest.fault(HIGH, from_vs(Kind::Fetch));
    assert_eq!(guest.rights(View::Vs, HIGH), RX);
    assert_eq!(guest.rights(View::Vs, HIGH + 0x1000), 0);
    super::invariants::check(&guest.shadow);
}

#[test]
fn the_context_unused_for_longest_gives_up_its_slot() {
    let mut guest = Guest::new(64);
    let spaces: std::vec::Vec<Satp> = (0..8).map(|asid| guest.memory.space(SV39, asid)).collect();
    for satp in &spaces[..7] {
        assert_eq!(guest.switch(*satp).dropped.flush, Flush::None);
    }
    guest.shadow.switch(0, spaces[0]);
    // The hart goes back to the first by itself and then to another.
    guest.shadow.follow(0, spaces[1]);
    guest.shadow.follow(0, spaces[2]);
    let full = guest.shadow.switch(0, spaces[7]);
    assert_eq!(full, Err(SwitchError::Full));
    assert_eq!(guest.switch(spaces[7]).dropped, Dropped::ALL);
    // A quarter of the slots: those of the Bare context and spaces[3].
    assert_eq!(guest.shadow.statistics().evicted, 2);
    let created = guest.shadow.statistics().created;
    for satp in [0, 1, 2, 4, 5, 6].map(|number| spaces[number]) {
        guest.switch(satp);
    }
    assert_eq!(guest.shadow.statistics().created, created);
    super::invariants::check(&guest.shadow);
}

#[test]
fn a_full_pool_evicts_other_contexts_first_and_then_drops_all() {
    let mut guest = Guest::new(24);
    let first = guest.memory.space(SV57, 1);
    let second = guest.memory.space(SV57, 2);
    for satp in [first, second] {
        guest.switch(satp);
        guest.memory.map(satp, VA, 0, GPA, RW | Pte::U | AD);
        guest.install(VA, from_vu(Kind::Load));
    }
    for number in 0..40_u64 {
        let va = number << 48;
        guest.memory.map(second, va, 0, GPA, RW | Pte::U | AD);
        guest.install(va, from_vu(Kind::Load));
        assert_eq!(guest.rights(View::Vu, va), RW);
        super::invariants::check(&guest.shadow);
    }
    let statistics = guest.shadow.statistics();
    assert!(
        statistics.evicted >= 1 && statistics.exhausted >= 1,
        "{statistics:?}"
    );
    assert_eq!(guest.rights(View::Vu, VA), 0);
}

#[test]
fn the_smallest_pool_serves_the_deepest_tables_in_every_view() {
    let mut guest = Guest::new(17);
    let top = 0xffff_ffff_c000_0000;
    for round in 0..50_u64 {
        for mode in [SV57, SV39, SV48] {
            let satp = guest.memory.space(mode, round as u16);
            guest.switch(satp);
            for (number, flags) in [Pte::U, 0, Pte::G].into_iter().enumerate() {
                let va = top + number as u64 * 0x20_0000;
                guest.memory.map(satp, va, 0, GPA, RX | flags | AD);
                let access = if flags == Pte::U {
                    from_vu(Kind::Load)
                } else {
                    from_vs(Kind::Load)
                };
                guest.install(va, access);
                super::invariants::check(&guest.shadow);
            }
        }
    }
}

#[test]
fn a_processor_with_few_asids_goes_without() {
    for (bits, without) in [(0, true), (1, true), (2, true), (3, false)] {
        let config = Config {
            asid_bits: bits,
            ..config(1, 8)
        };
        let shadow = Shadow::new(pool(64), &config).unwrap();
        assert_eq!(shadow.needs_fence_on_switch(), without, "{bits} bits");
        let asids = [shadow.context(0).satp_vs, shadow.context(0).satp_vu];
        let expected = if without { [0, 0] } else { [1, 2] };
        assert_eq!(asids.map(|satp| Satp(satp).asid()), expected);
    }
}

#[test]
fn the_first_private_instruction_of_a_context_is_announced() {
    let mut guest = Guest::paged(SV39);
    let first = guest.satp;
    let second = guest.memory.space(SV39, 2);
    guest.memory.map(first, HIGH, 0, GPA, RX | Pte::G | AD);
    guest.memory.map(second, HIGH, 0, GPA + 0x1000, RX | AD);
    guest.memory.map(second, HIGH + 0x1000, 0, GPA, RW | AD);
    guest.switch(second);
    guest.install(HIGH + 0x1000, from_vs(Kind::Load));
    guest.switch(first);
    guest.install(HIGH, from_vs(Kind::Fetch));
    // Something of the page at HIGH may be remembered from here on.
    assert!(!guest.switch(second).dropped.vs_executable);
    assert!(guest.install(HIGH, from_vs(Kind::Fetch)).vs_executable);
    assert!(guest.switch(first).dropped.vs_executable);
}
