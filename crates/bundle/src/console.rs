//! How VMs share the one console, and what the lines of a shared console look like.
//!
//! The monitor writes such lines and the host command takes them apart; both have the rules from here.
//!
//! On a prefixed console each line is the monitor's own (it begins with [`MONITOR`]) or a VM's: the
//! VM's name, [`SEPARATOR`], what the VM printed without its line end, and `\r\n`. What a VM prints
//! without a line end for [`PIECE`] bytes goes out in pieces: each but the last has exactly [`PIECE`]
//! bytes of the VM's and then [`CONTINUES`]. So a line of the VM's that itself ends in a backslash is
//! never taken for a piece. Lines of other VMs may come between two pieces.

use serde::{Deserialize, Serialize};

/// What each of the monitor's own lines begins with.
pub const MONITOR: &str = "patchvisor: ";
/// What stands between a VM's name and its text.
pub const SEPARATOR: &str = "| ";
/// Most bytes of a VM that one line of a prefixed console holds.
pub const PIECE: usize = 256;
/// What follows the [`PIECE`] bytes of a piece that is not the last.
pub const CONTINUES: u8 = b'\\';

/// How VMs share the console.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Console {
    /// It belongs to one VM at a time, byte by byte.
    #[default]
    Switched,
    /// All VMs print on it, in whole lines that begin with the VM's name.
    Prefixed,
}

impl Console {
    /// The name that flags and descriptions use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Switched => "switched",
            Self::Prefixed => "prefixed",
        }
    }
}

/// Whether a VM can have this name on a prefixed console: a line must tell where the name ends, be
/// none of the monitor's, and the name must do for a file.
pub fn can_prefix(name: &str) -> bool {
    let fits = |c: char| !c.is_control() && !c.is_whitespace() && c != '|' && c != '/';
    !name.is_empty() && name.chars().all(fits)
}
