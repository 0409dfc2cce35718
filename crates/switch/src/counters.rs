//! What each port counts.

use core::sync::atomic::{AtomicU64, Ordering};

/// Why a frame was dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Drop {
    /// Shorter than an Ethernet header.
    Short,
    /// Longer than [`crate::LONGEST`].
    Long,
    /// The field of its partial checksum is not in its payload.
    Checksum,
    /// The source address is not the sender's.
    Spoofed,
    /// No port that the sender may reach has the destination.
    Nobody,
    /// The receiver's inbox is full. Counted by the receiver; all else is by the sender.
    Full,
}

impl Drop {
    /// All of them, in the order of [`Counts::dropped`].
    pub const ALL: [Self; 6] = [
        Self::Short,
        Self::Long,
        Self::Checksum,
        Self::Spoofed,
        Self::Nobody,
        Self::Full,
    ];

    /// The name that statistics use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
            Self::Checksum => "checksum",
            Self::Spoofed => "spoofed",
            Self::Nobody => "nobody",
            Self::Full => "full",
        }
    }
}

/// What a port has counted so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Frames that came from the port and went to another one.
    pub sent_frames: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Frames put into the port's inbox.
    pub received_frames: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames dropped, by reason as in [`Drop::ALL`].
    pub dropped: [u64; Drop::ALL.len()],
}

/// The counters of a port. Each is right by itself; a reader may see one ahead of another.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    sent_frames: AtomicU64,
    sent_bytes: AtomicU64,
    received_frames: AtomicU64,
    received_bytes: AtomicU64,
    dropped: [AtomicU64; Drop::ALL.len()],
}

impl Counters {
    pub fn sent(&self, bytes: usize) {
        add(&self.sent_frames, 1);
        add(&self.sent_bytes, bytes);
    }

    pub fn received(&self, bytes: usize) {
        add(&self.received_frames, 1);
        add(&self.received_bytes, bytes);
    }

    pub fn dropped(&self, why: Drop) {
        add(&self.dropped[why as usize], 1);
    }

    pub fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            sent_frames: read(&self.sent_frames),
            sent_bytes: read(&self.sent_bytes),
            received_frames: read(&self.received_frames),
            received_bytes: read(&self.received_bytes),
            dropped: self.dropped.each_ref().map(read),
        }
    }
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}
