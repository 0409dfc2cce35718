//! Plays what a fuzzer makes up: bytes decide what a guest's memory holds and what the guest, the disk
//! and the monitor do in turn.

mod console;
mod entropy;
mod net;

use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

use isa::address::GuestPhys;

use crate::mmio::register;
use crate::testing::{BASE, Driver, EVENT_IDX, INDIRECT_DESC, Part, Ram, Store, start};
use crate::{Action, Block, Device, Memory, Mmio, Status};

pub use console::console;
pub use entropy::entropy;
pub use net::net;

/// Most steps that one input is played for.
const MOST_STEPS: usize = 1000;
/// Bytes of RAM; addresses in inputs have 16 bits, so that some are outside.
const RAM: usize = 0xc000;

/// What is left of the fuzzer's bytes; 0 when there is none.
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// The next two bytes.
    pub fn half(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// The next four bytes.
    pub fn word(&mut self) -> u32 {
        u32::from(self.half()) | u32::from(self.half()) << 16
    }

    /// An address in RAM or a little behind it; rarely any.
    pub fn address(&mut self) -> GuestPhys {
        match self.half() {
            0xffff => GuestPhys(u64::from(self.word()) << 32 | u64::from(self.word())),
            offset => BASE.add(offset.into()),
        }
    }
}

/// Bytes of a descriptor.
const DESCRIPTOR: usize = 16;

/// Memory that watches over the device: it may read what it took for a descriptor and what such a
/// one names, and write what a descriptor for writing names. Entries of rings are 2 and 8 bytes.
pub struct Watched {
    /// The memory itself.
    pub ram: Ram,
    /// All that may have been descriptors: address, size, and whether for writing.
    named: RefCell<Vec<(GuestPhys, u64, bool)>>,
}

impl Watched {
    /// Watches over `ram`.
    #[must_use]
    pub fn new(ram: Ram) -> Self {
        Self {
            ram,
            named: RefCell::default(),
        }
    }

    /// Panics unless the bytes are in what a descriptor names, for writing or not as it says; for either
    /// where `is_write` says neither.
    fn check(&self, at: GuestPhys, size: u64, is_write: Option<bool>) {
        let is_in = |&(start, end, writable): &(GuestPhys, u64, bool)| {
            is_write.is_none_or(|is_write| writable == is_write)
                && at
                    .0
                    .checked_sub(start.0)
                    .is_some_and(|offset| offset <= end && size <= end - offset)
        };
        let named = self.named.borrow();
        assert!(named.iter().any(is_in), "{at:x} {size} {is_write:?}");
    }

    /// Takes note of what may be descriptors.
    fn name(&self, descriptors: &[[u8; DESCRIPTOR]]) {
        let named = descriptors.iter().map(|&bytes| {
            let word = u128::from_le_bytes(bytes);
            let size = u64::from((word >> 64) as u32);
            (GuestPhys(word as u64), size, word >> 96 & 2 != 0)
        });
        self.named.borrow_mut().extend(named);
    }
}

impl Memory for Watched {
    fn contains(&self, at: GuestPhys, size: u64) -> bool {
        self.ram.contains(at, size)
    }

    fn read(&self, at: GuestPhys, buffer: &mut [u8]) -> bool {
        if !self.ram.read(at, buffer) {
            return false;
        }
        let size = buffer.len() as u64;
        match buffer.as_chunks() {
            // One of the queue's own, or of an indirect table.
            (one @ [_], []) => self.name(one),
            // Several of an indirect table, whose descriptor may say that it is for writing.
            (several, []) => {
                self.check(at, size, None);
                self.name(several);
            }
            _ => self.check(at, size, Some(false)),
        }
        true
    }

    fn write(&mut self, at: GuestPhys, bytes: &[u8]) -> bool {
        if bytes.len() != 8 && self.contains(at, bytes.len() as u64) {
            self.check(at, bytes.len() as u64, Some(true));
        }
        self.ram.write(at, bytes)
    }

    fn load_u16(&self, at: GuestPhys) -> Option<u16> {
        self.ram.load_u16(at)
    }

