//! Making room: eviction of contexts, and dropping everything.

use crate::flush::Dropped;
use crate::paging::Paging;
use crate::shadow::Shadow;

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
}
