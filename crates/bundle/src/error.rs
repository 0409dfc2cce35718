//! What can be wrong with a bundle. Each error is one line that ends with the next step.

use alloc::string::String;
use core::fmt;

/// Why a bundle cannot be used or made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Error {
    /// There is nothing at all.
    Empty,
    /// The bytes are something else, named here.
    NotABundle {
        /// What they look like.
        looks_like: &'static str,
    },
    /// The end is missing.
    CutShort {
        /// Bytes that are there.
        have: u64,
        /// Bytes that there should be.
        need: u64,
    },
    /// The checksum or the structure is wrong.
    Damaged(String),
    /// Made by another version.
    UnknownFormat {
        /// The format's number in the bundle.
        found: u32,
    },
    /// A VM names a file that is not in the bundle.
    MissingFile {
        /// The VM.
        vm: String,
        /// The file.
        file: String,
    },
    /// The description is wrong.
    Description(String),
    /// A file has a name that an archive cannot hold, or one that is taken.
    FileName(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(
                f,
                "there is no bundle: make one with `patchvisor pack` and load it as the initrd"
            ),
            Self::NotABundle { looks_like } => write!(
                f,
                "the initrd is not a bundle but {looks_like}: make a bundle with `patchvisor pack` and load it as the initrd"
            ),
            Self::CutShort { have, need } => write!(
                f,
                "the bundle is cut short, {have} of {need} bytes are there: load the whole file"
            ),
            Self::Damaged(how) => write!(
                f,
                "the bundle is damaged ({how}): pack it again, and load it where nothing writes over it"
            ),
            Self::UnknownFormat { found } => write!(
                f,
                "the bundle has format {found}, this version knows format {}: use `patchvisor` and monitor of one version",
                crate::FORMAT
            ),
            Self::MissingFile { vm, file } => write!(
                f,
                "VM \"{vm}\" needs the file \"{file}\", which is not in the bundle: pack it again with that file"
            ),
            Self::Description(what) => write!(f, "the VM description is wrong: {what}"),
            Self::FileName(name) => write!(
                f,
                "\"{name}\" cannot name a file in a bundle: use 1 to 99 plain characters, each name once"
            ),
        }
    }
}

impl core::error::Error for Error {}
