//! Reads kernel files as distributions ship them, and unpacks those that are compressed.
//!
//! The monitor takes plain kernels only: unpacking belongs on the host, where it costs nothing at
//! boot and its errors have a reader.

use anyhow::{Context, Result, ensure};
use bundle::kernel;
use lzma_rust2::{LzmaReader, XzReader};
use std::io::Read;
use std::path::Path;

/// Where RAM begins on the virtual board, as on QEMU's `virt`.
pub const MEMORY_BASE: u64 = 0x8000_0000;

/// Most bytes that an unpacked kernel may have; a defective file must not fill the host's memory.
const LARGEST: u64 = 1 << 30;

/// Reads a kernel, unpacks it as often as needed, and checks that it can be booted.
///
/// # Errors
/// When the file cannot be read, or is no kernel for RISC-V; the message names the file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes =
        std::fs::read(path).with_context(|| format!("reading the kernel {}", path.display()))?;
    unpack(bytes).with_context(|| path.display().to_string())
}

/// Unpacks gzip, bzip2, xz, lzma, lz4, zstd and EFI zboot files, one inside of the other.
///
/// # Errors
/// When the data are defective or, unpacked, no kernel.
pub fn unpack(mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    // A gzip file in a zboot file is as deep as it gets in practice.
    const DEEPEST: usize = 3;
    for _ in 0..DEEPEST {
        let Some(unpacked) = layer(&bytes)? else {
            break;
        };
        bytes = unpacked;
    }
    kernel::parse(&bytes, MEMORY_BASE)?;
    Ok(bytes)
}

/// Removes one layer of compression, if there is one.
fn layer(bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    if let Some(packing) = PACKINGS
        .iter()
        .find(|it| !it.magic.is_empty() && bytes.starts_with(it.magic))
    {
        return packing.unpack(bytes).map(Some);
    }
    if bytes.starts_with(b"MZ") && bytes.get(4..8) == Some(b"zimg") {
        return zboot(bytes).map(Some);
    }
    Ok(None)
}

/// A way in which kernels are compressed.
struct Packing {
    name: &'static str,
    /// What its files begin with; empty where nothing sure can be said.
    magic: &'static [u8],
    /// What EFI zboot kernels call it.
    zboot: &'static [&'static str],
    unpack: fn(&[u8]) -> Result<Vec<u8>>,
}

const PACKINGS: &[Packing] = &[
    Packing {
        name: "gzip",
        magic: b"\x1f\x8b",
        zboot: &["gzip"],
        // Not the decoder of several members: what follows in a zboot file is padding.
        unpack: |bytes| bounded(flate2::read::GzDecoder::new(bytes)),
    },
    Packing {
        name: "zstd",
        magic: b"\x28\xb5\x2f\xfd",
        zboot: &["zstd", "zstd22"],
        unpack: |bytes| {
            let decoder = ruzstd::decoding::StreamingDecoder::new(bytes);
            bounded(decoder.map_err(|error| anyhow::anyhow!("{error}"))?)
        },
    },
    Packing {
        name: "xz",
        magic: b"\xfd7zXZ\0",
        zboot: &["xz", "xzkern"],
        unpack: |bytes| bounded(XzReader::new_mem_limit(bytes, false, LARGEST_WINDOW)),
    },
    Packing {
        name: "lzma",
        magic: b"",
        zboot: &["lzma"],
        unpack: |bytes| bounded(LzmaReader::new_mem_limit(bytes, LARGEST_WINDOW, None)?),
    },
    Packing {
        name: "bzip2",
        magic: b"BZh",
        zboot: &[],
        unpack: |bytes| bounded(bzip2::read::BzDecoder::new(bytes)),
    },
    Packing {
        name: "lz4",
        magic: b"\x04\x22\x4d\x18",
        zboot: &[],
        unpack: |bytes| bounded(lz4_flex::frame::FrameDecoder::new(bytes)),
    },
    Packing {
        name: "lz4 -l",
        magic: LZ4_LEGACY,
        zboot: &["lz4"],
        unpack: lz4_legacy,
    },
];

/// Most KiB of memory that a decoder may want for what it refers back to: what `xz -9` needs, and some.
const LARGEST_WINDOW: u32 = 256 << 10;

/// LZ4 Frame Format Description, "Legacy frame": what it begins with. Linux's own build makes such files.
const LZ4_LEGACY: &[u8] = b"\x02\x21\x4c\x18";

impl Packing {
    fn unpack(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        (self.unpack)(bytes).with_context(|| format!("unpacking {}", self.name))
    }
}

/// LZ4 Frame Format Description, "Legacy frame": blocks, each with its size before it and of 8 MiB unpacked but for
/// the last. What follows that is no block: Linux puts the size of it all there.
fn lz4_legacy(bytes: &[u8]) -> Result<Vec<u8>> {
    const BLOCK: usize = 8 << 20;
    let mut unpacked = Vec::new();
    let mut rest = bytes
        .strip_prefix(LZ4_LEGACY)
        .context("it does not begin as such a file")?;
    while let Some((size, blocks)) = rest.split_first_chunk() {
        let size = u32::from_le_bytes(*size) as usize;
        let Some((block, after)) = blocks.split_at_checked(size) else {
            // The size of all that was unpacked, or a file that is cut short.
            ensure!(
                blocks.is_empty() && size == unpacked.len(),
                "the file is cut short: get the whole file"
            );
            break;
        };
        unpacked.extend(lz4_flex::block::decompress(block, BLOCK)?);
        ensure!(unpacked.len() as u64 <= LARGEST, "{TOO_LARGE}");
        rest = after;
    }
    ensure!(!unpacked.is_empty(), "there is nothing in it");
    Ok(unpacked)
}

