//! What tests and fuzz targets drive devices with: a guest's memory and a driver that keeps to the
//! rules, as far as it is let.

use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

use isa::address::GuestPhys;

use crate::disk::SECTOR;
use crate::mmio::register;
use crate::{Action, Device, Disk, Memory, Mmio, Operation, Request, Segment, Status, Submitted};

/// Where [`Ram`] begins.
pub const BASE: GuestPhys = GuestPhys(0x8000_0000);

/// VIRTIO_F_VERSION_1, without which there is nothing.
pub const VERSION_1: u64 = 1 << 32;
/// VIRTIO_F_EVENT_IDX.
pub const EVENT_IDX: u64 = 1 << 29;
/// VIRTIO_F_INDIRECT_DESC.
pub const INDIRECT_DESC: u64 = 1 << 28;

/// An access to [`Ram`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Access {
    /// First address.
    pub at: GuestPhys,
    /// Bytes.
    pub size: u64,
    /// Whether it was a write, or reported as one.
    pub is_write: bool,
}

/// A guest's memory.
#[derive(Clone, Debug)]
pub struct Ram {
    /// All of it, from [`BASE`] on.
    pub bytes: Vec<u8>,
    /// Every access of the device, unless it was outside.
    pub accesses: RefCell<Vec<Access>>,
    /// What was reported as written by a back end.
    pub reported: Vec<(GuestPhys, u64)>,
}

impl Ram {
    /// RAM of this size that is 0.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            bytes: vec![0; size],
            accesses: RefCell::default(),
            reported: Vec::new(),
        }
    }

    fn offset(&self, at: GuestPhys, size: u64) -> Option<usize> {
        let offset = at.0.checked_sub(BASE.0)?;
        let end = offset.checked_add(size)?;
        (end <= self.bytes.len() as u64).then_some(offset as usize)
    }

    fn log(&self, at: GuestPhys, size: u64, is_write: bool) {
        let access = Access { at, size, is_write };
        self.accesses.borrow_mut().push(access);
    }

    /// The `N` bytes at `at`.
    ///
    /// # Panics
    /// When they are not RAM.
    #[must_use]
    pub fn get<const N: usize>(&self, at: GuestPhys) -> [u8; N] {
        let from = self.offset(at, N as u64).expect("RAM");
        self.bytes[from..from + N].try_into().expect("N bytes")
    }

    /// Stores `bytes` as the guest does.
    ///
    /// # Panics
    /// When they are not RAM.
    pub fn put(&mut self, at: GuestPhys, bytes: &[u8]) {
        let from = self.offset(at, bytes.len() as u64).expect("RAM");
        self.bytes[from..from + bytes.len()].copy_from_slice(bytes);
    }
}

impl Memory for Ram {
    fn contains(&self, at: GuestPhys, size: u64) -> bool {
        self.offset(at, size).is_some()
    }

    fn read(&self, at: GuestPhys, buffer: &mut [u8]) -> bool {
        let Some(from) = self.offset(at, buffer.len() as u64) else {
            return false;
        };
        buffer.copy_from_slice(&self.bytes[from..from + buffer.len()]);
        self.log(at, buffer.len() as u64, false);
        true
    }

    fn write(&mut self, at: GuestPhys, bytes: &[u8]) -> bool {
        if self.offset(at, bytes.len() as u64).is_none() {
            return false;
        }
        self.put(at, bytes);
        self.log(at, bytes.len() as u64, true);
        true
    }

    fn load_u16(&self, at: GuestPhys) -> Option<u16> {
        assert!(at.is_aligned(2), "{at:x} is not a multiple of 2");
        let mut bytes = [0; 2];
        self.read(at, &mut bytes)
            .then_some(u16::from_le_bytes(bytes))
    }

    fn store_u16(&mut self, at: GuestPhys, value: u16) -> bool {
        assert!(at.is_aligned(2), "{at:x} is not a multiple of 2");
        self.write(at, &value.to_le_bytes())
    }

    fn fence(&self) {}

    fn written(&mut self, at: GuestPhys, size: u64) {
        assert!(self.contains(at, size), "what was written is RAM");
        self.log(at, size, true);
        self.reported.push((at, size));
    }
}

/// A segment of a chain, as a driver writes it down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Part {
    /// First address.
    pub at: GuestPhys,
    /// Bytes.
    pub size: u32,
    /// Whether the device is to write it.
    pub writable: bool,
}

impl Part {
    /// What the device reads.
    #[must_use]
    pub fn read(at: GuestPhys, size: u32) -> Self {
        Self {
            at,
            size,
            writable: false,
        }
    }

