//! Entries of the shadow and who owns them.
//!
//! A path through the shadow begins at an entry of a root, which is either *private* to one view of
//! one context or *shared* by the contexts of a mode, and all tables below have that owner.

use crate::context::Slots;
use crate::flush::{Dropped, Flush};
use crate::paging::{ENTRIES, Paging, index};
use crate::pool::{List, Page, Tables};
use crate::shadow::{Shadow, View};
use isa::address::GuestVirt;
use isa::pte::Pte;

/// In a pointer of the shadow (RSW, so the hardware does not look): a leaf of the guest covers all
/// that the pointer does, and is shadowed in pieces below it. A fence of any address in it drops
/// the pieces together, as it would the one entry of a TLB.
pub const PIECES: u64 = 1 << 8;

/// Who owns a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    /// The contexts of a mode, in their VS views.
    Shared(Paging),
    /// The context in this slot.
    Context(u16),
}

/// Where an entry is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// In the VS root of each context of the mode for which it is not private.
    Shared(Paging, usize),
    /// In one table.
    Table(Page, usize),
}

/// A step on a path: an entry, the level of its table and the owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) place: Place,
    pub(crate) level: u32,
    pub(crate) owner: Owner,
}

impl Step {
    /// The entry for `va` in `table`, to which the entry here points.
    pub(crate) fn down(self, table: Page, va: GuestVirt) -> Step {
        let level = self.level - 1;
        Step {
            place: Place::Table(table, index(va, level)),
            level,
            ..self
        }
    }
}

impl Shadow {
    /// The first step for `va` in a view of the context in `slot`, as things are.
    pub(crate) fn top(&self, slot: u16, view: View, va: GuestVirt) -> Step {
        let record = self.contexts.get(slot);
        let root_slot = self.fixed.paging.root_slot(va);
        let level = self.fixed.paging.root_level();
        let private = record.private[view as usize].contains(root_slot);
        if !private && self.may_share(slot, view, root_slot) {
            let place = Place::Shared(record.paging, root_slot);
            Step {
                place,
                level,
                owner: Owner::Shared(record.paging),
            }
        } else {
            let place = Place::Table(record.roots[view as usize], root_slot);
            Step {
                place,
                level,
                owner: Owner::Context(slot),
            }
        }
    }

    /// Whether entries in `root_slot` are shared with other contexts unless they are private.
    fn may_share(&self, slot: u16, view: View, root_slot: usize) -> bool {
        let paging = self.contexts.get(slot).paging;
        view == View::Vs && root_slot >= ENTRIES / 2 && paging != Paging::Bare
    }

    /// Makes the root entry for `va` shared or the context's own, as a leaf asks that is
    /// `global` or not. To be called again when all harts have carried out what it dropped.
    pub(crate) fn claim(&mut self, slot: u16, view: View, va: GuestVirt, global: bool) -> Dropped {
        let record = self.contexts.get(slot);
        let (paging, root) = (record.paging, record.roots[view as usize]);
        let root_slot = self.fixed.paging.root_slot(va);
        let is_private = record.private[view as usize].contains(root_slot);
        let may_share = self.may_share(slot, view, root_slot);
        let empty = self.empty(self.fixed.paging.root_level(), va);
        let old = self.tables.read(root, root_slot);
        if is_private && global && may_share && old == empty {
            // `empty_context` left it so.
            let top = self
                .shared(paging)
                .map_or(empty, |shared| shared.top(root_slot));
            self.contexts.get_mut(slot).private[view as usize].remove(root_slot);
            self.tables.write(root, root_slot, top);
            return Dropped::local(self.flush_of(slot));
        }
        if is_private || (global && may_share) {
            return Dropped::NONE;
        }
        let record = self.contexts.get_mut(slot);
        if may_share && !record.private_upper {
            // First of all the harts that drop leaves by walking from the root learn not to.
            record.private_upper = true;
            return Dropped::announced(Flush::None);
        }
        record.private[view as usize].insert(root_slot);
        if old == empty {
            return Dropped::NONE;
        }
        self.tables.write(root, root_slot, empty);
        Dropped::announced(self.flush_of(slot))
    }

    pub(crate) fn get(&self, place: Place) -> Pte {
        match place {
            Place::Shared(paging, slot) => self
                .shared(paging)
                .map_or(Pte(0), |shared| shared.top(slot)),
            Place::Table(page, index) => self.tables.read(page, index),
        }
    }

    pub(crate) fn set(&mut self, place: Place, pte: Pte) {
        match place {
            Place::Shared(paging, slot) => self.set_shared(paging, slot, pte),
            Place::Table(page, index) => self.tables.write(page, index, pte),
        }
    }

    /// Changes a shared entry of the roots, in all the roots that have it.
    fn set_shared(&mut self, paging: Paging, slot: usize, pte: Pte) {
        let empty = self.tables.read(self.fixed.root(), slot);
        let Some(shared) = self.shared_mut(paging) else {
            return;
        };
        shared.set_top(slot, pte, pte != empty);
        for (_, record) in self.contexts.live() {
            if record.paging == paging && !record.private[View::Vs as usize].contains(slot) {
                self.tables
                    .write(record.roots[View::Vs as usize], slot, pte);
            }
        }
    }

