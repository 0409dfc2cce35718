//! The virtio slots of a machine: its devices, what the guest asks of them, and what arrives for them
//! from the host.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::sync::atomic::{Ordering, fence};

use devices::board::aligned_parts;
use devices::{NoDevice, layout};
use isa::address::{GuestPhys, PAGE_SIZE};
use switch::Port;
use virtio::block::SERIAL;
use virtio::mmio::read_empty;
use virtio::{Action, Block, Console, Disk, Entropy, Mmio, Net};

use super::console::say;
use super::doorbell::LOOK;
use super::host_disk::Owner;
use super::links;
use super::machine::{Machine, Memory, Parts};
use super::piece::Sources;
use super::system::Typed;
use super::virtual_hart::Vcpu;
use super::{console, network, piece, system};

/// Bytes of the guest's memory that are searched for patched copies at once.
const PIECE: u64 = 2 << 20;

/// A device in a slot, with its back end.
enum Device {
    /// A disk.
    Block(Mmio<Block>, Box<dyn Disk + Send>),
    /// A network interface, and its port of the switch.
    Net(Mmio<Net>, Port),
    /// A console with several ports.
    Console(Mmio<Console>),
    /// A source of entropy.
    Entropy(Mmio<Entropy>),
}

/// A slot that has a device.
pub struct Slot {
    device: Device,
    /// There is something to do: more than at one time, or requests have ended.
    again: bool,
    /// What the driver did wrong has been reported.
    is_reported: bool,
}

/// Does the same with whatever device a slot has.
macro_rules! each {
    ($device:expr, $mmio:ident => $what:expr) => {
        match $device {
            Device::Block($mmio, _) => $what,
            Device::Net($mmio, _) => $what,
            Device::Console($mmio) => $what,
            Device::Entropy($mmio) => $what,
        }
    };
}

/// The guest's memory, as its devices reach it. What they write takes the patched copies of its frames
/// away first, as what the guest's harts write does.
struct Dma<'a> {
    machine: &'a mut Machine,
    vcpu: &'a mut Vcpu,
}

impl Dma<'_> {
    fn drop_copies(&mut self, at: GuestPhys, size: u64) {
        let end = at.0 + size;
        let mut at = at;
        while at.0 < end {
            let piece = (end - at.0).min(PIECE - at.0 % PIECE);
            if !self.machine.patcher.borrow().pages().unpatched(at, piece) {
                let mut page = at.page();
                while page.0 < at.0 + piece {
                    self.machine.drop_copy(self.vcpu, page);
                    page = page.add(PAGE_SIZE);
                }
            }
            at = at.add(piece);
        }
    }
}

impl virtio::Memory for Dma<'_> {
    fn contains(&self, at: GuestPhys, size: u64) -> bool {
        self.machine.ram.contains(at, size)
    }

    fn read(&self, at: GuestPhys, buffer: &mut [u8]) -> bool {
        self.machine.ram.read(at, buffer)
    }

    fn write(&mut self, at: GuestPhys, bytes: &[u8]) -> bool {
        let size = bytes.len() as u64;
        if !self.machine.ram.contains(at, size) {
            return false;
        }
        self.drop_copies(at, size);
        self.machine.ram.write(at, bytes)
    }

    fn load_u16(&self, at: GuestPhys) -> Option<u16> {
        self.machine.ram.load_u16(at)
    }

    fn store_u16(&mut self, at: GuestPhys, value: u16) -> bool {
        if !self.machine.ram.contains(at, 2) {
            return false;
        }
        self.drop_copies(at, 2);
        self.machine.ram.store_u16(at, value)
    }

    fn fence(&self) {
        fence(Ordering::SeqCst);
    }

    fn written(&mut self, at: GuestPhys, size: u64) {
        if self.machine.ram.contains(at, size) {
            self.drop_copies(at, size);
        }
    }
}

impl Slot {
    fn new(device: Device) -> Self {
        Self {
            device,
            again: false,
            is_reported: false,
        }
    }

