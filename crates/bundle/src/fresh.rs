//! Fresh random bytes behind a bundle: for one run, and no part of what `pack` writes.
//!
//! Whoever boots the monitor may put [`SIZE`] bytes right behind the bundle's end: [`MAGIC`], and
//! 32 random bytes that were never used before. They are outside of the bundle's length and
//! checksum, so a bundle has none by itself.

use crate::archive;
use core::ops::Range;

/// What they begin with.
pub const MAGIC: &[u8; 8] = b"PVFRESH1";
/// How many random bytes there are.
pub const BYTES: usize = 32;
/// Bytes of all of it.
pub const SIZE: usize = MAGIC.len() + BYTES;

/// Where the random bytes are in an initrd, the bundle first; `None` where it has none.
pub fn find(initrd: &[u8]) -> Option<Range<usize>> {
    let end = archive::stated_size(initrd)?;
    let behind = initrd.get(end..)?.get(..SIZE)?;
    let start = end + MAGIC.len();
    behind.starts_with(MAGIC).then_some(start..start + BYTES)
}

/// Appends random bytes to a packed bundle.
#[cfg(feature = "pack")]
pub fn append(bundle: &mut alloc::vec::Vec<u8>, bytes: &[u8; BYTES]) {
    bundle.extend_from_slice(MAGIC);
    bundle.extend_from_slice(bytes);
}
