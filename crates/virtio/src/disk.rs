//! What a block device asks of its back end.

use alloc::vec::Vec;

use isa::address::GuestPhys;

use crate::Memory;

/// Bytes of a sector, the unit of all addresses on disks (virtio 1.2, section 5.2).
pub const SECTOR: u64 = 512;

/// What disks may do at once before others have their turn, in bytes moved. A disk that leaves the rest of a
/// request has done so much: by that the device knows that there is more to do.
pub(crate) const MOST_WORK: u64 = 1 << 20;
/// A discard or a write of zeroes does as much work as moving this part of its bytes.
pub(crate) const LIGHT: u64 = 64;

/// A piece of the guest's memory. All of it is RAM.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Segment {
    /// First address.
    pub at: GuestPhys,
    /// Bytes.
    pub size: u32,
}

/// What a request does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// Fills the segments from the disk.
    Read,
    /// Writes the segments to the disk.
    Write,
    /// Makes all that was written, and reported done, last.
    Flush,
    /// Gives `sectors` up; what is read there afterwards is undefined.
    Discard {
        /// How many.
        sectors: u64,
    },
    /// Writes zeroes over `sectors`.
    WriteZeroes {
        /// How many.
        sectors: u64,
        /// Whether they may be given up as well.
        unmap: bool,
    },
}

/// A request to a disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// What the device knows it by: different from that of every other request in flight.
    pub token: u16,
    /// What it does.
    pub operation: Operation,
    /// First sector; the front end has checked that all sectors exist.
    pub sector: u64,
    /// The memory of a read or a write: whole sectors altogether, each piece of any size.
    pub segments: Vec<Segment>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// Done.
    Done,
    /// The disk failed.
    Failed,
    /// The disk cannot do that.
    Unsupported,
}

/// What became of a request that was submitted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Submitted {
    /// It is done already; a read has filled its segments through the `memory` that was given.
    Ended(Status),
    /// It is in flight: the device will be told.
    InFlight,
    /// There is no room for it now, or it was begun and this is the rest: submit it again, the former after
    /// one of this disk's has ended or when told to, the latter after other work.
    Busy(Request),
}

/// A disk behind a block device.
pub trait Disk {
    /// Size in sectors.
    fn sectors(&self) -> u64;
    /// Whether it refuses everything that would change it.
    fn is_read_only(&self) -> bool;
    /// Bytes of the smallest write that is as fast as it gets: a power of two of at least 512.
    fn block_size(&self) -> u32;
    /// Most segments of a request, at least 1.
    fn most_segments(&self) -> u32;
    /// Most sectors of one discard; 0 when it cannot discard.
    fn most_discard(&self) -> u32;
    /// Most sectors of one write of zeroes; 0 when it cannot do that.
    fn most_zeroes(&self) -> u32;
    /// Starts a request. `memory` is for disks that copy by themselves, in this call alone.
    fn submit(&mut self, request: Request, memory: &mut dyn Memory) -> Submitted;
    /// No more requests follow for now: a disk that collects them begins.
    fn go(&mut self) {}
}
