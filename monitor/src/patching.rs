//! Patches of a running machine: placed, dropped, recycled.

use isa::address::{GuestPhys, GuestVirt, PAGE_SIZE};
use isa::csr::{self as numbers, Exception};
use isa::decode::{CsrOp, Instruction, Source, decode, length};
use isa::satp::Satp;
use mmu::{Access, Dropped, Fault, Kind as AccessKind, walk_with};
use patch::pages::Mappings;
use patch::{Kind, Placed};
use sbi::Event;
use vcpu::Trap;

use super::access::effective;
use super::csr;
use super::doorbell::FENCE_I;
use super::machine::Machine;
use super::page_fault::fault_of;
use super::virtual_hart::Vcpu;

/// Loads and stores of devices that are counted at a time.
pub const HOT: usize = 512;
/// Accesses of one instruction that make it worth a patch.
const HOT_ACCESSES: u32 = 8;

/// Patches that are refused, because something is full, before everything is recycled.
const MOST_REFUSED: u32 = 8192;

impl Machine {
    /// Patches the instruction at `at`, which was just carried out.
    pub fn patch(&mut self, vcpu: &mut Vcpu, at: GuestVirt, instruction: &Instruction, word: u32) {
        if self.strict_sum && changes_sum(instruction) {
            return;
        }
        let access = Access {
            kind: AccessKind::Fetch,
            user: false,
            sum: false,
            mxr: false,
        };
        let satp = Satp(vcpu.satp.expect("a guest ran"));
        let Ok(translation) = walk_with(&self.ram, self.walk_options, satp, at, access) else {
            return;
        };
        let address = translation.address;
        let placed = loop {
            // The instruction may have changed what its own address leads to, and other harts may
            // have changed the instruction.
            if self.word(address) != Some(word) {
                return;
            }
            // Harts that run in the copy might fetch one half of the instruction and the other of the
            // patch; and where a copy was before, harts may have its instructions cached.
            let stop_others = || self.summon(vcpu.index, |_| true, FENCE_I);
            let mut patcher = self.patcher.borrow_mut();
            let placed = patcher.place(address, instruction, word, stop_others);
            drop(patcher);
            match placed {
                Ok(Placed::Writable) => self.protect_all(vcpu),
                Ok(placed) => break placed,
                Err(patch::patcher::Full) => {
                    // A guest that uses more than fits goes on with what it has for a while: to
                    // start over costs as much as thousands of traps.
                    self.refused += 1;
                    if self.refused < MOST_REFUSED || self.patcher.borrow().pages().sites() == 0 {
                        return;
                    }
                    self.refused = 0;
                    self.recycle(vcpu);
                }
            }
        };
        if matches!(placed, Placed::Patched { .. }) {
            vcpu.events.count(Event::Patch);
        }
        match placed {
            // A context still maps the original here.
            Placed::Patched { new_copy: true } | Placed::Served => {
                let dropped = self.shadow.drop_execute(vcpu.index, at);
                self.apply(vcpu, dropped);
            }
            Placed::Patched { new_copy: false } => {}
            Placed::No | Placed::Writable => return,
        }
        csr::fence_i();
    }

    /// Takes every writable mapping away: each write faults, and is noted, from now on.
    fn protect_all(&mut self, vcpu: &mut Vcpu) {
        let dropped = self.shadow.flush_all();
        self.apply(vcpu, dropped);
        self.patcher.borrow_mut().pages_mut().clear_writable();
    }

    /// Forgets all patches, because something ran full.
    fn recycle(&mut self, vcpu: &mut Vcpu) {
        self.protect_all(vcpu);
        self.patcher.borrow_mut().recycle();
    }

    /// Where code is looked at: an instruction stores to the frame at `address`. One that lies there itself
    /// could never do that, for the frame is either executed or written. So it is not looked at any more.
    pub fn open_own(&mut self, vcpu: &Vcpu, address: GuestPhys) {
        let access = self.access(vcpu, AccessKind::Fetch);
        let satp = Satp(vcpu.block.hart.satp);
        let pc = vcpu.block.hart.pc;
        let is_own = [pc, pc.wrapping_add(2)].into_iter().any(|at| {
            let walked = walk_with(&self.ram, self.walk_options, satp, GuestVirt(at), access);
            walked.is_ok_and(|translation| translation.address.page() == address.page())
        });
        if is_own && !access.user {
            self.patcher.borrow_mut().pages_mut().open(address);
        }
    }