    /// What the entry for `va` in a table of `level` is when the guest has nothing there: nothing,
    /// or the window.
    pub(crate) fn empty(&self, level: u32, va: GuestVirt) -> Pte {
        self.fixed.empty(&self.tables, level, va)
    }

    /// A new table below a root; `None` when the pool is empty.
    pub(crate) fn take_table(&mut self, owner: Owner) -> Option<Page> {
        let page = self.tables.take(None)?;
        let (tables, list) = self.list_of(owner)?;
        tables.push(list, page);
        Some(page)
    }

    /// Lets `table`, which is of `level` and to which nothing points any more, rest with all below.
    pub(crate) fn release_tree(&mut self, owner: Owner, table: Page, level: u32) {
        if level > 0 {
            for index in 0..ENTRIES {
                if let Some(child) = self.tables.child(self.tables.read(table, index)) {
                    self.release_tree(owner, child, level - 1);
                }
            }
        }
        if let Some((tables, list)) = self.list_of(owner) {
            tables.release(list, table);
        }
    }

    /// The flush of all that a path of `owner` may have brought into the hardware.
    pub(crate) fn flush_of_owner(&self, owner: Owner) -> Flush {
        match owner {
            Owner::Shared(_) => Flush::All,
            Owner::Context(slot) => self.flush_of(slot),
        }
    }

    /// Whether a leaf of the guest may be shadowed in pieces in the tables of `owner`.
    pub(crate) fn has_pieces(&self, owner: Owner) -> bool {
        match owner {
            Owner::Shared(paging) => self.shared(paging).is_some_and(|shared| shared.pieces),
            Owner::Context(slot) => self.contexts.get(slot).pieces,
        }
    }

    /// Takes note of the first piece of a leaf.
    pub(crate) fn note_pieces(&mut self, owner: Owner) {
        match owner {
            Owner::Shared(paging) => {
                if let Some(shared) = self.shared_mut(paging) {
                    shared.pieces = true;
                }
            }
            Owner::Context(slot) => self.contexts.get_mut(slot).pieces = true,
        }
    }

    /// Empties the private entries of both roots of the context in `slot`.
    ///
    /// If something executable was there, the entries that could be shared stay private until
    /// [`Shadow::claim`]: what is shared may be executable too, and other harts would see it before
    /// they have forgotten what they know of the instructions that it takes the place of.
    pub(crate) fn empty_context(&mut self, slot: u16) -> Dropped {
        let record = self.contexts.get_mut(slot);
        let (paging, roots) = (record.paging, record.roots);
        let private = core::mem::take(&mut record.private);
        let vs_executable = core::mem::take(&mut record.private_execute);
        let pieces = core::mem::take(&mut record.pieces);
        if vs_executable && paging != Paging::Bare {
            record.private[View::Vs as usize] = private[View::Vs as usize].upper();
        }
        record.private_upper = !record.private[View::Vs as usize].is_empty();
        let stays = record.private[View::Vs as usize];
        if private.iter().all(Slots::is_empty) {
            return Dropped::NONE;
        }
        let template = self.fixed.root();
        for view in View::ALL {
            for root_slot in private[view as usize].iter() {
                let gives_back = view == View::Vs && !stays.contains(root_slot);
                let shared = self.shared(paging).filter(|_| gives_back);
                let entry = match shared {
                    Some(shared) if root_slot >= ENTRIES / 2 => shared.top(root_slot),
                    _ => self.tables.read(template, root_slot),
                };
                self.tables.write(roots[view as usize], root_slot, entry);
            }
        }
        if let Some((tables, list)) = self.list_of(Owner::Context(slot)) {
            tables.release_all(list);
        }
        Dropped {
            flush: self.flush_of(slot),
            vs_executable,
            all_harts: vs_executable || pieces,
        }
    }

    /// Empties what the contexts of `paging` share.
    pub(crate) fn empty_shared(&mut self, paging: Paging) -> Dropped {
        let Some(used) = self.shared(paging).map(|shared| shared.used) else {
            return Dropped::NONE;
        };
        if used.is_empty() {
            return Dropped::NONE;
        }
        let template = self.fixed.root();
        for slot in used.iter() {
            self.set_shared(paging, slot, self.tables.read(template, slot));
        }
        if let Some(shared) = self.shared_mut(paging) {
            shared.pieces = false;
        }
        if let Some((tables, list)) = self.list_of(Owner::Shared(paging)) {
            tables.release_all(list);
        }
        Dropped::ALL
    }

    fn list_of(&mut self, owner: Owner) -> Option<(&mut Tables, &mut List)> {
        let list = match owner {
            Owner::Shared(paging) => {
                let index = crate::shadow::shared_index(paging)?;
                &mut self.shared[index].tables
            }
            Owner::Context(slot) => &mut self.contexts.get_mut(slot).tables,
        };
        Some((&mut self.tables, list))
    }
}