    /// What the device writes.
    #[must_use]
    pub fn write(at: GuestPhys, size: u32) -> Self {
        Self {
            at,
            size,
            writable: true,
        }
    }
}

/// The driver's side of one queue.
#[derive(Clone, Debug)]
pub struct Driver {
    /// Entries of the queue.
    pub size: u16,
    /// The descriptor table; the rings follow it.
    pub table: GuestPhys,
    next_descriptor: u16,
    /// `idx` of the available ring.
    pub available: u16,
    used: u16,
}

impl Driver {
    /// Bytes of a queue's three parts.
    pub const BYTES: u64 = 0x3000;

    /// The driver of a queue of at most 256 entries whose parts lie at `table`.
    #[must_use]
    pub fn new(table: GuestPhys, size: u16) -> Self {
        Self {
            size,
            table,
            next_descriptor: 0,
            available: 0,
            used: 0,
        }
    }

    /// The available ring.
    #[must_use]
    pub fn available_ring(&self) -> GuestPhys {
        self.table.add(0x1000)
    }

    /// The used ring.
    #[must_use]
    pub fn used_ring(&self) -> GuestPhys {
        self.table.add(0x2000)
    }

    /// `used_event`, the last field of the available ring.
    #[must_use]
    pub fn used_event(&self) -> GuestPhys {
        self.available_ring().add(4 + 2 * u64::from(self.size))
    }

    /// `avail_event`, the last field of the used ring.
    #[must_use]
    pub fn available_event(&self) -> GuestPhys {
        self.used_ring().add(4 + 8 * u64::from(self.size))
    }

    /// Writes descriptor `index` of the table at `table`.
    pub fn describe(
        ram: &mut Ram,
        table: GuestPhys,
        index: u16,
        at: GuestPhys,
        size: u32,
        flags: u16,
        next: u16,
    ) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&at.0.to_le_bytes());
        bytes[8..12].copy_from_slice(&size.to_le_bytes());
        bytes[12..14].copy_from_slice(&flags.to_le_bytes());
        bytes[14..].copy_from_slice(&next.to_le_bytes());
        ram.put(table.add(16 * u64::from(index)), &bytes);
    }

    /// Writes `parts` as a chain and makes it available; its head. Descriptors are taken in turn, also
    /// such as are in use.
    pub fn add(&mut self, ram: &mut Ram, parts: &[Part]) -> u16 {
        let head = self.next_descriptor;
        for (left, part) in (0..parts.len()).rev().zip(parts) {
            let index = self.next_descriptor;
            self.next_descriptor = (index + 1) % self.size;
            let flags = u16::from(left != 0) | u16::from(part.writable) << 1;
            let next = self.next_descriptor;
            Self::describe(ram, self.table, index, part.at, part.size, flags, next);
        }
        self.offer(ram, head);
        head
    }

    /// Makes the chain that begins at `head` available.
    pub fn offer(&mut self, ram: &mut Ram, head: u16) {
        let slot = 4 + 2 * u64::from(self.available % self.size);
        ram.put(self.available_ring().add(slot), &head.to_le_bytes());
        self.available = self.available.wrapping_add(1);
        ram.put(self.available_ring().add(2), &self.available.to_le_bytes());
    }

    /// The next chain that the device has given back: its head and how much was written.
    pub fn used(&mut self, ram: &Ram) -> Option<(u16, u32)> {
        if u16::from_le_bytes(ram.get(self.used_ring().add(2))) == self.used {
            return None;
        }
        let slot = 4 + 8 * u64::from(self.used % self.size);
        let head = u32::from_le_bytes(ram.get(self.used_ring().add(slot)));
        let written = u32::from_le_bytes(ram.get(self.used_ring().add(slot + 4)));
        self.used = self.used.wrapping_add(1);
        Some((u16::try_from(head).expect("a head"), written))
    }
}

/// Writes a register.
pub fn write<D: Device>(mmio: &mut Mmio<D>, offset: u64, value: u32) -> Action {
    mmio.write(offset, 4, value.into())
}

/// Resets the device, negotiates `features` and VIRTIO_F_VERSION_1, sets the queues up, and starts.
///
/// # Panics
/// When the device refuses something of this.
pub fn start<D: Device>(mmio: &mut Mmio<D>, features: u64, queues: &[&Driver]) {
    assert_eq!(write(mmio, register::STATUS, 0), Action::Reset);
    mmio.reset();
    negotiate(mmio, features | VERSION_1);
    for (index, driver) in queues.iter().enumerate() {
        set_up(mmio, index, driver);
        let ready = write(mmio, register::QUEUE_READY, 1);
        assert_eq!(ready, Action::None);
        assert_eq!(mmio.read(register::QUEUE_READY, 4), 1);
    }
    assert_eq!(write(mmio, register::STATUS, 15), Action::Started);
}