    /// Where `wfi` does not trap: looks through the frame that VS is about to execute at `at`, and patches
    /// each `wfi` in it. Until the frame is written VS may execute it then.
    pub fn look_at_code(&mut self, vcpu: &mut Vcpu, at: GuestVirt) {
        const WFI: u32 = 0x1050_0073;
        let access = Access {
            kind: AccessKind::Fetch,
            user: false,
            sum: false,
            mxr: false,
        };
        let satp = Satp(vcpu.block.hart.satp);
        let Ok(translation) = walk_with(&self.ram, self.walk_options, satp, at, access) else {
            // The walk that comes next says why.
            return;
        };
        let frame = translation.address.page();
        let is_known = |machine: &Self| {
            let patcher = machine.patcher.borrow();
            let pages = patcher.pages();
            pages.copy(frame).is_some() || pages.is_seen(frame) || pages.is_open(frame)
        };
        if !self.ram.contains(frame, PAGE_SIZE) || is_known(self) {
            return;
        }
        if self.patcher.borrow().pages().is_writable(frame) {
            self.protect_all(vcpu);
        }
        // What other harts change from here on, they fault at.
        let mut offset = 0;
        while offset <= PAGE_SIZE - 4 {
            if self.ram.bytes(frame.add(offset)).map(u32::from_le_bytes) != Some(WFI) {
                offset += 2;
                continue;
            }
            let stop_others = || self.summon(vcpu.index, |_| true, FENCE_I);
            let mut patcher = self.patcher.borrow_mut();
            patcher.pages_mut().forgive(frame);
            let placed = patcher.place(frame.add(offset), &Instruction::Wfi, WFI, stop_others);
            drop(patcher);
            match placed {
                Ok(_) => offset += 2,
                // From the start: other patches of the frame are gone.
                Err(patch::patcher::Full) => {
                    self.recycle(vcpu);
                    offset = 0;
                }
            }
        }
        csr::fence_i();
        if !is_known(self) {
            self.patcher.borrow_mut().pages_mut().set_seen(frame, true);
        }
    }

    /// Drops the patched copy of the frame that holds `address`, if there is one.
    pub fn drop_copy(&mut self, vcpu: &mut Vcpu, address: GuestPhys) {
        if self.patcher.borrow().pages().is_seen(address) {
            self.protect_all(vcpu);
            self.patcher
                .borrow_mut()
                .pages_mut()
                .set_seen(address, false);
            return;
        }
        if self.patcher.borrow().pages().copy(address).is_none() {
            return;
        }
        let mappings = self.patcher.borrow_mut().pages_mut().take_mappings(address);
        match mappings {
            // The original is still executed where it was before it had a copy.
            _ if self.looks_at_code => self.protect_all(vcpu),
            Mappings::At(mappings) => {
                let dropped = mappings
                    .into_iter()
                    .map(|mapping| self.shadow.drop_copy(mapping))
                    .fold(Dropped::NONE, Dropped::and);
                self.apply(vcpu, dropped);
            }
            Mappings::TooMany => self.protect_all(vcpu),
        }
        self.patcher.borrow_mut().drop_copy(address);
    }

    /// A break in VS that the gate found no routine for: the guest's own, or a patch that was not whole
    /// yet, or is not any more.
    pub fn breakpoint(&mut self, vcpu: &mut Vcpu, value: u64) {
        let access = Access {
            kind: AccessKind::Fetch,
            user: false,
            sum: false,
            mxr: false,
        };
        let satp = Satp(vcpu.block.hart.satp);
        let at = GuestVirt(vcpu.block.hart.pc);
        let walked = walk_with(&self.ram, self.walk_options, satp, at, access);
        let address = walked.ok().map(|translation| translation.address);
        // One walk: another hart may change the tables meanwhile. Nothing that is patched straddles.
        let Some((address, word)) =
            address.and_then(|address| Some((address, self.word(address)?)))
        else {
            return self.deliver(vcpu, Trap::exception(Exception::Breakpoint, value));
        };
        match decode(word) {
            Some(Instruction::Ebreak) => {
                self.deliver(vcpu, Trap::exception(Exception::Breakpoint, value));
            }
            Some(instruction) if let Some(routine) = self.routine(address) => {
                if instruction.is_integer_access() {
                    if length(word as u16) == 2 {
                        // The gate has no value to find it by.
                        csr::fence_i();
                        vcpu.block.remember(at.0, routine);
                    }
                    self.patched_access(vcpu, instruction);
                } else if self.emulate(vcpu, &instruction, word) {
                    self.statistics.trapped(Kind::of(&instruction));
                }
            }
            // Its second half is in another page.
            _ if self.fetch(vcpu) == Ok(EBREAK) => {
                self.deliver(vcpu, Trap::exception(Exception::Breakpoint, value));
            }
            _ => {
                if vcpu.tries.again(at.0) > MOST_TRIES {
                    return self.stop(format_args!(
                        "the host breaks at {:#x} again and again, where the guest has no breakpoint but {word:#x}: a fault \
                         of the host; look for a debugger's or the firmware's trigger there, or try another host",
                        at.0
                    ));
                }
                // The guest has changed the instruction since the hart fetched it, or it has jumped to
                // the payload of a patch. Either way it executes what it has there itself.
                self.drop_copy(vcpu, address);
                let dropped = self.shadow.drop_execute(vcpu.index, at);
                self.apply(vcpu, dropped);
                csr::fence_address(at.0);
                csr::fence_i();
            }
        }
    }

