//! An ns16550a UART: eight byte-wide registers, 16-byte receive FIFO, loopback.
//!
//! The wire is infinitely fast: a byte written is sent at once, so the transmitter is always empty, and
//! a receive time-out is over as soon as it begins. The modem lines are strapped to "connected".
//! What is not said by the data sheet of the 16550D follows QEMU's model, which is what guests of
//! a `virt` board are used to: so does what counts as an interrupt of its own for the PLIC
//! ([`Uart::take_raised`]).

use alloc::vec::Vec;

/// Register offsets in bytes, by the names of the data sheet.
mod register {
    pub const DATA: u8 = 0;
    pub const INTERRUPT_ENABLE: u8 = 1;
    /// Interrupt identification when read, FIFO control when written.
    pub const INTERRUPT_ID: u8 = 2;
    pub const LINE_CONTROL: u8 = 3;
    pub const MODEM_CONTROL: u8 = 4;
    pub const LINE_STATUS: u8 = 5;
    pub const MODEM_STATUS: u8 = 6;
    pub const SCRATCH: u8 = 7;
}

mod interrupt_enable {
    pub const RECEIVED: u8 = 1 << 0;
    pub const TRANSMITTER_EMPTY: u8 = 1 << 1;
    pub const LINE_STATUS: u8 = 1 << 2;
    pub const ALL: u8 = 0x0f;
}

/// Values of bits 0 to 3 of the interrupt identification register, most urgent first.
mod interrupt_id {
    pub const LINE_STATUS: u8 = 0x06;
    pub const RECEIVED: u8 = 0x04;
    pub const TIMEOUT: u8 = 0x0c;
    pub const TRANSMITTER_EMPTY: u8 = 0x02;
    pub const NONE: u8 = 0x01;
    /// Bits 6 and 7 tell that the FIFOs are on.
    pub const FIFO: u8 = 0xc0;
}

mod fifo_control {
    pub const ENABLE: u8 = 1 << 0;
    pub const CLEAR_RECEIVER: u8 = 1 << 1;
    pub const CLEAR_TRANSMITTER: u8 = 1 << 2;
    pub const TRIGGER_SHIFT: u32 = 6;
}

mod line_control {
    pub const DIVISOR_ACCESS: u8 = 1 << 7;
}

mod modem_control {
    pub const DTR: u8 = 1 << 0;
    pub const RTS: u8 = 1 << 1;
    pub const OUT1: u8 = 1 << 2;
    pub const OUT2: u8 = 1 << 3;
    pub const LOOPBACK: u8 = 1 << 4;
    pub const ALL: u8 = 0x1f;
}

mod line_status {
    pub const DATA_READY: u8 = 1 << 0;
    pub const OVERRUN: u8 = 1 << 1;
    pub const BREAK: u8 = 1 << 4;
    pub const TRANSMITTER_EMPTY: u8 = 1 << 5 | 1 << 6;
}

mod modem_status {
    pub const CTS: u8 = 1 << 4;
    pub const DSR: u8 = 1 << 5;
    pub const RI: u8 = 1 << 6;
    pub const DCD: u8 = 1 << 7;
    pub const CONNECTED: u8 = CTS | DSR | DCD;
}

/// Bytes that the receive FIFO holds.
pub const FIFO_DEPTH: usize = 16;
/// Bytes in the FIFO that raise the received-data interrupt, by FIFO control bits 6 and 7.
const TRIGGER_LEVELS: [usize; 4] = [1, 4, 8, 14];
/// What QEMU's model has in the divisor after reset: 9600 baud.
const RESET_DIVISOR: u16 = 12;

/// The state of one UART.
#[derive(Clone, Debug)]
pub struct Uart {
    interrupt_enable: u8,
    line_control: u8,
    modem_control: u8,
    scratch: u8,
    divisor: u16,
    fifo_enabled: bool,
    trigger: usize,
    overrun: bool,
    /// The oldest byte that was received is none but a BREAK.
    is_break: bool,
    /// Latched by an empty transmitter, cleared by reading it from the interrupt identification.
    transmitter_interrupt: bool,
    received: Received,
    /// The interrupt line was set and up.
    raised: bool,
    output: Vec<u8>,
}

impl Default for Uart {
    fn default() -> Self {
        Self::new()
    }
}

impl Uart {
    /// A UART as it is after a hardware reset.
    #[must_use]
    pub fn new() -> Self {
        Self {
            interrupt_enable: 0,
            line_control: 0,
            modem_control: modem_control::OUT2,
            scratch: 0,
            divisor: RESET_DIVISOR,
            fifo_enabled: false,
            trigger: TRIGGER_LEVELS[0],
            overrun: false,
            is_break: false,
            transmitter_interrupt: false,
            received: Received::default(),
            raised: false,
            output: Vec::new(),
        }
    }

