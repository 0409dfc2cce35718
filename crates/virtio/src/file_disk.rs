//! A file as a disk. What is written is kept in memory, a granule at a time; the file stays as it is.

use alloc::vec;
use alloc::vec::Vec;

use crate::disk::{LIGHT, MOST_WORK, SECTOR};
use crate::segments;
use crate::{Disk, Memory, Operation, Request, Status, Submitted};

/// Bytes of a granule.
pub const GRANULE: usize = 4096;

/// The unit in which changes are kept.
pub type Granule = [u8; GRANULE];

static ZEROES: Granule = [0; GRANULE];
/// Segments of a request: what Linux asks for at most, as of QEMU's disks.
const MOST_SEGMENTS: u32 = 126;

/// Most sectors of a discard or a write of zeroes, which looks at each granule.
const MOST_IN_RANGE: u32 = (MOST_WORK * LIGHT / SECTOR) as u32;

/// Where the bytes of a granule are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// In the file, with zeroes behind its end.
    File,
    /// Nowhere: they are zeroes.
    Zeroes,
    /// In the store, under this number.
    Store(u32),
}

/// A file as a disk; `S` is the store of its changes, which is as long as they may be.
#[derive(Debug)]
pub struct FileDisk<S> {
    file: &'static [u8],
    read_only: bool,
    places: Vec<Place>,
    store: S,
    /// Numbers in the store that hold nothing.
    free: Vec<u32>,
}

/// Granules of the store for so many bytes of changes to a file of `size` bytes.
pub fn granules(size: u64, changes: u64) -> u64 {
    let all = size.div_ceil(GRANULE as u64);
    changes.div_ceil(GRANULE as u64).min(all)
}

/// Bytes of the heap that a [`FileDisk`] takes, all of them when it is made.
pub fn heap(size: u64, changes: u64) -> u64 {
    size.div_ceil(GRANULE as u64) * size_of::<Place>() as u64
        + granules(size, changes) * size_of::<u32>() as u64
}

impl<S: AsRef<[Granule]> + AsMut<[Granule]>> FileDisk<S> {
    /// A disk that begins with `file` and ends with its last sector, filled up with zeroes.
    pub fn new(file: &'static [u8], read_only: bool, store: S) -> Self {
        let slots = store.as_ref().len() as u32;
        Self {
            file,
            read_only,
            places: vec![Place::File; file.len().div_ceil(GRANULE)],
            store,
            free: (0..slots).rev().collect(),
        }
    }

    /// Forgets all changes.
    pub fn reset(&mut self) {
        for granule in 0..self.places.len() {
            self.put(granule, Place::File);
        }
    }

    /// How much of the store is in use, in granules.
    pub fn changed(&self) -> usize {
        self.store.as_ref().len() - self.free.len()
    }

    fn put(&mut self, granule: usize, place: Place) {
        if let Place::Store(slot) = core::mem::replace(&mut self.places[granule], place) {
            self.free.push(slot);
        }
    }

    /// The bytes of a granule from `from` to `to`; what is missing behind them are zeroes.
    fn bytes(&self, granule: usize, from: usize, to: usize) -> &[u8] {
        match self.places[granule] {
            Place::Zeroes => &[],
            Place::Store(slot) => &self.store.as_ref()[slot as usize][from..to],
            Place::File => {
                let base = granule * GRANULE;
                let end = (base + to).min(self.file.len());
                self.file.get(base + from..end).unwrap_or_default()
            }
        }
    }

    /// The granule in the store. Whoever calls it has asked for `room`.
    fn stored(&mut self, granule: usize) -> &mut Granule {
        let slot = match self.places[granule] {
            Place::Store(slot) => slot,
            Place::File | Place::Zeroes => {
                let slot = self.free.pop().expect("there is room");
                let mut fresh = ZEROES;
                let old = self.bytes(granule, 0, GRANULE);
                fresh[..old.len()].copy_from_slice(old);
                self.store.as_mut()[slot as usize] = fresh;
                self.places[granule] = Place::Store(slot);
                slot
            }
        };
        &mut self.store.as_mut()[slot as usize]
    }

    /// Whether the store has room for a change of all of `granules`.
    fn has_room(&self, granules: impl Iterator<Item = usize>) -> bool {
        let fresh = granules.filter(|&granule| !matches!(self.places[granule], Place::Store(_)));
        fresh.count() <= self.free.len()
    }

