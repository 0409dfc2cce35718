//! Making room: eviction of contexts, and dropping everything.

use crate::entry::Owner;
use crate::flush::Dropped;
use crate::paging::{ENTRIES, Paging};
use crate::shadow::{BARE, Shadow, View};

/// The share of the slots and of the tables that is free when room has been made: one in so many.
/// Harts are stopped once for all that use it up.
const SHARE: usize = 4;

impl Shadow {
    /// Makes room for whatever was [`FillError::Full`](crate::FillError::Full) or
    /// [`SwitchError::Full`](crate::SwitchError::Full): forgets the contexts that have been unused
    /// for longest, and everything when that is not enough.
    ///
    /// No hart may run the guest, and [`Shadow::follow`] must have been called for each that has
    /// changed its context by itself. All harts carry out what it drops; then
    /// [`Shadow::settle`] gives the room, and one operation that was full will find enough.
    pub fn make_room(&mut self) -> Dropped {
        let slots = (usize::from(self.contexts.capacity()) / SHARE).max(1);
        let tables = self.tables.total() / SHARE;
        // What rests will be free, so that the harts may have been stopped for that alone.
        while self.contexts.vacancies() < slots || self.tables.spare() < tables {
            match self.idle() {
                Some(slot) => self.evict(slot),
                None => break,
            }
        }
        if self.tables.spare() < tables {
            self.statistics.exhausted += 1;
            let _ = self.drop_everything();
        }
        Dropped::ALL
    }

    /// Makes the tables free that operations have released until now. To be called when every hart
    /// of the VM has executed `sfence.vma x0, x0` since the last operation that released some, or has
    /// carried out all that was dropped since the last call (the one hart of a VM does that anyway,
    /// and may call this whenever it has), and no hart is in the midst of code that walks the tables
    /// without the lock.
    pub fn settle(&mut self) {
        self.tables.settle();
        self.pointers_known.fill(self.tables.pointers_lost());
    }

    /// Of the contexts that no hart is in, the one unused for longest.
    fn idle(&self) -> Option<u16> {
        let idle = self
            .contexts
            .live()
            .filter(|(slot, _)| !self.current.contains(slot));
        idle.min_by_key(|(_, record)| record.used)
            .map(|(slot, _)| slot)
    }

    /// Forgets a context that no hart is in.
    fn evict(&mut self, slot: u16) {
        self.statistics.evicted += 1;
        let _ = self.empty_context(slot);
        for root in self.contexts.get(slot).roots {
            self.tables.rest(root);
        }
        self.contexts.remove(slot);
    }

    /// Empties all contexts and what they share. Their roots stay.
    pub(crate) fn drop_everything(&mut self) -> Dropped {
        for paging in [Paging::Sv39, Paging::Sv48, Paging::Sv57] {
            let _ = self.empty_shared(paging);
        }
        for slot in 0..self.contexts.capacity() {
            if self.contexts.is_live(slot) {
                let _ = self.empty_context(slot);
            }
        }
        Dropped::ALL
    }

    /// Drops the user pages in the VS view of the current context of `hart`, and what else is not
    /// shared there: `sstatus.SUM` has been cleared, and the monitor enforces it.
    ///
    /// For a VM with one hart: other harts in the context would lose the pages too, and might have
    /// them cached all the same.
    ///
    /// # Panics
    ///
    /// When there is no such hart, or more than one.
    pub fn drop_user(&mut self, hart: usize) -> Dropped {
        assert_eq!(self.current.len(), 1, "SUM is enforced for one hart alone");
        let slot = self.current[hart];
        let record = self.contexts.get_mut(slot);
        if record.satp == BARE {
            return Dropped::NONE;
        }
        let (paging, root) = (record.paging, record.roots[View::Vs as usize]);
        let private = core::mem::take(&mut record.private[View::Vs as usize]);
        let vs_executable = core::mem::take(&mut record.private_execute);
        record.private_upper = false;
        let level = self.fixed.paging.root_level();
        for root_slot in private.iter() {
            let table = self.tables.child(self.tables.read(root, root_slot));
            let entry = match self.shared(paging) {
                Some(shared) if root_slot >= ENTRIES / 2 => shared.top(root_slot),
                _ => self.tables.read(self.fixed.root(), root_slot),
            };
            self.tables.write(root, root_slot, entry);
            if let Some(table) = table {
                self.release_tree(Owner::Context(slot), table, level - 1);
            }
        }
        Dropped {
            flush: self.flush_of(slot),
            vs_executable,
            all_harts: vs_executable,
        }
    }
}