const TOO_LARGE: &str = "it is larger than 1 GiB unpacked, no kernel is";

fn bounded(reader: impl Read) -> Result<Vec<u8>> {
    at_most(LARGEST, reader)
}

fn at_most(most: u64, reader: impl Read) -> Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    reader.take(most + 1).read_to_end(&mut unpacked)?;
    ensure!(unpacked.len() as u64 <= most, "{TOO_LARGE}");
    Ok(unpacked)
}

/// Linux, drivers/firmware/efi/libstub/zboot-header.S: offset and size of the payload at 8 and 12,
/// the name of its compression at 24.
fn zboot(bytes: &[u8]) -> Result<Vec<u8>> {
    let word = |at: usize| {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let payload = word(8)
        .zip(word(12))
        .and_then(|(offset, size)| bytes.get(offset..offset.checked_add(size)?))
        .context("the EFI zboot kernel is cut short: get the whole file")?;
    let name = bytes.get(24..56).unwrap_or_default();
    let name: Vec<u8> = name.iter().copied().take_while(|&byte| byte != 0).collect();
    let name = String::from_utf8_lossy(&name);
    let packing = PACKINGS
        .iter()
        .find(|packing| packing.zboot.contains(&&*name));
    let packing = packing.with_context(|| {
        format!(
            "the EFI zboot kernel is compressed with {name:?}: unpack it to a plain Image first"
        )
    })?;
    packing.unpack(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn image() -> Vec<u8> {
        let mut image = vec![0x13; 5000];
        image[8..16].copy_from_slice(&0x20_0000u64.to_le_bytes());
        image[16..24].copy_from_slice(&0x10_0000u64.to_le_bytes());
        image[24..32].copy_from_slice(&0u64.to_le_bytes());
        image[56..60].copy_from_slice(b"RSC\x05");
        image
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstandard(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut writer =
            lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn lzma(bytes: &[u8]) -> Vec<u8> {
        let options = lzma_rust2::LzmaOptions::default();
        let mut writer =
            lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn lz4_framed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zbooted(payload: &[u8], compression: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..8].copy_from_slice(b"MZ\0\0zimg");
        bytes[8..12].copy_from_slice(&512u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes[24..24 + compression.len()].copy_from_slice(compression);
        bytes.extend(payload);
        bytes.extend([0; 100]);
        bytes
    }

    #[test]
    fn every_packing_gives_the_same_image() {
        let image = image();
        let lz4 = lz4_flex::block::compress(&image);
        let legacy = [LZ4_LEGACY, &(lz4.len() as u32).to_le_bytes(), &lz4].concat();
        let lz4_sized = [&legacy[..], &(image.len() as u32).to_le_bytes()].concat();
        let packings = [
            image.clone(),
            lz4_framed(&image),
            legacy,
            zbooted(&lz4_sized, b"lz4"),
            xz(&image),
            zbooted(&xz(&image), b"xzkern"),
            zbooted(&lzma(&image), b"lzma"),
            bzip2(&image),
            gzipped(&image),
            zstandard(&image),
            zbooted(&gzipped(&image), b"gzip"),
            zbooted(&zstandard(&image), b"zstd22"),
            gzipped(&zbooted(&gzipped(&image), b"gzip")),
        ];
        for packed in packings {
            assert_eq!(unpack(packed).unwrap(), image);
        }
    }

    #[test]
    fn a_file_that_unpacks_without_end_is_stopped() {
        assert_eq!(at_most(1000, &[7; 1000][..]).unwrap().len(), 1000);
        let error = at_most(1000, std::io::repeat(0)).unwrap_err();
        assert!(error.to_string().contains("larger than 1 GiB"), "{error}");
        // An xz file that wants 4 GiB to refer back to: a block header with the largest dictionary.
        let mut packed = xz(&image());
        let filter = packed.windows(2).position(|it| it == b"\x21\x01").unwrap();
        packed[filter + 2] = 40;
        let header = &packed[12..20];
        let sum = crc32(header);
        packed[20..24].copy_from_slice(&sum.to_le_bytes());
        let error = format!("{:#}", unpack(packed).unwrap_err());
        assert!(error.contains("memory"), "{error}");
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    }

    #[test]
    fn what_is_inside_is_named_when_it_is_no_kernel() {
        let error = format!("{:#}", unpack(gzipped(b"#!/bin/sh\n")).unwrap_err());
        assert!(error.contains("a script"), "{error}");
    }

    #[test]
    fn defective_files_are_errors_at_every_length() {
        let packed = zbooted(&gzipped(&image()), b"gzip");
        // The padding after the payload may be missing.
        for length in 0..packed.len() - 100 {
            assert!(unpack(packed[..length].to_vec()).is_err(), "{length}");
        }
        assert!(unpack(zbooted(b"", b"lzma")).is_err());
    }
}
