//! Partition tables, written here byte by byte as UEFI 2.10, section 5.3, has them.

use devices::gpt::{GptError, Partition, find};
use proptest::prelude::*;

const BLOCKS: usize = 200;

/// The CRC-32 of IEEE 802.3.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| crc >> 1 ^ if crc & 1 != 0 { 0xedb8_8320 } else { 0 };
    !bytes
        .iter()
        .fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

fn put(bytes: &mut [u8], at: usize, value: impl AsRef<[u8]>) {
    bytes[at..][..value.as_ref().len()].copy_from_slice(value.as_ref());
}

/// A disk with the partitions (number, first block, last block), in both copies.
fn disk(block: usize, partitions: &[(usize, u64, u64)]) -> Vec<u8> {
    let mut disk = vec![0; BLOCKS * block];
    let mut entries = vec![0; 128 * 128];
    for &(number, first, last) in partitions {
        let entry = &mut entries[(number - 1) * 128..];
        // Linux's data, and a name that no one else has.
        put(
            entry,
            0,
            0x0fc6_3daf_8483_4772_8e79_3d69_d847_7de4_u128.to_le_bytes(),
        );
        put(entry, 16, (number as u128).to_le_bytes());
        put(entry, 32, first.to_le_bytes());
        put(entry, 40, last.to_le_bytes());
    }
    let room = entries.len().div_ceil(block);
    for (own, other, array) in [(1, BLOCKS - 1, 2), (BLOCKS - 1, 1, BLOCKS - 1 - room)] {
        put(&mut disk, array * block, &entries);
        let mut header = [0; 92];
        put(&mut header, 0, b"EFI PART");
        put(&mut header, 8, 0x1_0000_u32.to_le_bytes());
        put(&mut header, 12, 92_u32.to_le_bytes());
        put(&mut header, 24, (own as u64).to_le_bytes());
        put(&mut header, 32, (other as u64).to_le_bytes());
        put(&mut header, 40, (2 + room as u64).to_le_bytes());
        put(&mut header, 48, ((BLOCKS - 2 - room) as u64).to_le_bytes());
        put(&mut header, 72, (array as u64).to_le_bytes());
        put(&mut header, 80, 128_u32.to_le_bytes());
        put(&mut header, 84, 128_u32.to_le_bytes());
        put(&mut header, 88, checksum(&entries).to_le_bytes());
        let sum = checksum(&header);
        put(&mut header, 16, sum.to_le_bytes());
        put(&mut disk, own * block, header);
    }
    disk
}

fn look(disk: &[u8], block: usize, number: u32) -> Result<Partition, GptError> {
    let blocks = (disk.len() / block) as u64;
    find(block as u32, blocks, number, |at, buffer| {
        buffer.copy_from_slice(&disk[at as usize * block..][..buffer.len()]);
        true
    })
}

#[test]
fn a_partition_is_found_by_its_number() {
    for block in [512, 4096] {
        let disk = disk(block, &[(1, 40, 49), (3, 60, 60)]);
        let found = |number| look(&disk, block, number);
        assert_eq!(
            found(1),
            Ok(Partition {
                first: 40,
                blocks: 10
            })
        );
        assert_eq!(
            found(3),
            Ok(Partition {
                first: 60,
                blocks: 1
            })
        );
        for number in [0, 2, 128, 129, u32::MAX] {
            assert_eq!(found(number), Err(GptError::NoPartition { entries: 128 }));
        }
    }
}

#[test]
fn the_second_copy_counts_when_the_first_is_damaged() {
    let expected = Ok(Partition {
        first: 40,
        blocks: 10,
    });
    // The signature, a field of the header, an entry.
    for damaged in [512, 512 + 40, 1024 + 33] {
        let mut disk = disk(512, &[(1, 40, 49)]);
        disk[damaged] ^= 1;
        assert_eq!(look(&disk, 512, 1), expected);
        disk[(BLOCKS - 1) * 512 + 50] ^= 1;
        assert_eq!(look(&disk, 512, 1), Err(GptError::NoTable));
    }
}

#[test]
fn a_whole_table_that_does_not_fit_its_disk_is_told_apart_and_left_alone() {
    for block in [512, 4096] {
        let disk = disk(block, &[(1, 40, 49)]);
        let short = &disk[..150 * block];
        let wanted = BLOCKS as u64;
        let expected = GptError::CutShort {
            blocks: 150,
            wanted,
        };
        assert_eq!(look(short, block, 1), Err(expected));
        assert!(expected.to_string().contains("leave the table as it is"));
        let other = 512 + 4096 - block;
        let expected = GptError::OtherBlocks {
            size: other as u32,
            wanted: block as u32,
        };
        assert_eq!(look(&disk, other, 1), Err(expected));
        assert!(expected.to_string().contains("leave the table as it is"));
    }
}

#[test]
fn a_partition_that_overlaps_the_table_is_refused() {
    for (first, last) in [(1, 50), (33, 50), (40, 167), (40, u64::MAX), (50, 40)] {
        let disk = disk(512, &[(1, first, last)]);
        assert_eq!(
            look(&disk, 512, 1),
            Err(GptError::Outside),
            "{first} {last}"
        );
    }
    let disk = disk(512, &[(1, 34, 166)]);
    assert_eq!(
        look(&disk, 512, 1),
        Ok(Partition {
            first: 34,
            blocks: 133
        })
    );
}

#[test]
fn an_empty_disk_and_one_that_cannot_be_read_have_no_table() {
    assert_eq!(look(&[0; 100 * 512], 512, 1), Err(GptError::NoTable));
    assert_eq!(look(&[0; 512], 512, 1), Err(GptError::NoTable));
    assert_eq!(look(&[], 512, 1), Err(GptError::NoTable));
    let failing = find(512, 100, 1, |_, _| false);
    assert_eq!(failing, Err(GptError::NoTable));
    let odd = find(100, 100, 1, |_, _| true);
    assert_eq!(odd, Err(GptError::BlockSize(100)));
}

proptest! {
    /// Whoever can write the table can make its checksums right.
    #[test]
    fn a_header_of_any_values_gives_a_partition_on_the_disk_or_none(
        fields in prop::collection::vec((24_usize..92, any::<u8>()), 1..8),
        number in 0_u32..4,
    ) {
        let mut disk = disk(512, &[(1, 40, 49), (2, 34, 166)]);
        for (at, value) in fields {
            disk[512 + at] = value;
        }
        disk[528..532].fill(0);
        let sum = checksum(&disk[512..604]);
        put(&mut disk, 528, sum.to_le_bytes());
        if let Ok(found) = look(&disk, 512, number) {
            prop_assert!(found.blocks > 0 && found.first + found.blocks <= BLOCKS as u64);
        }
    }
}
