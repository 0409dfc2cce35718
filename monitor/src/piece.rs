//! Disks of guests: pieces of the host's disks, and files of the bundle.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use bundle::{Bundle, Source};
use devices::gpt;
use virtio::disk::SECTOR;
use virtio::file_disk::{self, FileDisk};
use virtio::{Disk, Operation, Request, Status, Submitted, segments};

use super::guest_memory::GuestRam;
use super::host_disk::{HostDisk, Owner};
use super::machine::Memory;

/// What a disk of a guest is made from.
pub struct Sources {
    /// The host's disks.
    pub disks: &'static [HostDisk],
    pub bundle: &'static Bundle<'static>,
}

/// Opens what a description asks for. `ram` is the guest's; the heap and the memory that it takes are accounted
/// for.
pub fn open(
    sources: &Sources,
    described: &bundle::Disk,
    owner: Owner,
    ram: GuestRam,
    memory: &mut Memory,
) -> Result<Box<dyn Disk + Send>, String> {
    let read_only = described.read_only;
    let (device, partition) = match &described.source {
        Source::Device(device) => (*device, None),
        Source::Partition { device, number } => (*device, Some(*number)),
        Source::File { name, changes } => {
            let file = sources
                .bundle
                .file(name)
                .ok_or_else(|| format!("the bundle lacks the disk {name}; pack it again"))?;
            let size = file.len() as u64;
            let changes = if read_only { 0 } else { *changes };
            memory.take_heap(file_disk::heap(size, changes))?;
            let store = memory.take_changes(file_disk::granules(size, changes))?;
            return Ok(Box::new(FileDisk::new(file, read_only, store)));
        }
    };
    let piece = Piece::open(sources.disks, device, partition, owner, ram, memory)?;
    Ok(Box::new(Piece {
        read_only: piece.read_only || read_only,
        ..piece
    }))
}

/// A whole disk of the host or a partition of it, as one guest's.
pub struct Piece {
    disk: &'static HostDisk,
    /// Its number there.
    index: usize,
    first: u64,
    sectors: u64,
    read_only: bool,
    ram: GuestRam,
}

impl Piece {
    /// What `number` of the host's disks has, or the partition `partition` of it.
    fn open(
        disks: &'static [HostDisk],
        number: u32,
        partition: Option<u32>,
        owner: Owner,
        ram: GuestRam,
        memory: &mut Memory,
    ) -> Result<Self, String> {
        let disk = disks.get(number as usize).ok_or_else(|| {
            format!(
                "disk {number} is not there: the host has {} (numbers count from 0, in the order of their addresses); \
                 give the host one more or name another",
                disks.len()
            )
        })?;
        let (first, sectors) = match partition {
            None => (0, disk.shape.sectors),
            Some(partition) => find(disk, partition)
                .map_err(|error| format!("partition {partition} of disk {number}: {error}"))?,
        };
        memory.take_heap(disk.heap_of_piece())?;
        Ok(Self {
            disk,
            index: disk.add_piece(owner),
            first,
            sectors,
            read_only: disk.shape.read_only,
            ram,
        })
    }

    /// Whether a request keeps to the piece, to the guest's RAM and to what the device takes.
    fn allows(&self, request: &Request) -> bool {
        let mut segments = request.segments.iter();
        if !segments.all(|segment| self.ram.contains(segment.at, segment.size.into())) {
            return false;
        }
        let bytes = segments::total(&request.segments);
        let (sectors, has_data) = match request.operation {
            Operation::Read | Operation::Write => (bytes / SECTOR, true),
            Operation::Flush => return true,
            Operation::Discard { sectors } | Operation::WriteZeroes { sectors, .. } => {
                (sectors, false)
            }
        };
        let fits = request
            .sector
            .checked_add(sectors)
            .is_some_and(|end| end <= self.sectors);
        let changes = request.operation != Operation::Read;
        fits && sectors > 0
            && (!has_data || bytes.is_multiple_of(SECTOR))
            // More names memory twice. It would be in flight for too long.
            && bytes <= self.ram.size
            && request.segments.len() <= self.disk.shape.segments as usize
            && !(changes && self.read_only)
    }
}

/// The first sector of a partition, and how many it has.
fn find(disk: &HostDisk, partition: u32) -> Result<(u64, u64), gpt::GptError> {
    let per_block = u64::from(disk.shape.block) / SECTOR;
    let blocks = disk.shape.sectors / per_block;
    let found = gpt::find(disk.shape.block, blocks, partition, |block, buffer| {
        disk.read_now(block * per_block, buffer)
    })?;
    Ok((found.first * per_block, found.blocks * per_block))
}

impl Disk for Piece {
    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn block_size(&self) -> u32 {
        self.disk.shape.best
    }

    fn most_segments(&self) -> u32 {
        self.disk.shape.segments
    }

    fn most_discard(&self) -> u32 {
        self.disk.shape.discard
    }

    fn most_zeroes(&self) -> u32 {
        self.disk.shape.zeroes
    }

    fn submit(&mut self, mut request: Request, _: &mut dyn virtio::Memory) -> Submitted {
        if !self.allows(&request) {
            return Submitted::Ended(Status::Failed);
        }
        let sector = self.first + request.sector;
        if matches!(request.operation, Operation::Flush) {
            request.segments.clear();
        }
        self.disk.submit(self.index, &self.ram, sector, request)
    }

    fn go(&mut self) {
        self.disk.notify();
    }
}
