//! The slow path: what the gate does not do by itself.
//!
//! Each exit brings the address-space context up to date and does what the exit is for; the way back
//! into the guest delivers the interrupt that is deliverable then, if any.

use isa::address::GuestVirt;
use isa::csr::{self as numbers, Exception, interrupt};
use isa::decode::{Instruction, decode};
use mmu::Kind as AccessKind;
use patch::Kind;
use patch::block::Exit;
use sbi::Event;
use vcpu::refused::{Verdict, judge};
use vcpu::{Effect, Mode, Trap};

use super::clock::Hardware;
use super::console::say;
use super::csr;
use super::doorbell::{ALARM, FENCE_I, FLUSH, GRANT, LOOK, SENT};
use super::machine::Machine;
use super::trace::ExitRecord;
use super::virtual_hart::{State, Vcpu};

/// In `scause`: an interrupt.
pub const INTERRUPT: u64 = 1 << 63;

impl Machine {
    /// Does what a virtual hart left the guest for; `cause` and `value` are the hardware's `scause` and
    /// `stval`, if that was a trap.
    pub fn exit(&mut self, vcpu: &mut Vcpu, cause: u64, value: u64) {
        self.statistics.exits += 1;
        vcpu.events.count(Event::SlowExit);
        self.record(vcpu, cause, value);
        self.follow_context(vcpu);
        if cause & INTERRUPT == 0 {
            vcpu.tries.begin();
        }
        match vcpu.block.exit {
            exit if exit == Exit::Interrupt as u64 => {}
            exit if exit == Exit::Emulate as u64 => self.emulate_patched(vcpu),
            _ => self.trap(vcpu, cause, value),
        }
    }

    fn record(&self, vcpu: &mut Vcpu, cause: u64, value: u64) {
        let (cause, value) = match vcpu.block.exit {
            exit if exit == Exit::Interrupt as u64 => (ExitRecord::INTERRUPTED, 0),
            exit if exit == Exit::Emulate as u64 => (ExitRecord::EMULATED, vcpu.block.exit_word),
            _ => (cause, value),
        };
        let record = ExitRecord {
            time: csr::time(),
            cause,
            pc: vcpu.block.hart.pc,
            value,
            mode: vcpu.block.hart.mode as u64,
        };
        vcpu.exits.push(record);
        if self.trace {
            say!("{}hart {}: {record}", self.label(), vcpu.index);
        }
    }

    /// Prepares a virtual hart to enter the guest: does what others asked of it, and ends its wait if
    /// there is something to end it. False when it is not to run.
    pub fn prepare(&mut self, vcpu: &mut Vcpu) -> bool {
        let (requests, interrupts) = self.doorbells[vcpu.index].take();
        if requests & FLUSH != 0 {
            csr::fence_all();
            vcpu.forget();
        }
        if requests & FENCE_I != 0 {
            csr::fence_i();
        }
        if requests & GRANT != 0 {
            self.grant(vcpu);
        }
        if requests & SENT != 0 {
            vcpu.events.count(Event::FenceIReceived);
        }
        if interrupts & interrupt::SSI != 0 {
            vcpu.events.count(Event::IpiReceived);
        }
        for source in [interrupt::SSI, interrupt::STI] {
            if interrupts & source != 0 {
                vcpu.block.hart.set_pending(source, true);
            }
        }
        if requests & LOOK != 0 || self.board_changed {
            self.offer_input();
        }
        if requests & LOOK != 0 && !self.slots.is_empty() {
            self.serve_slots(vcpu);
        }
        if requests & ALARM != 0 {
            self.update_clock();
        }
        self.look_at_interrupts(vcpu);
        match self.states[vcpu.index] {
            State::Started => {}
            State::Stopped => return false,
            State::StartPending(start) => {
                self.start(vcpu, start);
                // It has no interrupt pending yet.
                self.look_at_interrupts(vcpu);
            }
            State::Waiting if !vcpu.block.hart.ends_wait() => return false,
            State::Waiting => {}
            // Another hart's interrupt ends it even where `sie` does not enable that.
            State::Suspended(_)
                if !vcpu.block.hart.ends_wait() && interrupts & interrupt::SSI == 0 =>
            {
                return false;
            }
            State::Suspended(resume) => {
                if let Some(start) = resume {
                    let pending = vcpu.block.hart.sip;
                    self.start(vcpu, start);
                    vcpu.block.hart.sip = pending;
                }
            }
        }
        self.states[vcpu.index] = State::Started;
        self.leave(vcpu);
        if requests & FLUSH != 0 {
            self.offer_context(vcpu);
        }
        true
    }

