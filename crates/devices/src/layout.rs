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
}

/// The system controller ("SiFive test finisher"): power-off and reset.
pub const SYSCON: Window = Window {
    base: GuestPhys(0x10_0000),
    size: 0x1000,
    narrowest: 2,
    widest: 4,
};

/// The goldfish real-time clock. The device tree gives it a page, the registers end at 0x24.
pub const RTC: Window = Window {
    base: GuestPhys(0x10_1000),
    size: 0x24,
    narrowest: 4,
    widest: 4,
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

/// Slots for virtio devices.
pub const VIRTIO_SLOTS: usize = 8;

/// The window of a virtio slot below [`VIRTIO_SLOTS`]. The device tree gives it 0x1000 bytes, as far
/// as the next one; registers and configuration space end at 0x200.
#[must_use]
pub const fn virtio(slot: usize) -> Window {
    Window {
        base: GuestPhys(0x1000_1000 + 0x1000 * slot as u64),
        size: 0x200,
        narrowest: 1,
        widest: 8,
    }
}

/// The PLIC source of a virtio slot.
#[must_use]
pub const fn virtio_interrupt(slot: usize) -> u32 {
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
