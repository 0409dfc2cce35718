//! Where a device tree has seeds of random number generators, to be read, filled in and wiped.

use crate::host_tree::TreeError;
use crate::host_tree::blob::{Blob, ROOT};
use core::ops::Range;

/// Places in a flattened device tree.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Seeds {
    /// The value of `/chosen/rng-seed`.
    pub rng: Option<Range<usize>>,
    /// The value of `/chosen/kaslr-seed`.
    pub kaslr: Option<Range<usize>>,
}

impl Seeds {
    /// Finds them.
    ///
    /// # Errors
    /// When it is no device tree.
    pub fn of(tree: &[u8]) -> Result<Self, TreeError> {
        let blob = Blob::parse(tree)?;
        let chosen = blob.child(ROOT, "chosen");
        let place = |name| {
            let value = blob.property(chosen?, name)?;
            let start = value.as_ptr() as usize - tree.as_ptr() as usize;
            Some(start..start + value.len())
        };
        Ok(Self {
            rng: place("rng-seed"),
            kaslr: place("kaslr-seed"),
        })
    }

    /// All of them.
    pub fn places(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        self.rng.clone().into_iter().chain(self.kaslr.clone())
    }
}
