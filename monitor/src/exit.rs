//! The slow path: what the gate does not do by itself.
//!
//! Each exit brings the address-space context up to date, does what the exit is for, and leaves
//! with the interrupt that is deliverable now, if any.

use isa::address::{GuestPhys, GuestVirt};
use isa::csr::{self as numbers, Exception, interrupt};
use isa::decode::{CsrOp, Instruction, Source, decode, length};
use isa::satp::Satp;
use mmu::{
    Access, Dropped, Fault, FenceLog, FillError, Filled, Flush, Kind as AccessKind, Translation,
    walk_with,
};
use patch::block::{ContextEntry, ContextTable, Exit, FENCE_LOG};
use patch::pages::Mappings;
use patch::{HartBlock, Kind, Placed};
use vcpu::{Effect, Mode, Trap};

use super::clock::Hardware;
use super::console::{self, say};
use super::vm::{Frames, Vm};
use super::{csr, gate, window};

/// Called by the gate with the address of the block's site cache and the monitor's thread pointer.
pub extern "C" fn handle_exit(cache: *mut u8, vm: *mut Vm) {
    // SAFETY: the block and the machine live for ever and belong to this hart; nothing else runs
    // on it until this returns, so that these are the only references.
    let (block, vm) = unsafe { (&mut *gate::block_at(cache), &mut *vm) };
    vm.statistics.exits += 1;
    vm.follow_context(block);
    match block.exit {
        exit if exit == Exit::Interrupt as u64 => {}
        exit if exit == Exit::Emulate as u64 => vm.emulate_patched(block),
        _ => vm.trap(block),
    }
    vm.leave(block);
}

const INTERRUPT: u64 = 1 << 63;

/// Patches that are refused, because something is full, before everything is recycled.
const MOST_REFUSED: u32 = 8192;

/// Accesses to nothing that are reported, before the reports would be a way to flood the console.
const REPORTS: u32 = 16;

impl Vm {
    /// The last thing before the guest runs: interrupts, context, and the hardware's `sstatus`.
    pub fn leave(&mut self, block: &mut HartBlock) {
        self.offer_input();
        block
            .hart
            .set_pending(interrupt::SEI, self.board.external_pending(0));
        if let Some(interrupt) = block.hart.pending_interrupt() {
            self.statistics.interrupts += 1;
            block.hart.take_trap(Trap::interrupt(interrupt));
        }
        block.update_pending();
        self.enter_context(block);
        if self.strict_sum && block.hart.sstatus & numbers::sstatus::SUM == 0 && self.user_pages {
            let dropped = self.shadow.drop_user(0);
            self.apply(block, dropped);
            self.user_pages = false;
        }
        let mask = block.extension_mask;
        let wanted = block.hart.sstatus & mask;
        if csr::read!("sstatus") & mask != wanted {
            // SAFETY: FS and VS say whether the guest may use its floating-point and vector
            // registers; the monitor has none of its own.
            unsafe {
                csr::clear!("sstatus", mask);
                csr::set!("sstatus", wanted);
            }
        }
    }

    /// Learns which context the guest is in: routines switch by themselves.
    fn follow_context(&mut self, block: &HartBlock) {
        let satp = block.hart.satp;
        if self.satp != Some(satp) {
            self.shadow
                .follow(0, Satp(satp))
                .expect("routines switch to contexts that are remembered");
            self.satp = Some(satp);
        }
    }

    /// Makes the context of the guest's `satp` the current one.
    fn enter_context(&mut self, block: &mut HartBlock) {
        let satp = block.hart.satp;
        if self.satp == Some(satp) {
            return;
        }
        let log = FenceLog {
            count: block.fences,
            addresses: &self.fence_log[..],
        };
        let switched = self
            .shadow
            .switch_logged(0, Satp(satp), log)
            .expect("satp holds offered modes alone");
        if block.fences_seen != block.fences {
            // The contexts in the table have not seen the latest fences.
            self.contexts.clear();
            block.fences_seen = block.fences;
        }
        self.satp = Some(satp);
        self.user_pages = true;
        self.apply(block, switched.dropped);
        block.satp_vs = switched.context.satp_vs;
        block.satp_vu = switched.context.satp_vu;
        let root = Satp(switched.context.satp_vs);
        block.root = window::DIRECT_MAP + root.root().0;
        let root_shift = 30 + 9 * u64::from(root.mode() - 8);
        if block.root_shift != root_shift {
            // A routine's switch keeps the mode: it changes neither this nor the site cache.
            block.root_shift = root_shift;
            self.contexts.clear();
        }
        self.offer_context(block);
    }

