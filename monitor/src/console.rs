//! The monitor's console: the host's UART where there is one that it knows, else the firmware's.

use core::fmt::{self, Write};

use devices::host_tree::HostUart;
use isa::address::HostPhys;
use spin::Mutex;

use super::window;

/// A 16550-compatible UART.
struct Physical {
    base: u64,
    /// Registers are `1 << shift` bytes apart.
    shift: u32,
    /// Bytes of a register access.
    width: u32,
}

const RECEIVE: u64 = 0;
const TRANSMIT: u64 = 0;
const INTERRUPT_ENABLE: u64 = 1;
const FIFO_CONTROL: u64 = 2;
const LINE_STATUS: u64 = 5;

const DATA_READY: u8 = 1;
const TRANSMITTER_EMPTY: u8 = 1 << 5;

impl Physical {
    fn at(&self, register: u64) -> *mut u8 {
        window::direct(HostPhys(self.base + (register << self.shift))).as_ptr()
    }

    fn read(&self, register: u64) -> u8 {
        // SAFETY: the host's device tree says that a UART's registers are here, and no Rust object is.
        unsafe {
            if self.width == 4 {
                self.at(register).cast::<u32>().read_volatile() as u8
            } else {
                self.at(register).read_volatile()
            }
        }
    }

    fn write(&self, register: u64, value: u8) {
        // SAFETY: as for `read`.
        unsafe {
            if self.width == 4 {
                self.at(register).cast::<u32>().write_volatile(value.into());
            } else {
                self.at(register).write_volatile(value);
            }
        }
    }

    fn send(&self, byte: u8) {
        while self.read(LINE_STATUS) & TRANSMITTER_EMPTY == 0 {
            core::hint::spin_loop();
        }
        self.write(TRANSMIT, byte);
    }
}

static UART: Mutex<Option<Physical>> = Mutex::new(None);

/// Uses the host's UART from now on, with its receive interrupt on.
pub fn use_uart(uart: &HostUart) {
    let physical = Physical {
        base: uart.registers.base.0,
        shift: uart.register_shift,
        width: uart.access_width,
    };
    physical.write(FIFO_CONTROL, 1);
    physical.write(INTERRUPT_ENABLE, 1);
    *UART.lock() = Some(physical);
}

/// Sends bytes as they are.
pub fn send(bytes: &[u8]) {
    let uart = UART.lock();
    for &byte in bytes {
        match &*uart {
            Some(uart) => uart.send(byte),
            None => firmware_send(byte),
        }
    }
}

#[expect(
    deprecated,
    reason = "every firmware has the legacy call, the debug console only new ones"
)]
fn firmware_send(byte: u8) {
    sbi_rt::legacy::console_putchar(byte.into());
}

/// A received byte, if there is one.
pub fn receive() -> Option<u8> {
    let uart = UART.lock();
    let uart = uart.as_ref()?;
    (uart.read(LINE_STATUS) & DATA_READY != 0).then(|| uart.read(RECEIVE))
}

/// Lets the console be used from a fault in whatever held it.
///
/// # Safety
/// No other hart may be using the console.
pub unsafe fn force_unlock() {
    // SAFETY: the caller's promise.
    unsafe { UART.force_unlock() };
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive('\n') {
            match piece.strip_suffix('\n') {
                Some(line) => {
                    send(line.as_bytes());
                    send(b"\r\n");
                }
                None => send(piece.as_bytes()),
            }
        }
        Ok(())
    }
}

#[doc(hidden)]
pub fn print(arguments: fmt::Arguments) {
    Console
        .write_fmt(arguments)
        .expect("the console takes everything");
}

/// Prints one line of the monitor's own.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::monitor::console::print(format_args!("patchvisor: {}\n", format_args!($($argument)*)))
    };
}
pub(crate) use say;