    fn store_u16(&mut self, at: GuestPhys, value: u16) -> bool {
        self.ram.store_u16(at, value)
    }

    fn fence(&self) {}

    fn written(&mut self, at: GuestPhys, size: u64) {
        self.check(at, size, Some(true));
        self.ram.written(at, size);
    }
}

/// A step that all devices have: the guest changes its memory.
pub fn touch_memory(input: &mut Input<'_>, driver: &mut Driver, ram: &mut Ram) {
    match input.byte() % 4 {
        0 => {
            let table = [driver.table, BASE.add(0x4000)][usize::from(input.byte() % 2)];
            let (index, next) = (u16::from(input.byte() % 32), u16::from(input.byte()));
            let (at, size) = (input.address(), u32::from(input.half()));
            let flags = u16::from(input.byte());
            Driver::describe(ram, table, index, at, size, flags, next);
        }
        1 => driver.offer(ram, input.byte().into()),
        2 => driver.available = driver.available.wrapping_add(input.byte().into()),
        _ => {
            let at = input.address();
            let bytes: Vec<_> = (0..input.byte() % 32).map(|_| input.byte()).collect();
            if ram.contains(at, bytes.len() as u64) {
                ram.put(at, &bytes);
            }
        }
    }
}

/// A step that all devices have: the guest writes a register.
pub fn touch_register<D: Device>(input: &mut Input<'_>, mmio: &mut Mmio<D>) -> Action {
    let (offset, value) = (u64::from(input.byte()) * 4, input.word());
    let width = [4, 1, 2, 8][usize::from(input.byte() % 4)];
    mmio.write(offset, width, value.into())
}

/// A step that all devices have: the guest reads a register.
pub fn read_register<D: Device>(input: &mut Input<'_>, mmio: &Mmio<D>) {
    let width = [4, 1, 2, 8][usize::from(input.byte() % 4)];
    let _ = mmio.read(input.half().into(), width);
}

/// A device, what it works with, and its guest.
trait Player {
    /// What kind of device it is.
    type Device: Device;

    /// The device.
    fn mmio(&mut self) -> &mut Mmio<Self::Device>;

    /// Serves the device as the monitor does.
    fn serve(&mut self);

    /// Resets the device as the monitor does.
    fn reset(&mut self) {
        self.mmio().reset();
    }

    /// Does one thing that the input chooses.
    fn step(&mut self, input: &mut Input<'_>);

    /// What the monitor does when the guest has written a register.
    fn act(&mut self, action: Action) {
        match action {
            Action::None => {}
            Action::Started | Action::Notify(_) => self.serve(),
            Action::Reset => self.reset(),
        }
    }

    /// A step that all devices have: the guest rings for a queue.
    fn notify(&mut self, queue: u8) {
        let action = self.mmio().write(register::QUEUE_NOTIFY, 4, queue.into());
        self.act(action);
    }

    /// A step that all devices have: the guest writes a register.
    fn write_register(&mut self, input: &mut Input<'_>) {
        let action = touch_register(input, self.mmio());
        self.act(action);
    }

    /// Takes steps until the input has no more, or they are enough.
    fn play(&mut self, input: &mut Input<'_>) {
        for _ in 0..MOST_STEPS {
            if input.0.is_empty() {
                break;
            }
            self.step(input);
        }
    }
}

/// The feature if the bit of the choice is set, else none.
const fn has(choice: u8, bit: u8, feature: u64) -> u64 {
    if choice & bit != 0 { feature } else { 0 }
}

/// A block device, its disk and its guest.
struct Blocks {
    mmio: Mmio<Block>,
    disk: Store,
    memory: Watched,
    driver: Driver,
}

impl Blocks {
    fn end(&mut self, number: usize) {
        let (token, status) = self.disk.end(number, &mut self.memory.ram);
        let (disk, memory) = (&mut self.disk, &mut self.memory);
        self.mmio.complete(token, status, disk, memory);
    }

    fn drain(&mut self) {
        while !self.disk.taken.is_empty() {
            self.end(0);
        }
    }

