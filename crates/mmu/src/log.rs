//! Fences that a context catches up with when it is used again.
//!
//! A fence of one address in all address spaces concerns contexts that nobody uses at the moment.
//! A kernel executes many such fences between two switches of context, and most of them find
//! nothing. So the hart may carry them out in its current context alone, as long as it logs them:
//! [`Shadow::switch_logged`] brings a context up to date before it becomes current.

use crate::fence::Extent;
use crate::flush::{Dropped, Flush};
use crate::shadow::{BARE, Shadow, Switched};
use isa::address::GuestVirt;
use isa::satp::Satp;

/// The log of a hart.
#[derive(Clone, Copy, Debug)]
pub struct FenceLog<'a> {
    /// Fences logged since the start.
    pub count: u64,
    /// The addresses of the latest: the one that was logged as number `n`, counted from 0, is at
    /// `n` modulo the length.
    pub addresses: &'a [u64],
}

impl Shadow {
    /// As [`Shadow::switch`], and carries out in the new context the fences that were logged since
    /// it was last current. `None` when the mode of `satp` is reserved.
    ///
    /// # Panics
    ///
    /// When there is no such hart.
    pub fn switch_logged(&mut self, hart: usize, satp: Satp, log: FenceLog) -> Option<Switched> {
        let from = self.current[hart];
        self.contexts.get_mut(from).fences_seen = log.count;
        let mut switched = self.switch(hart, satp)?;
        let to = self.current[hart];
        if to != from {
            let modes = [from, to].map(|slot| self.contexts.get(slot).paging);
            let dropped = self.catch_up(to, log, modes[0] != modes[1]);
            switched.dropped = switched.dropped.and(dropped);
        }
        Some(switched)
    }

    /// The hart has gone to the context of `satp`, which is remembered, by itself: no fence had
    /// been logged that the context had not seen. `None` when there is no such context.
    ///
    /// # Panics
    ///
    /// When there is no such hart.
    pub fn follow(&mut self, hart: usize, satp: Satp) -> Option<()> {
        self.current[hart] = self.contexts.find(satp)?;
        Some(())
    }

    /// Carries out a fence of `va` in all address spaces, as far as the current context of `hart`
    /// is concerned. The caller logs it.
    ///
    /// # Panics
    ///
    /// When there is no such hart.
    pub fn fence_current(&mut self, hart: usize, va: GuestVirt) -> Dropped {
        self.tables.settle();
        self.statistics.fences += 1;
        self.fence_in(self.current[hart], va)
    }

    /// A fence of `va` in the context in `slot` and what it shares.
    fn fence_in(&mut self, slot: u16, va: GuestVirt) -> Dropped {
        if self.contexts.get(slot).satp == BARE {
            return Dropped::NONE;
        }
        let paging = self.contexts.get(slot).paging;
        let shared = self.drop_shared(paging, va, Extent::GuestLeaf);
        shared.and(self.drop_private(slot, va, Extent::GuestLeaf))
    }

    /// Carries out in the context in `slot` what it has not seen. What it shares has seen all that
    /// was logged by contexts of its mode (the monitor logs a fence without [`Shadow::fence_current`]
    /// only where [`Context::private_upper`](crate::Context::private_upper) is not set); so it need not be dropped, when the log does not go back
    /// far enough, unless the hart comes from another mode.
    fn catch_up(&mut self, slot: u16, log: FenceLog, from_other_mode: bool) -> Dropped {
        let seen = self.contexts.get(slot).fences_seen;
        self.contexts.get_mut(slot).fences_seen = log.count;
        let length = log.addresses.len() as u64;
        if log.count - seen > length {
            let dropped = self.empty_context(slot, true);
            if from_other_mode {
                let paging = self.contexts.get(slot).paging;
                return dropped.and(self.empty_shared(paging));
            }
            return dropped;
        }
        let mut dropped = Dropped::NONE;
        for number in seen..log.count {
            let va = GuestVirt(log.addresses[(number % length) as usize]);
            dropped = dropped.and(self.fence_in(slot, va));
        }
        if dropped.flush != Flush::None {
            dropped.flush = dropped.flush.and(self.flush_of(slot));
        }
        dropped
    }
}