    /// Does what the driver asks for, and hands it what has come for it.
    fn serve(&mut self, dma: &mut Dma) {
        let system = system::get();
        let vm = dma.machine.number;
        self.again = match &mut self.device {
            Device::Block(mmio, disk) => mmio.serve(&mut **disk, dma),
            Device::Net(mmio, port) => {
                let send = &mut |frame| system.network.send(*port, frame);
                let again = mmio.serve_transmit(send, dma);
                let receive = |frame: &_| mmio.receive(frame, dma);
                system.network.receive(*port, receive);
                mmio.end_receive(dma);
                again
            }
            Device::Console(mmio) => {
                let mut is_shown = false;
                let output = &mut |port: usize, bytes: &[u8]| match port.checked_sub(1) {
                    None => {
                        is_shown = true;
                        console::in_time(bytes, |piece| console::output(vm, piece))
                    }
                    Some(port) => system.links.send(vm, port, bytes),
                };
                let again = mmio.serve(output, dma);
                dma.machine.types_to_uart &= !is_shown;
                system
                    .links
                    .receive(vm, |port, bytes| mmio.input(port + 1, bytes, dma));
                if !dma.machine.types_to_uart {
                    system.offer_input(vm, |typed| match typed {
                        Typed::Byte(byte) => mmio.input(0, &[byte], dma) == 1,
                        Typed::Break => {
                            say!(
                                "{}its console is a virtio device, which has no BREAK",
                                system.label(vm)
                            );
                            true
                        }
                    });
                }
                again
            }
            Device::Entropy(mmio) => {
                let fill = &mut |bytes: &mut [u8]| {
                    system.devices.entropy.fill(bytes);
                };
                mmio.serve(fill, dma)
            }
        };
    }

    /// Whether there may be something to do that the driver does not ring for.
    fn is_due(&self) -> bool {
        // Frames, bytes of a link and what is typed wait elsewhere: serving these looks for it.
        self.again || matches!(self.device, Device::Net(..) | Device::Console(_))
    }

    /// What it is, for reports.
    fn kind(&self) -> &'static str {
        match self.device {
            Device::Block(..) => "a disk",
            Device::Net(..) => "a network interface",
            Device::Console(_) => "a console",
            Device::Entropy(_) => "an entropy device",
        }
    }

    /// As at power-on. Nothing may be in flight.
    fn reset(&mut self) {
        (self.again, self.is_reported) = (false, false);
        if let Device::Net(_, port) = &self.device {
            system::get().network.forget(*port);
        }
        each!(&mut self.device, mmio => mmio.reset());
    }
}

/// The parts of an access to the slots: slot, unless the part is outside of one, offset there, position in
/// the value, bytes.
fn parts(at: GuestPhys, width: u8) -> impl Iterator<Item = (Option<usize>, u64, u32, u8)> {
    aligned_parts(at, width)
        .flat_map(|(at, shift, part)| {
            let second = (part == 8).then_some((at.add(4), shift + 32, 4));
            [(at, shift, part.min(4))].into_iter().chain(second)
        })
        .map(|(at, shift, part)| match layout::virtio_slot(at) {
            Some((slot, offset)) => (Some(slot), offset, shift, part),
            None => (None, 0, shift, part),
        })
}

impl Machine {
    /// Fills the slots as the description says: disks first, then network interfaces, console, entropy.
    pub fn fill_slots(&mut self, parts: &Parts, memory: &mut Memory) -> Result<(), String> {
        let mut slots = Vec::new();
        for disk in &self.description.disks {
            let owner = Owner {
                vm: self.number,
                device: slots.len(),
            };
            let sources = &Sources {
                disks: parts.devices.disks,
                bundle: parts.bundle,
            };
            memory.take_heap(virtio::block::HEAP)?;
            let opened = piece::open(sources, disk, owner, self.ram, memory)?;
            let mut serial = [0; SERIAL];
            serial[..disk.serial.len()].copy_from_slice(disk.serial.as_bytes());
            let block = Block::new(&*opened, serial);
            slots.push(Slot::new(Device::Block(Mmio::new(block), opened)));
        }
        for (mac, port) in parts.network.ports(&self.description.name) {
            memory.take_heap(network::HEAP_OF_PORT)?;
            slots.push(Slot::new(Device::Net(Mmio::new(Net::new(mac)), port)));
        }
        if self.description.virtio_console {
            let names: Vec<_> = self.description.ports.iter().map(String::as_str).collect();
            memory.take_heap(links::HEAP_OF_PORT * names.len() as u64)?;
            slots.push(Slot::new(Device::Console(Mmio::new(Console::new(
                None, &names,
            )))));
        }
        if self.description.entropy {
            if !parts.devices.entropy.has_entropy() {
                return Err("the host has no entropy to give: give it a virtio entropy device (`-device virtio-rng-device`), or pack without `entropy`".into());
            }
            slots.push(Slot::new(Device::Entropy(Mmio::new(Entropy))));
        }
        self.slots = slots;
        Ok(())
    }

    /// Loads from the slots, in aligned parts of at most four bytes.
    pub fn load_slots(&self, at: GuestPhys, width: u8) -> Result<u64, NoDevice> {
        let mut value = 0;
        for (slot, offset, shift, part) in parts(at, width) {
            let (slot, offset) = (slot.ok_or(NoDevice)?, offset);
            let loaded = match self.slots.get(slot) {
                Some(slot) => each!(&slot.device, mmio => mmio.read(offset, part)),
                None => read_empty(offset, part),
            };
            value |= loaded << shift;
        }
        Ok(value)
    }

