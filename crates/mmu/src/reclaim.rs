//! Making room: eviction of contexts, and dropping everything.

use crate::entry::Owner;
use crate::flush::Dropped;
use crate::paging::{ENTRIES, Paging};
use crate::shadow::{BARE, Shadow, View};

impl Shadow {
    /// Frees the context that has been unused for longest, or when all are in use by a hart, all
    /// tables but the roots of these.
    pub(crate) fn reclaim(&mut self) -> Dropped {
        let idle = self
            .contexts
            .live()
            .filter(|(slot, _)| !self.current.contains(slot));
        match idle.min_by_key(|(_, record)| record.used) {
            Some((slot, _)) => self.evict(slot),
            None => {
                self.statistics.exhausted += 1;
                self.drop_everything()
            }
        }
    }

    /// Forgets a context that is not in use.
    fn evict(&mut self, slot: u16) -> Dropped {
        self.statistics.evicted += 1;
        let vs_executable = self.contexts.get(slot).private_execute;
        let _ = self.empty_context(slot, false);
        for root in self.contexts.get(slot).roots {
            self.tables.give(root);
        }
        self.contexts.remove(slot);
        Dropped {
            flush: self.flush_of(slot),
            vs_executable,
        }
    }

    /// Empties all contexts and what they share. Their roots stay.
    pub(crate) fn drop_everything(&mut self) -> Dropped {
        for paging in [Paging::Sv39, Paging::Sv48, Paging::Sv57] {
            let _ = self.empty_shared(paging);
        }
        for slot in 0..self.contexts.capacity() {
            if self.contexts.is_live(slot) {
                let _ = self.empty_context(slot, true);
            }
        }
        Dropped::ALL
    }

    /// Drops the user pages in the VS view of the current context of `hart`, and what else is not
    /// shared there: `sstatus.SUM` has been cleared, and the monitor enforces it.
    ///
    /// # Panics
    ///
    /// When there is no such hart.
    pub fn drop_user(&mut self, hart: usize) -> Dropped {
        self.tables.settle();
        let slot = self.current[hart];
        let record = self.contexts.get_mut(slot);
        if record.satp == BARE {
            return Dropped::NONE;
        }
        let (paging, root) = (record.paging, record.roots[View::Vs as usize]);
        let private = core::mem::take(&mut record.private[View::Vs as usize]);
        let vs_executable = core::mem::take(&mut record.private_execute);
        let level = paging.root_level();
        for root_slot in private.iter() {
            if let Some(table) = self.own_child(self.tables.read(root, root_slot)) {
                self.release_tree(Owner::Context(slot), table, level - 1);
            }
            let entry = match self.shared(paging) {
                Some(shared) if root_slot >= ENTRIES / 2 => shared.top(root_slot),
                _ => self.tables.read(self.fixed.root(level), root_slot),
            };
            self.tables.write(root, root_slot, entry);
        }
        Dropped {
            flush: self.flush_of(slot),
            vs_executable,
        }
    }
}
