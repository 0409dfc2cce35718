//! What a history is judged by: where accesses end, and where the shadow would have them end.

use super::machine::{Hart, Machine, right};
use super::{WINDOW_ENTRIES, is_in_window, window};
use crate::fill::{Frame, Frames};
use crate::paging::size;
use crate::shadow::View;
use crate::walk::{Access, GuestMemory, Kind};
use isa::address::GuestPhys;
use isa::pte::Pte;

impl Machine {
    /// The monitor itself runs in the guest's address spaces, with what the hardware has cached.
    pub(super) fn check_window(&mut self) {
        let paging = self.shadow.fixed.paging;
        for hart in 0..self.harts.len() {
            for view in View::ALL {
                let satp = self.hardware_satp(hart, view);
                for (number, entry) in WINDOW_ENTRIES.iter().enumerate() {
                    let va = window(paging, number as u64);
                    let found = self.hardware.translate(hart, satp, va);
                    let expected = Some((Pte(*entry), paging.root_level()));
                    assert_eq!(found, expected, "the window is lost at {va}");
                }
            }
        }
    }

    /// An access went through `leaf`: it must be one that a hart of the guest could have used.
    pub(super) fn check_access(&self, hart: usize, va: u64, access: Access, leaf: Pte, level: u32) {
        let view = if access.user { View::Vu } else { View::Vs };
        let satp = self.harts[hart].satp;
        let host = leaf.address() + (va & (size(level) - 1));
        let targets = self
            .history
            .targets(hart, satp, view, va, right(access.kind));
        let allowed = targets.iter().any(|target| {
            let gpa = GuestPhys(*target);
            let frame = self.keeper.frame(gpa);
            let original = self.memory.host(gpa).is_some_and(|at| at.0 == host);
            match (access.kind, frame) {
                (Kind::Store, frame) => original && frame == Frame::Plain,
                (Kind::Fetch, Frame::Patched { copy }) if view == View::Vs => {
                    original || copy.0 + gpa.offset() == host
                }
                _ => original,
            }
        });
        assert!(
            allowed,
            "{va:#x} {access:?} reached {host:#x} by {leaf:?}, not {targets:x?}"
        );
    }

    /// What is true after each step.
    pub(crate) fn check(&mut self) {
        self.check_window();
        let free = self.shadow.tables.free();
        for table in self.hardware.cached_tables() {
            assert!(
                !free.contains(&table),
                "{table:#x} is free, and a hart has a pointer to it"
            );
        }
        for (hart, Hart { satp, .. }) in self.harts.iter().enumerate() {
            for view in View::ALL {
                for probe in &self.history.probes {
                    let satp_of_view = self.hardware_satp(hart, view);
                    let Some((leaf, level)) = self.hardware.peek(satp_of_view, *probe) else {
                        continue;
                    };
                    if is_in_window(self.shadow.fixed.paging, *probe) {
                        continue;
                    }
                    let rights = leaf.0 & Pte::RWX;
                    let host = leaf.address() + (probe & (size(level) - 1));
                    let targets = self.history.targets(hart, *satp, view, *probe, rights);
                    let allowed = targets.iter().any(|target| {
                        let gpa = GuestPhys(*target);
                        let copy = match self.keeper.frame(gpa) {
                            Frame::Patched { copy } => {
                                copy.0 + gpa.offset() == host && rights == Pte::X
                            }
                            _ => false,
                        };
                        copy || self.memory.host(gpa).is_some_and(|at| at.0 == host)
                    });
                    assert!(allowed, "{probe:#x} {view:?}: {leaf:?}, not {targets:x?}");
                }
            }
        }
    }
}
