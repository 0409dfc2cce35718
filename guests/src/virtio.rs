//! Virtio over MMIO as far as programs need it (virtio 1.2, sections 2.7 and 4.2).

use core::sync::atomic::{Ordering, fence};

use crate::memory;

pub const DEVICE_ID: u64 = 0x08;
pub const DEVICE_FEATURES: u64 = 0x10;
pub const DEVICE_FEATURES_SEL: u64 = 0x14;
pub const DRIVER_FEATURES: u64 = 0x20;
pub const DRIVER_FEATURES_SEL: u64 = 0x24;
pub const QUEUE_SEL: u64 = 0x30;
pub const QUEUE_NUM: u64 = 0x38;
pub const QUEUE_READY: u64 = 0x44;
pub const QUEUE_NOTIFY: u64 = 0x50;
pub const INTERRUPT_ACK: u64 = 0x64;
pub const STATUS: u64 = 0x70;
pub const QUEUE_DESC: u64 = 0x80;
pub const QUEUE_DRIVER: u64 = 0x90;
pub const QUEUE_DEVICE: u64 = 0xa0;

pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
pub const INDIRECT: u16 = 4;

/// Types of requests of a block device.
pub const IN: u32 = 0;
pub const OUT: u32 = 1;

/// The registers of a slot.
#[derive(Clone, Copy)]
pub struct Registers(pub u64);

impl Registers {
    pub fn of_slot(slot: u64) -> Self {
        Self(0x1000_1000 + 0x1000 * slot)
    }

    pub fn read(self, register: u64) -> u32 {
        memory::read(self.0 + register)
    }

    pub fn write(self, register: u64, value: u32) {
        memory::write(self.0 + register, value);
    }

    /// Writes two registers that hold an address.
    pub fn write_address(self, register: u64, address: u64) {
        self.write(register, address as u32);
        self.write(register + 4, (address >> 32) as u32);
    }

    /// Resets the device and agrees upon those of the first 32 features that `wanted` has.
    pub fn begin(self, wanted: u32) {
        self.write(STATUS, 0);
        self.write(STATUS, 3);
        self.write(DEVICE_FEATURES_SEL, 0);
        let features = self.read(DEVICE_FEATURES) & wanted;
        self.write(DRIVER_FEATURES_SEL, 0);
        self.write(DRIVER_FEATURES, features);
        // VIRTIO_F_VERSION_1.
        self.write(DRIVER_FEATURES_SEL, 1);
        self.write(DRIVER_FEATURES, 1);
        self.write(STATUS, 11);
    }

    /// Sets a queue up.
    pub fn queue(self, queue: u32, size: u32, [descriptors, driver, device]: [u64; 3]) {
        self.write(QUEUE_SEL, queue);
        self.write(QUEUE_NUM, size);
        self.write_address(QUEUE_DESC, descriptors);
        self.write_address(QUEUE_DRIVER, driver);
        self.write_address(QUEUE_DEVICE, device);
        self.write(QUEUE_READY, 1);
    }

    /// The driver is ready.
    pub fn start(self) {
        self.write(STATUS, 15);
    }
}

/// Writes a descriptor of a table.
pub fn describe(table: u64, index: u64, at: u64, size: u32, flags: u16, next: u16) {
    let to = table + 16 * index;
    memory::write(to, at);
    memory::write(to + 8, size);
    memory::write(to + 12, flags);
    memory::write(to + 14, next);
}

/// A block device with one request at a time.
pub struct Block {
    registers: Registers,
    page: u64,
    made: u16,
}

impl Block {
    /// The one in this slot.
    pub fn new(slot: u64) -> Self {
        let registers = Registers::of_slot(slot);
        assert_eq!(registers.read(DEVICE_ID), 2, "no block device");
        let page = memory::page();
        registers.begin(0);
        registers.queue(0, 8, [page, page + 0x100, page + 0x200]);
        registers.start();
        Self {
            registers,
            page,
            made: 0,
        }
    }

    /// Reads or writes (`kind`) `size` bytes from `sector` on, and waits for it.
    pub fn transfer(&mut self, kind: u32, sector: u64, at: u64, size: u32) {
        let (header, status) = (self.page + 0x300, self.page + 0x310);
        memory::write(header, u64::from(kind));
        memory::write(header + 8, sector);
        memory::write(status, 0xffu8);
        let direction = if kind == IN { WRITE } else { 0 };
        describe(self.page, 0, header, 16, NEXT, 1);
        describe(self.page, 1, at, size, NEXT | direction, 2);
        describe(self.page, 2, status, 1, WRITE, 0);
        memory::write(self.page + 0x104 + 2 * u64::from(self.made % 8), 0u16);
        self.made = self.made.wrapping_add(1);
        fence(Ordering::SeqCst);
        memory::write(self.page + 0x102, self.made);
        fence(Ordering::SeqCst);
        self.registers.write(QUEUE_NOTIFY, 0);
        while memory::read::<u16>(self.page + 0x202) != self.made {}
        fence(Ordering::SeqCst);
        self.registers.write(INTERRUPT_ACK, 3);
        assert_eq!(memory::read::<u8>(status), 0, "the request failed");
    }
}
