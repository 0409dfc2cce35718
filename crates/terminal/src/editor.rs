//! The line that is being typed in the shell.

use crate::TYPED;
use alloc::{string::String, vec::Vec};

const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;
const CONTROL_U: u8 = 0x15;
/// Back, over it, and back again.
const RUB_OUT: &[u8] = b"\x08 \x08";

/// What a key does.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Edit {
    /// These bytes go to the terminal.
    Echo(Vec<u8>),
    /// Enter: this was typed.
    Entered(String),
}

/// At most [`TYPED`] printable ASCII characters.
#[derive(Default)]
pub(crate) struct Editor {
    typed: Vec<u8>,
    /// Carriage return was the last key; the line feed that some terminals send after it is part of it.
    returned: bool,
}

impl Editor {
    pub(crate) fn key(&mut self, byte: u8) -> Edit {
        let after_return = core::mem::replace(&mut self.returned, byte == b'\r');
        match byte {
            b'\n' if after_return => Edit::Echo(Vec::new()),
            b'\r' | b'\n' => {
                let typed = core::mem::take(&mut self.typed);
                Edit::Entered(typed.into_iter().map(char::from).collect())
            }
            BACKSPACE | DELETE => {
                let rubbed = self.typed.pop().map_or(0, |_| 1);
                Edit::Echo(RUB_OUT.repeat(rubbed))
            }
            CONTROL_U => {
                let rubbed = self.typed.len();
                self.typed.clear();
                Edit::Echo(RUB_OUT.repeat(rubbed))
            }
            b' '..=b'~' if self.typed.len() < TYPED => {
                self.typed.push(byte);
                Edit::Echo(Vec::from([byte]))
            }
            _ => Edit::Echo(Vec::new()),
        }
    }

    pub(crate) fn typed(&self) -> &[u8] {
        &self.typed
    }
}
