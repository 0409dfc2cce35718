//! The physical line: where the cursor is, and how something else gets a line of its own.

use alloc::vec::Vec;
use bundle::console::ERASE;

const BREAK: &[u8] = b"\r\n";
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;

#[derive(Clone, Copy, Eq, PartialEq)]
enum Holds {
    Nothing,
    /// Part of a line.
    Output,
    /// The shell's prompt and what is typed, which can be drawn again.
    Prompt,
}

pub(crate) struct Line<S> {
    sink: S,
    holds: Holds,
}

impl<S: FnMut(&[u8])> Line<S> {
    pub(crate) fn new(sink: S) -> Self {
        Self {
            sink,
            holds: Holds::Nothing,
        }
    }

    /// Sends a guest's bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        if let Some(&last) = bytes.last() {
            (self.sink)(bytes);
            self.holds = if last == b'\n' {
                Holds::Nothing
            } else {
                Holds::Output
            };
        }
    }

    /// Goes to the beginning of a line, for something else than what the present one holds.
    pub(crate) fn clear(&mut self) {
        match self.holds {
            Holds::Nothing => {}
            Holds::Output => (self.sink)(BREAK),
            Holds::Prompt => (self.sink)(ERASE.as_bytes()),
        }
        self.holds = Holds::Nothing;
    }

    /// Sends a whole line, in one piece. Control characters in it are made visible.
    pub(crate) fn whole(&mut self, start: &str, text: &[u8]) {
        self.clear();
        let mut bytes = Vec::with_capacity(start.len() + text.len() + BREAK.len());
        push_visible(&mut bytes, start.as_bytes());
        push_visible(&mut bytes, text);
        bytes.extend(BREAK);
        (self.sink)(&bytes);
    }

    /// Draws the shell's prompt with what is typed, if it is not there.
    pub(crate) fn prompt(&mut self, prompt: &str, typed: &[u8]) {
        if self.holds == Holds::Prompt {
            return;
        }
        self.clear();
        (self.sink)(prompt.as_bytes());
        self.echo(typed);
        self.holds = Holds::Prompt;
    }

    /// Sends what a key in the shell changes on the prompt's line.
    pub(crate) fn echo(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            (self.sink)(bytes);
        }
    }

    /// Enter was typed: the prompt's line stays.
    pub(crate) fn end_prompt(&mut self) {
        (self.sink)(BREAK);
        self.holds = Holds::Nothing;
    }
}

/// Adds `text`, with control characters in caret notation, but for tab and escape.
fn push_visible(to: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b'\t' | ESCAPE => to.push(byte),
            0..b' ' | DELETE => to.extend([b'^', byte ^ 0x40]),
            _ => to.push(byte),
        }
    }
}