    /// Lets the `satp` template switch to the current context, if that is safe. While a context
    /// that executes pages of its own is current, it may switch to none: what the site cache
    /// holds is not valid elsewhere.
    fn offer_context(&mut self, block: &mut HartBlock) {
        let context = self.shadow.context(0);
        gate::set_fence(block, !context.private_upper);
        if block.fences_seen != block.fences {
            return;
        }
        if self.strict_sum || context.private_execute || Satp(block.hart.satp).mode() == 0 {
            self.contexts.clear();
            return;
        }
        self.contexts.0[ContextTable::slot(block.hart.satp)] = ContextEntry {
            guest: block.hart.satp,
            vs: context.satp_vs,
            vu: context.satp_vu,
            root: block.root,
        };
    }

    /// Carries out what the shadow says must be forgotten.
    pub fn apply(&mut self, block: &mut HartBlock, dropped: Dropped) {
        match dropped.flush {
            Flush::None => {}
            Flush::Address(address) => csr::fence_address(address.0),
            Flush::Asid { first } => {
                csr::fence_asid(first.into());
                csr::fence_asid(u64::from(first) + 1);
                self.contexts.clear();
            }
            Flush::All => {
                csr::fence_all();
                self.contexts.clear();
            }
        }
        if dropped.vs_executable {
            block.clear_cache();
        }
    }

    fn trap(&mut self, block: &mut HartBlock) {
        let cause = csr::read!("scause");
        let value = csr::read!("stval");
        if cause & INTERRUPT != 0 {
            return self.host_interrupt(block, cause & !INTERRUPT);
        }
        let user = block.hart.mode == Mode::User;
        match Exception::from_code(cause) {
            Some(Exception::IllegalInstruction) if !user => self.illegal(block, value),
            Some(Exception::Breakpoint) if !user => self.breakpoint(block, value),
            Some(Exception::UserEcall) if !user => self.call(block),
            Some(Exception::InstructionPage) => {
                self.page_fault(block, AccessKind::Fetch, GuestVirt(value))
            }
            Some(Exception::LoadPage) => self.page_fault(block, AccessKind::Load, GuestVirt(value)),
            Some(Exception::StorePage) => {
                self.page_fault(block, AccessKind::Store, GuestVirt(value))
            }
            Some(exception) => self.deliver(block, Trap::exception(exception, value)),
            None => self.stop(format_args!(
                "the host raised exception {cause}, which the monitor does not know"
            )),
        }
    }

    /// Makes the guest take an exception.
    pub fn deliver(&mut self, block: &mut HartBlock, trap: Trap) {
        let hart = &mut block.hart;
        let fetch =
            [Exception::InstructionAccess, Exception::InstructionPage].map(|cause| cause as u64);
        if fetch.contains(&trap.cause.scause())
            && hart.mode == Mode::Supervisor
            && hart.pc == hart.stvec & !3
        {
            self.stop(format_args!(
                "the guest jumped into nothing: no instruction can be fetched at {:#x}, which is its trap vector too \
                 (sepc {:#x}, scause {}); check that the kernel was built for this machine and got enough memory",
                hart.pc, hart.sepc, hart.scause
            ));
        }
        self.statistics.delivered += 1;
        hart.take_trap(trap);
    }

    /// An interrupt of the host.
    pub fn host_interrupt(&mut self, block: &mut HartBlock, cause: u64) {
        match cause {
            // SAFETY: acknowledges the host's software interrupt; nothing sends any to a lone hart.
            1 => unsafe { csr::clear!("sip", interrupt::SSI) },
            5 => self.clock.update(block, &mut self.board),
            9 => self.host_external(),
            _ => self.stop(format_args!(
                "the host raised interrupt {cause}, which the monitor does not know"
            )),
        }
    }

    /// An instruction that trapped as illegal in VS: the first execution of a privileged one.
    fn illegal(&mut self, block: &mut HartBlock, value: u64) {
        let word = match value as u32 {
            // Some cores do not say which instruction it was.
            0 => match self.fetch(block) {
                Ok(word) => word,
                Err(trap) => return self.deliver(block, trap),
            },
            word => word,
        };
        let Some(instruction) = decode(word).filter(is_privileged) else {
            return self.deliver(block, Trap::exception(Exception::IllegalInstruction, value));
        };
        let at = GuestVirt(block.hart.pc);
        if matches!(instruction, Instruction::Cbo { .. }) {
            // Not a privileged instruction: one that `senvcfg` withholds from U-mode.
            self.emulate(block, &instruction, word);
            self.statistics.cache_blocks += 1;
        } else if self.emulate(block, &instruction, word) {
            self.statistics.trapped(Kind::of(&instruction));
            if self.patches {
                self.patch(block, at, &instruction, word);
            }
        }
    }

