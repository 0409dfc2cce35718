//! The patcher of one virtual machine: from an instruction that trapped to a patch in place.

use isa::address::{GuestPhys, HostPhys, PAGE_SIZE};
use isa::decode::{Instruction, length};

use crate::map::{EmulationMap, Patch};
use crate::pages::Pages;
use crate::routines::{ExecutableMemory, Routines};
use crate::template::Maker;

/// Pages for patched copies.
pub trait Memory {
    /// Copies the guest frame that holds `address` to a new page, or `None` when there is none.
    fn copy_frame(&mut self, address: GuestPhys) -> Option<HostPhys>;
    /// Gives a copy back.
    fn free_copy(&mut self, copy: HostPhys);
    /// Writes a halfword, at an even address in a copy.
    fn write(&mut self, at: HostPhys, halfword: u16);
}

/// What [`Patcher::place`] did, and what its caller must do for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Placed {
    /// The patch is in place. `new_copy`: the frame had no copy before, so that the VS view must be
    /// filled again from it.
    Patched {
        /// The frame had no copy before.
        new_copy: bool,
    },
    /// Nothing was done, because the frame may be mapped writable: what a hart writes after the copy
    /// was made would be lost on it. Every such mapping must go
    /// ([`Pages::clear_writable`]) before the instruction can be patched.
    Writable,
    /// The instruction is patched already: it was executed from the original, which a VS view still
    /// maps here.
    Served,
    /// The instruction stays as it is: it has no template, straddles two pages, or its page has not
    /// earned a new copy yet.
    No,
}

/// Something ran full while a patch was to be placed: call [`Patcher::recycle`] and try again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Full;

/// Counts of what the patcher did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Patches placed.
    pub placed: u64,
    /// Copies dropped because the guest wrote to the page.
    pub dropped: u64,
    /// Times that everything was recycled.
    pub recycled: u64,
    /// Instructions left alone because they straddle two pages.
    pub straddling: u64,
}

/// Whether an instruction of 4 bytes at `offset` in its page is left alone because it straddles two.
/// The second halfword's page may be mapped, written and dropped by itself; one such instruction in a
/// thousand is not worth tying two pages together.
#[must_use]
pub const fn straddles(offset: u64) -> bool {
    offset > PAGE_SIZE - 4
}

/// The patcher.
pub struct Patcher<X, M> {
    maker: Maker,
    routines: Routines<X>,
    map: EmulationMap,
    pages: Pages,
    memory: M,
    counts: Counts,
}

impl<X: ExecutableMemory, M: Memory> Patcher<X, M> {
    /// A patcher with nothing patched; `values` bounds the values in use.
    pub fn new(maker: Maker, executable: X, values: usize, pages: Pages, memory: M) -> Self {
        Self {
            maker,
            routines: Routines::new(executable),
            map: EmulationMap::new(values),
            pages,
            memory,
            counts: Counts::default(),
        }
    }

    /// Patches the instruction `word` that was executed in VS at guest-physical `at`. A compressed one
    /// has no room for its value: only the break is written, and the slow path leads a hart from its
    /// address to [`Patcher::routine`] once. When `before_writing` has returned, no other hart executes in the copy until it has executed
    /// `fence.i`, and none does before this returns.
    pub fn place(
        &mut self,
        at: GuestPhys,
        instruction: &Instruction,
        word: u32,
        before_writing: impl FnOnce(),
    ) -> Result<Placed, Full> {
        if straddles(at.offset()) {
            self.counts.straddling += 1;
            return Ok(Placed::No);
        }
        if self.pages.copy(at).is_some() && self.pages.site(at).is_some() {
            return Ok(Placed::Served);
        }
        // A guest may jump into the middle of an instruction: two patches must not overlap.
        let near = [at.add(2), GuestPhys(at.0 - 2)];
        let taken = near
            .into_iter()
            .any(|near| near.page() == at.page() && self.pages.site(near).is_some());
        if taken
            || instruction.is_integer_access() && self.pages.is_mixed(at)
            || !self.pages.earns_patch(at)
        {
            return Ok(Placed::No);
        }
        if self.pages.copy(at).is_none() && self.pages.is_writable(at) {
            return Ok(Placed::Writable);
        }
        let routine = match self.routines.find(word) {
            Some(routine) => routine,
            None => match self.maker.make(instruction, word) {
                Some(code) => self.routines.insert(word, &code).ok_or(Full)?,
                None => return Ok(Placed::No),
            },
        };
        let (copy, new_copy) = match self.pages.copy(at) {
            Some(copy) => (copy, false),
            None => (self.memory.copy_frame(at).ok_or(Full)?, true),
        };
        let site = copy.add(at.offset());
        let Some(value) = self.map.insert(site, routine) else {
            if new_copy {
                self.memory.free_copy(copy);
            }
            return Err(Full);
        };
        if new_copy {
            self.pages.set_copy(at, copy);
        }
        before_writing();
        // The break first: whoever meets it before the payload finds no registered value.
        self.memory.write(site, Patch::BREAK);
        if length(word as u16) == 4 {
            self.memory.write(site.add(2), value);
        }
        self.pages.add_site(at, value);
        self.counts.placed += 1;
        Ok(Placed::Patched { new_copy })
    }

    /// Drops the copy of the frame that holds `at`, because the guest writes to it or reads it as
    /// data all the time. The caller has unmapped the copy from every VS view and emptied the site
    /// cache of every hart that had it. Returns whether there was one.
    pub fn drop_copy(&mut self, at: GuestPhys) -> bool {
        let Some((copy, sites)) = self.pages.take(at) else {
            return false;
        };
        for site in sites {
            self.map.remove(site.value);
        }
        self.memory.free_copy(copy);
        self.counts.dropped += 1;
        true
    }

    /// Starts over with no patches, routines or values. The caller has unmapped every copy and emptied
    /// every site cache, and no hart is about to enter a routine.
    pub fn recycle(&mut self) {
        self.forget(|pages, memory| pages.take_all(|copy| memory.free_copy(copy)));
        self.counts.recycled += 1;
    }

    /// As [`recycle`](Self::recycle), and forgets the history of pages: the machine was reset.
    pub fn reset(&mut self) {
        self.forget(|pages, memory| pages.reset(|copy| memory.free_copy(copy)));
    }

    fn forget(&mut self, take: impl FnOnce(&mut Pages, &mut M)) {
        take(&mut self.pages, &mut self.memory);
        self.map.clear();
        self.routines.clear();
    }

    /// The routine of the patch at `at`.
    pub fn routine(&self, at: GuestPhys) -> Option<u64> {
        let site = self.pages.copy(at)?.add(at.offset());
        self.map.routine(self.pages.site(at)?, site)
    }

    /// The emulation map.
    pub fn map(&self) -> &EmulationMap {
        &self.map
    }

    /// The frames and their copies.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// The frames and their copies, to note mappings and reads.
    pub fn pages_mut(&mut self) -> &mut Pages {
        &mut self.pages
    }

    /// The routine cache.
    pub fn routines(&self) -> &Routines<X> {
        &self.routines
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}
