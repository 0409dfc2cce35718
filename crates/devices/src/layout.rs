//! Where the board's devices lie and which interrupt source each has: the one place that both the
//! board and its device tree take these facts from. All are those of QEMU's `virt` machine.

use isa::address::GuestPhys;

/// A device's window in guest-physical memory and the accesses that it takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// First address.
    pub base: GuestPhys,
    /// Bytes that the device answers to; an access outside is an access fault.
    pub size: u64,
    /// Narrowest access in bytes; a narrower one is an access fault.
    pub narrowest: u8,
    /// Widest access in bytes; a wider one is an access fault.
    pub widest: u8,
}

impl Window {
    /// The offset of `at` in this window, or `None` when it lies outside.
    #[must_use]
    pub fn offset(&self, at: GuestPhys) -> Option<u64> {
        let offset = at.0.wrapping_sub(self.base.0);
        (offset < self.size).then_some(offset)
    }

    /// The offset of an access of `width` bytes at `at`, or `None` when the device does not take it.
    #[must_use]
    pub fn takes(&self, at: GuestPhys, width: u8) -> Option<u64> {
        let offset = self.offset(at)?;
        let fits = u64::from(width) <= self.size - offset;
        (fits && (self.narrowest..=self.widest).contains(&width)).then_some(offset)
    }
}

/// The system controller ("SiFive test finisher"): power-off and reset.
pub const SYSCON: Window = Window {
    base: GuestPhys(0x10_0000),
    size: 0x1000,
    narrowest: 2,
    widest: 4,
};

/// The goldfish real-time clock. The device tree gives it a page, the registers end at 0x24. Eight bytes
/// are two registers.
pub const RTC: Window = Window {
    base: GuestPhys(0x10_1000),
    size: 0x24,
    narrowest: 4,
    widest: 8,
};

/// The platform-level interrupt controller.
pub const PLIC: Window = Window {
    base: GuestPhys(0xc00_0000),
    size: 0x60_0000,
    narrowest: 4,
    widest: 4,
};

/// The ns16550a UART. The device tree gives it 0x100 bytes, the registers end at 8.
pub const UART: Window = Window {
    base: GuestPhys(0x1000_0000),
    size: 8,
    narrowest: 1,
    widest: 8,
};

/// A place of `virt` without a device: every byte reads as the same, and writes are ignored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Nothing {
    /// Where it is.
    pub window: Window,
    /// What a byte reads as.
    pub byte: u8,
}

const fn nothing(base: u64, size: u64, byte: u8) -> Nothing {
    let window = Window {
        base: GuestPhys(base),
        size,
        narrowest: 1,
        widest: 8,
    };
    Nothing { window, byte }
}

/// What systems look at before they know what is there. The device tree names none of it.
pub const NOTHING: [Nothing; 4] = [
    // The ports of PCI.
    nothing(0x300_0000, 0x1_0000, 0xff),
    // The configuration space of PCI: all ones say that there is no function (PCI Local Bus 3.0, 6.1).
    nothing(0x3000_0000, 0x1000_0000, 0xff),
    // Both banks of flash: blank as QEMU's, which cannot be told from a ROM.
    nothing(0x2000_0000, 0x400_0000, 0),
    // fw_cfg: without the signature that says that it is one.
    nothing(0x1010_0000, 0x18, 0),
];

/// Where the slots of virtio devices begin, each a page.
const VIRTIO_BASE: u64 = 0x1000_1000;
/// Bytes from a slot to the next, which the device tree gives it.
pub const VIRTIO_SIZE: u64 = 0x1000;
/// Bytes of a slot that answer.
const VIRTIO_REGISTERS: u64 = 0x200;
/// How many slots there are.
pub const VIRTIO_SLOTS: usize = 8;

/// First address of a virtio slot.
#[must_use]
pub fn virtio_base(slot: usize) -> GuestPhys {
    GuestPhys(VIRTIO_BASE + slot as u64 * VIRTIO_SIZE)
}

/// The virtio slot that `at` lies in, and the offset there.
#[must_use]
pub fn virtio_slot(at: GuestPhys) -> Option<(usize, u64)> {
    let offset = at.0.checked_sub(VIRTIO_BASE)?;
    let (slot, offset) = ((offset / VIRTIO_SIZE) as usize, offset % VIRTIO_SIZE);
    (slot < VIRTIO_SLOTS && offset < VIRTIO_REGISTERS).then_some((slot, offset))
}

/// The PLIC source of a virtio slot.
#[must_use]
pub fn virtio_interrupt(slot: usize) -> u32 {
    1 + slot as u32
}

/// The PLIC source of the UART.
pub const UART_INTERRUPT: u32 = 10;
/// The PLIC source of the real-time clock.
pub const RTC_INTERRUPT: u32 = 11;
/// PLIC sources, the reserved source 0 among them.
pub const INTERRUPT_SOURCES: u32 = 96;
/// The highest PLIC priority; a priority register holds this many values and 0.
pub const HIGHEST_PRIORITY: u32 = 7;

/// The most harts whose PLIC contexts (two each) fit into [`PLIC`].
pub const MOST_HARTS: usize = 512;
/// Where guest memory begins.
pub const MEMORY_BASE: GuestPhys = GuestPhys(0x8000_0000);
/// Input clock of the UART in hertz.
pub const UART_CLOCK: u32 = 3_686_400;
