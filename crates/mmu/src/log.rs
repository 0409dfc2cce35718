//! Fences that a context catches up with when it is used again.
//!
//! A fence of one address in all address spaces concerns contexts that the hart is not in at the
//! moment. A kernel executes many such fences between two switches of context, and most of them find
//! nothing. So a hart may carry them out in its current context alone, as long as it logs them:
//! [`Shadow::switch_logged`] brings a context up to date before it becomes the hart's. What the
//! contexts of a mode share is brought up to date in the same way when the hart comes to that mode.
//!
//! A fence is for the hart that executes it, so every hart has a log, and a context sees the fences
//! of a hart when that hart comes.

use crate::entry::Owner;
use crate::fence::Extent;
use crate::flush::{Dropped, Flush};
use crate::shadow::{BARE, Shadow, SwitchError, Switched, found_by, shared_index};
use alloc::boxed::Box;
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

/// How many of the fences that each hart has logged were carried out in each context, and in what
/// the contexts of each mode share.
pub(crate) struct Seen {
    harts: usize,
    /// For each slot, then for each mode that shares: a count for each hart. At last the counts of
    /// the logs themselves, as they were last given.
    counts: Box<[u64]>,
}

impl Seen {
    pub(crate) fn new(slots: usize, harts: usize) -> Seen {
        let rows = slots + 4;
        Seen {
            harts,
            counts: alloc::vec![0; rows * harts].into_boxed_slice(),
        }
    }

    fn rows(&self) -> usize {
        self.counts.len() / self.harts
    }

    fn at(&self, owner: Owner, hart: usize) -> usize {
        let row = match owner {
            Owner::Context(slot) => usize::from(slot),
            // What a Bare context shares is nothing, which has seen all.
            Owner::Shared(paging) => {
                shared_index(paging).map_or(self.rows() - 1, |index| self.rows() - 4 + index)
            }
        };
        row * self.harts + hart
    }

    /// `owner` has seen `count` fences of `hart`. Gives what it had seen before.
    fn advance(&mut self, owner: Owner, hart: usize, count: u64) -> u64 {
        let at = self.at(owner, hart);
        core::mem::replace(&mut self.counts[at], count)
    }

    /// The log of `hart` has `count` fences.
    fn logged(&mut self, hart: usize, count: u64) {
        let last = (self.rows() - 1) * self.harts;
        self.counts[last + hart] = count;
    }

    /// There is a new context in `slot`. It is empty, so that it has seen what was logged; of the
    /// harts that have logged more since they last gave their counts it will see that needlessly.
    pub(crate) fn begin(&mut self, slot: u16) {
        let last = (self.rows() - 1) * self.harts;
        let first = usize::from(slot) * self.harts;
        self.counts.copy_within(last..last + self.harts, first);
    }
}

impl Shadow {
    /// As [`Shadow::switch`], and carries out in the new context the fences that the hart has logged
    /// since the context last saw them. The hart carries out what it dropped, and with
    /// [`Dropped::all_harts`] the others too.
    ///
    /// # Errors
    ///
    /// See [`SwitchError`]; the hart stays in its context then.
    ///
    /// # Panics
    ///
    /// When there is no such hart.
    pub fn switch_logged(
        &mut self,
        hart: usize,
        satp: Satp,
        log: FenceLog,
    ) -> Result<Switched, SwitchError> {
        // Where the hart was, the fences were carried out when they were logged.
        let from = self.current[hart];
        for owner in self.owners(from) {
            self.seen.advance(owner, hart, log.count);
        }
        self.seen.logged(hart, log.count);
        let mut switched = self.switch(hart, satp)?;
        for owner in self.owners(self.current[hart]) {
            let dropped = self.catch_up(hart, owner, log);
            switched.dropped = switched.dropped.and(dropped);
        }
        switched.context = self.context(hart);
        Ok(switched)
    }

    /// The hart has gone to the context of `satp`, which is remembered, by itself: it had logged no
    /// fence that the context had not seen. `None` when there is no such context.
    ///
    /// # Panics
    ///
    /// When there is no such hart.
    pub fn follow(&mut self, hart: usize, satp: Satp) -> Option<()> {
        let slot = self.contexts.find(found_by(satp))?;
        if slot != self.current[hart] {
            self.enter(hart, slot);
        }
        Some(())
    }

    /// Carries out a fence of `va` in all address spaces, as far as the current context of `hart`
    /// is concerned. The caller logs it. The hart carries out what it dropped, and with
    /// [`Dropped::all_harts`] the others too.
    ///
    /// # Panics
    ///
    /// When there is no such hart.
    pub fn fence_current(&mut self, hart: usize, va: GuestVirt) -> Dropped {
        self.statistics.fences += 1;
        let cached = self.cached(Flush::Address(va));
        cached.and(self.fence_in(self.current[hart], va))
    }

    /// Whose entries the context in `slot` has.
    fn owners(&self, slot: u16) -> [Owner; 2] {
        let paging = self.contexts.get(slot).paging;
        [Owner::Shared(paging), Owner::Context(slot)]
    }

    /// A fence of `va` in the context in `slot` and what it shares.
    fn fence_in(&mut self, slot: u16, va: GuestVirt) -> Dropped {
        let owners = self.owners(slot).into_iter();
        owners.fold(Dropped::NONE, |dropped, owner| {
            dropped.and(self.fence_of(owner, va))
        })
    }

    /// A fence of `va` in what is `owner`'s.
    fn fence_of(&mut self, owner: Owner, va: GuestVirt) -> Dropped {
        match owner {
            Owner::Shared(paging) => self.drop_shared(paging, va, Extent::GuestLeaf),
            Owner::Context(slot) if self.contexts.get(slot).satp == BARE => Dropped::NONE,
            Owner::Context(slot) => self.drop_private(slot, va, Extent::GuestLeaf),
        }
    }

    /// Carries out what `owner` has not seen of the log of `hart`, or where that does not go back
    /// far enough a fence of everything. What was dropped before by other harts `hart` has not
    /// cached: it carried out each fence in its TLB when it logged it.
    fn catch_up(&mut self, hart: usize, owner: Owner, log: FenceLog) -> Dropped {
        let seen = self.seen.advance(owner, hart, log.count);
        let length = log.addresses.len() as u64;
        if log.count - seen > length {
            return match owner {
                Owner::Shared(paging) => self.empty_shared(paging),
                Owner::Context(slot) if self.contexts.get(slot).satp == BARE => Dropped::NONE,
                Owner::Context(slot) => self.empty_context(slot),
            };
        }
        (seen..log.count).fold(Dropped::NONE, |dropped, number| {
            let va = GuestVirt(log.addresses[(number % length) as usize]);
            dropped.and(self.fence_of(owner, va))
        })
    }
}