    /// A routine left its instruction to the reference emulator.
    fn emulate_patched(&mut self, block: &mut HartBlock) {
        let word = block.exit_word as u32;
        let instruction =
            decode(word).expect("a routine's word was decoded when the routine was made");
        self.statistics.emulated(Kind::of(&instruction));
        self.emulate(block, &instruction, word);
    }

    /// Carries out a privileged instruction with the reference emulator; false when it raised an
    /// exception in the guest.
    fn emulate(&mut self, block: &mut HartBlock, instruction: &Instruction, word: u32) -> bool {
        let effect = match block
            .hart
            .execute(&self.features, &Hardware, instruction, word)
        {
            Ok(effect) => effect,
            Err(trap) => {
                self.deliver(block, trap);
                return false;
            }
        };
        match effect {
            Effect::None => {}
            Effect::SfenceVma { address, asid } => self.fence(block, address, asid),
            Effect::Wfi => self.wait(block),
            Effect::Cbo { op, address } => self.cache_block(block, op, address, word),
        }
        if let Instruction::Csr(access) = instruction
            && [numbers::SCOUNTEREN, numbers::SENVCFG].contains(&access.csr)
        {
            self.grant(block);
        }
        true
    }

    /// Carries out the guest's `sfence.vma`.
    pub fn fence(&mut self, block: &mut HartBlock, address: Option<GuestVirt>, asid: Option<u16>) {
        let dropped = match (address, asid) {
            (Some(address), None) => {
                self.fence_log[block.fences as usize % FENCE_LOG] = address.0;
                block.fences += 1;
                self.shadow.fence_current(0, address)
            }
            _ => self.shadow.fence(address, asid),
        };
        self.apply(block, dropped);
        self.offer_context(block);
    }

    /// Waits until an interrupt that the guest enabled in `sie` is pending.
    pub fn wait(&mut self, block: &mut HartBlock) {
        loop {
            block
                .hart
                .set_pending(interrupt::SEI, self.board.external_pending(0));
            if block.hart.ends_wait() {
                return;
            }
            csr::wait_for_interrupt();
            let pending = csr::read!("sip") & csr::read!("sie");
            for cause in [1, 5, 9] {
                if pending & 1 << cause != 0 {
                    self.host_interrupt(block, cause);
                }
            }
        }
    }

    /// Patches the instruction at `at`, which was just carried out.
    fn patch(
        &mut self,
        block: &mut HartBlock,
        at: GuestVirt,
        instruction: &Instruction,
        word: u32,
    ) {
        if self.strict_sum && changes_sum(instruction) {
            return;
        }
        let access = Access {
            kind: AccessKind::Fetch,
            user: false,
            sum: false,
            mxr: false,
        };
        let satp = Satp(self.satp.expect("a guest ran"));
        let Ok(translation) = walk_with(&self.ram, self.walk_options, satp, at, access) else {
            return;
        };
        let address = translation.address;
        // The instruction may have changed what its own address leads to.
        if self.ram.bytes(address).map(u32::from_le_bytes) != Some(word) {
            return;
        }
        let placed = self.patcher.borrow_mut().place(address, instruction, word);
        let placed = match placed {
            Ok(placed) => placed,
            Err(patch::patcher::Full) => {
                // A guest that uses more than fits goes on with what it has for a while: to start
                // over costs as much as thousands of traps.
                self.refused += 1;
                if self.refused < MOST_REFUSED {
                    return;
                }
                self.refused = 0;
                self.recycle(block);
                match self.patcher.borrow_mut().place(address, instruction, word) {
                    Ok(placed) => placed,
                    // Not even one patch fits: the instruction goes on trapping.
                    Err(patch::patcher::Full) => return,
                }
            }
        };
        match placed {
            Placed::Patched { writable: true, .. } => {
                self.patcher.borrow_mut().pages_mut().clear_writable();
                let dropped = self.shadow.flush_all();
                self.apply(block, dropped);
            }
            Placed::Patched { new_copy: true, .. } => {
                let dropped = self.shadow.drop_execute(0, at);
                self.apply(block, dropped);
            }
            Placed::Patched { .. } => {}
            Placed::Served => {
                // The patch is there: this context still maps the original.
                let dropped = self.shadow.drop_execute(0, at);
                self.apply(block, dropped);
            }
            Placed::No => return,
        }
        csr::fence_i();
    }