    /// Passes the level of the interrupt controller on to this hart, and tells the others of theirs.
    fn look_at_interrupts(&mut self, vcpu: &mut Vcpu) {
        let pending = self.board.external_pending(vcpu.index);
        vcpu.block.hart.set_pending(interrupt::SEI, pending);
        self.seen_external[vcpu.index] = pending;
        if self.board_changed {
            self.board_changed = false;
            for (hart, door) in self.doorbells.iter().enumerate() {
                if hart != vcpu.index
                    && self.board.external_pending(hart) != self.seen_external[hart]
                {
                    door.ask(LOOK);
                }
            }
        }
    }

    /// The last thing before the guest runs: interrupts, context, and the hardware's `sstatus`.
    fn leave(&mut self, vcpu: &mut Vcpu) {
        if let Some(interrupt) = vcpu.block.hart.pending_interrupt() {
            self.statistics.interrupts += 1;
            vcpu.events.count(Event::Interrupt);
            vcpu.block.hart.take_trap(Trap::interrupt(interrupt));
        }
        vcpu.block.update_pending();
        self.enter_context(vcpu);
        let status = vcpu.block.hart.sstatus;
        if self.strict_sum && status & numbers::sstatus::SUM == 0 && vcpu.user_pages {
            let dropped = self.shadow.drop_user(vcpu.index);
            self.apply(vcpu, dropped);
            vcpu.user_pages = false;
        }
        let mask = vcpu.block.extension_mask;
        let wanted = status & mask;
        if csr::read!("sstatus") & mask != wanted {
            // SAFETY: FS and VS say whether the guest may use its floating-point and vector
            // registers; the monitor has none of its own.
            unsafe {
                csr::clear!("sstatus", mask);
                csr::set!("sstatus", wanted);
            }
        }
    }

    /// The hart waits, in this state, until an interrupt that the guest enabled in `sie` is pending.
    pub fn wait(&mut self, vcpu: &Vcpu, state: State) {
        self.states[vcpu.index] = state;
    }

    fn trap(&mut self, vcpu: &mut Vcpu, cause: u64, value: u64) {
        if cause & INTERRUPT != 0 {
            // The host hart has served it.
            return;
        }
        let user = vcpu.block.hart.mode == Mode::User;
        match Exception::from_code(cause) {
            Some(Exception::IllegalInstruction) if !user => self.illegal(vcpu, value),
            Some(Exception::Breakpoint) if !user => self.breakpoint(vcpu, value),
            Some(Exception::UserEcall) if !user => self.call(vcpu),
            Some(Exception::InstructionPage) => {
                self.page_fault(vcpu, AccessKind::Fetch, GuestVirt(value))
            }
            Some(Exception::LoadPage) => self.page_fault(vcpu, AccessKind::Load, GuestVirt(value)),
            Some(Exception::StorePage) => {
                self.page_fault(vcpu, AccessKind::Store, GuestVirt(value))
            }
            Some(exception) => self.deliver(vcpu, Trap::exception(exception, value)),
            None => self.stop(format_args!(
                "the host raised exception {cause}, which the monitor does not know"
            )),
        }
    }

    /// Makes the guest take an exception.
    pub fn deliver(&mut self, vcpu: &mut Vcpu, trap: Trap) {
        let hart = &mut vcpu.block.hart;
        let fetch =
            [Exception::InstructionAccess, Exception::InstructionPage].map(|cause| cause as u64);
        if fetch.contains(&trap.cause.scause())
            && hart.mode == Mode::Supervisor
            && hart.pc == hart.stvec & !3
            // One of several may be brought back by the others.
            && self.doorbells.len() == 1
        {
            return self.stop(format_args!(
                "the guest jumped into nothing: no instruction can be fetched at {:#x}, which is its trap vector too \
                 (sepc {:#x}, scause {}); check that the kernel was built for this machine and got enough memory",
                hart.pc, hart.sepc, hart.scause
            ));
        }
        self.statistics.delivered += 1;
        hart.take_trap(trap);
    }

