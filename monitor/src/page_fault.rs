//! Page faults of the guest: shadowed, carried out, or passed on.

use core::sync::atomic::{Ordering, fence};

use isa::address::{GuestPhys, GuestVirt, PAGE_SIZE};
use isa::csr::{self as numbers, Exception};
use isa::decode::{decode, length};
use isa::satp::Satp;
use mmu::{Access, Fault, FillError, Filled, Kind as AccessKind, Paging, Translation, walk_with};
use sbi::Event;
use vcpu::{Mode, Trap};

use super::machine::{Frames, Machine};
use super::virtual_hart::Vcpu;
use super::window;

impl Machine {
    /// A page fault of the hardware.
    pub fn page_fault(&mut self, vcpu: &mut Vcpu, kind: AccessKind, at: GuestVirt) {
        let access = self.access(vcpu, kind);
        if access.user {
            // Nothing is mapped for VU before its first fetch has faulted.
            self.let_user_run(vcpu);
        }
        loop {
            let satp = Satp(vcpu.block.hart.satp);
            if self.looks_at_code && kind == AccessKind::Fetch && !access.user {
                self.look_at_code(vcpu, at);
            }
            // Other harts' fences wait from here on until the fill is over.
            self.filling.store(1, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            let walked = walk_with(&self.ram, self.walk_options, satp, at, access);
            let filled =
                walked.map(|translation| (translation, self.fill(vcpu, at, &translation, access)));
            self.filling.store(0, Ordering::Release);
            let (translation, filled) = match filled {
                Ok(filled) => filled,
                Err(fault) => return self.deliver(vcpu, fault_of(kind, fault, at)),
            };
            match filled {
                Ok(Filled::Installed(_)) => {}
                Ok(Filled::Cleared(dropped)) => {
                    self.apply(vcpu, dropped);
                    continue;
                }
                Ok(Filled::Spurious(flush)) => self.flush(vcpu, flush),
                Ok(Filled::ExecuteOnly) => {
                    if !self.load_hidden(vcpu, at, &translation) {
                        continue;
                    }
                }
                Ok(Filled::WriteProtected) => {
                    self.statistics.hidden_writes += 1;
                    if self.looks_at_code {
                        self.open_own(vcpu, translation.address);
                    }
                    self.drop_copy(vcpu, translation.address);
                    continue;
                }
                Err(FillError::Full) => {
                    self.make_room(vcpu);
                    continue;
                }
                Err(FillError::NotRam(address)) => self.device_access(vcpu, kind, at, address),
                Err(FillError::Window(_)) if satp.mode() == 0 => {
                    self.deliver(vcpu, fault_of(kind, Fault::Access, at));
                }
                Err(FillError::Window(address)) => {
                    let window = window::place();
                    let narrower = match window.paging {
                        Paging::Sv57 => "a narrower paging mode (`no5lvl` in a Linux command line)",
                        Paging::Sv48 => "a narrower paging mode (`no4lvl` in a Linux command line)",
                        _ => "another memory layout",
                    };
                    self.stop(format_args!(
                        "the guest maps {:#x}, where the monitor's window is ({:#x} to {:#x}); give the monitor another place \
                         (`--window`), or the guest {narrower}",
                        address.0,
                        window.start,
                        window::end(),
                    ));
                }
                Err(FillError::Beyond(_)) => {
                    self.deliver(vcpu, fault_of(kind, Fault::Access, at));
                }
                Err(FillError::Rights) => self.deliver(vcpu, fault_of(kind, Fault::Page, at)),
            }
            return;
        }
    }

    /// An access that a hart makes in the mode that it is in.
    pub fn access(&self, vcpu: &Vcpu, kind: AccessKind) -> Access {
        let hart = &vcpu.block.hart;
        let status = hart.sstatus;
        Access {
            kind,
            user: hart.mode == Mode::User,
            sum: !self.strict_sum || status & numbers::sstatus::SUM != 0,
            mxr: status & numbers::sstatus::MXR != 0,
        }
    }

    /// Fills the shadow at `at` and around it.
    fn fill(
        &mut self,
        vcpu: &mut Vcpu,
        at: GuestVirt,
        translation: &Translation,
        access: Access,
    ) -> Result<Filled, FillError> {
        let looks_at_code = self.looks_at_code;
        let hart = vcpu.index;
        let frames = Frames {
            patcher: &self.patcher,
            looks_at_code,
        };
        let filled = self
            .shadow
            .fill(&self.ram, &frames, hart, at, translation, access)?;
        if let Filled::Installed(dropped) = filled {
            self.statistics.fills += 1;
            vcpu.events.count(Event::ShadowFill);
            vcpu.user_pages |= translation.pte.is_user();
            self.apply(vcpu, dropped);
            let frames = Frames {
                patcher: &self.patcher,
                looks_at_code,
            };
            self.shadow
                .fill_around(&self.ram, &frames, hart, at, translation, access);
            self.offer_context(vcpu);
        }
        Ok(filled)
    }

    /// A guest's load or store of guest-physical `address`, which is not RAM.
    pub fn device_access(
        &mut self,
        vcpu: &mut Vcpu,
        kind: AccessKind,
        at: GuestVirt,
        address: GuestPhys,
    ) {
        let pc = vcpu.block.hart.pc;
        if kind != AccessKind::Fetch {
            match self.fetch(vcpu) {
                Ok(word) => {
                    let instruction = decode(word);
                    let user = vcpu.block.hart.mode == Mode::User;
                    if self.access_device(vcpu, instruction, at, address) {
                        self.statistics.device_accesses += 1;
                        if let Some(instruction) = instruction.filter(|_| !user) {
                            self.note_access(vcpu, GuestVirt(pc), &instruction, word);
                        }
                        return;
                    }
                }
                Err(trap) => return self.deliver(vcpu, trap),
            }
        }
        let what = match kind {
            AccessKind::Fetch => "fetches from",
            AccessKind::Load => "loads from",
            AccessKind::Store => "stores to",
        };
        self.report(format_args!(
            "the guest at {pc:#x} {what} guest-physical {:#x}, where there is no memory and no device that takes it: \
             it gets an access fault",
            address.0
        ));
        self.deliver(vcpu, fault_of(kind, Fault::Access, at));
    }

    /// The instruction at the guest's `pc`.
    pub fn fetch(&self, vcpu: &Vcpu) -> Result<u32, Trap> {
        let hart = &vcpu.block.hart;
        let access = Access {
            kind: AccessKind::Fetch,
            user: hart.mode == Mode::User,
            sum: false,
            mxr: false,
        };
        let fault = |fault, at| fault_of(AccessKind::Fetch, fault, at);
        let translate = |at: GuestVirt| {
            let walked = walk_with(&self.ram, self.walk_options, Satp(hart.satp), at, access);
            walked.map_err(|why| fault(why, at))
        };
        let pc = GuestVirt(hart.pc);
        let first = translate(pc)?.address;
        // One walk is enough for what lies in one page, and one read for what is aligned in it.
        if pc.offset() <= PAGE_SIZE - 4
            && let Some(word) = self.ram.bytes(first).map(u32::from_le_bytes)
        {
            return Ok(match length(word as u16) {
                2 => word & 0xffff,
                _ => word,
            });
        }
        let parcel = |address: GuestPhys, at| -> Result<u16, Trap> {
            let bytes = self.ram.bytes(address);
            let parcel = bytes.map(u16::from_le_bytes);
            parcel.ok_or_else(|| fault(Fault::Access, at))
        };
        let first = parcel(first, pc)?;
        if length(first) == 2 {
            return Ok(first.into());
        }
        let next = GuestVirt(hart.pc.wrapping_add(2));
        let second = parcel(translate(next)?.address, next)?;
        Ok(u32::from(second) << 16 | u32::from(first))
    }
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