    /// Forgets all patches, because something ran full.
    fn recycle(&mut self, block: &mut HartBlock) {
        let dropped = self.shadow.flush_all();
        self.apply(block, dropped);
        self.patcher.borrow_mut().recycle();
        self.patcher.borrow_mut().pages_mut().clear_writable();
    }

    /// Drops the patched copy of the frame that holds `address`, if there is one.
    pub fn drop_copy(&mut self, block: &mut HartBlock, address: GuestPhys) {
        let mappings = self.patcher.borrow_mut().pages_mut().take_mappings(address);
        match mappings {
            Mappings::At(mappings) => {
                for mapping in mappings {
                    let dropped = self.shadow.drop_copy(mapping);
                    self.apply(block, dropped);
                }
            }
            Mappings::TooMany => {
                self.patcher.borrow_mut().pages_mut().clear_writable();
                let dropped = self.shadow.flush_all();
                self.apply(block, dropped);
            }
        }
        self.patcher.borrow_mut().drop_copy(address);
    }

    /// A break in VS that the gate found no routine for.
    fn breakpoint(&mut self, block: &mut HartBlock, value: u64) {
        let access = Access {
            kind: AccessKind::Fetch,
            user: false,
            sum: false,
            mxr: false,
        };
        let at = GuestVirt(block.hart.pc);
        let site = walk_with(
            &self.ram,
            self.walk_options,
            Satp(block.hart.satp),
            at,
            access,
        )
        .ok()
        .map(|translation| translation.address)
        .filter(|&address| {
            self.ram.contains(address, 4) && self.patcher.borrow().pages().site(address).is_some()
        });
        let word = site
            .and_then(|site| self.ram.bytes(site))
            .map(u32::from_le_bytes);
        match word.and_then(|word| Some((decode(word)?, word))) {
            Some((instruction, word)) => {
                if self.emulate(block, &instruction, word) {
                    self.statistics.trapped(Kind::of(&instruction));
                }
            }
            None => self.deliver(block, Trap::exception(Exception::Breakpoint, value)),
        }
    }

    fn page_fault(&mut self, block: &mut HartBlock, kind: AccessKind, at: GuestVirt) {
        let hart = &block.hart;
        let status = hart.sstatus;
        let access = Access {
            kind,
            user: hart.mode == Mode::User,
            sum: !self.strict_sum || status & numbers::sstatus::SUM != 0,
            mxr: status & numbers::sstatus::MXR != 0,
        };
        let translation = match walk_with(&self.ram, self.walk_options, Satp(hart.satp), at, access)
        {
            Ok(translation) => translation,
            Err(fault) => return self.deliver(block, fault_of(kind, fault, at)),
        };
        loop {
            let filled = self.shadow.fill(
                &self.ram,
                &Frames(&self.patcher),
                0,
                at,
                &translation,
                access,
            );
            match filled {
                Ok(Filled::Installed(dropped)) => {
                    self.statistics.fills += 1;
                    self.user_pages |= translation.pte.is_user();
                    self.apply(block, dropped);
                    self.shadow.fill_around(
                        &self.ram,
                        &Frames(&self.patcher),
                        0,
                        at,
                        &translation,
                        access,
                    );
                    self.offer_context(block);
                }
                Ok(Filled::Spurious) => csr::fence_address(at.0),
                Ok(Filled::ExecuteOnly) => {
                    if !self.load_hidden(block, at, &translation) {
                        continue;
                    }
                }
                Ok(Filled::WriteProtected) => {
                    self.statistics.hidden_writes += 1;
                    self.drop_copy(block, translation.address);
                    continue;
                }
                Err(FillError::NotRam(address)) => self.device_access(block, kind, at, address),
                Err(FillError::Window(_)) if Satp(block.hart.satp).mode() == 0 => {
                    self.deliver(block, fault_of(kind, Fault::Access, at));
                }
                Err(FillError::Window(address)) => {
                    let end = self.window_end;
                    self.stop(format_args!(
                        "the guest maps {:#x}, where the monitor's window is ({:#x} to {end:#x}); give the guest another \
                         paging mode (`no4lvl` or `no5lvl` in a Linux command line) or memory layout",
                        address.0,
                        window::WINDOW,
                    ))
                }
                Err(FillError::BeyondSv39(_)) => {
                    self.deliver(block, fault_of(kind, Fault::Access, at))
                }
                Err(FillError::Rights) => self.deliver(block, fault_of(kind, Fault::Page, at)),
            }
            return;
        }
    }

