//! Dropping what the guest's fences ask for.

use crate::entry::{Owner, PIECES, Place, Step};
use crate::flush::{Dropped, Flush};
use crate::paging::Paging;
use crate::shadow::{BARE, Shadow, View};
use isa::address::GuestVirt;

/// How much to drop at an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extent {
    /// All that stands for the guest's leaf there, which may have been shadowed in pieces.
    GuestLeaf,
    /// The one leaf of the shadow.
    ShadowLeaf,
}

impl Shadow {
    /// Carries out the guest's `sfence.vma` (or a remote fence), with `None` for x0: drops at
    /// least what the instruction orders ("Supervisor Memory-Management Fence Instruction").
    ///
    /// A local fence is carried out by the hart that executed it, a remote one by the harts that
    /// the guest named, and either by all with [`Dropped::all_harts`].
    pub fn fence(&mut self, address: Option<GuestVirt>, asid: Option<u16>) -> Dropped {
        self.statistics.fences += 1;
        match (address, asid) {
            (None, None) => self.drop_everything(),
            (None, Some(asid)) => self.fence_asid(asid),
            (Some(va), Some(asid)) => {
                let mut dropped = self.cached(Flush::Address(va));
                let mut next = self.contexts.after(asid, None);
                while let Some(slot) = next {
                    let satp = self.contexts.get(slot).satp;
                    if satp.asid() == asid && satp != BARE {
                        dropped = dropped.and(self.drop_private(slot, va, Extent::GuestLeaf));
                    }
                    next = self.contexts.after(asid, Some(slot));
                }
                dropped
            }
            (Some(va), None) => {
                let cached = self.cached(Flush::Address(va));
                cached.and(self.drop_everywhere(va, Extent::GuestLeaf))
            }
        }
    }

    /// What a hart that fences may have cached though the shadow does not have it: another hart's
    /// operation may have taken it away, and only that hart has forgotten it.
    pub(crate) fn cached(&self, flush: Flush) -> Dropped {
        let alone = self.current.len() == 1;
        Dropped::local(if alone { Flush::None } else { flush })
    }

    /// Drops the VS leaf of `va` in the current context of `hart`, and where it is shared for all,
    /// if it can be executed: the next fetch asks [`Frames`](crate::Frames) anew. All harts carry
    /// out what it dropped.
    ///
    /// # Panics
    ///
    /// When there is no such hart.
    pub fn drop_execute(&mut self, hart: usize, va: GuestVirt) -> Dropped {
        let slot = self.current[hart];
        if !self.fixed.paging.is_canonical(va) || self.fixed.contains(va) {
            return Dropped::NONE;
        }
        let mut step = self.top(slot, View::Vs, va);
        let mut entry = self.get(step.place);
        while let Some(table) = self.tables.child(entry) {
            step = step.down(table, va);
            entry = self.get(step.place);
        }
        if !entry.is_valid() || !entry.is_executable() {
            return Dropped::NONE;
        }
        self.set(step.place, self.empty(step.level, va));
        Dropped::leaf(va, true)
    }

    /// Drops the leaf of `va` in every context, Bare ones too: the patched copy that it may map
    /// (see [`Frames::mapped_copy`](crate::Frames::mapped_copy)) goes away. All harts carry out
    /// what it dropped. If it drops nothing no hart has the copy cached: all have carried out what
    /// took the leaf away, as it was executable.
    pub fn drop_copy(&mut self, va: GuestVirt) -> Dropped {
        let dropped = self.drop_everywhere(va, Extent::ShadowLeaf);
        match self.contexts.find(BARE) {
            Some(slot) => dropped.and(self.drop_private(slot, va, Extent::ShadowLeaf)),
            None => dropped,
        }
    }

    /// Drops all leaves of the VM: what was allowed to map some frame no longer is. All harts
    /// carry it out, whatever was there: they may have cached what others dropped.
    pub fn flush_all(&mut self) -> Dropped {
        self.drop_everything()
    }

    /// All address spaces but for what is global.
    fn fence_asid(&mut self, asid: u16) -> Dropped {
        let mut dropped = Dropped::NONE;
        let mut next = self.contexts.after(asid, None);
        while let Some(slot) = next {
            let record = self.contexts.get(slot);
            if record.satp.asid() == asid && record.satp != BARE {
                dropped = dropped.and(self.cached(self.flush_of(slot)));
                dropped = dropped.and(self.empty_context(slot));
            }
            next = self.contexts.after(asid, Some(slot));
        }
        dropped
    }

    /// Drops the leaf of `va` in all contexts but the Bare one.
    fn drop_everywhere(&mut self, va: GuestVirt, extent: Extent) -> Dropped {
        let mut dropped = Dropped::NONE;
        for paging in [Paging::Sv39, Paging::Sv48, Paging::Sv57] {
            dropped = dropped.and(self.drop_shared(paging, va, extent));
        }
        for slot in 0..self.contexts.capacity() {
            if self.contexts.is_live(slot) && self.contexts.get(slot).satp != BARE {
                dropped = dropped.and(self.drop_private(slot, va, extent));
            }
        }
        dropped
    }

    /// Drops the leaf of `va` among what the contexts of `paging` share.
    pub(crate) fn drop_shared(&mut self, paging: Paging, va: GuestVirt, extent: Extent) -> Dropped {
        if !self.fixed.paging.is_canonical(va) {
            return Dropped::NONE;
        }
        let slot = self.fixed.paging.root_slot(va);
        match self.shared(paging) {
            Some(shared) if shared.used.contains(slot) => {
                let step = self.shared_step(paging, slot);
                self.drop_path(step, View::Vs, va, extent)
            }
            _ => Dropped::NONE,
        }
    }

    /// Drops the leaves of `va` in both views of the context in `slot`, unless they are shared.
    pub(crate) fn drop_private(&mut self, slot: u16, va: GuestVirt, extent: Extent) -> Dropped {
        if !self.fixed.paging.is_canonical(va) {
            return Dropped::NONE;
        }
        let root_slot = self.fixed.paging.root_slot(va);
        let private = self.contexts.get(slot).private;
        let mut dropped = Dropped::NONE;
        for view in View::ALL {
            if private[view as usize].contains(root_slot) {
                let step = self.top(slot, view, va);
                dropped = dropped.and(self.drop_path(step, view, va, extent));
            }
        }
        dropped
    }

    /// Drops `extent` at `va` on the path that begins with `step`.
    fn drop_path(&mut self, mut step: Step, view: View, va: GuestVirt, extent: Extent) -> Dropped {
        loop {
            let entry = self.get(step.place);
            let Some(table) = self.tables.child(entry) else {
                let empty = self.empty(step.level, va);
                if entry == empty {
                    return Dropped::NONE;
                }
                self.set(step.place, empty);
                return Dropped::leaf(va, view == View::Vs && entry.is_executable());
            };
            if extent == Extent::GuestLeaf && entry.0 & PIECES != 0 {
                self.set(step.place, self.empty(step.level, va));
                self.release_tree(step.owner, table, step.level - 1);
                // A hart that fences the guest's leaf later would find no pieces here, and by the
                // address forget one of them alone.
                return Dropped {
                    flush: self.flush_of_owner(step.owner),
                    vs_executable: view == View::Vs,
                    all_harts: true,
                };
            }
            step = step.down(table, va);
        }
    }

    /// The first step on the path through `slot` of the roots that the contexts of `paging` share.
    fn shared_step(&self, paging: Paging, slot: usize) -> Step {
        Step {
            place: Place::Shared(paging, slot),
            level: self.fixed.paging.root_level(),
            owner: Owner::Shared(paging),
        }
    }
}