    /// The routine of the patch at `address`.
    fn routine(&self, address: GuestPhys) -> Option<u64> {
        self.patcher.borrow().routine(address)
    }

    /// The instruction at `address`, 2 or 4 bytes; only its first half where the second is in another
    /// page.
    fn word(&self, address: GuestPhys) -> Option<u32> {
        let half = self.ram.bytes(address).map(u16::from_le_bytes)?;
        if length(half) == 2 || address.offset() > PAGE_SIZE - 4 {
            return Some(half.into());
        }
        self.ram.bytes(address).map(u32::from_le_bytes)
    }

    /// A load or store in VS has accessed a device by way of a page fault; one that does so again and
    /// again is patched.
    pub fn note_access(
        &mut self,
        vcpu: &mut Vcpu,
        at: GuestVirt,
        instruction: &Instruction,
        word: u32,
    ) {
        if !self.patches || !instruction.is_integer_access() {
            return;
        }
        let hot = &mut self.hot[at.0 as usize / 2 % HOT];
        if hot.0 != at.0 {
            *hot = (at.0, 0);
        }
        hot.1 += 1;
        if hot.1 == HOT_ACCESSES {
            hot.1 = 0;
            self.patch(vcpu, at, instruction, word);
        }
    }

    /// A load or store that is patched because it accesses a device. Where it does not, this time, the
    /// hardware carries it out, and no such patch is placed in its page again.
    pub fn patched_access(&mut self, vcpu: &mut Vcpu, instruction: Instruction) {
        let (Instruction::Load(access) | Instruction::Store(access)) = instruction else {
            unreachable!("only loads and stores come here")
        };
        let at = effective(vcpu, &access);
        let kind = match instruction {
            Instruction::Store(_) => AccessKind::Store,
            _ => AccessKind::Load,
        };
        let is_whole = at.offset() + u64::from(access.width) <= PAGE_SIZE;
        match self.device_address(vcpu, kind, at) {
            Err(fault) => self.deliver(vcpu, fault_of(kind, fault, at)),
            Ok(Some(address)) if is_whole => {
                if self.access_device(vcpu, Some(instruction), at, address) {
                    self.statistics.device_accesses += 1;
                    self.statistics.device_accesses_patched += 1;
                } else {
                    self.device_access(vcpu, kind, at, address);
                }
            }
            Ok(_) => self.give_access_up(vcpu),
        }
    }

    /// The guest-physical address that an access at `at` reaches; `None` when that is RAM.
    fn device_address(
        &self,
        vcpu: &mut Vcpu,
        kind: AccessKind,
        at: GuestVirt,
    ) -> Result<Option<GuestPhys>, Fault> {
        let (access, tables) = (self.access(vcpu, kind), vcpu.tables());
        // What was asked for may be a fence of another hart, which this access comes after.
        let is_known = !self.doorbells[vcpu.index].is_asked();
        let known = is_known.then(|| vcpu.device_pages.find(tables, at, access));
        if let Some(address) = known.flatten() {
            return Ok(Some(address));
        }
        let satp = Satp(tables.satp);
        let address = walk_with(&self.ram, self.walk_options, satp, at, access)?.address;
        if self.ram.contains(address, 1) {
            return Ok(None);
        }
        vcpu.device_pages.note(tables, at, access, address);
        Ok(Some(address))
    }

    /// Takes the patches of the page away that the hart executes in, for good those of loads and stores.
    fn give_access_up(&mut self, vcpu: &mut Vcpu) {
        let pc = GuestVirt(vcpu.block.hart.pc);
        let satp = Satp(vcpu.block.hart.satp);
        let access = self.access(vcpu, AccessKind::Fetch);
        let Ok(translation) = walk_with(&self.ram, self.walk_options, satp, pc, access) else {
            // The next fetch faults, unless a patch is what the shadow still has here.
            let dropped = self.shadow.drop_execute(vcpu.index, pc);
            return self.apply(vcpu, dropped);
        };
        let address = translation.address;
        if self.patcher.borrow().pages().copy(address).is_some() {
            self.patcher.borrow_mut().pages_mut().set_mixed(address);
            self.drop_copy(vcpu, address);
        }
        let dropped = self.shadow.drop_execute(vcpu.index, pc);
        self.apply(vcpu, dropped);
        csr::fence_i();
    }
}

/// So often in succession is an instruction tried again at which the host breaks without a cause. Copies
/// that other harts have made again meanwhile take more traps for each.
const MOST_TRIES: u32 = 16;

/// `ebreak`, volume I, "Environment Call and Breakpoints".
const EBREAK: u32 = 0x0010_0073;

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
