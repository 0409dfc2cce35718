//! SBI calls of the guest.

use isa::address::{GuestPhys, GuestVirt};
use isa::csr::interrupt;
use isa::satp::Satp;
use mmu::{Access, Dropped, Fault as WalkFault, Kind as AccessKind, walk_with};
use sbi::{
    Call, CsrView, Event, FenceRange, HartStatus, Harts, MachineIds, Outcome, PerHart, ResetKind,
    ResetReason, Start, StartError,
};
use vcpu::{Cause, Counters, Trap};

use super::clock::Hardware;
use super::console;
use super::csr;
use super::doorbell::{FENCE_I, FLUSH, LOOK, SENT};
use super::machine::{End, Machine};
use super::page_fault::fault_of;
use super::system;
use super::virtual_hart::{State, Vcpu};
use super::window;

/// The machine as the SBI sees it, for the time of one call.
struct Service<'a> {
    machine: &'a mut Machine,
    vcpu: &'a mut Vcpu,
}

impl Machine {
    /// Carries out the SBI call that the guest made.
    pub fn call(&mut self, vcpu: &mut Vcpu) {
        self.statistics.calls += 1;
        let argument = |n: usize| vcpu.block.hart.x[10 + n];
        let call = Call {
            extension: argument(7),
            function: argument(6),
            arguments: core::array::from_fn(argument),
        };
        let index = vcpu.index;
        let mut service = Service {
            machine: self,
            vcpu,
        };
        let outcome = sbi::handle(&call, index, &mut service);
        let hart = &mut vcpu.block.hart;
        match outcome {
            Outcome::Return { error, value } => {
                (hart.x[10], hart.x[11]) = (error as u64, value);
                hart.pc = hart.pc.wrapping_add(4);
            }
            Outcome::LegacyReturn { a0 } => {
                hart.x[10] = a0 as u64;
                hart.pc = hart.pc.wrapping_add(4);
            }
            Outcome::Fault(fault) => {
                self.deliver(vcpu, Trap::exception(fault.cause, fault.address.0));
            }
            Outcome::Suspend { resume } => self.suspend(vcpu, resume),
            Outcome::SystemSuspend { resume } => self.suspend(vcpu, Some(resume)),
            Outcome::Stop => {
                let all_stopped = self.states.iter().all(|&state| state == State::Stopped);
                if all_stopped && self.end.is_none() {
                    self.stop(format_args!(
                        "the guest stopped its last hart, and nothing can start one again"
                    ));
                }
            }
        }
        let is_virtual = vcpu.counter_views(self.counters) != [CsrView::Direct; 2];
        if vcpu.block.virtual_counters != u64::from(is_virtual) {
            vcpu.block.virtual_counters = is_virtual.into();
            self.grant(vcpu);
        }
    }

    /// Waits for an interrupt, and goes on after the call or where the guest said.
    fn suspend(&mut self, vcpu: &mut Vcpu, resume: Option<Start>) {
        let hart = &mut vcpu.block.hart;
        (hart.x[10], hart.x[11]) = (0, 0);
        hart.pc = hart.pc.wrapping_add(4);
        // What was sent before does not end the suspension: only what `sie` enables does.
        if self.doorbells[vcpu.index].withdraw(interrupt::SSI) != 0 {
            hart.set_pending(interrupt::SSI, true);
        }
        self.wait(vcpu, State::Suspended(resume));
    }
}

