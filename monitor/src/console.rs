//! The console: the host's UART where there is one that the monitor knows, else the firmware's; and who
//! has it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bundle::Console;
use devices::host_tree::HostUart;
use isa::address::HostPhys;
use spin::Mutex;
use terminal::{Input, Mode, Terminal};

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

/// The machines' consoles, as soon as there are machines.
static TERMINAL: Mutex<Option<Terminal<fn(&[u8])>>> = Mutex::new(None);

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

/// Shares the console among machines with these names.
pub fn share(names: Vec<String>, console: Console) {
    let mode = match console {
        Console::Switched => Mode::Switched,
        Console::Prefixed => Mode::Prefixed,
    };
    *TERMINAL.lock() = Some(Terminal::new(send, names, mode));
}

/// Sends bytes as they are.
fn send(bytes: &[u8]) {
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

/// Takes what a machine has printed.
pub fn output(vm: usize, bytes: &[u8]) {
    if let Some(terminal) = &mut *TERMINAL.lock() {
        terminal.output(vm, bytes);
    }
}

/// What a received byte is for; `None` when there is none left.
pub fn receive() -> Option<Input> {
    loop {
        let byte = {
            let uart = UART.lock();
            let uart = uart.as_ref()?;
            (uart.read(LINE_STATUS) & DATA_READY != 0).then(|| uart.read(RECEIVE))?
        };
        let input = TERMINAL
            .lock()
            .as_mut()
            .and_then(|terminal| terminal.input(byte));
        if input.is_some() {
            return input;
        }
    }
}

/// Answers a command of the shell.
pub fn answer(text: &str) {
    if let Some(terminal) = &mut *TERMINAL.lock() {
        terminal.answer(text);
    }
}

/// Sends what is held of unfinished lines, unless somebody is about to finish one.
pub fn flush() {
    if let Some(Some(terminal)) = TERMINAL.try_lock().as_deref_mut() {
        terminal.flush();
    }
}

/// Whether nobody uses the console at the moment.
pub fn is_free() -> bool {
    UART.try_lock().is_some() && TERMINAL.try_lock().is_some()
}

/// Prints a line whoever holds the console, without the heap.
///
/// # Safety
/// What holds the console must not go on.
pub unsafe fn emergency(arguments: fmt::Arguments) {
    struct Line;

    impl fmt::Write for Line {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            send(text.as_bytes());
            Ok(())
        }
    }

    // SAFETY: the caller's promise.
    unsafe { UART.force_unlock() };
    // `Line` never fails.
    let _ = fmt::write(&mut Line, format_args!("\r\npatchvisor: {arguments}\r\n"));
}

#[doc(hidden)]
pub fn print(arguments: fmt::Arguments) {
    let text = format!("{arguments}");
    match &mut *TERMINAL.lock() {
        Some(terminal) => terminal.say(&text),
        None => send(format!("patchvisor: {text}\r\n").as_bytes()),
    }
}

/// Prints one line of the monitor's own.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::monitor::console::print(format_args!($($argument)*))
    };
}
pub(crate) use say;
