//! A monitor, in as little code as that takes, with a guest and the worst of hardware, checked at
//! each step.

use super::frames::Keeper;
use super::hardware::Hardware;
use super::history::History;
use super::memory::Memory;
use super::naive::{self, Wish};
use super::{WINDOW_ENTRIES, config_in, is_in_window, pool, window};
use crate::entry::PIECES;
use crate::fill::{FillError, Filled, Frame, Frames};
use crate::flush::{Dropped, Flush};
use crate::log::FenceLog;
use crate::paging::{Paging, size};
use crate::shadow::{Config, Context, Shadow, SwitchError, View};
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
    pub(super) hardware: Hardware,
    pub(super) history: History,
    pub(super) harts: Vec<Hart>,
    /// Fences of an address in all spaces are logged, and contexts that are not current see them late.
    logs: bool,
    /// What another hart does during the next fill.
    pub(crate) race: Option<Race>,
    /// Accesses that ended in memory.
    pub(crate) done: usize,
}

/// A hart of the guest, and what the monitor remembers for it.
#[derive(Clone)]
pub(super) struct Hart {
    /// The guest's.
    pub(super) satp: Satp,
    /// The hardware's.
    context: Context,
    /// Where it may go by itself.
    table: Vec<(Satp, Context)>,
    log: [u64; 3],
    fences: u64,
    /// The fences that all contexts in the table have seen.
    fences_seen: u64,
    /// What it has executed in VS, by virtual address: host addresses.
    executed: BTreeMap<u64, u64>,
}

/// A hart writes the guest's tables and fences without the lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Race {
    pub(crate) hart: usize,
    pub(crate) at: u64,
    pub(crate) pte: u64,
    pub(crate) va: u64,
}

/// How often a hart may fault on one access: for the fill, for what other harts must know before, for
/// stale entries that the hardware has cached, for a copy to be dropped, for room, for a race, and once
/// more for most of these.
const PATIENCE: usize = 16;

impl Machine {
    pub(crate) fn new(
        paging: Paging,
        pages: usize,
        harts: usize,
        asid_bits: u32,
        probes: Vec<u64>,
    ) -> Machine {
        let pool = pool(pages);
        let config = Config {
            asid_bits,
            // With several harts one more than they can be in at once.
            ..config_in(paging, harts, if harts == 1 { 5 } else { 0 })
        };
        let shadow = Shadow::new(pool, &config).expect("a shadow");
        let mut hardware = Hardware::new(pool, harts);
        hardware.fence_on_switch = shadow.needs_fence_on_switch();
        let hart = Hart {
            satp: Satp(0),
            context: shadow.context(0),
            table: Vec::new(),
            log: [0; 3],
            fences: 0,
            fences_seen: 0,
            executed: BTreeMap::new(),
        };
        Machine {
            memory: Memory::default(),
            keeper: Keeper::default(),
            shadow,
            hardware,
            history: History::new(probes, harts),
            harts: std::vec![hart; harts],
            logs: false,
            race: None,
            done: 0,
        }
    }

    /// Logs fences instead of carrying them out in all contexts.
    pub(crate) fn log_fences(&mut self) {
        self.logs = true;
    }

    /// The guest has written its tables.
    pub(crate) fn record(&mut self) {
        for hart in &self.harts {
            self.history.record(&self.memory, hart.satp);
        }
    }

    /// A hart comes to the monitor, which takes the lock.
    fn enter(&mut self, hart: usize) {
        let satp = self.harts[hart].satp;
        self.shadow.follow(hart, satp).expect("a context");
    }

    /// The hart goes back to the guest, where it may go to this context again by itself.
    fn leave(&mut self, number: usize) {
        let context = self.shadow.context(number);
        let hart = &mut self.harts[number];
        hart.context = context;
        if context.private_execute || hart.satp.mode() == 0 || !self.logs {
            hart.table.clear();
        } else if hart.fences_seen == hart.fences && !context.private_upper {
            hart.table.retain(|(satp, _)| *satp != hart.satp);
            hart.table.push((hart.satp, context));
        }
    }

