//! The console: the host's UART where there is one that the monitor knows, else the firmware's; and who
//! has it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bundle::Console;
use devices::host_tree::HostUart;
use spin::Mutex;
use terminal::{Input, Mode, Terminal};

use super::cpu::Cpu;
use super::uart::{Received, Uart};
use super::{boot, csr, system};

static UART: Mutex<Option<Uart>> = Mutex::new(None);

/// Held from the receipt of a byte until whoever it is for has it: bytes keep their order, whichever
/// harts look for them.
static RECEIVER: Mutex<()> = Mutex::new(());

/// The machines' consoles, as soon as there are machines.
static TERMINAL: Mutex<Option<Terminal<fn(&[u8])>>> = Mutex::new(None);

/// The part of a second between two looks at lines that are unfinished.
const UNFINISHED: u64 = 20;

/// The part of a second for which a guest's output is sent at a time.
const SENDING: u64 = 1000;
/// Bytes of it that are sent between two looks at the time, and no more than a line.
const PIECE: usize = 32;

/// Uses the host's UART from now on, with its receive interrupt on.
pub fn use_uart(uart: &HostUart) {
    *UART.lock() = Some(Uart::new(uart));
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

#[expect(
    deprecated,
    reason = "every firmware has the legacy call, the debug console only new ones"
)]
fn firmware_receive() -> Option<u8> {
    // It is -1, or an error, when nothing was typed.
    u8::try_from(sbi_rt::legacy::console_getchar()).ok()
}

/// Takes what a machine has printed.
pub fn output(vm: usize, bytes: &[u8]) {
    let mut terminal = TERMINAL.lock();
    let Some(terminal) = &mut *terminal else {
        return;
    };
    terminal.output(vm, bytes);
    look_again(terminal.holds());
}

/// Has this hart call [`flush_quiet`] after a while, if there are unfinished lines.
fn look_again(holds: bool) {
    if holds && let Some(cpu) = boot::this_cpu() {
        cpu.flush_at(csr::time() + system::get().clock.timebase / UNFINISHED);
    }
}

/// Has `send` send as much of what a guest prints as a slow line takes in a millisecond, and no more when
/// the host interrupts: others may wait for the machine, and for this hart. How many bytes that were, some
/// at least; the rest is for another time.
pub fn in_time(bytes: &[u8], mut send: impl FnMut(&[u8])) -> usize {
    let end = csr::time() + system::get().clock.timebase / SENDING;
    let mut sent = 0;
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    for piece in lines.flat_map(|line| line.chunks(PIECE)) {
        send(piece);
        sent += piece.len();
        if Cpu::pending() != 0 || csr::time() >= end {
            break;
        }
    }
    sent
}

/// Hands over what was typed, in its order.
pub fn receive(mut take: impl FnMut(Input)) {
    let _receiver = RECEIVER.lock();
    loop {
        let received = match &*UART.lock() {
            Some(uart) => uart.receive(),
            None => firmware_receive().map(Received::Byte),
        };
        let Some(received) = received else { return };
        let mut terminal = TERMINAL.lock();
        let input = terminal.as_mut().and_then(|terminal| match received {
            Received::Byte(byte) => terminal.input(byte),
            Received::Break => terminal.line_break(),
        });
        drop(terminal);
        if let Some(input) = input {
            take(input);
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

/// Sends the unfinished lines that have not grown for a while: somebody may wait for them.
pub fn flush_quiet() {
    if let Some(terminal) = &mut *TERMINAL.lock() {
        terminal.flush_quiet();
        look_again(terminal.holds());
    }
}

/// Whether nobody uses the console at the moment.
pub fn is_free() -> bool {
    let is_read = RECEIVER.try_lock().is_none();
    !is_read && UART.try_lock().is_some() && TERMINAL.try_lock().is_some()
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
