//! The keys after Ctrl-T.

/// Ctrl-T: the next key is a command to the terminal.
pub const PREFIX: u8 = 0x14;

/// What a key after [`PREFIX`] asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Key {
    /// Give this console the focus.
    Console(usize),
    /// Give the next console the focus.
    Next,
    /// Give the previous console the focus.
    Previous,
    /// Say what the keys are.
    Help,
    /// Show all that is kept of the focused console's output.
    ShowKept,
    /// Give the focused console a BREAK.
    Break,
    /// Pass a Ctrl-T to the focused console.
    Literal,
    /// Nothing.
    Unknown,
}

/// What `byte` asks for when it follows [`PREFIX`].
#[must_use]
pub fn key(byte: u8) -> Key {
    match byte {
        b'0'..=b'9' => Key::Console(usize::from(byte - b'0')),
        b'n' => Key::Next,
        b'p' => Key::Previous,
        b'?' => Key::Help,
        b'l' => Key::ShowKept,
        b'b' => Key::Break,
        PREFIX => Key::Literal,
        _ => Key::Unknown,
    }
}

/// What the keys are, a line each.
pub const HELP: &[&str] = &[
    "Ctrl-T 0       the monitor's shell",
    "Ctrl-T 1 to 9  that VM's console",
    "Ctrl-T n, p    the next, the previous console",
    "Ctrl-T l       all that is kept of this console's output",
    "Ctrl-T b       a BREAK for the guest: Linux takes the next key for Magic SysRq",
    "Ctrl-T Ctrl-T  a Ctrl-T for the guest",
];

/// What is said about a key that means nothing.
pub(crate) const HINT: &str = "this key means nothing after Ctrl-T: Ctrl-T ? shows those that do";
