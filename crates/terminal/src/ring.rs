//! What a console keeps of its output.

use crate::KEPT;
use alloc::{collections::VecDeque, vec::Vec};

/// The last [`KEPT`] bytes.
pub(crate) struct Ring {
    bytes: VecDeque<u8>,
    /// Bytes that were ever put in.
    total: u64,
    /// How many of them have been shown.
    shown: u64,
}

impl Ring {
    pub(crate) fn new() -> Self {
        Self {
            bytes: VecDeque::with_capacity(KEPT),
            total: 0,
            shown: 0,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let bytes = &bytes[bytes.len().saturating_sub(KEPT)..];
        let surplus = (self.bytes.len() + bytes.len()).saturating_sub(KEPT);
        self.bytes.drain(..surplus);
        self.bytes.extend(bytes);
    }

    /// All that there is has been shown.
    pub(crate) fn mark_shown(&mut self) {
        self.shown = self.total;
    }

    pub(crate) fn all_shown(&self) -> bool {
        self.shown == self.total
    }

    pub(crate) fn kept(&self) -> Vec<u8> {
        self.bytes.iter().copied().collect()
    }

    /// What was not shown, and is kept, of it the last `lines` lines; and how many bytes before that were not
    /// shown either. An unfinished line at the end counts as one.
    pub(crate) fn not_shown(&self, lines: usize) -> (Vec<u8>, u64) {
        let unseen = self.total - self.shown;
        let length = usize::try_from(unseen).map_or(KEPT, |unseen| unseen.min(self.bytes.len()));
        let first = self.bytes.len() - length;
        let before_last = self.bytes.len().saturating_sub(1);
        let mut breaks = (first..before_last)
            .rev()
            .filter(|&at| self.bytes[at] == b'\n');
        let start = breaks
            .nth(lines.saturating_sub(1))
            .map_or(first, |at| at + 1);
        let tail: Vec<u8> = self.bytes.range(start..).copied().collect();
        let skipped = unseen - tail.len() as u64;
        (tail, skipped)
    }
}
