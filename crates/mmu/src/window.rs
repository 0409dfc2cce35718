//! The monitor's window: what stands in every root whatever the guest does.

use crate::paging::{ENTRIES, index, size};
use crate::pool::{Page, Tables};
use isa::address::GuestVirt;
use isa::pte::Pte;

/// The levels that have a table through which the window is reached.
const LEVELS: core::ops::RangeInclusive<u32> = GIGABYTE..=4;
/// The level whose entries map 1 GiB.
const GIGABYTE: u32 = 2;
/// The first slot of the last 512 GiB that Sv39 reaches: the upper half of its root.
const UPPER_HALF: usize = ENTRIES / 2;

/// Where the monitor is mapped in every address space, in slots of 1 GiB.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// Where it begins: a multiple of 1 GiB, at or above `0xffff_ffc0_0000_0000`.
    pub first_slot: GuestVirt,
    /// The entries for its slots, in order, as hardware reads them: leaves of 1 GiB, or pointers
    /// to tables of the monitor's own. Supervisor-only and global.
    pub entries: &'a [u64],
}

/// The window, in the form of one table for each level that is the last of the address space.
///
/// The root of a mode is such a table, and the tables below its last entry are: the table of
/// level 2 holds the window's entries, those above hold one pointer each. They are the beginning
/// of every such table, and roots point to them as long as the guest has nothing beside the window.
pub(crate) struct Fixed {
    tables: [Page; 3],
    first: usize,
    end: usize,
}

impl Fixed {
    /// Lays out the window; `None` when it is not where [`Window`] says, or the pool is used up.
    pub(crate) fn new(tables: &mut Tables, window: &Window) -> Option<Fixed> {
        let first = index(window.first_slot, GIGABYTE);
        let end = first + window.entries.len();
        let top = !(size(GIGABYTE + 1) - 1);
        let aligned = window.first_slot.is_aligned(size(GIGABYTE));
        if !aligned || window.first_slot.0 < top || first < UPPER_HALF || end > ENTRIES {
            return None;
        }
        let pages = [tables.take(None)?, tables.take(None)?, tables.take(None)?];
        for (slot, entry) in (first..end).zip(window.entries) {
            tables.write(pages[0], slot, Pte(*entry));
        }
        for (lower, upper) in [(pages[0], pages[1]), (pages[1], pages[2])] {
            tables.write(upper, ENTRIES - 1, tables.pointer(lower));
        }
        Some(Fixed {
            tables: pages,
            first,
            end,
        })
    }

    /// Whether `page` is one of the tables made here.
    pub(crate) fn contains(&self, page: Page) -> bool {
        self.tables.contains(&page)
    }

    /// How the root of `level` begins.
    pub(crate) fn root(&self, level: u32) -> Page {
        self.tables[(level - GIGABYTE) as usize]
    }

    /// How a table of `level` for `va` begins; `None` for empty.
    pub(crate) fn template(&self, level: u32, va: GuestVirt) -> Option<Page> {
        let last = va.0 >= !(size(level) * ENTRIES as u64 - 1);
        (last && LEVELS.contains(&level)).then(|| self.root(level))
    }

    /// Whether the `bytes` (a power of two) around `va` have an address of the window among them.
    pub(crate) fn overlaps(&self, va: GuestVirt, bytes: u64) -> bool {
        let top = !(size(GIGABYTE + 1) - 1);
        let first = va.align_down(bytes).0;
        let last = first + (bytes - 1);
        let start = top + self.first as u64 * size(GIGABYTE);
        let past = (self.end - self.first) as u64 * size(GIGABYTE);
        past != 0 && last >= start && first <= start + (past - 1)
    }
}
