//! Harts that cache every entry they have ever read, of every level and invalid ones too, until
//! they are told to forget: the worst that the architecture allows.

use crate::flush::Flush;
use crate::paging::index;
use crate::pool::Pool;
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
            let number = table
                .checked_sub(self.pool.physical.0)
                .map(|bytes| bytes / PAGE_SIZE);
            let in_pool = number.and_then(|number| self.pool.tables.get(number as usize));
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
            let outside = !(self.pool.physical.0
                ..self.pool.physical.0 + self.pool.tables.len() as u64 * PAGE_SIZE)
                .contains(&entry.address());
            if entry.is_leaf() || outside {
                return Some((entry, level));
            }
            assert!(level > 0, "a pointer at the last level");
            table = entry.address();
            level -= 1;
        }
    }

    /// Forgets what it has read of `level` for `va`.
    pub(crate) fn forget(&mut self, va: GuestVirt, level: u32) {
        let prefix = va.0 >> (12 + 9 * level);
        for hart in &mut self.harts {
            hart.cache
                .retain(|(_, at, of), _| (*at, *of) != (level, prefix));
        }
    }

    /// Carries out `flush` on every hart. A fence of an address leaves pointers in place: it orders
    /// only leaves, and what was not valid.
    pub(crate) fn flush(&mut self, flush: Flush) {
        for hart in &mut self.harts {
            hart.cache
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
}
