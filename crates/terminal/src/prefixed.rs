//! Output in lines with names, for [`Mode::Prefixed`](crate::Mode::Prefixed).

use crate::HELD;
use crate::line::Line;
use alloc::{format, vec::Vec};
use bundle::console::{CONTINUATION, SEPARATOR};

/// The unfinished line of a VM.
pub(crate) struct Held {
    bytes: Vec<u8>,
    /// Part of the same line went out before.
    continues: bool,
    /// Nothing has come since [`Held::flush_quiet`] last looked.
    is_quiet: bool,
}

impl Held {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(HELD),
            continues: false,
            is_quiet: false,
        }
    }

    /// The VM `name` printed `bytes`.
    pub(crate) fn push<S: FnMut(&[u8])>(&mut self, name: &str, bytes: &[u8], line: &mut Line<S>) {
        self.is_quiet = false;
        for &byte in bytes {
            if byte == b'\n' {
                self.end(name, line);
                continue;
            }
            if self.bytes.len() == HELD {
                self.make_room(name, line);
            }
            self.bytes.push(byte);
        }
    }

    /// The line ends.
    fn end<S: FnMut(&[u8])>(&mut self, name: &str, line: &mut Line<S>) {
        // What went out before may have been all of the line.
        if !(self.continues && self.is_empty()) {
            self.send(self.text(), name, line);
        }
        self.bytes.clear();
        self.continues = false;
    }

    fn make_room<S: FnMut(&[u8])>(&mut self, name: &str, line: &mut Line<S>) {
        let text = match self.text() {
            0 => self.bytes.len(),
            text => text,
        };
        self.send(text, name, line);
    }

    /// Sends what is held, if anything, of an unfinished line.
    pub(crate) fn flush<S: FnMut(&[u8])>(&mut self, name: &str, line: &mut Line<S>) {
        if !self.is_empty() {
            self.send(self.text(), name, line);
        }
    }

    /// Sends what is held if nothing has come since this was last called.
    pub(crate) fn flush_quiet<S: FnMut(&[u8])>(&mut self, name: &str, line: &mut Line<S>) {
        if self.is_quiet {
            self.flush(name, line);
        }
        self.is_quiet = true;
    }

    /// Whether nothing is held that could be sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.text() == 0
    }

    /// How many bytes there are before carriage returns, which stay until it is known whether the line
    /// ends with them.
    fn text(&self) -> usize {
        let last = self.bytes.iter().rposition(|&byte| byte != b'\r');
        last.map_or(0, |last| last + 1)
    }

    /// Sends the first `count` bytes.
    fn send<S: FnMut(&[u8])>(&mut self, count: usize, name: &str, line: &mut Line<S>) {
        let separator = match self.continues {
            true => CONTINUATION,
            false => SEPARATOR,
        };
        line.whole(&format!("{name}{separator}"), &self.bytes[..count]);
        self.bytes.drain(..count);
        self.continues = true;
    }
}