    pub(crate) fn switch(&mut self, number: usize, satp: Satp) {
        self.enter(number);
        let switched = loop {
            let hart = &self.harts[number];
            let log = FenceLog {
                count: hart.fences,
                addresses: &hart.log,
            };
            let switched = match self.logs {
                true => self.shadow.switch_logged(number, satp, log),
                false => self.shadow.switch(number, satp),
            };
            match switched {
                Err(SwitchError::Full) => self.make_room(),
                other => break other.expect("a mode"),
            }
        };
        let hart = &mut self.harts[number];
        if hart.fences_seen != hart.fences || hart.satp.mode() != satp.mode() {
            hart.table.clear();
            hart.fences_seen = hart.fences;
        }
        hart.satp = satp;
        self.apply(number, switched.dropped);
        self.leave(number);
        self.record();
    }

    /// A routine goes to the context of `satp` without the monitor, if it may.
    pub(crate) fn hop(&mut self, number: usize, satp: Satp) {
        let hart = &mut self.harts[number];
        let entry = hart.table.iter().find(|(of, _)| *of == satp);
        if let Some((satp, context)) = entry.filter(|_| hart.fences == hart.fences_seen) {
            (hart.satp, hart.context) = (*satp, *context);
            self.record();
        }
    }

    /// A fence on each of `harts`, which the first or another asks for.
    pub(crate) fn fence(&mut self, harts: &[usize], address: Option<u64>, asid: Option<u16>) {
        for hart in harts {
            self.history.fence(*hart, address, asid);
        }
        self.enter(harts[0]);
        let dropped = match (address, asid) {
            (Some(va), None) if self.logs && harts.len() == 1 => {
                self.log(harts[0], va);
                self.shadow.fence_current(harts[0], GuestVirt(va))
            }
            _ => self.shadow.fence(address.map(GuestVirt), asid),
        };
        for hart in &harts[1..] {
            self.forget(*hart, dropped);
        }
        self.apply(harts[0], dropped);
        self.leave(harts[0]);
        self.record();
    }

    fn log(&mut self, hart: usize, va: u64) {
        let hart = &mut self.harts[hart];
        hart.log[(hart.fences % 3) as usize] = va;
        hart.fences += 1;
    }

    /// A fence of `va` on one hart, without the monitor if it may: whether it was.
    pub(crate) fn gate_fence(&mut self, number: usize, va: u64) -> bool {
        let hart = &self.harts[number];
        let context = hart.context;
        if !self.logs || context.private_upper || hart.satp.mode() == 0 {
            return false;
        }
        let vs = self
            .hardware
            .drop_leaf(context.satp_vs, va, PIECES | Pte::X);
        let Some(in_vs) = vs else { return false };
        let vu = self.hardware.drop_leaf(context.satp_vu, va, PIECES);
        let Some(in_vu) = vu else { return false };
        self.log(number, va);
        // Another hart may have dropped it from memory alone.
        if in_vs || in_vu || self.harts.len() > 1 {
            self.hardware.flush(number, Flush::Address(GuestVirt(va)));
        }
        self.history.fence(number, Some(va), None);
        self.record();
        true
    }

    /// All harts leave the guest, and room is made.
    fn make_room(&mut self) {
        for hart in 0..self.harts.len() {
            self.enter(hart);
        }
        let dropped = self.shadow.make_room();
        self.apply(0, dropped);
        self.shadow.settle();
    }

    /// All harts forget everything.
    pub(crate) fn settle(&mut self) {
        for hart in 0..self.harts.len() {
            self.hardware.flush(hart, Flush::All);
        }
        self.shadow.settle();
    }

    /// A frame becomes patched or protected.
    pub(crate) fn guard(&mut self, hart: usize, va: u64, gpa: u64, patch: bool) {
        self.enter(hart);
        self.lift(hart, gpa);
        if patch {
            self.keeper.patch(gpa);
        } else {
            self.keeper.frames.insert(gpa, Frame::Protected);
        }
        if self.keeper.was_writable(gpa) {
            self.flush_all(hart);
        } else {
            let dropped = self.shadow.drop_execute(hart, GuestVirt(va));
            self.apply(hart, dropped);
        }
        self.leave(hart);
    }