    /// Resets all but the bytes that were sent and not yet taken.
    pub fn reset(&mut self) {
        let output = core::mem::take(&mut self.output);
        *self = Self {
            output,
            ..Self::new()
        };
    }

    /// Reads the register at byte `offset` modulo 8, with the side effects of the read.
    pub fn read(&mut self, offset: u8) -> u8 {
        let [divisor_low, divisor_high] = self.divisor.to_le_bytes();
        match offset % 8 {
            register::DATA if self.divisor_access() => divisor_low,
            register::INTERRUPT_ENABLE if self.divisor_access() => divisor_high,
            register::DATA => self.take_received().unwrap_or(0),
            register::INTERRUPT_ENABLE => self.interrupt_enable,
            register::INTERRUPT_ID => self.read_interrupt_id(),
            register::LINE_CONTROL => self.line_control,
            register::MODEM_CONTROL => self.modem_control,
            register::LINE_STATUS => self.read_line_status(),
            register::MODEM_STATUS => self.modem_status(),
            _ => self.scratch,
        }
    }

    /// Writes the register at byte `offset` modulo 8.
    pub fn write(&mut self, offset: u8, value: u8) {
        let [divisor_low, divisor_high] = self.divisor.to_le_bytes();
        match offset % 8 {
            register::DATA if self.divisor_access() => {
                self.divisor = u16::from_le_bytes([value, divisor_high]);
            }
            register::INTERRUPT_ENABLE if self.divisor_access() => {
                self.divisor = u16::from_le_bytes([divisor_low, value]);
            }
            register::DATA => self.transmit(value),
            register::INTERRUPT_ENABLE => self.write_interrupt_enable(value),
            register::INTERRUPT_ID => self.write_fifo_control(value),
            register::LINE_CONTROL => self.line_control = value,
            register::MODEM_CONTROL => self.modem_control = value & modem_control::ALL,
            register::SCRATCH => self.scratch = value,
            // Line status and modem status are read-only.
            _ => {}
        }
    }

    /// Takes a byte from the wire. `false`: there is no room for it now (or the UART is in loopback
    /// and hears only itself); keep it and offer it again.
    #[must_use = "a byte that is not accepted must be offered again"]
    pub fn receive(&mut self, byte: u8) -> bool {
        if self.loopback() || self.received.length >= self.capacity() {
            return false;
        }
        self.received.push(byte);
        self.set_line();
        true
    }

    /// Takes a BREAK from the wire: a zero byte that line status marks. `false`: something is still to be
    /// read before, which would be taken for it; offer it again.
    #[must_use = "a BREAK that is not accepted must be offered again"]
    pub fn receive_break(&mut self) -> bool {
        if self.received.length > 0 || !self.receive(0) {
            return false;
        }
        self.is_break = true;
        self.set_line();
        true
    }

    /// Takes the oldest byte that was received, as a read of the data register does, whatever that
    /// register shows at the moment.
    pub fn take_received(&mut self) -> Option<u8> {
        let byte = self.received.pop();
        self.is_break = false;
        self.set_line();
        byte
    }

    /// Whether the interrupt line was set and up since this was last called: what the PLIC takes for one
    /// interrupt. QEMU's model sets its line whenever a byte comes or goes, and with writes that change
    /// `IER`, with writes of `FCR`, and with reads that take something back.
    pub fn take_raised(&mut self) -> bool {
        core::mem::take(&mut self.raised)
    }

    fn set_line(&mut self) {
        self.raised |= self.interrupt();
    }

    /// Whether the interrupt line is up.
    #[must_use]
    pub fn interrupt(&self) -> bool {
        self.interrupt_id() != interrupt_id::NONE
    }

