//! The host's UART: sends, and receives with an interrupt.
//!
//! Baud rate and format are as the firmware has set them.

use core::cell::Cell;

use devices::host_tree::{HostUart, UartModel};
use isa::address::HostPhys;

use super::window;

/// The console's UART.
pub struct Uart {
    model: UartModel,
    base: u64,
    /// Registers are `1 << shift` bytes apart.
    shift: u32,
    /// Bytes of a register access.
    width: u32,
    /// The line had a BREAK whose zero byte is still to be read.
    has_break: Cell<bool>,
}

/// What the line brings.
pub enum Received {
    Byte(u8),
    Break,
}

/// Registers of the 16550, by their numbers.
mod ns16550 {
    pub const DATA: u64 = 0;
    pub const INTERRUPT_ENABLE: u64 = 1;
    pub const FIFO_CONTROL: u64 = 2;
    pub const LINE_STATUS: u64 = 5;

    pub const DATA_READY: u32 = 1;
    pub const BREAK: u32 = 1 << 4;
    pub const TRANSMITTER_EMPTY: u32 = 1 << 5;
}

/// Registers of SiFive's UART (FU540-C000 manual, chapter "Universal Asynchronous Receiver/Transmitter"),
/// by their numbers: each has four bytes.
mod sifive {
    pub const TRANSMIT_DATA: u64 = 0;
    pub const RECEIVE_DATA: u64 = 1;
    pub const TRANSMIT_CONTROL: u64 = 2;
    pub const RECEIVE_CONTROL: u64 = 3;
    pub const INTERRUPT_ENABLE: u64 = 4;

    /// Of `txdata` that the FIFO is full, of `rxdata` that it is empty.
    pub const FULL_OR_EMPTY: u32 = 1 << 31;
    /// Of both control registers.
    pub const ENABLE: u32 = 1;
    /// Of `rxctrl`: interrupt when there are more bytes than this.
    pub const RECEIVE_WATERMARK: u32 = 7 << 16;
    pub const RECEIVE_INTERRUPT: u32 = 1 << 1;
}

impl Uart {
    /// Takes the UART that the host's device tree describes, with its receive interrupt on.
    pub fn new(described: &HostUart) -> Self {
        let uart = Self {
            model: described.model,
            base: described.registers.base.0,
            shift: described.register_shift,
            width: described.access_width,
            has_break: Cell::new(false),
        };
        match uart.model {
            UartModel::Ns16550 => {
                uart.write(ns16550::FIFO_CONTROL, 1);
                uart.write(ns16550::INTERRUPT_ENABLE, 1);
            }
            UartModel::SiFive => {
                let transmit = uart.read(sifive::TRANSMIT_CONTROL);
                uart.write(sifive::TRANSMIT_CONTROL, transmit | sifive::ENABLE);
                let receive = uart.read(sifive::RECEIVE_CONTROL) & !sifive::RECEIVE_WATERMARK;
                uart.write(sifive::RECEIVE_CONTROL, receive | sifive::ENABLE);
                uart.write(sifive::INTERRUPT_ENABLE, sifive::RECEIVE_INTERRUPT);
            }
        }
        uart
    }

    /// Sends a byte as soon as there is room for it.
    pub fn send(&self, byte: u8) {
        let (is_full, data): (&dyn Fn() -> bool, u64) = match self.model {
            UartModel::Ns16550 => (
                &|| self.line_status() & ns16550::TRANSMITTER_EMPTY == 0,
                ns16550::DATA,
            ),
            UartModel::SiFive => (
                &|| self.read(sifive::TRANSMIT_DATA) & sifive::FULL_OR_EMPTY != 0,
                sifive::TRANSMIT_DATA,
            ),
        };
        while is_full() {
            core::hint::spin_loop();
        }
        self.write(data, byte.into());
    }

    /// The next received byte or BREAK, if there is one. SiFive's UART tells of no BREAK.
    pub fn receive(&self) -> Option<Received> {
        match self.model {
            UartModel::Ns16550 => self.receive_ns16550(),
            UartModel::SiFive => {
                let data = self.read(sifive::RECEIVE_DATA);
                (data & sifive::FULL_OR_EMPTY == 0).then_some(Received::Byte(data as u8))
            }
        }
    }

    /// A BREAK is a zero byte. The data sheet marks that byte, QEMU the oldest in the FIFO.
    fn receive_ns16550(&self) -> Option<Received> {
        if self.line_status() & ns16550::DATA_READY == 0 {
            self.has_break.set(false);
            return None;
        }
        let byte = self.read(ns16550::DATA) as u8;
        if byte == 0 && self.has_break.take() {
            return Some(Received::Break);
        }
        Some(Received::Byte(byte))
    }

    /// The 16550's line status. Each read takes the mark of a BREAK away.
    fn line_status(&self) -> u32 {
        let status = self.read(ns16550::LINE_STATUS);
        if status & ns16550::BREAK != 0 {
            self.has_break.set(true);
        }
        status
    }

    fn at(&self, register: u64) -> *mut u8 {
        window::direct(HostPhys(self.base + (register << self.shift))).as_ptr()
    }

    fn read(&self, register: u64) -> u32 {
        // SAFETY: the host's device tree says that a UART's registers are here, and no Rust object is.
        unsafe {
            if self.width == 4 {
                self.at(register).cast::<u32>().read_volatile()
            } else {
                self.at(register).read_volatile().into()
            }
        }
    }

    fn write(&self, register: u64, value: u32) {
        // SAFETY: as for `read`.
        unsafe {
            if self.width == 4 {
                self.at(register).cast::<u32>().write_volatile(value);
            } else {
                self.at(register).write_volatile(value as u8);
            }
        }
    }
}
