//! Partition tables (UEFI specification, section 5.3) for images of disks.

use anyhow::{Context, Result, anyhow};
use gpt_disk_io::gpt_disk_types::{
    BlockSize, GptHeader, GptPartitionEntry, GptPartitionEntryArray, GptPartitionEntryArrayLayout,
    GptPartitionEntrySize, GptPartitionType, Lba, LbaLe, LbaRangeInclusive, U32Le, guid,
};
use gpt_disk_io::{BlockIoAdapter, Disk};
use std::ops::Range;

const BLOCK: usize = 512;
const ENTRIES: u32 = 128;
/// Blocks of the entries.
const TABLE: u64 = 32;

/// Writes a table with these partitions, in bytes, to an image of a disk.
///
/// # Errors
/// When the partitions or the image are not made of whole blocks.
pub fn write(image: &mut [u8], partitions: &[Range<usize>]) -> Result<()> {
    let blocks = (image.len() / BLOCK) as u64;
    let mut storage = vec![0; TABLE as usize * BLOCK];
    let layout = |start| GptPartitionEntryArrayLayout {
        start_lba: Lba(start),
        entry_size: GptPartitionEntrySize::new(128).unwrap_or_default(),
        num_entries: ENTRIES,
    };
    let size = BlockSize::BS_512;
    let mut entries = GptPartitionEntryArray::new(layout(2), size, &mut storage)
        .map_err(|error| anyhow!("{error}"))?;
    for (index, part) in (0..).zip(partitions) {
        let bytes = part.start as u64..=part.end as u64 - 1;
        let range = LbaRangeInclusive::from_byte_range(bytes, size).context("no whole blocks")?;
        *entries
            .get_partition_entry_mut(index)
            .context("too many partitions")? = GptPartitionEntry {
            partition_type_guid: GptPartitionType::BASIC_DATA,
            unique_partition_guid: guid!("4b1d2c3a-0000-4000-8000-000000000001"),
            starting_lba: range.start().into(),
            ending_lba: range.end().into(),
            ..Default::default()
        };
    }
    let last = blocks - 1;
    let mut header = GptHeader {
        my_lba: LbaLe::from_u64(1),
        alternate_lba: LbaLe::from_u64(last),
        first_usable_lba: LbaLe::from_u64(2 + TABLE),
        last_usable_lba: LbaLe::from_u64(last - TABLE - 1),
        disk_guid: guid!("4b1d2c3a-0000-4000-8000-000000000000"),
        partition_entry_lba: LbaLe::from_u64(2),
        number_of_partition_entries: U32Le::from_u32(ENTRIES),
        partition_entry_array_crc32: entries.calculate_crc32(),
        ..Default::default()
    };
    header.update_header_crc32();
    let wrong = |error| anyhow!("{error}");
    let mut disk = Disk::new(BlockIoAdapter::new(image, size)).map_err(wrong)?;
    let mut buffer = [0; BLOCK];
    disk.write_protective_mbr(&mut buffer).map_err(wrong)?;
    disk.write_primary_gpt_header(&header, &mut buffer)
        .map_err(wrong)?;
    disk.write_gpt_partition_entry_array(&entries)
        .map_err(wrong)?;
    Ok(())
}
