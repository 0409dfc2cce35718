//! Harts that cache every entry they have ever read, of every level and invalid ones too, until
//! they are told to forget: the worst that the architecture allows.

use crate::flush::Flush;
use crate::paging::index;
use crate::pool::{Pool, Table};
use isa::address::{GuestVirt, PAGE_SIZE};
use isa::pte::Pte;
use isa::satp::{Satp, levels};
use std::collections::BTreeMap;
use std::vec::Vec;

/// ASID, level, address without what lies below the level.
type Key = (u16, u32, u64);

#[derive(Default)]
struct Hart {
    cache: BTreeMap<Key, Pte>,
    satp: u64,
}

pub(crate) struct Hardware {
    pool: Pool,
    harts: Vec<Hart>,
    /// Fence everything whenever `satp` changes, for want of ASIDs.
    pub(crate) fence_on_switch: bool,
}

impl Hardware {
    pub(crate) fn new(pool: Pool, harts: usize) -> Hardware {
        let harts = (0..harts).map(|_| Hart::default()).collect();
        Hardware {
            pool,
            harts,
            fence_on_switch: false,
        }
    }

    /// The entry that ends the walk for `va` on `hart` with `satp`, and its level.
    pub(crate) fn translate(
        &mut self,
        hart: usize,
        satp: u64,
        va: GuestVirt,
    ) -> Option<(Pte, u32)> {
        let hart = &mut self.harts[hart];
        if hart.satp != satp {
            hart.satp = satp;
            if self.fence_on_switch {
                hart.cache.clear();
            }
        }
        let satp = Satp(satp);
        let mut table = satp.root().0;
        let mut level = levels(satp.mode()).expect("a paged mode") - 1;
        let above = (va.0 as i64) >> (12 + 9 * (level + 1) - 1);
        if above != 0 && above != -1 {
            return None;
        }
        loop {
            let in_pool = table_at(self.pool, table);
            let prefix = va.0 >> (12 + 9 * level);
            let entry = *hart
                .cache
                .entry((satp.asid(), level, prefix))
                .or_insert_with(|| {
                    let table = in_pool.expect("a table of the pool");
                    Pte(table.word(index(va, level)))
                });
            if !entry.is_valid() {
                return None;
            }
            if entry.is_leaf() || table_at(self.pool, entry.address()).is_none() {
                return Some((entry, level));
            }
            assert!(level > 0, "a pointer at the last level");
            table = entry.address();
            level -= 1;
        }
    }

    /// The same as memory has it.
    pub(crate) fn peek(&self, satp: u64, va: u64) -> Option<(Pte, u32)> {
        let (_, entry, level) = self.path(satp, va).pop()?;
        entry.is_valid().then_some((entry, level))
    }

    /// The entries that a walk in memory finds: table, entry, level.
    fn path(&self, satp: u64, va: u64) -> Vec<(&'static Table, Pte, u32)> {
        let mut path = Vec::new();
        let satp = Satp(satp);
        let mut table = satp.root().0;
        let mut level = levels(satp.mode()).expect("a paged mode") - 1;
        let above = (va as i64) >> (12 + 9 * (level + 1) - 1);
        while let Some(words) = table_at(self.pool, table).filter(|_| [0, -1].contains(&above)) {
            let entry = Pte(words.word(index(GuestVirt(va), level)));
            path.push((words, entry, level));
            if !entry.is_valid() || entry.is_leaf() {
                break;
            }
            table = entry.address();
            level -= u32::from(level > 0);
        }
        path
    }

    /// What the trap gate does without the lock for a fence of `va`: drops the leaf under the root
    /// in `satp`. `None` when it leaves that to the monitor, as it does where an entry on the way has
    /// one of the bits of `slow` or the leaf is large; else whether there was a leaf.
    pub(crate) fn drop_leaf(&self, satp: u64, va: u64, slow: u64) -> Option<bool> {
        let path = self.path(satp, va);
        let slow_entry = |(_, entry, _): &(&Table, Pte, u32)| entry.0 & (slow | Pte::G) != 0;
        let valid = path.iter().filter(|(_, entry, _)| entry.is_valid());
        if path.is_empty() || valid.clone().any(slow_entry) {
            return None;
        }
        match path.last() {
            Some((_, entry, level)) if entry.is_leaf() && entry.is_valid() && *level > 0 => None,
            Some((table, entry, _)) if entry.is_valid() => {
                table.zero(index(GuestVirt(va), 0));
                Some(true)
            }
            _ => Some(false),
        }
    }

    /// The tables of the pool that harts may walk without reading a pointer to them.
    pub(crate) fn cached_tables(&self) -> impl Iterator<Item = u64> {
        let cached = self.harts.iter().flat_map(|hart| hart.cache.values());
        cached
            .filter(|entry| entry.is_valid() && !entry.is_leaf())
            .map(|entry| entry.address())
    }

    /// Forgets what it has read of `level` for `va`.
    pub(crate) fn forget(&mut self, va: GuestVirt, level: u32) {
        let prefix = va.0 >> (12 + 9 * level);
        for hart in &mut self.harts {
            hart.cache
                .retain(|(_, at, of), _| (*at, *of) != (level, prefix));
        }
    }

    /// Carries out `flush` on one hart. A fence of an address leaves pointers in place: it orders
    /// only leaves, and what was not valid.
    pub(crate) fn flush(&mut self, hart: usize, flush: Flush) {
        self.harts[hart]
            .cache
            .retain(|(asid, level, prefix), entry| match flush {
                Flush::None => true,
                Flush::Address(va) => {
                    let pointer = entry.is_valid() && !entry.is_leaf();
                    pointer || va.0 >> (12 + 9 * *level) != *prefix
                }
                Flush::Asid { first } => *asid != first && *asid != first + 1,
                Flush::All => false,
            });
    }
}

/// The table of the pool at a physical address.
fn table_at(pool: Pool, physical: u64) -> Option<&'static Table> {
    let number = physical.checked_sub(pool.physical.0)? / PAGE_SIZE;
    pool.tables.get(number as usize)
}
