//! One physical line, many consoles: the monitor's shell and one console for each VM.
//!
//! [`Terminal`] is fed with what guests print and with what is typed, byte by byte; what goes out it
//! passes to a sink. It knows no UART.
//!
//! # Consoles
//!
//! Console 0 is the monitor's shell; consoles 1 and up belong to the VMs, in their order: VM `v`,
//! counted from 0 in this interface as elsewhere in the monitor, has console `v + 1`, and that is
//! the number that users see. One console has the *focus* and gets what is typed; at first, that of
//! the first VM. Each keeps the last [`KEPT`] bytes of its output. The keys after Ctrl-T are in
//! [`keys`].
//!
//! # Modes
//!
//! [`Mode::Switched`]: the focused console's output goes out as it comes. That of the others is
//! only kept; when one gets the focus, a line says so, and what was not shown yet follows, at most
//! [`REPLAYED`] lines. A VM that is the only one is never announced, nor is its output cut: while
//! it has the focus, it has the line to itself.
//!
//! [`Mode::Prefixed`]: the output of all VMs goes out, in lines that begin with `name| ` or `name+ `
//! as [`bundle::console`] describes them. Output is held until its line ends, or until [`HELD`] bytes
//! are held or the caller says so ([`Terminal::flush`]); what is sent of a line after such a cut
//! begins with `name+ `. Carriage returns at the end of a line are dropped, but for those beyond
//! [`HELD`]; other control characters are shown like `^G`, so that each line of the byte stream says
//! truly whose it is. Tab and escape pass, because guests colour what they print; with escape
//! sequences a guest can still draw over a screen, though not over a log.
//!
//! In both modes the monitor's own lines begin with `patchvisor: `, go out at once, and stand on
//! lines of their own.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod editor;
pub mod keys;
mod line;
mod prefixed;
mod ring;
pub mod shell;
mod terminal;

pub use shell::Command;
pub use terminal::{Input, Mode, Terminal};

/// Bytes of its output that each console keeps.
pub const KEPT: usize = 64 << 10;
/// Lines, of those that were not shown, that are shown when a console gets the focus.
pub const REPLAYED: usize = 100;
/// Bytes of an unfinished line that are held in prefixed mode.
pub const HELD: usize = 256;
/// Bytes of a command. With the prompt it fits a line of 80 columns.
pub const TYPED: usize = 64;

#[cfg(test)]
mod tests;
