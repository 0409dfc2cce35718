//! What can be wrong with a device tree.

use alloc::string::String;
use core::fmt;

/// Why a device tree cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TreeError {
    /// The blob ends before what it announces.
    Truncated {
        /// Bytes that it ought to have, as far as is known.
        needed: usize,
        /// Bytes that were given.
        given: usize,
    },
    /// It does not begin with the magic number.
    NotATree {
        /// What it begins with.
        magic: u32,
    },
    /// Its format is older or newer than version 17, which is the only one in use.
    Version {
        /// Its version.
        version: u32,
        /// The oldest version that its reader may be of.
        compatible: u32,
    },
    /// Something lies outside of the block that it belongs to.
    OutOfBounds {
        /// What it is.
        what: &'static str,
        /// Its offset in the blob, in bytes.
        offset: usize,
    },
    /// The structure block has a word that is no token, or one out of place.
    BadToken {
        /// The word.
        token: u32,
        /// Its offset in the blob, in bytes.
        offset: usize,
    },
    /// A property has a value of the wrong shape.
    BadProperty {
        /// The path of its node.
        node: String,
        /// Its name.
        property: &'static str,
    },
    /// The tree has nothing to say about something that the monitor needs.
    Missing {
        /// What is missing.
        what: &'static str,
    },
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, given } => write!(
                f,
                "the device tree is cut short: it needs {needed} bytes and {given} are there"
            ),
            Self::NotATree { magic } => write!(
                f,
                "there is no device tree: it would begin with 0xd00dfeed, not with {magic:#010x}"
            ),
            Self::Version {
                version,
                compatible,
            } => write!(
                f,
                "the device tree has format version {version} (compatible with {compatible}), only 17 is understood"
            ),
            Self::OutOfBounds { what, offset } => write!(
                f,
                "the device tree is broken: {what} at offset {offset:#x} is out of bounds"
            ),
            Self::BadToken { token, offset } => write!(
                f,
                "the device tree is broken: unexpected token {token:#x} at offset {offset:#x}"
            ),
            Self::BadProperty { node, property } => write!(
                f,
                "the device tree is broken: `{property}` of {node} has a value of the wrong shape"
            ),
            Self::Missing { what } => write!(f, "the device tree has no {what}"),
        }
    }
}

impl core::error::Error for TreeError {}