    /// QEMU (10.0 at least) reports a `wfi` that U-mode may not execute and that lies across the end of a
    /// page one page too far: it has stepped over the instruction when it finds out, and puts the offset
    /// in the page back alone. Nobody else reports an instruction that is not there.
    fn mend_address(&self, vcpu: &mut Vcpu, value: u64) {
        const WFI: u64 = 0x1050_0073;
        const STRADDLES: u64 = 0xffe;
        let pc = vcpu.block.hart.pc;
        if value != WFI || pc & 0xfff != STRADDLES || self.fetch(vcpu) == Ok(WFI as u32) {
            return;
        }
        vcpu.block.hart.pc = pc.wrapping_sub(isa::address::PAGE_SIZE);
        if self.fetch(vcpu) != Ok(WFI as u32) {
            vcpu.block.hart.pc = pc;
        }
    }

    /// An instruction that trapped as illegal in VS: the first execution of a privileged one.
    fn illegal(&mut self, vcpu: &mut Vcpu, value: u64) {
        self.mend_address(vcpu, value);
        let word = match self.fetch(vcpu) {
            Ok(word) => word,
            Err(trap) => return self.deliver(vcpu, trap),
        };
        if self.is_thead
            && let Some(op) = isa::thead::cache_op(word)
        {
            return self.thead_cache(vcpu, op);
        }
        let instruction = match judge(word, value, vcpu.block.hart.pc, &mut vcpu.tries) {
            Verdict::CarryOut(instruction) => instruction,
            Verdict::Raise => return self.deliver(vcpu, Trap::illegal(word)),
            // The hart may have fetched what another has changed since.
            Verdict::TryAgain => return csr::fence_i(),
        };
        let at = GuestVirt(vcpu.block.hart.pc);
        if matches!(instruction, Instruction::Cbo { .. }) {
            // Not a privileged instruction: one that `senvcfg` withholds from U-mode.
            self.emulate(vcpu, &instruction, word);
            self.statistics.cache_blocks += 1;
        } else if self.emulate(vcpu, &instruction, word) {
            let kind = Kind::of(&instruction);
            self.statistics.trapped(kind);
            // A routine would give VS what the guest grants VU.
            let is_early = kind == Kind::Senvcfg && !self.user_runs;
            if self.patches && !is_early {
                self.patch(vcpu, at, &instruction, word);
            }
        }
    }

    /// A routine left its instruction to the reference emulator.
    fn emulate_patched(&mut self, vcpu: &mut Vcpu) {
        let word = vcpu.block.exit_word as u32;
        let instruction =
            decode(word).expect("a routine's word was decoded when the routine was made");
        if instruction.is_integer_access() {
            return self.patched_access(vcpu, instruction);
        }
        self.statistics.emulated(Kind::of(&instruction));
        self.emulate(vcpu, &instruction, word);
    }

    /// Carries out a privileged instruction with the reference emulator; false when it raised an
    /// exception in the guest.
    pub fn emulate(&mut self, vcpu: &mut Vcpu, instruction: &Instruction, word: u32) -> bool {
        let hardware = Hardware {
            is_thead: self.is_thead,
            views: vcpu.counter_views(self.counters),
        };
        let hart = &mut vcpu.block.hart;
        let effect = match hart.execute(&self.features, &hardware, instruction, word) {
            Ok(effect) => effect,
            Err(trap) => {
                self.deliver(vcpu, trap);
                return false;
            }
        };
        match effect {
            Effect::None => {}
            Effect::SfenceVma { address, asid } => self.fence(vcpu, address, asid),
            Effect::Wfi => self.wait(vcpu, State::Waiting),
            Effect::Cbo { op, address } => self.cache_block(vcpu, op, address, word),
        }
        if let Instruction::Csr(access) = instruction
            && [numbers::SCOUNTEREN, numbers::SENVCFG].contains(&access.csr)
        {
            self.grant(vcpu);
        }
        true
    }
}
