//! Address spaces: the context that a virtual hart is in, and fences, its own and those that others must
//! be part of.

use isa::address::GuestVirt;
use isa::satp::Satp;
use mmu::{Dropped, FenceLog, Flush, SwitchError};
use patch::block::{ContextEntry, ContextTable, FENCE_LOG};

use super::doorbell::FLUSH;
use super::gate::Fence;
use super::machine::Machine;
use super::virtual_hart::Vcpu;
use super::{csr, gate, system, window};

impl Machine {
    /// Has those virtual harts among the others that are `named` leave the guest, and do `what` before
    /// they enter it again. When this returns, none of them is in the guest; while the machine's lock is
    /// held, none enters it.
    pub fn summon(&self, me: usize, named: impl Fn(usize) -> bool, what: u64) {
        let others = || {
            let doors = self.doorbells.iter().enumerate();
            doors.filter(|&(hart, _)| hart != me && named(hart))
        };
        let cpus = &system::get().cpus;
        for (_, door) in others() {
            if let Some(cpu) = door.ask_if_running(what) {
                cpus[cpu].interrupt();
            }
        }
        for (_, door) in others() {
            while door.in_guest() {
                core::hint::spin_loop();
            }
        }
    }

    /// Learns which context the guest is in: routines switch by themselves.
    pub fn follow_context(&mut self, vcpu: &mut Vcpu) {
        let satp = vcpu.block.hart.satp;
        if vcpu.satp != Some(satp) {
            self.shadow
                .follow(vcpu.index, Satp(satp))
                .expect("routines switch to contexts that are remembered");
            vcpu.satp = Some(satp);
        }
    }

    /// Makes the context of the guest's `satp` the current one.
    pub fn enter_context(&mut self, vcpu: &mut Vcpu) {
        let satp = vcpu.block.hart.satp;
        if vcpu.satp == Some(satp) {
            return;
        }
        let switched = loop {
            let log = FenceLog {
                count: vcpu.block.fences,
                addresses: &vcpu.fence_log[..],
            };
            match self.shadow.switch_logged(vcpu.index, Satp(satp), log) {
                Ok(switched) => break switched,
                Err(SwitchError::Full) => self.make_room(vcpu),
                Err(SwitchError::Reserved) => unreachable!("satp holds offered modes alone"),
            }
        };
        if vcpu.block.fences_seen != vcpu.block.fences {
            // The contexts in the table have not seen the latest fences.
            vcpu.contexts.clear();
            vcpu.block.fences_seen = vcpu.block.fences;
        }
        // The monitor runs on a table of the guest's too. The one before may go from now on.
        // SAFETY: the window is in every table of the shadow.
        unsafe { csr::write!("satp", switched.context.satp_vs) };
        if self.shadow.needs_fence_on_switch() {
            csr::fence_all();
        }
        let before = vcpu.satp.replace(satp);
        self.doorbells[vcpu.index].set_satp(satp);
        vcpu.user_pages = true;
        self.apply(vcpu, switched.dropped);
        let block = &mut *vcpu.block;
        block.satp_vs = switched.context.satp_vs;
        block.satp_vu = switched.context.satp_vu;
        let root = Satp(switched.context.satp_vs);
        block.root = window::direct_map() + root.root().0;
        block.root_shift = 30 + 9 * u64::from(root.mode() - 8);
        if before.is_none_or(|before| Satp(before).mode() != Satp(satp).mode()) {
            // A routine's switch keeps the guest's mode, and with it the site cache.
            vcpu.contexts.clear();
        }
        self.offer_context(vcpu);
    }

    /// Lets the `satp` template switch to the current context, if that is safe. While a context
    /// that executes pages of its own is current, it may switch to none: what the site cache
    /// holds is not valid elsewhere.
    pub fn offer_context(&mut self, vcpu: &mut Vcpu) {
        let context = self.shadow.context(vcpu.index);
        let fence = match (context.private_upper, self.doorbells.len()) {
            (true, _) => Fence::Slow,
            (false, 1) => Fence::Alone,
            (false, _) => Fence::Shared,
        };
        gate::set_fence(&mut vcpu.block, fence);
        let block = &*vcpu.block;
        if block.fences_seen != block.fences {
            return;
        }
        let satp = block.hart.satp;
        if self.strict_sum || context.private_execute || Satp(satp).mode() == 0 {
            vcpu.contexts.clear();
            return;
        }
        if context.private_upper {
            // A hart that went there by itself would have its fences carried out by the gate.
            return;
        }
        vcpu.contexts.0[ContextTable::slot(satp)] = ContextEntry {
            guest: satp,
            vs: context.satp_vs,
            vu: context.satp_vu,
            root: block.root,
        };
    }

    /// Carries out what the shadow says must be forgotten.
    pub fn apply(&mut self, vcpu: &mut Vcpu, dropped: Dropped) {
        let is_alone = self.doorbells.len() == 1;
        if dropped.all_harts && !is_alone {
            csr::fence_all();
            vcpu.forget();
            self.summon(vcpu.index, |_| true, FLUSH);
        } else {
            self.flush(vcpu, dropped.flush);
            if dropped.vs_executable {
                vcpu.block.clear_cache();
            }
        }
        if dropped.all_harts || is_alone {
            self.shadow.settle();
        }
    }

    /// Forgets address translations of this hart.
    pub fn flush(&mut self, vcpu: &mut Vcpu, flush: Flush) {
        match flush {
            Flush::None => {}
            Flush::Address(address) => csr::fence_address(address.0),
            Flush::Asid { first } => {
                csr::fence_asid(first.into());
                csr::fence_asid(u64::from(first) + 1);
                vcpu.contexts.clear();
            }
            Flush::All => {
                csr::fence_all();
                vcpu.contexts.clear();
            }
        }
    }

    /// Makes room in the shadow, which ran full. No hart is in the guest meanwhile: it might switch to
    /// a context that goes away.
    pub fn make_room(&mut self, vcpu: &mut Vcpu) {
        self.summon(vcpu.index, |_| true, FLUSH);
        for (hart, door) in self.doorbells.iter().enumerate() {
            if hart != vcpu.index {
                self.shadow
                    .follow(hart, Satp(door.satp()))
                    .expect("every hart is in a context that is remembered");
            }
        }
        let dropped = self.shadow.make_room();
        self.apply(vcpu, dropped);
    }

    /// Carries out the guest's `sfence.vma`.
    pub fn fence(&mut self, vcpu: &mut Vcpu, address: Option<GuestVirt>, asid: Option<u16>) {
        vcpu.device_pages.forget();
        let dropped = match (address, asid) {
            (Some(address), None) => {
                vcpu.fence_log[vcpu.block.fences as usize % FENCE_LOG] = address.0;
                vcpu.block.fences += 1;
                self.shadow.fence_current(vcpu.index, address)
            }
            _ => self.shadow.fence(address, asid),
        };
        self.apply(vcpu, dropped);
        self.offer_context(vcpu);
    }
}
