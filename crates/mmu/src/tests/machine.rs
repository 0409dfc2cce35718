//! A monitor, in as little code as that takes, with a guest and the worst of hardware, checked at
//! each step.

use super::frames::Keeper;
use super::hardware::Hardware;
use super::history::History;
use super::memory::Memory;
use super::naive::{self, Wish};
use super::{WINDOW, WINDOW_ENTRIES, config, pool};
use crate::fill::{FillError, Filled, Frame, Frames};
use crate::flush::{Dropped, Flush};
use crate::log::FenceLog;
use crate::paging::size;
use crate::shadow::{Config, Shadow, View};
use crate::walk::{Access, GuestMemory, Kind, walk};
use isa::address::{GuestPhys, GuestVirt};
use isa::pte::Pte;
use isa::satp::Satp;
use std::collections::BTreeMap;
use std::vec::Vec;

pub(crate) struct Machine {
    pub(crate) memory: Memory,
    pub(crate) keeper: Keeper,
    pub(crate) shadow: Shadow,
    hardware: Hardware,
    history: History,
    /// The guest's `satp` of each hart.
    satps: Vec<Satp>,
    /// The fences of an address in all spaces, where contexts that are not current see them late.
    log: Option<Vec<u64>>,
    fences: u64,
    /// What each hart has executed in VS, by virtual address: host addresses.
    executed: Vec<BTreeMap<u64, u64>>,
    /// Accesses that ended in memory.
    pub(crate) done: usize,
}

/// How often a hart may fault on one access: for the fill, for an invalid entry that the hardware
/// has cached, for a copy to be dropped, and once more for each of these.
const PATIENCE: usize = 6;

impl Machine {
    pub(crate) fn new(pages: usize, harts: usize, asid_bits: u32, probes: Vec<u64>) -> Machine {
        let pool = pool(pages);
        let config = Config {
            asid_bits,
            ..config(harts, 5)
        };
        let shadow = Shadow::new(pool, &config).expect("a shadow");
        let mut hardware = Hardware::new(pool, harts);
        hardware.fence_on_switch = shadow.needs_fence_on_switch();
        Machine {
            memory: Memory::default(),
            keeper: Keeper::default(),
            shadow,
            hardware,
            history: History::new(probes),
            satps: std::vec![Satp(0); harts],
            executed: std::vec![BTreeMap::new(); harts],
            log: None,
            fences: 0,
            done: 0,
        }
    }

    /// Logs fences instead of carrying them out in all contexts, on the one hart that there is.
    pub(crate) fn log_fences(&mut self) {
        self.log = Some(std::vec![0; 3]);
    }

    /// The guest has written its tables.
    pub(crate) fn record(&mut self) {
        for satp in &self.satps {
            self.history.record(&self.memory, *satp);
        }
    }

    pub(crate) fn switch(&mut self, hart: usize, satp: Satp) {
        self.satps[hart] = satp;
        let switched = match &self.log {
            Some(addresses) => {
                let log = FenceLog {
                    count: self.fences,
                    addresses,
                };
                self.shadow.switch_logged(hart, satp, log)
            }
            None => self.shadow.switch(hart, satp),
        };
        let switched = switched.expect("a mode");
        self.apply(switched.dropped);
        self.record();
    }

    pub(crate) fn fence(&mut self, address: Option<u64>, asid: Option<u16>) {
        self.history.fence(address, asid);
        let dropped = match (&mut self.log, address, asid) {
            (Some(log), Some(va), None) => {
                let length = log.len() as u64;
                log[(self.fences % length) as usize] = va;
                self.fences += 1;
                self.shadow.fence_current(0, GuestVirt(va))
            }
            _ => self.shadow.fence(address.map(GuestVirt), asid),
        };
        self.apply(dropped);
        self.record();
    }

    /// A frame becomes patched or protected.
    pub(crate) fn guard(&mut self, hart: usize, va: u64, gpa: u64, patch: bool) {
        self.lift(gpa);
        if patch {
            self.keeper.patch(gpa);
        } else {
            self.keeper.frames.insert(gpa, Frame::Protected);
        }
        if self.keeper.was_writable(gpa) {
            self.flush_all();
        } else {
            let dropped = self.shadow.drop_execute(hart, GuestVirt(va));
            self.apply(dropped);
        }
    }

    /// A frame becomes plain again, and what was its copy anything.
    pub(crate) fn lift(&mut self, gpa: u64) {
        match self.keeper.frames.remove(&gpa) {
            Some(Frame::Patched { .. }) => {
                let copies = self.keeper.copies_at.borrow().clone();
                for (_, va) in copies.iter().filter(|(of, _)| *of == gpa) {
                    let dropped = self.shadow.drop_copy(GuestVirt(*va));
                    self.apply(dropped);
                }
                self.keeper
                    .copies_at
                    .borrow_mut()
                    .retain(|(of, _)| *of != gpa);
            }
            Some(_) => self.flush_all(),
            None => {}
        }
    }

    fn flush_all(&mut self) {
        self.keeper.writable.borrow_mut().clear();
        let dropped = self.shadow.flush_all();
        self.apply(dropped);
    }

    fn apply(&mut self, dropped: Dropped) {
        if dropped.vs_executable {
            self.executed.iter_mut().for_each(BTreeMap::clear);
        }
        // The hardware may have forgotten all but the way to the window.
        for entry in 0..WINDOW_ENTRIES.len() as u64 {
            self.hardware.forget(WINDOW.add(entry << 30), 2);
        }
        self.check_window();
        self.hardware.flush(dropped.flush);
    }

