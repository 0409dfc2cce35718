//! How VMs share the one console, and what the lines of a shared console look like.
//!
//! The monitor writes such lines and the host command takes them apart; both have the rules from here.
//!
//! On a prefixed console each line ends in `\r\n` and is the monitor's own or a VM's:
//!
//! ```text
//! name| a line, or the beginning of one
//! name+ more of the same line
//! patchvisor: what the monitor says
//! ```
//!
//! What a VM prints may come in several lines of the console, because it is long or because the VM
//! waited before it went on. The first begins with the VM's name and [`SEPARATOR`], the others with
//! its name and [`CONTINUATION`]; lines of others may come between them. That a VM's line has ended is
//! known only when its next one begins.
//!
//! All lines that do not begin so are the monitor's: what it says on its own begins with [`MONITOR`],
//! what its shell answers does not. [`ERASE`] takes back what stands before it on the same line.
//!
//! Control characters that a VM prints are shown like `^G`, but for tab and escape, and carriage
//! returns at the end of its lines are dropped. So none of this can come from a VM.

use serde::{Deserialize, Serialize};

/// What each line begins with that the monitor says on its own.
pub const MONITOR: &str = "patchvisor: ";
/// What stands between a VM's name and a line of its text, or the beginning of one.
pub const SEPARATOR: &str = "| ";
/// What stands between a VM's name and more of its last line.
pub const CONTINUATION: &str = "+ ";
/// Carriage return, and erase to the end of the line (ECMA-48, EL): the monitor takes back the prompt
/// of its shell, for a line that comes in between.
pub const ERASE: &str = "\r\x1b[K";

/// How VMs share the console.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Console {
    /// It belongs to one VM at a time, byte by byte.
    #[default]
    Switched,
    /// All VMs print on it, in lines that begin with the VM's name.
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
    let fits = |c: char| !c.is_control() && !c.is_whitespace() && !"|/".contains(c);
    !name.is_empty() && name.chars().all(fits)
}