    /// Stores to the slots, as [`Machine::load_slots`] loads.
    pub fn store_slots(
        &mut self,
        vcpu: &mut Vcpu,
        at: GuestPhys,
        width: u8,
        value: u64,
    ) -> Result<(), NoDevice> {
        for (slot, offset, shift, part) in parts(at, width) {
            let slot = slot.ok_or(NoDevice)?;
            if slot < self.slots.len() {
                self.store_slot(vcpu, slot, offset, part, value >> shift);
            }
        }
        Ok(())
    }

    /// Stores to a register of a slot, and does what the driver asks for with it.
    fn store_slot(&mut self, vcpu: &mut Vcpu, index: usize, offset: u64, width: u8, value: u64) {
        let mut slots = mem::take(&mut self.slots);
        let slot = &mut slots[index];
        match each!(&mut slot.device, mmio => mmio.write(offset, width, value)) {
            Action::None => {}
            Action::Started | Action::Notify(_) => slot.serve(&mut Dma {
                machine: self,
                vcpu,
            }),
            Action::Reset => {
                self.drain(index);
                if let Device::Block(mmio, _) = &mut slot.device {
                    mmio.abandon(&mut Dma {
                        machine: self,
                        vcpu,
                    });
                }
                slot.reset();
            }
        }
        if let Device::Console(mmio) = &mut slot.device
            && let Some(byte) = mmio.emergency()
        {
            console::output(self.number, &[byte]);
        }
        let again = slot.again;
        self.settle(index, slot);
        self.slots = slots;
        if again {
            // The driver does not ring again for what it has rung for.
            self.doorbells[vcpu.index].ask(LOOK);
        }
    }

    /// Tells devices what has arrived for them, and goes on with what was too much at one time.
    pub fn serve_slots(&mut self, vcpu: &mut Vcpu) {
        let mut slots = mem::take(&mut self.slots);
        while let Some(arrival) = system::get().take_arrival(self.number) {
            let slot = &mut slots[arrival.device];
            if let Device::Block(mmio, disk) = &mut slot.device {
                let dma = &mut Dma {
                    machine: self,
                    vcpu,
                };
                mmio.complete(arrival.token, arrival.status, &mut **disk, dma);
                slot.again = true;
            }
        }
        for (index, slot) in slots.iter_mut().enumerate() {
            if slot.is_due() {
                slot.serve(&mut Dma {
                    machine: self,
                    vcpu,
                });
                self.settle(index, slot);
            }
        }
        let again = slots.iter().any(|slot| slot.again);
        self.slots = slots;
        if again {
            // After what else there is to do.
            self.doorbells[vcpu.index].ask(LOOK);
        }
    }

    /// Passes a slot's interrupt on to the PLIC, and reports what its driver did wrong.
    fn settle(&mut self, index: usize, slot: &mut Slot) {
        let (raised, broken, refused) = each!(&mut slot.device, mmio =>
            (mmio.take_raised(), mmio.broken(), mmio.take_refused()));
        if raised {
            self.board.raise(layout::virtio_interrupt(index));
        }
        self.board_changed = true;
        if let Some(refused) = refused {
            self.statistics.driver_mistakes += 1;
            self.report(format_args!(
                "the guest's driver of virtio device {index}, {}, made a mistake: {refused}",
                slot.kind()
            ));
        }
        if let Some(broken) = broken
            && !slot.is_reported
        {
            slot.is_reported = true;
            self.statistics.driver_mistakes += 1;
            self.report(format_args!(
                "the guest's driver of virtio device {index}, {}, made a mistake: {broken}; the device waits to be reset",
                slot.kind()
            ));
        }
    }

    /// Waits until no request of a slot's is in flight: nothing of it writes to the guest's memory then.
    fn drain(&mut self, slot: usize) {
        let owner = Owner {
            vm: self.number,
            device: slot,
        };
        if let Err(error) = system::get().drain(owner) {
            self.stop(format_args!("{error}"));
        }
    }

    /// Waits for what is in flight, and resets the devices.
    pub fn reset_slots(&mut self) {
        let mut slots = mem::take(&mut self.slots);
        for (index, slot) in slots.iter_mut().enumerate() {
            self.drain(index);
            slot.reset();
            self.settle(index, slot);
        }
        self.slots = slots;
    }

    /// How many requests the guest has made of its disks.
    pub fn disk_requests(&self) -> u64 {
        let requests = self.slots.iter().map(|slot| match &slot.device {
            Device::Block(mmio, _) => mmio.device().requests(),
            _ => 0,
        });
        requests.sum()
    }
}
