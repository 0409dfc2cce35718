//! The walk: statements, and random tables against the naive model.

use super::memory::{DEVICE, Memory, TABLES};
use super::naive::{self, Exception, Wish};
use super::{from_vs, from_vu};
use crate::walk::{Access, Fault, GuestMemory, Kind, Options, walk, walk_with};
use isa::address::{GuestPhys, GuestVirt};
use isa::pte::Pte;
use isa::satp::{SV39, SV48, SV57, Satp};
use proptest::prelude::*;

const RWX_AD: u64 = Pte::RWX | Pte::A | Pte::D;
const KINDS: [Kind; 3] = [Kind::Fetch, Kind::Load, Kind::Store];
const MODES: [u8; 3] = [SV39, SV48, SV57];

#[test]
fn bare_translates_every_address_to_itself() {
    let memory = Memory::default();
    for va in [0, 0x8000_1234, u64::MAX] {
        let found = walk(&memory, Satp(0), GuestVirt(va), from_vu(Kind::Store)).unwrap();
        assert_eq!(found.address, GuestPhys(va));
        assert!(!found.global);
    }
}

#[test]
fn an_address_that_is_not_sign_extended_is_a_page_fault() {
    for (mode, bits) in [(SV39, 39), (SV48, 48), (SV57, 57)] {
        let memory = Memory::default();
        let satp = memory.space(mode, 0);
        let lowest = (-1_i64 << (bits - 1)) as u64;
        memory.map(satp, lowest, 0, 0x8800_0000, RWX_AD);
        assert!(walk(&memory, satp, GuestVirt(lowest), from_vs(Kind::Load)).is_ok());
        for va in [1 << (bits - 1), lowest & !(1 << 63), lowest - 4096] {
            let found = walk(&memory, satp, GuestVirt(va), from_vs(Kind::Load));
            assert_eq!(found, Err(Fault::Page), "{va:#x}");
        }
    }
}

#[test]
fn a_leaf_of_any_level_translates_the_offset_within_it() {
    for (mode, levels) in [(SV39, 3), (SV48, 4), (SV57, 5)] {
        for level in 0..levels {
            let memory = Memory::default();
            let satp = memory.space(mode, 0);
            let page = 1_u64 << (12 + 9 * 4);
            memory.map(satp, 0, level, page, RWX_AD);
            let offset = (1 << (12 + 9 * level)) - 8;
            let found = walk(&memory, satp, GuestVirt(offset), from_vs(Kind::Load)).unwrap();
            assert_eq!((found.address.0, found.page.0), (page + offset, page));
            assert_eq!(found.level, level);
        }
    }
}

#[test]
fn a_superpage_out_of_alignment_is_a_page_fault() {
    let memory = Memory::default();
    let satp = memory.space(SV39, 0);
    memory.map(satp, 0, 1, 0x8820_1000, RWX_AD);
    let found = walk(&memory, satp, GuestVirt(0), from_vs(Kind::Load));
    assert_eq!(found, Err(Fault::Page));
}

#[test]
fn a_reserved_bit_or_encoding_is_a_page_fault() {
    for bit in 54..64 {
        let memory = Memory::default();
        let satp = memory.space(SV39, 0);
        memory.map(satp, 0, 0, 0x8820_0000, RWX_AD | 1 << bit);
        let found = walk(&memory, satp, GuestVirt(0), from_vs(Kind::Load));
        assert_eq!(found, Err(Fault::Page), "bit {bit} in a leaf");
    }
    for flag in [Pte::A, Pte::D, Pte::U, Pte::W, Pte::N, Pte::PBMT] {
        let memory = Memory::default();
        let satp = memory.space(SV39, 0);
        memory.map(satp, 0, 0, 0x8820_0000, RWX_AD);
        let root = satp.root();
        memory.write(root.0, memory.read_pte(root).unwrap() | flag);
        let found = walk(&memory, satp, GuestVirt(0), from_vs(Kind::Load));
        assert_eq!(found, Err(Fault::Page), "{flag:#x} in a pointer");
    }
}

#[test]
fn a_memory_type_of_the_processor_is_accepted_in_leaves_only() {
    let memory = Memory::default();
    let satp = memory.space(SV39, 0);
    let thead = Options {
        memory_type: 0x1f << 59,
    };
    memory.map(satp, 0, 0, 0x8820_0000, RWX_AD | 0x0e << 59);
    let load = from_vs(Kind::Load);
    assert!(walk_with(&memory, thead, satp, GuestVirt(0), load).is_ok());
    memory.map(satp, 0, 0, 0x8820_0000, RWX_AD | 1 << 58);
    assert_eq!(
        walk_with(&memory, thead, satp, GuestVirt(0), load),
        Err(Fault::Page)
    );
    memory.map(satp, 0, 0, 0x8820_0000, RWX_AD);
    let root = satp.root();
    memory.write(root.0, memory.read_pte(root).unwrap() | 1 << 60);
    assert_eq!(
        walk_with(&memory, thead, satp, GuestVirt(0), load),
        Err(Fault::Page)
    );
}