    /// The monitor itself runs in the guest's address spaces, with what the hardware has cached.
    fn check_window(&mut self) {
        for hart in 0..self.satps.len() {
            for view in View::ALL {
                let satp = self.hardware_satp(hart, view);
                for (number, entry) in WINDOW_ENTRIES.iter().enumerate() {
                    let va = WINDOW.add((number as u64) << 30);
                    let found = self.hardware.translate(hart, satp, va);
                    assert_eq!(found, Some((Pte(*entry), 2)), "the window is lost at {va}");
                }
            }
        }
    }

    fn hardware_satp(&self, hart: usize, view: View) -> u64 {
        let context = self.shadow.context(hart);
        match view {
            View::Vs => context.satp_vs,
            View::Vu => context.satp_vu,
        }
    }

    /// The hardware looks at `va` for no reason.
    pub(crate) fn speculate(&mut self, hart: usize, va: u64, view: View) {
        let satp = self.hardware_satp(hart, view);
        let _ = self.hardware.translate(hart, satp, GuestVirt(va));
    }

    /// An instruction accesses `va`.
    pub(crate) fn access(&mut self, hart: usize, va: u64, access: Access) {
        let view = if access.user { View::Vu } else { View::Vs };
        for _ in 0..PATIENCE {
            let satp = self.hardware_satp(hart, view);
            if let Some((leaf, level)) = self.hardware.translate(hart, satp, GuestVirt(va))
                && leaf.0 & right(access.kind) != 0
                && leaf.is_user()
            {
                self.check_access(hart, va, access, leaf, level);
                if access.kind == Kind::Fetch && view == View::Vs {
                    let host = leaf.address() + (va & (size(level) - 1));
                    let before = *self.executed[hart].entry(va).or_insert(host);
                    assert_eq!(before, host, "another instruction at {va:#x}, unannounced");
                }
                self.done += 1;
                return;
            }
            if !self.fault(hart, va, access) {
                return;
            }
        }
        panic!("{va:#x} {access:?}: the hart faults for ever");
    }

    /// A fault: whether to try again.
    fn fault(&mut self, hart: usize, va: u64, access: Access) -> bool {
        let satp = self.satps[hart];
        let before = self.memory.words.borrow().clone();
        let found = walk(&self.memory, satp, GuestVirt(va), access);
        let mut expected_words = before.clone();
        if satp.mode() != 0 {
            let read = |at: u64| {
                let word = before.get(&at).copied().unwrap_or(0);
                self.memory.host(GuestPhys(at)).map(|_| word)
            };
            let Access { user, sum, mxr, .. } = access;
            let expected = naive::translate(
                &read,
                satp.0,
                va,
                Wish {
                    right: right(access.kind),
                    user,
                    sum,
                    mxr,
                },
            );
            assert_eq!(found.is_ok(), expected.is_ok());
            if let Ok((_, leaf)) = expected {
                expected_words.insert(leaf.at, leaf.pte);
            }
        }
        assert_eq!(
            *self.memory.words.borrow(),
            expected_words,
            "A and D in the guest's tables"
        );
        self.record();
        let Ok(translation) = found else { return false };
        let va = GuestVirt(va);
        let gpa = translation.address;
        let filled = self
            .shadow
            .fill(&self.memory, &self.keeper, hart, va, &translation, access);
        match filled {
            Ok(Filled::Installed(dropped)) => {
                self.apply(dropped);
                let (memory, keeper) = (&self.memory, &self.keeper);
                self.shadow
                    .fill_around(memory, keeper, hart, va, &translation, access);
            }
            Ok(Filled::Spurious) => self.hardware.flush(Flush::Address(va)),
            Ok(Filled::ExecuteOnly) => {
                assert_eq!(access.kind, Kind::Load);
                let patched = matches!(self.keeper.frame(gpa), Frame::Patched { .. });
                assert!(patched || (access.mxr && !translation.pte.is_readable()));
                return false;
            }
            Ok(Filled::WriteProtected) => {
                assert_eq!(access.kind, Kind::Store);
                assert_ne!(self.keeper.frame(gpa), Frame::Plain);
                self.lift(gpa.page().0);
            }
            Err(FillError::Window(at)) => {
                assert!((WINDOW.0..WINDOW.0 + (2 << 30)).contains(&at.0));
                return false;
            }
            Err(FillError::NotRam(at)) => {
                assert_eq!((at, self.memory.host(at)), (gpa, None));
                return false;
            }
            Err(FillError::BeyondSv39(_)) => {
                assert_eq!(satp.mode(), 0);
                return false;
            }
            Err(FillError::Rights) => panic!("{va:#x} {access:?} {translation:?}"),
        }
        true
    }

    /// An access went through `leaf`: it must be one that a hart of the guest could have used.
    fn check_access(&self, hart: usize, va: u64, access: Access, leaf: Pte, level: u32) {
        let view = if access.user { View::Vu } else { View::Vs };
        let satp = self.satps[hart];
        let host = leaf.address() + (va & (size(level) - 1));
        let targets = self.history.targets(satp, view, va, right(access.kind));
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
        for (hart, satp) in self.satps.iter().enumerate() {
            for view in View::ALL {
                for probe in &self.history.probes {
                    let Some((leaf, level)) = self.shadow.lookup(hart, view, GuestVirt(*probe))
                    else {
                        continue;
                    };
                    if (WINDOW.0..WINDOW.0 + (2 << 30)).contains(probe) {
                        continue;
                    }
                    let rights = leaf.0 & Pte::RWX;
                    let host = leaf.address() + (probe & (size(level) - 1));
                    let targets = self.history.targets(*satp, view, *probe, rights);
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

fn right(kind: Kind) -> u64 {
    match kind {
        Kind::Fetch => Pte::X,
        Kind::Load => Pte::R,
        Kind::Store => Pte::W,
    }
}