    /// A guest's load or store of guest-physical `address`, which is not RAM.
    fn device_access(
        &mut self,
        block: &mut HartBlock,
        kind: AccessKind,
        at: GuestVirt,
        address: GuestPhys,
    ) {
        let pc = block.hart.pc;
        if kind != AccessKind::Fetch {
            match self.fetch(block) {
                Ok(word) => {
                    if self.access_device(block, decode(word), at, address) {
                        self.statistics.device_accesses += 1;
                        return;
                    }
                }
                Err(trap) => return self.deliver(block, trap),
            }
        }
        if self.reports < REPORTS {
            self.reports += 1;
            let what = match kind {
                AccessKind::Fetch => "fetches from",
                AccessKind::Load => "loads from",
                AccessKind::Store => "stores to",
            };
            say!(
                "the guest at {pc:#x} {what} guest-physical {:#x}, where there is no memory and no device that takes it: \
                 it gets an access fault",
                address.0
            );
        }
        self.deliver(block, fault_of(kind, Fault::Access, at));
    }

    /// The instruction at the guest's `pc`.
    pub fn fetch(&self, block: &HartBlock) -> Result<u32, Trap> {
        let hart = &block.hart;
        let access = Access {
            kind: AccessKind::Fetch,
            user: hart.mode == Mode::User,
            sum: false,
            mxr: false,
        };
        let parcel = |at: GuestVirt| -> Result<u16, Trap> {
            let translation: Translation =
                walk_with(&self.ram, self.walk_options, Satp(hart.satp), at, access)
                    .map_err(|fault| fault_of(AccessKind::Fetch, fault, at))?;
            let bytes = self.ram.bytes(translation.address);
            bytes
                .map(u16::from_le_bytes)
                .ok_or_else(|| fault_of(AccessKind::Fetch, Fault::Access, at))
        };
        let first = parcel(GuestVirt(hart.pc))?;
        if length(first) == 2 {
            return Ok(first.into());
        }
        let second = parcel(GuestVirt(hart.pc.wrapping_add(2)))?;
        Ok(u32::from(second) << 16 | u32::from(first))
    }

    /// Input and such.
    fn host_external(&mut self) {
        let Some(plic) = self.host_plic.clone() else {
            return;
        };
        while let Some(source) = plic.claim() {
            while let Some(byte) = console::receive() {
                self.receive(byte);
            }
            plic.complete(source);
        }
    }
}

/// Whether the instruction may change `sstatus.SUM`, which routines do not enforce. Immediates do not
/// reach it.
fn changes_sum(instruction: &Instruction) -> bool {
    matches!(
        instruction,
        Instruction::Csr(access)
            if access.csr == numbers::SSTATUS
                && access.writes()
                && (access.op == CsrOp::Write || matches!(access.source, Source::Register(_)))
    )
}

/// Whether the reference emulator carries the instruction out when it traps as illegal.
fn is_privileged(instruction: &Instruction) -> bool {
    matches!(
        instruction,
        Instruction::Csr(_)
            | Instruction::Sret
            | Instruction::Wfi
            | Instruction::SfenceVma { .. }
            | Instruction::SinvalVma { .. }
            | Instruction::SfenceWInval
            | Instruction::SfenceInvalIr
            | Instruction::Cbo { .. }
    )
}

/// The exception of a failed access.
pub fn fault_of(kind: AccessKind, fault: Fault, at: GuestVirt) -> Trap {
    let exception = match (kind, fault) {
        (AccessKind::Fetch, Fault::Page) => Exception::InstructionPage,
        (AccessKind::Load, Fault::Page) => Exception::LoadPage,
        (AccessKind::Store, Fault::Page) => Exception::StorePage,
        (AccessKind::Fetch, Fault::Access) => Exception::InstructionAccess,
        (AccessKind::Load, Fault::Access) => Exception::LoadAccess,
        (AccessKind::Store, Fault::Access) => Exception::StoreAccess,
    };
    Trap::exception(exception, at.0)
}