impl sbi::Machine for Service<'_> {
    fn hart_count(&self) -> usize {
        self.machine.doorbells.len()
    }

    fn machine_ids(&self) -> MachineIds {
        MachineIds {
            vendor: sbi_rt::get_mvendorid() as u64,
            architecture: sbi_rt::get_marchid() as u64,
            implementation: sbi_rt::get_mimpid() as u64,
        }
    }

    fn window_end(&self) -> u64 {
        window::behind()
    }

    fn per_hart(&mut self, _hart: usize) -> &mut PerHart {
        &mut self.vcpu.services
    }

    fn event_total(&self, _hart: usize, event: Event) -> Option<u64> {
        let counter = |bit: u64, read: fn(&Hardware) -> u64| {
            let is_readable = self.machine.counters & 1 << bit != 0;
            is_readable.then(|| read(&Hardware::PLAIN))
        };
        match event {
            Event::Cycles => counter(0, Hardware::cycle),
            Event::Instructions => counter(2, Hardware::instret),
            // The gate reflects most of these, and counts nothing; and an `sfence.vma` that another hart
            // asks for is one request with those that the monitor itself asks for.
            Event::MisalignedLoad
            | Event::MisalignedStore
            | Event::AccessLoad
            | Event::AccessStore
            | Event::IllegalInstruction
            | Event::SfenceVmaReceived
            | Event::SfenceVmaAsidReceived => None,
            _ => Some(self.vcpu.events.total(event)),
        }
    }

    fn misaligned_traps(&self) -> bool {
        // Firmware carries them out, or delegates them: the guest is not told which.
        false
    }

    fn set_timer(&mut self, hart: usize, deadline: u64) {
        self.vcpu.events.count(Event::SetTimer);
        let door = &self.machine.doorbells[hart];
        door.withdraw(interrupt::STI);
        self.vcpu.block.hart.set_pending(interrupt::STI, false);
        let now = csr::time();
        door.set_deadline(if deadline <= now { u64::MAX } else { deadline });
        if deadline <= now {
            self.vcpu.block.hart.set_pending(interrupt::STI, true);
        }
        system::get().cpus[door.cpu()].timer_changed();
    }

    fn send_ipi(&mut self, hart: usize) {
        self.vcpu.events.count(Event::IpiSent);
        if hart == self.vcpu.index {
            self.vcpu.block.hart.set_pending(interrupt::SSI, true);
        } else {
            let door = &self.machine.doorbells[hart];
            door.ask(interrupt::SSI);
            if !door.in_guest() {
                let own = &self.machine.doorbells[self.vcpu.index];
                system::get().yield_to(own.cpu(), door.vcpu);
            }
        }
    }

    fn clear_ipi(&mut self, hart: usize) -> bool {
        let withdrawn = self.machine.doorbells[hart].withdraw(interrupt::SSI) != 0;
        let hart = &mut self.vcpu.block.hart;
        let was_pending = withdrawn || hart.sip & interrupt::SSI != 0;
        hart.set_pending(interrupt::SSI, false);
        was_pending
    }

    fn remote_fence_i(&mut self, harts: Harts) {
        if harts.contains(self.vcpu.index) {
            csr::fence_i();
        }
        self.vcpu.events.count(Event::FenceISent);
        self.machine
            .summon(self.vcpu.index, |hart| harts.contains(hart), FENCE_I | SENT);
    }

    fn remote_sfence_vma(&mut self, harts: Harts, range: FenceRange, asid: Option<u16>) {
        let sent = match asid {
            None => Event::SfenceVmaSent,
            Some(_) => Event::SfenceVmaAsidSent,
        };
        self.vcpu.events.count(sent);
        self.vcpu.device_pages.forget();
        // What is dropped from the shadow is dropped for all harts; each hart's own TLB is its own.
        match range.pages() {
            None => self.machine.fence(self.vcpu, None, asid),
            Some(pages) => {
                let dropped = pages
                    .map(|page| self.machine.shadow.fence(Some(page), asid))
                    .fold(Dropped::NONE, Dropped::and);
                self.machine.apply(self.vcpu, dropped);
                self.machine.offer_context(self.vcpu);
            }
        }
        self.machine
            .summon(self.vcpu.index, |hart| harts.contains(hart), FLUSH);
    }

    fn hart_status(&self, hart: usize) -> HartStatus {
        match self.machine.states[hart] {
            State::Started | State::Waiting => HartStatus::Started,
            State::Suspended(_) => HartStatus::Suspended,
            State::StartPending(_) => HartStatus::StartPending,
            State::Stopped => HartStatus::Stopped,
        }
    }

    fn hart_start(&mut self, hart: usize, start: Start) -> Result<(), StartError> {
        if self.machine.states[hart] != State::Stopped {
            return Err(StartError::AlreadyAvailable);
        }
        self.machine.states[hart] = State::StartPending(start);
        let door = &self.machine.doorbells[hart];
        door.set_deadline(u64::MAX);
        door.withdraw(interrupt::SSI | interrupt::STI);
        door.ask(LOOK);
        Ok(())
    }

    fn hart_stop(&mut self, hart: usize) {
        self.machine.states[hart] = State::Stopped;
    }

    fn reset(&mut self, kind: ResetKind, reason: ResetReason) {
        self.machine.end = Some(match kind {
            ResetKind::Shutdown => End::PowerOff((reason == ResetReason::SystemFailure).into()),
            ResetKind::ColdReboot | ResetKind::WarmReboot => End::Reset,
        });
    }

    fn console_write(&mut self, bytes: &[u8]) -> usize {
        self.machine.show_output();
        console::in_time(bytes, |piece| console::output(self.machine.number, piece))
    }

    fn console_read(&mut self) -> Option<u8> {
        let system = system::get();
        system.poll_input();
        // What was typed may have gone to the UART already, which firmware shares with the guest.
        let received = self.machine.board.take_received();
        self.machine.board_changed |= received.is_some();
        received.or_else(|| system.take_input(self.machine.number))
    }

    fn is_memory(&self, start: GuestPhys, size: u64) -> bool {
        self.machine.ram.contains(start, size)
    }

    fn read_guest(&self, from: GuestPhys, bytes: &mut [u8]) -> bool {
        self.machine.ram.read(from, bytes)
    }

    fn write_guest(&mut self, to: GuestPhys, bytes: &[u8]) -> bool {
        // What the guest executes there must change with it.
        let end = to.add(bytes.len() as u64);
        let mut page = to.page();
        while page < end && self.machine.ram.contains(page, 1) {
            self.machine.drop_copy(self.vcpu, page);
            page = page.add(isa::address::PAGE_SIZE);
        }
        self.machine.ram.write(to, bytes)
    }

    fn read_guest_virtual(&mut self, _hart: usize, at: GuestVirt) -> Result<u64, sbi::Fault> {
        let fault = |fault: WalkFault, at: GuestVirt| {
            let Cause::Exception(cause) = fault_of(AccessKind::Load, fault, at).cause else {
                unreachable!("a fault is an exception")
            };
            sbi::Fault { cause, address: at }
        };
        let access = Access {
            kind: AccessKind::Load,
            user: false,
            sum: true,
            mxr: false,
        };
        let mut bytes = [0; 8];
        for (offset, byte) in bytes.iter_mut().enumerate() {
            let at = at.add(offset as u64);
            let satp = Satp(self.vcpu.block.hart.satp);
            let translation = walk_with(
                &self.machine.ram,
                self.machine.walk_options,
                satp,
                at,
                access,
            )
            .map_err(|kind| fault(kind, at))?;
            [*byte] = self
                .machine
                .ram
                .bytes(translation.address)
                .ok_or_else(|| fault(WalkFault::Access, at))?;
        }
        Ok(u64::from_le_bytes(bytes))
    }
}
