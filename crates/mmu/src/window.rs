//! The monitor's window: what stands in every root whatever the guest does.

use crate::paging::{ENTRIES, Paging, index, size};
use crate::pool::{Page, Tables};
use isa::address::GuestVirt;
use isa::pte::Pte;

/// Where the monitor is mapped in every address space: in entries of the root.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// The mode of all the shadow's tables, whatever mode the guest uses: the widest that the
    /// processor has, so that a guest in a narrower one has no address where the window is.
    /// Not Bare.
    pub paging: Paging,
    /// Where it begins: in the upper half, at a multiple of what an entry of the root maps.
    pub first_slot: GuestVirt,
    /// The root's entries for it, in order, as hardware reads them: leaves, or pointers to tables of
    /// the monitor's own. Supervisor-only, and global where they are leaves.
    pub entries: &'a [u64],
}

/// The window, in the form of a root that has nothing else: how every root begins.
pub(crate) struct Fixed {
    pub(crate) paging: Paging,
    root: Page,
    first: usize,
    end: usize,
}

impl Fixed {
    /// Lays out the window; `None` when it is not where [`Window`] says, or the pool is used up.
    pub(crate) fn new(tables: &mut Tables, window: &Window) -> Option<Fixed> {
        let paging = window.paging;
        let first = paging.root_slot(window.first_slot);
        let end = first.checked_add(window.entries.len())?;
        let aligned = window.first_slot.is_aligned(size(paging.root_level()));
        let in_place = paging.is_canonical(window.first_slot) && first >= ENTRIES / 2;
        if paging == Paging::Bare || !aligned || !in_place || end > ENTRIES {
            return None;
        }
        let root = tables.take(None)?;
        for (slot, entry) in (first..end).zip(window.entries) {
            tables.write(root, slot, Pte(*entry));
        }
        Some(Fixed {
            paging,
            root,
            first,
            end,
        })
    }

    /// How every root begins.
    pub(crate) fn root(&self) -> Page {
        self.root
    }

    /// What the entry for `va` in a table of `level` is when the guest has nothing there: nothing, or
    /// the window.
    pub(crate) fn empty(&self, tables: &Tables, level: u32, va: GuestVirt) -> Pte {
        if level == self.paging.root_level() {
            tables.read(self.root, index(va, level))
        } else {
            Pte(0)
        }
    }

    /// Whether `va`, which is canonical, is an address of the window.
    pub(crate) fn contains(&self, va: GuestVirt) -> bool {
        (self.first..self.end).contains(&self.paging.root_slot(va))
    }
}
