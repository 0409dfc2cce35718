//! Reads kernel files as distributions ship them, and unpacks those that are compressed.
//!
//! The monitor takes plain kernels only: unpacking belongs on the host, where it costs nothing at
//! boot and its errors have a reader.

use anyhow::{Context, Result, bail};
use bundle::kernel;
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

/// Unpacks gzip, zstd and EFI zboot files, one inside of the other.
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
    if bytes.starts_with(b"\x1f\x8b") {
        return gzip(bytes).map(Some);
    }
    if bytes.starts_with(b"\x28\xb5\x2f\xfd") {
        return zstd(bytes).map(Some);
    }
    if bytes.starts_with(b"MZ") && bytes.get(4..8) == Some(b"zimg") {
        return zboot(bytes).map(Some);
    }
    Ok(None)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    // Not the decoder of several members: what follows in a zboot file is padding.
    bounded(flate2::read::GzDecoder::new(bytes)).context("unpacking gzip")
}

fn zstd(bytes: &[u8]) -> Result<Vec<u8>> {
    let decoder = ruzstd::decoding::StreamingDecoder::new(bytes)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("unpacking zstd")?;
    bounded(decoder).context("unpacking zstd")
}

fn bounded(reader: impl Read) -> Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    reader.take(LARGEST + 1).read_to_end(&mut unpacked)?;
    if unpacked.len() as u64 > LARGEST {
        bail!("it is larger than 1 GiB unpacked, no kernel is");
    }
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
    match name.as_slice() {
        b"gzip" => gzip(payload),
        b"zstd" | b"zstd22" => zstd(payload),
        other => bail!(
            "the EFI zboot kernel is compressed with {:?}: unpack it to a plain Image first",
            String::from_utf8_lossy(other)
        ),
    }
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
        let packings = [
            image.clone(),
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