    /// The bytes sent since this was last called, oldest first.
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }

    /// Whether bytes were sent that nobody took yet.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    fn divisor_access(&self) -> bool {
        self.line_control & line_control::DIVISOR_ACCESS != 0
    }

    fn loopback(&self) -> bool {
        self.modem_control & modem_control::LOOPBACK != 0
    }

    /// Bytes that the receiver holds before it overruns.
    fn capacity(&self) -> usize {
        if self.fifo_enabled { FIFO_DEPTH } else { 1 }
    }

    fn transmit(&mut self, byte: u8) {
        if self.loopback() {
            self.receive_own(byte);
        } else {
            self.output.push(byte);
        }
        self.transmitter_interrupt = true;
        self.set_line();
    }

    /// A byte that loops back cannot be held off: without room it overruns. The FIFO keeps what it
    /// has, the single receive buffer is overwritten (16550D data sheet, OE bit).
    fn receive_own(&mut self, byte: u8) {
        if self.received.length >= self.capacity() {
            self.overrun = true;
            if self.fifo_enabled {
                return;
            }
            self.received.clear();
        }
        self.received.push(byte);
    }

    /// The transmitter is always empty, so enabling its interrupt raises it at once, even after it
    /// was acknowledged; writing the same again does not.
    fn write_interrupt_enable(&mut self, value: u8) {
        let value = value & interrupt_enable::ALL;
        let changed = self.interrupt_enable ^ value;
        self.interrupt_enable = value;
        if changed & interrupt_enable::TRANSMITTER_EMPTY != 0 {
            self.transmitter_interrupt = value & interrupt_enable::TRANSMITTER_EMPTY != 0;
        }
        if changed != 0 {
            self.set_line();
        }
    }

    fn write_fifo_control(&mut self, value: u8) {
        let enable = value & fifo_control::ENABLE != 0;
        let switched = enable != self.fifo_enabled;
        if switched || value & fifo_control::CLEAR_RECEIVER != 0 {
            self.received.clear();
            self.is_break = false;
        }
        if switched || value & fifo_control::CLEAR_TRANSMITTER != 0 {
            self.transmitter_interrupt = true;
        }
        self.fifo_enabled = enable;
        self.trigger = if enable {
            TRIGGER_LEVELS[usize::from(value >> fifo_control::TRIGGER_SHIFT)]
        } else {
            TRIGGER_LEVELS[0]
        };
        self.set_line();
    }

    fn read_interrupt_id(&mut self) -> u8 {
        let id = self.interrupt_id();
        if id == interrupt_id::TRANSMITTER_EMPTY {
            self.transmitter_interrupt = false;
            self.set_line();
        }
        let fifo = if self.fifo_enabled {
            interrupt_id::FIFO
        } else {
            0
        };
        id | fifo
    }

    /// The most urgent interrupt that is enabled and pending. Modem status interrupts never are:
    /// no line changes.
    fn interrupt_id(&self) -> u8 {
        let enabled = |bit| self.interrupt_enable & bit != 0;
        if enabled(interrupt_enable::LINE_STATUS) && (self.overrun || self.is_break) {
            interrupt_id::LINE_STATUS
        } else if enabled(interrupt_enable::RECEIVED) && self.received.length >= self.trigger {
            interrupt_id::RECEIVED
        } else if enabled(interrupt_enable::RECEIVED) && self.received.length > 0 {
            interrupt_id::TIMEOUT
        } else if enabled(interrupt_enable::TRANSMITTER_EMPTY) && self.transmitter_interrupt {
            interrupt_id::TRANSMITTER_EMPTY
        } else {
            interrupt_id::NONE
        }
    }

    fn read_line_status(&mut self) -> u8 {
        let mut status = line_status::TRANSMITTER_EMPTY;
        if self.received.length > 0 {
            status |= line_status::DATA_READY;
        }
        let errors = [
            (core::mem::take(&mut self.overrun), line_status::OVERRUN),
            (core::mem::take(&mut self.is_break), line_status::BREAK),
        ];
        for (_, bit) in errors.into_iter().filter(|(is_set, _)| *is_set) {
            status |= bit;
            self.set_line();
        }
        status
    }

    /// In loopback the four outputs of the modem control register are wired to the four inputs. No
    /// delta bit is ever set, as in QEMU's model.
    fn modem_status(&self) -> u8 {
        if !self.loopback() {
            return modem_status::CONNECTED;
        }
        [
            (modem_control::RTS, modem_status::CTS),
            (modem_control::DTR, modem_status::DSR),
            (modem_control::OUT1, modem_status::RI),
            (modem_control::OUT2, modem_status::DCD),
        ]
        .into_iter()
        .filter(|(output, _)| self.modem_control & output != 0)
        .fold(0, |status, (_, input)| status | input)
    }
}

/// The received bytes, a ring.
#[derive(Clone, Debug, Default)]
struct Received {
    bytes: [u8; FIFO_DEPTH],
    first: usize,
    length: usize,
}

impl Received {
    fn clear(&mut self) {
        self.length = 0;
    }

    fn push(&mut self, byte: u8) {
        debug_assert!(self.length < FIFO_DEPTH);
        self.bytes[(self.first + self.length) % FIFO_DEPTH] = byte;
        self.length += 1;
    }

    fn pop(&mut self) -> Option<u8> {
        self.length = self.length.checked_sub(1)?;
        let byte = self.bytes[self.first];
        self.first = (self.first + 1) % FIFO_DEPTH;
        Some(byte)
    }
}

#[cfg(test)]
#[path = "uart_tests.rs"]
mod tests;
