//! Output in whole lines, for [`Mode::Prefixed`](crate::Mode::Prefixed).

use crate::HELD;
use crate::line::Line;
use alloc::{format, string::String, vec::Vec};

/// The unfinished line of a VM.
pub(crate) struct Held {
    bytes: Vec<u8>,
    /// Part of the same line went out before.
    continues: bool,
}

impl Held {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(HELD),
            continues: false,
        }
    }

    /// The VM `name` printed `bytes`.
    pub(crate) fn push<S: FnMut(&[u8])>(&mut self, name: &str, bytes: &[u8], line: &mut Line<S>) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end(name, line);
                continue;
            }
            if self.bytes.len() == HELD {
                self.flush(name, line);
            }
            self.bytes.push(byte);
        }
    }

    /// The line ends.
    fn end<S: FnMut(&[u8])>(&mut self, name: &str, line: &mut Line<S>) {
        while self.bytes.last() == Some(&b'\r') {
            self.bytes.pop();
        }
        // What went out before may have been all of the line.
        if !(self.continues && self.bytes.is_empty()) {
            self.send(name, line);
        }
        self.continues = false;
    }

    /// Sends what is held, if anything, of an unfinished line.
    pub(crate) fn flush<S: FnMut(&[u8])>(&mut self, name: &str, line: &mut Line<S>) {
        if !self.bytes.is_empty() {
            self.send(name, line);
            self.continues = true;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn send<S: FnMut(&[u8])>(&mut self, name: &str, line: &mut Line<S>) {
        let start: String = format!("{name}{} ", if self.continues { '+' } else { '|' });
        line.whole(&start, &self.bytes);
        self.bytes.clear();
    }
}
