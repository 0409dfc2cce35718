//! Dropping what the guest's fences ask for.

use crate::entry::{Owner, PIECES, Step};
use crate::flush::{Dropped, Flush};
use crate::paging::Paging;
use crate::shadow::{Shadow, View};
use isa::address::GuestVirt;

impl Shadow {
    /// Carries out the guest's `sfence.vma` (or a remote fence), with `None` for x0: drops at
    /// least what the instruction orders ("Supervisor Memory-Management Fence Instruction").
    pub fn fence(&mut self, address: Option<GuestVirt>, asid: Option<u16>) -> Dropped {
        self.tables.settle();
        self.statistics.fences += 1;
        match (address, asid) {
            (None, None) => self.drop_everything(),
            (None, Some(asid)) => self.fence_asid(asid),
            (Some(va), _) if self.fixed.overlaps(va, 1) => Dropped::NONE,
            (Some(va), Some(asid)) => {
                let mut dropped = Dropped::NONE;
                let mut next = self.contexts.after(asid, None);
                while let Some(slot) = next {
                    if self.contexts.get(slot).satp.asid() == asid {
                        dropped = dropped.and(self.fence_private(slot, va));
                    }
                    next = self.contexts.after(asid, Some(slot));
                }
                dropped
            }
            (Some(va), None) => {
                let mut dropped = Dropped::NONE;
                for paging in [Paging::Sv39, Paging::Sv48, Paging::Sv57] {
                    dropped = dropped.and(self.fence_shared(paging, va));
                }
                for slot in 0..self.contexts.capacity() {
                    if self.contexts.is_live(slot) {
                        dropped = dropped.and(self.fence_private(slot, va));
                    }
                }
                dropped
            }
        }
    }

    /// Drops the VS leaf of `va` in the current context of `hart`, and where it is shared for all,
    /// if it can be executed: the next fetch asks [`Frames`](crate::Frames) anew.
    ///
    /// # Panics
    ///
    /// When there is no such hart.
    pub fn drop_execute(&mut self, hart: usize, va: GuestVirt) -> Dropped {
        self.tables.settle();
        let slot = self.current[hart];
        let canonical = self.contexts.get(slot).paging.is_canonical(va);
        if !canonical || self.fixed.overlaps(va, 1) {
            return Dropped::NONE;
        }
        let mut step = self.top(slot, View::Vs, va);
        let mut entry = self.get(step.place);
        while let Some(table) = self.own_child(entry) {
            step = step.down(table, va);
            entry = self.get(step.place);
        }
        if !entry.is_valid() || !entry.is_executable() {
            return Dropped::NONE;
        }
        self.set(step.place, self.empty(step.level, va));
        Dropped {
            flush: Flush::Address(va),
            vs_executable: true,
        }
    }

    /// Drops the leaf of `va` in every context, Bare ones too: the patched copy that it may map
    /// (see [`Frames::mapped_copy`](crate::Frames::mapped_copy)) goes away.
    pub fn drop_copy(&mut self, va: GuestVirt) -> Dropped {
        let mut dropped = self.fence(Some(va), None);
        for slot in 0..self.contexts.capacity() {
            if self.contexts.is_live(slot) && self.contexts.get(slot).paging == Paging::Bare {
                for view in View::ALL {
                    let step = self.top(slot, view, va);
                    dropped = dropped.and(self.fence_path(step, view, va));
                }
            }
        }
        dropped
    }

    /// Drops all leaves of the VM: what was allowed to map some frame no longer is.
    pub fn flush_all(&mut self) -> Dropped {
        self.tables.settle();
        self.drop_everything()
    }

    /// All address spaces but for what is global.
    fn fence_asid(&mut self, asid: u16) -> Dropped {
        let mut dropped = Dropped::NONE;
        let mut next = self.contexts.after(asid, None);
        while let Some(slot) = next {
            let record = self.contexts.get(slot);
            if record.satp.asid() == asid && record.paging != Paging::Bare {
                dropped = dropped.and(self.empty_context(slot, true));
            }
            next = self.contexts.after(asid, Some(slot));
        }
        dropped
    }

    /// Drops the leaf of `va` among what the contexts of `paging` share.
    fn fence_shared(&mut self, paging: Paging, va: GuestVirt) -> Dropped {
        if !paging.is_canonical(va) {
            return Dropped::NONE;
        }
        let slot = paging.root_slot(va);
        match self.shared(paging) {
            Some(shared) if shared.used.contains(slot) => {
                let step = Step::shared(paging, slot);
                self.fence_path(step, View::Vs, va)
            }
            _ => Dropped::NONE,
        }
    }

    /// Drops the leaves of `va` in both views of the context in `slot`, unless they are shared.
    fn fence_private(&mut self, slot: u16, va: GuestVirt) -> Dropped {
        let record = self.contexts.get(slot);
        if record.paging == Paging::Bare || !record.paging.is_canonical(va) {
            return Dropped::NONE;
        }
        let root_slot = record.paging.root_slot(va);
        let private = record.private;
        let mut dropped = Dropped::NONE;
        for view in View::ALL {
            if private[view as usize].contains(root_slot) {
                let step = self.top(slot, view, va);
                dropped = dropped.and(self.fence_path(step, view, va));
            }
        }
        dropped
    }

    /// Drops what stands for the guest's leaf at `va` on the path that begins with `step`.
    fn fence_path(&mut self, mut step: Step, view: View, va: GuestVirt) -> Dropped {
        loop {
            let entry = self.get(step.place);
            let Some(table) = self.own_child(entry) else {
                let is_leaf = entry.is_valid() && entry.is_leaf();
                if !is_leaf {
                    return Dropped::NONE;
                }
                self.set(step.place, self.empty(step.level, va));
                let vs_executable = view == View::Vs && entry.is_executable();
                return Dropped {
                    flush: Flush::Address(va),
                    vs_executable,
                };
            };
            if entry.0 & PIECES != 0 {
                self.set(step.place, self.empty(step.level, va));
                self.release_tree(step.owner, table, step.level - 1);
                let flush = self.flush_of_owner(step.owner);
                return Dropped {
                    flush,
                    vs_executable: view == View::Vs,
                };
            }
            step = step.down(table, va);
        }
    }
}

impl Step {
    /// The first step on the shared path through `slot` of the roots.
    fn shared(paging: Paging, slot: usize) -> Step {
        let place = crate::entry::Place::Shared(paging, slot);
        Step {
            place,
            level: paging.root_level(),
            owner: Owner::Shared(paging),
        }
    }
}