    /// A request as drivers make them, of any content.
    fn request(&mut self, input: &mut Input<'_>) {
        let (header, status) = (BASE.add(0x5000), BASE.add(0x5f00));
        let mut bytes = [0; 16];
        bytes[0] = input.byte() % 16;
        bytes[8] = input.byte();
        self.memory.ram.put(header, &bytes);
        let mut parts = vec![Part::read(header, 16)];
        for _ in 0..input.byte() % 5 {
            let (place, size) = (input.byte(), input.byte());
            let near = BASE.add(0x6000 + u64::from(place) * 16);
            parts.push(Part {
                at: if size < 128 { near } else { input.address() },
                size: [16, 256, 512, 1024][usize::from(size % 4)],
                writable: bytes[0] == 0 || bytes[0] == 8,
            });
        }
        parts.push(Part::write(status, 1));
        self.driver.add(&mut self.memory.ram, &parts);
    }
}

impl Player for Blocks {
    type Device = Block;

    fn mmio(&mut self) -> &mut Mmio<Block> {
        &mut self.mmio
    }

    fn serve(&mut self) {
        // With more to do the monitor comes back later.
        let _ = self.mmio.serve(&mut self.disk, &mut self.memory);
    }

    fn reset(&mut self) {
        self.drain();
        self.mmio.reset();
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 8 {
            0 => self.write_register(input),
            1 => read_register(input, &self.mmio),
            2 | 3 => touch_memory(input, &mut self.driver, &mut self.memory.ram),
            4 => self.request(input),
            5 if !self.disk.taken.is_empty() => {
                let number = usize::from(input.byte()) % self.disk.taken.len();
                self.end(number);
            }
            6 => {
                let verdicts = [
                    Status::Done,
                    Status::Done,
                    Status::Failed,
                    Status::Unsupported,
                ];
                self.disk.verdict = verdicts[usize::from(input.byte() % 4)];
            }
            _ => self.notify(0),
        }
        assert_eq!(self.mmio.in_flight(), self.disk.taken.len());
    }
}

/// Plays with a block device. After all of it the device must do as a new one.
///
/// # Panics
/// When the device has done something wrong.
pub fn block(input: &[u8]) {
    let mut input = Input(input);
    let mut disk = Store::new(64);
    let choice = input.byte();
    disk.depth = usize::from(choice % 4);
    disk.read_only = choice & 4 != 0;
    let mut blocks = Blocks {
        mmio: Mmio::new(Block::new(&disk, *b"a disk of a fuzzer..")),
        disk,
        memory: Watched::new(Ram::new(RAM)),
        driver: Driver::new(BASE, 16),
    };
    let features =
        has(choice, 8, 1 << 9) | has(choice, 16, EVENT_IDX) | has(choice, 32, INDIRECT_DESC);
    if choice & 64 == 0 {
        start(&mut blocks.mmio, features, &[&blocks.driver]);
    }
    blocks.play(&mut input);
    blocks.act(Action::Reset);
    blocks.disk.verdict = Status::Done;
    blocks.disk.bytes[512..1024].fill(0xaa);
    blocks.memory = Watched::new(Ram::new(RAM));
    blocks.driver = Driver::new(BASE, 16);
    start(&mut blocks.mmio, features, &[&blocks.driver]);
    blocks.request(&mut Input(&[0, 1, 1, 0, 2]));
    blocks.serve();
    blocks.drain();
    blocks.serve();
    assert_eq!(blocks.driver.used(&blocks.memory.ram), Some((0, 513)));
    assert_eq!(blocks.memory.ram.get(BASE.add(0x6000)), [0xaa; 512]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_input_makes_a_block_device_do_wrong(
            input in prop::collection::vec(any::<u8>(), 0..2000)
        ) {
            block(&input);
        }

        #[test]
        fn no_input_makes_a_network_device_do_wrong(
            input in prop::collection::vec(any::<u8>(), 0..2000)
        ) {
            net(&input);
        }

        #[test]
        fn no_input_makes_a_console_device_do_wrong(
            input in prop::collection::vec(any::<u8>(), 0..2000)
        ) {
            console(&input);
        }
    }
}
