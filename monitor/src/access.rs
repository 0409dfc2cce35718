//! Loads and stores that the monitor carries out for the guest: of emulated devices, and of pages
//! that hold patches.

use isa::address::{GuestPhys, GuestVirt, PAGE_SIZE};
use isa::decode::{CboOp, Instruction, MemoryAccess, decode};
use isa::thead::CacheOp;
use mmu::{Access, Fault, Kind as AccessKind, Translation, walk_with};
use vcpu::Mode;

use devices::Request;
use devices::layout::{RTC, virtio_slot};
use isa::satp::Satp;

use super::doorbell::FENCE_I;
use super::gate::{Attempt, attempt};
use super::machine::Machine;
use super::page_fault::fault_of;
use super::virtual_hart::Vcpu;
use super::{csr, system, window};

/// What a load puts into its register: `bytes` bytes of `value`, extended.
fn extend(value: u64, access: &MemoryAccess) -> u64 {
    let unused = 64 - 8 * u32::from(access.width);
    if access.signed {
        ((value << unused) as i64 >> unused) as u64
    } else {
        value << unused >> unused
    }
}

/// The address that the instruction at `pc` accesses: not the one that faulted, when the access is
/// misaligned and begins in the page before.
pub fn effective(vcpu: &Vcpu, access: &MemoryAccess) -> GuestVirt {
    GuestVirt(vcpu.block.hart.x[access.base.index()].wrapping_add_signed(access.offset))
}

impl Machine {
    /// Carries out a load or store of the device at `address`; false when no device takes it.
    pub fn access_device(
        &mut self,
        vcpu: &mut Vcpu,
        instruction: Option<Instruction>,
        at: GuestVirt,
        address: GuestPhys,
    ) -> bool {
        let access = match instruction {
            // Devices have no registers for floating-point numbers. A misaligned access that begins in
            // the page before is none of a device.
            Some(Instruction::Load(access) | Instruction::Store(access))
                if !access.float && effective(vcpu, &access) == at =>
            {
                access
            }
            _ => return false,
        };
        let is_clock = (address.0.wrapping_sub(RTC.base.0)) < RTC.size;
        if is_clock {
            system::get().clock.show(&mut self.board);
        }
        let is_slot = virtio_slot(address).is_some();
        let request = if let Some(Instruction::Load(_)) = instruction {
            let value = match is_slot {
                true => self.load_slots(address, access.width),
                false => self.board.read(address, access.width),
            };
            let Ok(value) = value else { return false };
            vcpu.block
                .hart
                .set_register(access.register, extend(value, &access));
            Request::None
        } else if is_slot {
            let value = vcpu.block.hart.x[access.register.index()];
            let stored = self.store_slots(vcpu, address, access.width, value);
            if stored.is_err() {
                return false;
            }
            Request::None
        } else {
            let value = vcpu.block.hart.x[access.register.index()];
            let Ok(request) = self.board.write(address, access.width, value) else {
                return false;
            };
            self.show_output();
            if is_clock {
                self.update_clock();
            }
            request
        };
        vcpu.block.hart.pc = vcpu.block.hart.pc.wrapping_add(access.length.into());
        self.board_changed = true;
        self.carry_out(request);
        true
    }

    /// A load of a page that is mapped for execution alone: it holds patches, or the guest reads it
    /// by MXR. False when it should be tried again, the copy being gone.
    pub fn load_hidden(
        &mut self,
        vcpu: &mut Vcpu,
        at: GuestVirt,
        translation: &Translation,
    ) -> bool {
        let address = translation.address;
        let instruction = self.fetch(vcpu).ok().and_then(decode);
        let patched = self.patcher.borrow().pages().copy(address).is_some();
        if let Some(Instruction::Load(access)) = instruction
            && !access.float
            && effective(vcpu, &access) == at
            && address.offset() + u64::from(access.width) <= PAGE_SIZE
        {
            let mut bytes = [0; 8];
            self.ram.read(address, &mut bytes[..access.width.into()]);
            let value = extend(u64::from_le_bytes(bytes), &access);
            vcpu.block.hart.set_register(access.register, value);
            vcpu.block.hart.pc = vcpu.block.hart.pc.wrapping_add(access.length.into());
            self.statistics.hidden_reads += 1;
            let give_up = patched && self.patcher.borrow_mut().pages_mut().note_read(address);
            if give_up {
                self.drop_copy(vcpu, address);
            }
            return true;
        }
        if patched {
            // Another kind of load: the page itself must be readable for it.
            self.drop_copy(vcpu, address);
            return false;
        }
        self.deliver(vcpu, fault_of(AccessKind::Load, Fault::Access, at));
        true
    }

    /// A cache-block instruction that `senvcfg` denied to the hardware's U-mode but that VS may use.
    pub fn cache_block(&mut self, vcpu: &mut Vcpu, op: CboOp, at: GuestVirt, word: u32) {
        let size = match op {
            CboOp::Zero => self.cboz_block,
            _ => self.cbom_block,
        };
        let Some(size) = size.map(u64::from) else {
            vcpu.block.hart.pc = vcpu.block.hart.pc.wrapping_sub(4);
            return self.deliver(vcpu, vcpu::Trap::illegal(word));
        };
        let access = Access {
            kind: if op == CboOp::Zero {
                AccessKind::Store
            } else {
                AccessKind::Load
            },
            user: vcpu.block.hart.mode == Mode::User,
            sum: true,
            mxr: false,
        };
        let translated = walk_with(
            &self.ram,
            self.walk_options,
            Satp(vcpu.block.hart.satp),
            at,
            access,
        );
        let address = match translated {
            Ok(translation) => translation.address.align_down(size),
            Err(fault) => {
                vcpu.block.hart.pc = vcpu.block.hart.pc.wrapping_sub(4);
                return self.deliver(vcpu, fault_of(AccessKind::Store, fault, at));
            }
        };
        if !self.ram.contains(address, size) {
            vcpu.block.hart.pc = vcpu.block.hart.pc.wrapping_sub(4);
            return self.deliver(vcpu, fault_of(AccessKind::Store, Fault::Access, at));
        }
        match op {
            CboOp::Zero => {
                self.drop_copy(vcpu, address);
                self.ram.zero(address, size);
            }
            CboOp::Clean | CboOp::Flush | CboOp::Inval => {
                let host = window::direct(self.ram.host_base().add(address.0 - self.ram.base.0));
                if attempt(Attempt::FlushBlock(host.as_ptr() as u64)).is_none() {
                    vcpu.block.hart.pc = vcpu.block.hart.pc.wrapping_sub(4);
                    self.deliver(vcpu, vcpu::Trap::illegal(word));
                }
            }
        }
    }

    /// T-Head's cache maintenance, which their processors deny to U-mode. A guest's addresses are not
    /// the host's; what concerns the whole cache is done to the whole cache.
    pub fn thead_cache(&mut self, vcpu: &mut Vcpu, op: CacheOp) {
        match op {
            CacheOp::Line(register) => {
                let at = GuestPhys(vcpu.block.hart.x[register.index()]);
                if self.ram.contains(at, 1) {
                    let host = self.ram.host_base().add(at.0 - self.ram.base.0);
                    attempt(Attempt::TheadFlushLine(host.0));
                }
            }
            CacheOp::All => {
                attempt(Attempt::TheadFlushAll);
            }
            CacheOp::Instructions => csr::fence_i(),
            CacheOp::InstructionsOfAll => {
                csr::fence_i();
                self.summon(vcpu.index, |_| true, FENCE_I);
            }
        }
        vcpu.block.hart.pc = vcpu.block.hart.pc.wrapping_add(4);
    }
}
