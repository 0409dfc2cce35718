//! Partitions of the host's disks: the GUID Partition Table (UEFI 2.10, section 5.3).
//!
//! A disk has the table twice. The first copy whose checksums are right counts.

use alloc::vec;
use core::fmt;
use core::ops::RangeInclusive;

use gpt_disk_io::gpt_disk_types::{BlockSize, GptHeader, GptPartitionEntryArray, Lba};
use gpt_disk_io::{BlockIo, Disk};

/// Most bytes of the array of entries: 128 entries have 16 KiB.
const MOST_BYTES: usize = 1 << 20;
/// What a header begins with (section 5.3.2).
const SIGNATURE: &[u8] = b"EFI PART";
/// The first copy's block.
const PRIMARY: Lba = Lba(1);

/// The blocks of a partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Partition {
    /// Its first block.
    pub first: u64,
    /// How many it has, at least 1.
    pub blocks: u64,
}

/// Why there is no such partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GptError {
    /// The disk's blocks have a size that no table is made for.
    BlockSize(u32),
    /// Neither copy of the table is whole.
    NoTable,
    /// The table is whole, and for a disk that is larger.
    CutShort {
        /// How many blocks this one has.
        blocks: u64,
        /// How many the table is for.
        wanted: u64,
    },
    /// The table is for blocks of another size.
    OtherBlocks {
        /// What this disk's blocks have.
        size: u32,
        /// What the table is for.
        wanted: u32,
    },
    /// The table has no partition of this number.
    NoPartition {
        /// How many numbers the table has.
        entries: u32,
    },
    /// The partition lies outside of the blocks that are for partitions.
    Outside,
}

impl fmt::Display for GptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlockSize(size) => write!(f, "its blocks of {size} bytes are not supported"),
            Self::NoTable => write!(
                f,
                "it has no whole partition table (GPT); make one, or give the VM the whole disk"
            ),
            Self::CutShort { blocks, wanted } => write!(
                f,
                "its table (GPT) is for {wanted} blocks and the disk has {blocks}: the image was cut short; get all of it, \
                 and leave the table as it is, for it is whole"
            ),
            Self::OtherBlocks { size, wanted } => write!(
                f,
                "its table (GPT) is for blocks of {wanted} bytes and the disk's have {size}: give the VM the whole disk, or a \
                 disk with such blocks, and leave the table as it is, for a tool would write another over it"
            ),
            Self::NoPartition { entries } => write!(
                f,
                "its table has no such partition (numbers count from 1 to {entries}); see what `sgdisk --print` tells of it"
            ),
            Self::Outside => write!(
                f,
                "the partition lies outside of the disk; repair its table"
            ),
        }
    }
}

/// Finds the partition with the number `number`, from 1, on a disk of `blocks` blocks of `block_size` bytes.
/// `read` reads whole blocks from the one it is given; false when it cannot.
///
/// # Errors
/// Says why there is no such partition.
pub fn find(
    block_size: u32,
    blocks: u64,
    number: u32,
    read: impl FnMut(u64, &mut [u8]) -> bool,
) -> Result<Partition, GptError> {
    let size = BlockSize::new(block_size).ok_or(GptError::BlockSize(block_size))?;
    let mut reader = Reader { size, blocks, read };
    for at in [PRIMARY, Lba(blocks.saturating_sub(1))] {
        let found = find_in(&mut reader, at, number);
        if found != Err(GptError::NoTable) {
            return found;
        }
    }
    Err(misfit(&mut reader).unwrap_or(GptError::NoTable))
}

