//! SBI calls of the guest.

use isa::address::{GuestPhys, GuestVirt};
use isa::csr::interrupt;
use isa::satp::Satp;
use mmu::{Access, Fault as WalkFault, Kind as AccessKind, walk_with};
use patch::HartBlock;
use sbi::{
    Call, FenceRange, HartStatus, Harts, Machine, MachineIds, Outcome, ResetKind, ResetReason,
    Start, StartError,
};
use vcpu::{Cause, Hart, Trap};

use super::exit::fault_of;
use super::machine::Machine;
use super::virtual_hart::Vcpu;
use super::{console, csr};

/// The machine as the SBI sees it, for the time of one call.
struct Service<'a> {
    vm: &'a mut Vm,
    block: &'a mut HartBlock,
    /// What becomes of the machine when the call is over.
    reset: Option<(ResetKind, ResetReason)>,
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
        let mut service = Service {
            vm: self,
            vcpu,
            reset: None,
        };
        let outcome = sbi::handle(&call, 0, &mut service);
        let reset = service.reset;
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
                self.deliver(vcpu, Trap::exception(fault.cause, fault.address.0))
            }
            Outcome::Suspend { resume } => self.suspend(vcpu, resume),
            Outcome::Stop => match reset {
                Some((ResetKind::Shutdown, reason)) => {
                    self.power_off(vcpu, u16::from(reason == ResetReason::SystemFailure));
                }
                Some((ResetKind::ColdReboot | ResetKind::WarmReboot, _)) => self.reset(vcpu),
                None => self.stop(format_args!(
                    "the guest stopped its only hart, and nothing can start it again"
                )),
            },
        }
    }

    fn suspend(&mut self, vcpu: &mut Vcpu, resume: Option<Start>) {
        (vcpu.block.hart.x[10], vcpu.block.hart.x[11]) = (0, 0);
        vcpu.block.hart.pc = vcpu.block.hart.pc.wrapping_add(4);
        self.wait(vcpu);
        if let Some(start) = resume {
            let device_tree = GuestPhys(start.opaque);
            let pending = vcpu.block.hart.sip;
            vcpu.block.hart = Hart::new(&self.features, 0, device_tree, start.address);
            vcpu.block.hart.sip = pending;
            self.grant(vcpu);
        }
    }
}

impl Machine for Service<'_> {
    fn hart_count(&self) -> usize {
        1
    }

    fn machine_ids(&self) -> MachineIds {
        MachineIds {
            vendor: sbi_rt::get_mvendorid() as u64,
            architecture: sbi_rt::get_marchid() as u64,
            implementation: sbi_rt::get_mimpid() as u64,
        }
    }

    fn set_timer(&mut self, _hart: usize, deadline: u64) {
        let vm = &mut *self.vm;
        vm.clock.set_deadline(self.block, &mut vm.board, deadline);
    }

    fn send_ipi(&mut self, _hart: usize) {
        self.block.hart.set_pending(interrupt::SSI, true);
    }

    fn clear_ipi(&mut self, _hart: usize) -> bool {
        let was_pending = self.block.hart.sip & interrupt::SSI != 0;
        self.block.hart.set_pending(interrupt::SSI, false);
        was_pending
    }

    fn remote_fence_i(&mut self, harts: Harts) {
        if harts.contains(0) {
            csr::fence_i();
        }
    }

    fn remote_sfence_vma(&mut self, harts: Harts, range: FenceRange, asid: Option<u16>) {
        if !harts.contains(0) {
            return;
        }
        match range.pages() {
            None => self.vm.fence(self.block, None, asid),
            Some(pages) => {
                for page in pages {
                    self.vm.fence(self.block, Some(page), asid);
                }
            }
        }
    }

    fn hart_status(&self, _hart: usize) -> HartStatus {
        HartStatus::Started
    }

    fn hart_start(&mut self, _hart: usize, _start: Start) -> Result<(), StartError> {
        Err(StartError::AlreadyAvailable)
    }

    fn hart_stop(&mut self, _hart: usize) {}

    fn reset(&mut self, kind: ResetKind, reason: ResetReason) {
        self.reset = Some((kind, reason));
    }

    fn console_write(&mut self, bytes: &[u8]) -> usize {
        self.vm.show_output();
        console::send(bytes);
        bytes.len()
    }

    fn console_read(&mut self) -> Option<u8> {
        self.vm.take_input()
    }

    fn is_memory(&self, start: GuestPhys, size: u64) -> bool {
        self.vm.ram.contains(start, size)
    }

    fn read_guest(&self, from: GuestPhys, bytes: &mut [u8]) -> bool {
        self.vm.ram.read(from, bytes)
    }

    fn write_guest(&mut self, to: GuestPhys, bytes: &[u8]) -> bool {
        // What the guest executes there must change with it.
        let end = to.add(bytes.len() as u64);
        let mut page = to.page();
        while page < end && self.vm.ram.contains(page, 1) {
            self.vm.drop_copy(self.block, page);
            page = page.add(isa::address::PAGE_SIZE);
        }
        self.vm.ram.write(to, bytes)
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
            let satp = Satp(self.block.hart.satp);
            let translation = walk_with(&self.vm.ram, self.vm.walk_options, satp, at, access)
                .map_err(|kind| fault(kind, at))?;
            [*byte] = self
                .vm
                .ram
                .bytes(translation.address)
                .ok_or_else(|| fault(WalkFault::Access, at))?;
        }
        Ok(u64::from_le_bytes(bytes))
    }
}