    /// A frame becomes plain again, and what was its copy anything.
    pub(crate) fn lift(&mut self, hart: usize, gpa: u64) {
        self.enter(hart);
        match self.keeper.frames.remove(&gpa) {
            Some(Frame::Patched { .. }) => {
                let copies = self.keeper.copies_at.borrow().clone();
                for (_, va) in copies.iter().filter(|(of, _)| *of == gpa) {
                    let dropped = self.shadow.drop_copy(GuestVirt(*va));
                    self.apply(hart, dropped);
                }
                self.keeper
                    .copies_at
                    .borrow_mut()
                    .retain(|(of, _)| *of != gpa);
            }
            Some(_) => self.flush_all(hart),
            None => {}
        }
        self.leave(hart);
    }

    fn flush_all(&mut self, hart: usize) {
        self.keeper.writable.borrow_mut().clear();
        let dropped = self.shadow.flush_all();
        self.apply(hart, dropped);
    }

    /// Carries out what an operation that `hart` asked for has dropped.
    fn apply(&mut self, hart: usize, dropped: Dropped) {
        // The hardware may have forgotten all but the way to the window.
        let paging = self.shadow.fixed.paging;
        for entry in 0..WINDOW_ENTRIES.len() as u64 {
            self.hardware
                .forget(window(paging, entry), paging.root_level());
        }
        self.check_window();
        self.forget(hart, dropped);
        if dropped.all_harts {
            for other in 0..self.harts.len() {
                self.forget(other, dropped);
                self.harts[other].table.clear();
                self.enter(other);
                self.harts[other].context = self.shadow.context(other);
            }
        }
        if self.harts.len() == 1 {
            self.shadow.settle();
        }
    }

    /// What one hart forgets.
    fn forget(&mut self, number: usize, dropped: Dropped) {
        self.hardware.flush(number, dropped.flush);
        let hart = &mut self.harts[number];
        if dropped.vs_executable {
            hart.executed.clear();
        }
        if matches!(dropped.flush, Flush::Asid { .. } | Flush::All) {
            hart.table.clear();
        }
    }

    pub(super) fn hardware_satp(&self, hart: usize, view: View) -> u64 {
        let context = self.harts[hart].context;
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
                    let before = *self.harts[hart].executed.entry(va).or_insert(host);
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
        self.enter(hart);
        let satp = self.harts[hart].satp;
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
        // Another hart changes the tables now; its fence waits until the fill is over.
        let race = self.race.take();
        if let Some(race) = &race {
            self.memory.write(race.at, race.pte);
            self.record();
        }
        let va = GuestVirt(va);
        let gpa = translation.address;
        let filled = self
            .shadow
            .fill(&self.memory, &self.keeper, hart, va, &translation, access);
        match filled {
            Ok(Filled::Installed(dropped)) => {
                self.apply(hart, dropped);
                let (memory, keeper) = (&self.memory, &self.keeper);
                self.shadow
                    .fill_around(memory, keeper, hart, va, &translation, access);
                if let Some(race) = race.filter(|race| race.hart != hart) {
                    self.gate_fence(race.hart, race.va);
                }
            }
            Ok(Filled::Cleared(dropped)) => {
                assert!(dropped.all_harts);
                self.apply(hart, dropped);
            }
            Ok(Filled::Spurious(flush)) => self.hardware.flush(hart, flush),
            Ok(Filled::ExecuteOnly) => {
                assert_eq!(access.kind, Kind::Load);
                let patched = matches!(self.keeper.frame(gpa), Frame::Patched { .. });
                assert!(patched || (access.mxr && !translation.pte.is_readable()));
                return false;
            }
            Ok(Filled::WriteProtected) => {
                assert_eq!(access.kind, Kind::Store);
                assert_ne!(self.keeper.frame(gpa), Frame::Plain);
                self.lift(hart, gpa.page().0);
            }
            Err(FillError::Window(at)) => {
                assert!(is_in_window(self.shadow.fixed.paging, at.0));
                return false;
            }
            Err(FillError::NotRam(at)) => {
                assert_eq!((at, self.memory.host(at)), (gpa, None));
                return false;
            }
            Err(FillError::Beyond(_)) => {
                assert_eq!(satp.mode(), 0);
                return false;
            }
            Err(FillError::Full) => self.make_room(),
            Err(FillError::Rights) => panic!("{va:#x} {access:?} {translation:?}"),
        }
        self.leave(hart);
        true
    }
}

pub(super) fn right(kind: Kind) -> u64 {
    match kind {
        Kind::Fetch => Pte::X,
        Kind::Load => Pte::R,
        Kind::Store => Pte::W,
    }
}
