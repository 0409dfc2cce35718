//! What is true of a shadow at all times.

use super::WINDOW_ENTRIES;
use crate::entry::PIECES;
use crate::paging::{ENTRIES, Paging};
use crate::pool::Page;
use crate::shadow::{Shadow, View};
use isa::pte::Pte;
use std::vec::Vec;

/// Checks the whole of `shadow`.
pub(crate) fn check(shadow: &Shadow) {
    let mut tables: Vec<Page> = Vec::new();
    let level = shadow.fixed.paging.root_level();
    let empty = shadow.fixed.root();
    for paging in [Paging::Sv39, Paging::Sv48, Paging::Sv57] {
        let shared = shadow.shared(paging).unwrap();
        let before = tables.len();
        for slot in shared.used.iter() {
            visit(shadow, shared.top(slot), level, &mut tables);
        }
        assert_eq!(
            tables.len() - before,
            shared.tables.len(),
            "{paging:?}: shared tables"
        );
    }
    let mut roots = 0;
    for (slot, record) in shadow.contexts.live() {
        let before = tables.len();
        for view in View::ALL {
            let root = record.roots[view as usize];
            window(shadow, root);
            roots += 1;
            for root_slot in 0..ENTRIES {
                let entry = shadow.tables.read(root, root_slot);
                if record.private[view as usize].contains(root_slot) {
                    visit(shadow, entry, level, &mut tables);
                    continue;
                }
                let expected = match shadow.shared(record.paging) {
                    Some(shared) if view == View::Vs && root_slot >= 256 => shared.top(root_slot),
                    _ => shadow.tables.read(empty, root_slot),
                };
                assert_eq!(
                    entry, expected,
                    "context {slot} {view:?} root slot {root_slot}"
                );
            }
        }
        assert_eq!(
            tables.len() - before,
            record.tables.len(),
            "tables of context {slot}"
        );
    }
    let live = tables.len();
    tables.sort_by_key(|page| shadow.tables.physical(*page));
    tables.dedup();
    assert_eq!(tables.len(), live, "a table is reached in two ways");
    assert_eq!(
        shadow.tables.live(),
        live + roots + 1,
        "tables in use and tables reached"
    );
}

/// Collects the tables below `entry`, which is in a table of `level`, and checks the leaves.
fn visit(shadow: &Shadow, entry: Pte, level: u32, tables: &mut Vec<Page>) {
    if let Some(table) = shadow.tables.child(entry) {
        assert_eq!(entry.flags() & !PIECES, Pte::V);
        assert!(level > 0, "a pointer at the last level");
        tables.push(table);
        for index in 0..ENTRIES {
            visit(shadow, shadow.tables.read(table, index), level - 1, tables);
        }
        return;
    }
    if entry.is_valid() && !WINDOW_ENTRIES.contains(&entry.0) {
        let flags = entry.flags() & !shadow.leaf_bits;
        let must = Pte::V | Pte::U | Pte::A;
        assert_eq!(flags & !(Pte::RWX | Pte::D), must, "{entry:?}");
        assert!(entry.is_leaf());
        assert_eq!(entry.is_writable(), entry.is_dirty());
        assert!(entry.is_readable() || !entry.is_writable());
        assert_eq!(entry.0 & shadow.leaf_bits, shadow.leaf_bits);
        assert_eq!(entry.address() % crate::paging::size(level), 0);
    }
}

/// Checks that all of the window is in `root`.
fn window(shadow: &Shadow, root: Page) {
    let paging = shadow.fixed.paging;
    for (number, expected) in WINDOW_ENTRIES.iter().enumerate() {
        let slot = paging.root_slot(super::window(paging, number as u64));
        assert_eq!(shadow.tables.read(root, slot).0, *expected);
    }
}
