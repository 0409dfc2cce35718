//! Patches of a running machine: placed, dropped, recycled.

use isa::address::{GuestPhys, GuestVirt, PAGE_SIZE};
use isa::csr::{self as numbers, Exception};
use isa::decode::{CsrOp, Instruction, Source, decode};
use isa::satp::Satp;
use mmu::{Access, Dropped, Kind as AccessKind, walk_with};
use patch::pages::Mappings;
use patch::{Kind, Placed};
use sbi::Event;
use vcpu::Trap;

use super::csr;
use super::doorbell::FENCE_I;
use super::machine::Machine;
use super::virtual_hart::Vcpu;

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
            if self.ram.bytes(address).map(u32::from_le_bytes) != Some(word) {
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

    /// Drops the patched copy of the frame that holds `address`, if there is one.
    pub fn drop_copy(&mut self, vcpu: &mut Vcpu, address: GuestPhys) {
        if self.patcher.borrow().pages().copy(address).is_none() {
            return;
        }
        let mappings = self.patcher.borrow_mut().pages_mut().take_mappings(address);
        match mappings {
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
            Some(instruction) if self.patcher.borrow().pages().site(address).is_some() => {
                if self.emulate(vcpu, &instruction, word) {
                    self.statistics.trapped(Kind::of(&instruction));
                }
            }
            // Its second half is in another page.
            _ if self.fetch(vcpu) == Ok(EBREAK) => {
                self.deliver(vcpu, Trap::exception(Exception::Breakpoint, value));
            }
            _ => {
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

    /// The instruction at `address`; only its first half where the second is in another page.
    fn word(&self, address: GuestPhys) -> Option<u32> {
        if address.offset() > PAGE_SIZE - 4 {
            let half = self.ram.bytes(address).map(u16::from_le_bytes)?;
            return Some(half.into());
        }
        self.ram.bytes(address).map(u32::from_le_bytes)
    }
}

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