#[test]
fn a_table_outside_ram_is_an_access_fault() {
    let memory = Memory::default();
    let satp = memory.space(SV39, 0);
    memory.write(satp.root().0, Pte::new(DEVICE, Pte::V).0);
    assert_eq!(
        walk(&memory, satp, GuestVirt(0), from_vs(Kind::Fetch)),
        Err(Fault::Access)
    );
    let nowhere = Satp::new(SV48, 0, GuestPhys(0));
    assert_eq!(
        walk(&memory, nowhere, GuestVirt(0), from_vs(Kind::Fetch)),
        Err(Fault::Access)
    );
}

#[test]
fn a_pointer_at_the_last_level_is_a_page_fault() {
    let memory = Memory::default();
    let satp = memory.space(SV39, 0);
    memory.map(satp, 0, 0, 0x8820_0000, 0);
    assert_eq!(
        walk(&memory, satp, GuestVirt(0), from_vs(Kind::Load)),
        Err(Fault::Page)
    );
}

#[test]
fn vs_reads_a_user_page_only_with_sum_and_never_executes_it() {
    let memory = Memory::default();
    let satp = memory.space(SV39, 0);
    memory.map(satp, 0, 0, 0x8820_0000, RWX_AD | Pte::U);
    for kind in KINDS {
        for sum in [false, true] {
            let access = Access {
                sum,
                ..from_vs(kind)
            };
            let allowed = walk(&memory, satp, GuestVirt(0), access).is_ok();
            assert_eq!(allowed, sum && kind != Kind::Fetch, "{access:?}");
        }
    }
}

#[test]
fn vu_reaches_no_supervisor_page() {
    let memory = Memory::default();
    let satp = memory.space(SV39, 0);
    memory.map(satp, 0, 0, 0x8820_0000, RWX_AD);
    for kind in KINDS {
        let access = Access {
            sum: true,
            mxr: true,
            ..from_vu(kind)
        };
        assert_eq!(walk(&memory, satp, GuestVirt(0), access), Err(Fault::Page));
    }
}

#[test]
fn mxr_lets_a_load_read_an_execute_only_page() {
    let memory = Memory::default();
    let satp = memory.space(SV39, 0);
    memory.map(satp, 0, 0, 0x8820_0000, Pte::X | Pte::A);
    for mxr in [false, true] {
        let access = Access {
            mxr,
            ..from_vs(Kind::Load)
        };
        assert_eq!(walk(&memory, satp, GuestVirt(0), access).is_ok(), mxr);
    }
}

#[test]
fn a_load_sets_a_and_a_store_sets_a_and_d() {
    let memory = Memory::default();
    let satp = memory.space(SV48, 0);
    let at = memory.map(satp, 0, 0, 0x8820_0000, Pte::RWX);
    let flags = || memory.read_pte(at).unwrap() & (Pte::A | Pte::D);
    let load = walk(&memory, satp, GuestVirt(0), from_vs(Kind::Load)).unwrap();
    assert_eq!(flags(), Pte::A);
    assert!(!load.pte.is_dirty());
    let store = walk(&memory, satp, GuestVirt(0), from_vs(Kind::Store)).unwrap();
    assert_eq!(flags(), Pte::A | Pte::D);
    assert_eq!(store.pte.0, memory.read_pte(at).unwrap());
}

#[test]
fn an_access_that_faults_sets_nothing() {
    let memory = Memory::default();
    let satp = memory.space(SV39, 0);
    let at = memory.map(satp, 0, 0, 0x8820_0000, Pte::R | Pte::X);
    assert!(walk(&memory, satp, GuestVirt(0), from_vs(Kind::Store)).is_err());
    assert!(walk(&memory, satp, GuestVirt(0), from_vu(Kind::Load)).is_err());
    assert_eq!(
        Pte(memory.read_pte(at).unwrap()).flags(),
        Pte::V | Pte::R | Pte::X
    );
}