/// Acknowledges `features` and sets FEATURES_OK; whether the device has agreed.
pub fn negotiate<D: Device>(mmio: &mut Mmio<D>, features: u64) -> bool {
    for (register, value) in [
        (register::STATUS, 3),
        (register::DRIVER_FEATURES_SEL, 0),
        (register::DRIVER_FEATURES, features as u32),
        (register::DRIVER_FEATURES_SEL, 1),
        (register::DRIVER_FEATURES, (features >> 32) as u32),
        (register::STATUS, 11),
    ] {
        assert_eq!(write(mmio, register, value), Action::None);
    }
    mmio.read(register::STATUS, 4) == 11
}

/// Writes the registers of a queue, but not that it is ready.
pub fn set_up<D: Device>(mmio: &mut Mmio<D>, index: usize, driver: &Driver) {
    let [table, available, used] =
        [driver.table, driver.available_ring(), driver.used_ring()].map(|at| at.0);
    for (register, value) in [
        (register::QUEUE_SEL, index as u64),
        (register::QUEUE_NUM, driver.size.into()),
        (register::QUEUE_DESC_LOW, table),
        (register::QUEUE_DESC_HIGH, table >> 32),
        (register::QUEUE_DRIVER_LOW, available),
        (register::QUEUE_DRIVER_HIGH, available >> 32),
        (register::QUEUE_DEVICE_LOW, used),
        (register::QUEUE_DEVICE_HIGH, used >> 32),
    ] {
        assert_eq!(write(mmio, register, value as u32), Action::None);
    }
}

/// A disk in memory.
#[derive(Clone, Debug)]
pub struct Store {
    /// What is on it.
    pub bytes: Vec<u8>,
    /// Whether it refuses to be changed.
    pub read_only: bool,
    /// How many requests it takes at a time; with 0 it does each in [`Disk::submit`].
    pub depth: usize,
    /// What requests end with instead of being carried out.
    pub verdict: Status,
    /// Those that it has, in the order of submission.
    pub taken: Vec<Request>,
    /// All that were submitted and not refused, without their memory.
    pub log: Vec<(Operation, u64)>,
}

impl Store {
    /// An empty disk of this many sectors.
    #[must_use]
    pub fn new(sectors: usize) -> Self {
        Self {
            bytes: vec![0; sectors * SECTOR as usize],
            read_only: false,
            depth: 0,
            verdict: Status::Done,
            taken: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Ends one of those that it has, as hardware does, without a word to `ram`; what to tell the device.
    ///
    /// # Panics
    /// When there is none of this number.
    pub fn end(&mut self, number: usize, ram: &mut Ram) -> (u16, Status) {
        let request = self.taken.remove(number);
        let before = ram.accesses.borrow().len();
        let status = self.carry_out(&request, ram);
        ram.accesses.borrow_mut().truncate(before);
        (request.token, status)
    }

    fn carry_out(&mut self, request: &Request, memory: &mut dyn Memory) -> Status {
        if self.verdict != Status::Done {
            return self.verdict;
        }
        let mut from = (request.sector * SECTOR) as usize;
        for &Segment { at, size } in &request.segments {
            let bytes = &mut self.bytes[from..from + size as usize];
            let is_ram = match request.operation {
                Operation::Read => memory.write(at, bytes),
                _ => memory.read(at, bytes),
            };
            assert!(is_ram, "all segments are RAM");
            from += size as usize;
        }
        if let Operation::WriteZeroes { sectors, .. } = request.operation {
            self.bytes[from..from + (sectors * SECTOR) as usize].fill(0);
        }
        self.verdict
    }
}

impl Disk for Store {
    fn sectors(&self) -> u64 {
        self.bytes.len() as u64 / SECTOR
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn block_size(&self) -> u32 {
        4096
    }

    fn most_segments(&self) -> u32 {
        8
    }

    fn most_discard(&self) -> u32 {
        16
    }

    fn most_zeroes(&self) -> u32 {
        8
    }

    fn submit(&mut self, request: Request, memory: &mut dyn Memory) -> Submitted {
        if self.depth != 0 && self.taken.len() == self.depth {
            return Submitted::Busy(request);
        }
        assert!(request.segments.len() <= 8, "no more segments than said");
        let changes = !matches!(request.operation, Operation::Read | Operation::Flush);
        assert!(!(changes && self.read_only), "nothing is to change");
        self.log.push((request.operation, request.sector));
        if self.depth == 0 {
            return Submitted::Ended(self.carry_out(&request, memory));
        }
        self.taken.push(request);
        Submitted::InFlight
    }
}