    fn transfer(&mut self, mut request: Request, memory: &mut dyn Memory) -> Submitted {
        let bytes = segments::total(&request.segments);
        let writes = request.operation == Operation::Write;
        let Some(range) = self.range(request.sector, bytes.div_ceil(SECTOR)) else {
            return Submitted::Ended(Status::Failed);
        };
        if writes && !self.has_room(range.start / GRANULE..range.end.div_ceil(GRANULE)) {
            return Submitted::Ended(Status::Failed);
        }
        let mut offset = range.start;
        let end = range.end.min(offset + MOST_WORK as usize);
        for segment in &request.segments {
            let mut at = segment.at;
            let mut left = (segment.size as usize).min(end - offset);
            while left > 0 {
                let (granule, from) = (offset / GRANULE, offset % GRANULE);
                let size = left.min(GRANULE - from);
                let well = if writes {
                    memory.read(at, &mut self.stored(granule)[from..from + size])
                } else {
                    let there = self.bytes(granule, from, from + size);
                    memory.write(at, there)
                        && memory.write(at.add(there.len() as u64), &ZEROES[there.len()..size])
                };
                if !well {
                    return Submitted::Ended(Status::Failed);
                }
                offset += size;
                left -= size;
                at = at.add(size as u64);
            }
        }
        if end == range.end {
            return Submitted::Ended(Status::Done);
        }
        segments::skip(&mut request.segments, MOST_WORK as u32);
        request.sector += MOST_WORK / SECTOR;
        Submitted::Busy(request)
    }

    /// Gives whole granules up, so that the file's bytes are there again.
    fn discard(&mut self, sector: u64, sectors: u64) -> Status {
        let Some(range) = self.range(sector, sectors) else {
            return Status::Failed;
        };
        for granule in range.start.div_ceil(GRANULE)..range.end / GRANULE {
            self.put(granule, Place::File);
        }
        Status::Done
    }

    fn zero(&mut self, sector: u64, sectors: u64) -> Status {
        let Some(range) = self.range(sector, sectors) else {
            return Status::Failed;
        };
        let granules = range.start / GRANULE..range.end.div_ceil(GRANULE);
        // What lies in a granule: from where to where.
        let part = |granule: usize| {
            let base = granule * GRANULE;
            (
                range.start.max(base) - base,
                range.end.min(base + GRANULE) - base,
            )
        };
        let is_whole = |granule: usize| part(granule) == (0, GRANULE);
        let is_zero = |granule: usize| self.places[granule] == Place::Zeroes;
        let partial = granules
            .clone()
            .filter(|&granule| !is_whole(granule) && !is_zero(granule));
        if !self.has_room(partial) {
            return Status::Failed;
        }
        for granule in granules {
            let (from, to) = part(granule);
            if is_whole(granule) {
                self.put(granule, Place::Zeroes);
            } else if self.places[granule] != Place::Zeroes {
                self.stored(granule)[from..to].fill(0);
            }
        }
        Status::Done
    }

    /// The bytes of so many sectors, if the disk has them.
    fn range(&self, sector: u64, sectors: u64) -> Option<core::ops::Range<usize>> {
        let end = sector.checked_add(sectors)?;
        (end <= self.sectors()).then(|| (sector * SECTOR) as usize..(end * SECTOR) as usize)
    }
}

impl<S: AsRef<[Granule]> + AsMut<[Granule]>> Disk for FileDisk<S> {
    fn sectors(&self) -> u64 {
        (self.file.len() as u64).div_ceil(SECTOR)
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn block_size(&self) -> u32 {
        // A smaller one would be as fast, but would take as much of the store.
        SECTOR as u32
    }

    fn most_segments(&self) -> u32 {
        MOST_SEGMENTS
    }

    fn most_discard(&self) -> u32 {
        if self.read_only { 0 } else { MOST_IN_RANGE }
    }

    fn most_zeroes(&self) -> u32 {
        self.most_discard()
    }

    fn submit(&mut self, request: Request, memory: &mut dyn Memory) -> Submitted {
        let changes = !matches!(request.operation, Operation::Read | Operation::Flush);
        let status = match request.operation {
            _ if changes && self.read_only => Status::Failed,
            Operation::Read | Operation::Write => return self.transfer(request, memory),
            Operation::Flush => Status::Done,
            Operation::Discard { sectors } => self.discard(request.sector, sectors),
            Operation::WriteZeroes { sectors, .. } => self.zero(request.sector, sectors),
        };
        Submitted::Ended(status)
    }
}