#[test]
fn a_leaf_that_changes_under_the_walk_is_read_again() {
    let memory = Memory::default();
    let satp = memory.space(SV39, 0);
    let at = memory.map(satp, 0, 0, 0x8820_0000, Pte::R);
    memory
        .race
        .set(Some((at.0, Pte::new(0x8840_0000, Pte::V | Pte::R).0)));
    let found = walk(&memory, satp, GuestVirt(0), from_vs(Kind::Load)).unwrap();
    assert_eq!(found.address, GuestPhys(0x8840_0000));
    memory.map(satp, 0, 0, 0x8820_0000, Pte::R);
    memory.race.set(Some((at.0, 0)));
    let found = walk(&memory, satp, GuestVirt(0), from_vs(Kind::Load));
    assert_eq!(found, Err(Fault::Page));
    assert_eq!(memory.read_pte(at), Some(0));
}

#[test]
fn a_global_pointer_makes_all_below_it_global() {
    let memory = Memory::default();
    let satp = memory.space(SV39, 0);
    memory.map(satp, 0, 0, 0x8820_0000, RWX_AD);
    let root = satp.root();
    let load = || walk(&memory, satp, GuestVirt(0), from_vs(Kind::Load)).unwrap();
    assert!(!load().global);
    memory.write(root.0, memory.read_pte(root).unwrap() | Pte::G);
    assert!(load().global);
}

/// A word that has a fair chance to be a good entry.
fn entry() -> impl Strategy<Value = u64> {
    let target = prop_oneof![
        6 => (0_u64..6).prop_map(|table| TABLES + table * 4096),
        2 => (0_u64..4).prop_map(|page| 0xc000_0000 + page * 0x20_0000),
        1 => Just(DEVICE),
        1 => Just(1 << 50),
    ];
    let rights = prop_oneof![4 => Just(0_u64), 6 => 0_u64..8];
    let high = prop_oneof![12 => Just(0_u64), 1 => (54_u32..64).prop_map(|bit| 1 << bit)];
    (
        target,
        rights,
        0_u64..16,
        prop_oneof![3 => Just(0_u64), 1 => 0_u64..4],
        any::<bool>(),
        high,
    )
        .prop_map(|(target, rights, ugad, software, plain, high)| {
            let ugad = if rights == 0 && plain { ugad & 2 } else { ugad };
            target >> 2 | high | software << 8 | ugad << 4 | rights << 1 | 1
        })
}

/// Index of an entry that is often used.
fn slot() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0_u64), Just(1), Just(511)]
}

/// The low 57 bits of an address, and whether the others are to follow from them.
fn address() -> impl Strategy<Value = (u64, bool)> {
    let slots = proptest::collection::vec(slot(), 5);
    (slots, 0_u64..4096, proptest::bool::weighted(0.9)).prop_map(|(slots, offset, canonical)| {
        (
            slots.iter().fold(0, |va, slot| va << 9 | slot) << 12 | offset,
            canonical,
        )
    })
}

fn sign_extended(va: u64, bits: u32) -> u64 {
    ((va << (64 - bits)) as i64 >> (64 - bits)) as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_walk_agrees_with_the_naive_model(
        mode in 0_usize..3,
        entries in proptest::collection::vec((0_u64..6, slot(), entry()), 4..40),
        accesses in proptest::collection::vec(
            (address(), 0_usize..3, any::<bool>(), any::<bool>(), any::<bool>()), 1..12),
    ) {
        let memory = Memory::default();
        for (table, slot, entry) in entries {
            memory.write(TABLES + table * 4096 + slot * 8, entry);
        }
        let satp = Satp::new(MODES[mode], 7, GuestPhys(TABLES));
        for ((raw, canonical), kind, user, sum, mxr) in accesses {
            let va = if canonical { sign_extended(raw, [39, 48, 57][mode]) } else { raw };
            let right = [naive::EXECUTE, naive::READ, naive::WRITE][kind];
            let read = |at| memory.read_pte(GuestPhys(at));
            let wish = Wish { right, user, sum, mxr };
            let expected = naive::translate(&read, satp.0, va, wish);
            let mut words = memory.words.borrow().clone();
            if let Ok((_, leaf)) = expected {
                words.insert(leaf.at, leaf.pte);
            }
            let found = walk(&memory, satp, GuestVirt(va), Access { kind: KINDS[kind], user, sum, mxr });
            match (found, expected) {
                (Ok(found), Ok((address, leaf))) => {
                    prop_assert_eq!(found.address.0, address);
                    prop_assert_eq!(found.page.0, leaf.page);
                    prop_assert_eq!(1 << (12 + 9 * found.level), leaf.bytes);
                    prop_assert_eq!(found.pte.0, leaf.pte);
                    prop_assert_eq!(found.global, leaf.global);
                }
                (Err(Fault::Page), Err(Exception::PageFault))
                | (Err(Fault::Access), Err(Exception::AccessFault)) => {}
                (found, expected) => prop_assert!(false, "{:?} and not {:?}", found, expected),
            }
            prop_assert_eq!(&*memory.words.borrow(), &words);
        }
    }
}
