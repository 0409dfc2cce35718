//! A guest with one hart and its shadow, for statements.

use super::frames::Keeper;
use super::memory::Memory;
use super::{config_in, pool};
use crate::fill::{FillError, Filled};
use crate::flush::{Dropped, Flush};
use crate::paging::Paging;
use crate::shadow::{Shadow, SwitchError, Switched, View};
use crate::walk::{Access, Fault, walk};
use isa::address::GuestVirt;
use isa::pte::Pte;
use isa::satp::Satp;

pub(crate) struct Guest {
    pub(crate) memory: Memory,
    pub(crate) frames: Keeper,
    pub(crate) shadow: Shadow,
    pub(crate) satp: Satp,
}

impl Guest {
    /// A guest in Bare mode with a pool of so many pages and 8 contexts.
    pub(crate) fn new(pages: usize) -> Guest {
        Guest::new_in(Paging::Sv57, pages)
    }

    fn new_in(paging: Paging, pages: usize) -> Guest {
        Guest {
            memory: Memory::default(),
            frames: Keeper::default(),
            shadow: Shadow::new(pool(pages), &config_in(paging, 1, 8)).expect("a shadow"),
            satp: Satp(0),
        }
    }

    /// A guest in a new address space of `mode` with ASID 1.
    pub(crate) fn paged(mode: u8) -> Guest {
        Guest::paged_in(Paging::Sv57, mode)
    }

    /// The same in a shadow of `paging`.
    pub(crate) fn paged_in(paging: Paging, mode: u8) -> Guest {
        let mut guest = Guest::new_in(paging, 2048);
        let satp = guest.memory.space(mode, 1);
        let _ = guest.switch(satp);
        guest
    }

    pub(crate) fn switch(&mut self, satp: Satp) -> Switched {
        self.satp = satp;
        self.shadow.settle();
        match self.shadow.switch(0, satp) {
            Err(SwitchError::Full) => {
                let room = self.shadow.make_room();
                self.shadow.settle();
                let mut switched = self.shadow.switch(0, satp).expect("room");
                switched.dropped = switched.dropped.and(room);
                switched
            }
            switched => switched.expect("a mode"),
        }
    }

    /// A fault at `va`: walk and fill, and again after what has to be done for the fill. It gives
    /// all that was dropped.
    pub(crate) fn fault(&mut self, va: u64, access: Access) -> Result<Filled, FillError> {
        let va = GuestVirt(va);
        let mut before = Dropped::NONE;
        loop {
            self.shadow.settle();
            match self.fill(va, access) {
                Ok(Filled::Cleared(dropped)) => before = before.and(dropped),
                Err(FillError::Full) => before = before.and(self.shadow.make_room()),
                Ok(Filled::Installed(dropped)) => {
                    return Ok(Filled::Installed(before.and(dropped)));
                }
                other => return other,
            }
        }
    }

    /// One walk and one fill.
    pub(crate) fn fill(&mut self, va: GuestVirt, access: Access) -> Result<Filled, FillError> {
        let translation = self.translate(va.0, access).expect("a translation");
        self.shadow
            .fill(&self.memory, &self.frames, 0, va, &translation, access)
    }

    pub(crate) fn translate(
        &self,
        va: u64,
        access: Access,
    ) -> Result<crate::walk::Translation, Fault> {
        walk(&self.memory, self.satp, GuestVirt(va), access)
    }

    /// As [`Guest::fault`], where a leaf must get installed.
    pub(crate) fn install(&mut self, va: u64, access: Access) -> Dropped {
        match self.fault(va, access) {
            Ok(Filled::Installed(dropped)) => dropped,
            other => panic!("{va:#x} {access:?}: {other:?}"),
        }
    }

    /// The leaf at `va`: host address of its page, flags, level.
    pub(crate) fn leaf(&self, view: View, va: u64) -> Option<(u64, u64, u32)> {
        let (pte, level) = self.shadow.lookup(0, view, GuestVirt(va))?;
        Some((pte.address(), pte.flags(), level))
    }

    /// The R, W and X of the leaf at `va`, 0 for none.
    pub(crate) fn rights(&self, view: View, va: u64) -> u64 {
        self.leaf(view, va)
            .map_or(0, |(_, flags, _)| flags & Pte::RWX)
    }

    pub(crate) fn fence(&mut self, va: Option<u64>, asid: Option<u16>) -> Flush {
        self.shadow.settle();
        self.shadow.fence(va.map(GuestVirt), asid).flush
    }
}