/// Why a disk without a table has none, if it has one that does not fit it.
fn misfit(mut reader: &mut Reader<impl FnMut(u64, &mut [u8]) -> bool>) -> Option<GptError> {
    let (size, blocks) = (reader.size.to_u32(), reader.blocks);
    let mut block = vec![0; size as usize];
    let header =
        Disk::new(&mut *reader).and_then(|mut disk| disk.read_gpt_header(PRIMARY, &mut block));
    if let Ok(header) = header
        && usable(&header, PRIMARY, u64::MAX).is_some()
    {
        let wanted = header.alternate_lba.to_u64().checked_add(1)?;
        return (wanted > blocks).then_some(GptError::CutShort { blocks, wanted });
    }
    for wanted in [512, 4096] {
        // The header is in the second block, whatever the blocks' size.
        let (at, offset) = (wanted / size, (wanted % size) as usize);
        let is_other = wanted != size
            && reader.read_blocks(Lba(at.into()), &mut block).is_ok()
            && block[offset..].starts_with(SIGNATURE);
        if is_other {
            return Some(GptError::OtherBlocks { size, wanted });
        }
    }
    None
}

/// Looks into the copy of the table whose header is at `at`.
fn find_in(
    reader: &mut Reader<impl FnMut(u64, &mut [u8]) -> bool>,
    at: Lba,
    number: u32,
) -> Result<Partition, GptError> {
    let (size, blocks) = (reader.size, reader.blocks);
    let mut disk = Disk::new(reader).map_err(|_| GptError::NoTable)?;
    let mut block = vec![0; size.to_u32() as usize];
    let header = disk
        .read_gpt_header(at, &mut block)
        .map_err(|_| GptError::NoTable)?;
    let usable = usable(&header, at, blocks).ok_or(GptError::NoTable)?;
    let layout = header
        .get_partition_entry_array_layout()
        .map_err(|_| GptError::NoTable)?;
    let bytes = layout
        .num_bytes_rounded_to_block_as_usize(size)
        .filter(|&bytes| bytes <= MOST_BYTES)
        .ok_or(GptError::NoTable)?;
    let mut storage = vec![0; bytes];
    let entries: GptPartitionEntryArray<'_> = disk
        .read_gpt_partition_entry_array(layout, &mut storage)
        .map_err(|_| GptError::NoTable)?;
    let checksum = header.partition_entry_array_crc32;
    if entries.calculate_crc32() != checksum {
        return Err(GptError::NoTable);
    }
    let entry = number
        .checked_sub(1)
        .and_then(|index| entries.get_partition_entry(index))
        .filter(|entry| entry.is_used())
        .ok_or(GptError::NoPartition {
            entries: layout.num_entries,
        })?;
    let (first, last) = (entry.starting_lba.to_u64(), entry.ending_lba.to_u64());
    if first > last || !usable.contains(&first) || !usable.contains(&last) {
        return Err(GptError::Outside);
    }
    Ok(Partition {
        first,
        blocks: last - first + 1,
    })
}

/// The blocks that are for partitions, if the header is whole.
fn usable(header: &GptHeader, at: Lba, blocks: u64) -> Option<RangeInclusive<u64>> {
    let (first, last) = (header.first_usable_lba, header.last_usable_lba);
    let (checksum, own) = (header.header_crc32, header.my_lba);
    let is_whole = header.is_signature_valid()
        && header.calculate_header_crc32() == checksum
        && own.to_u64() == at.to_u64()
        && first.to_u64() > PRIMARY.to_u64()
        && last.to_u64() < blocks;
    is_whole.then(|| first.to_u64()..=last.to_u64())
}

struct Reader<F> {
    size: BlockSize,
    blocks: u64,
    read: F,
}

impl<F: FnMut(u64, &mut [u8]) -> bool> BlockIo for &mut Reader<F> {
    type Error = &'static str;

    fn block_size(&self) -> BlockSize {
        self.size
    }

    fn num_blocks(&mut self) -> Result<u64, Self::Error> {
        Ok(self.blocks)
    }

    fn read_blocks(&mut self, at: Lba, buffer: &mut [u8]) -> Result<(), Self::Error> {
        let count = buffer.len() as u64 / self.size.to_u64();
        let end = at.to_u64().checked_add(count);
        let fits = end.is_some_and(|end| end <= self.blocks);
        if fits && (self.read)(at.to_u64(), buffer) {
            Ok(())
        } else {
            Err("the disk cannot be read there")
        }
    }

    fn write_blocks(&mut self, _: Lba, _: &[u8]) -> Result<(), Self::Error> {
        Err("nothing is written")
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}
