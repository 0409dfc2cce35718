//! The devices that QEMU's `virt` and the virtual board have in common, at their addresses.

use crate::memory;

/// The 16550.
pub mod uart {
    use crate::memory;

    pub const BASE: u64 = 0x1000_0000;
    /// The UART's interrupt at the PLIC.
    pub const SOURCE: u32 = 10;
    pub const DATA: u64 = 0;
    pub const IER: u64 = 1;
    pub const IIR: u64 = 2;
    pub const FCR: u64 = 2;
    pub const LCR: u64 = 3;
    pub const MCR: u64 = 4;
    pub const LSR: u64 = 5;
    pub const MSR: u64 = 6;
    pub const SCRATCH: u64 = 7;
    /// IER's bit for an empty transmitter.
    pub const TRANSMITTER_EMPTY: u8 = 2;

    pub fn read(register: u64) -> u8 {
        memory::read(BASE + register)
    }

    pub fn write(register: u64, value: u8) {
        memory::write(BASE + register, value);
    }

    /// Waits until everything has left the transmitter, as output shares it.
    pub fn idle() {
        while read(LSR) & 0x60 != 0x60 {}
    }
}

/// The PLIC, with the offsets of hart 0's S-mode context.
pub mod plic {
    pub const BASE: u64 = 0xc00_0000;
    pub const PENDING: u64 = BASE + 0x1000;
    pub const ENABLE: u64 = BASE + 0x2080;
    pub const THRESHOLD: u64 = BASE + 0x20_1000;
    pub const CLAIM: u64 = BASE + 0x20_1004;

    pub const fn priority(source: u32) -> u64 {
        BASE + 4 * source as u64
    }
}

/// Lets the UART's interrupt through the PLIC to hart 0 in S-mode.
pub fn enable_uart_interrupt() {
    memory::write(plic::priority(uart::SOURCE), 1u32);
    memory::write(plic::ENABLE, 1u32 << uart::SOURCE);
    memory::write(plic::THRESHOLD, 0u32);
}

/// Claims and completes until the PLIC has nothing more.
pub fn drain() {
    loop {
        let source: u32 = memory::read(plic::CLAIM);
        if source == 0 {
            return;
        }
        memory::write(plic::CLAIM, source);
    }
}
