//! What a file that is to be a disk looks like.

use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt;

/// What a qcow2 image begins with (QEMU, docs/interop/qcow2.rst, "Header").
pub(super) const QCOW2: &[u8; 4] = b"QFI\xfb";

/// A file that is probably no raw image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Looks {
    /// As QEMU's qcow2 (or the qcow before it).
    Qcow2,
    /// As another kind of disk image, by the name that `qemu-img -f` takes.
    Image(&'static str),
    /// Compressed, with what unpacks it.
    Compressed(&'static str),
}

/// Where a sign stands: so many bytes after the start, or before the end.
enum Place {
    Start(usize),
    End(u64),
}
use Place::{End, Start};

/// The formats that QEMU 10 tells from raw images by their bytes (its `block/*.c`, functions `*_probe`), the ends that mark two more, and
/// what images are compressed with. LUKS is not among them: a guest makes its own disk one, and a
/// guest alone can open it.
const SIGNS: &[(Place, &[u8], Looks)] = &[
    (Start(0), QCOW2, Looks::Qcow2),
    (Start(0), b"KDMV", Looks::Image("vmdk")),
    (Start(0), b"COWD", Looks::Image("vmdk")),
    (Start(0), b"# Disk DescriptorFile", Looks::Image("vmdk")),
    (Start(0x40), b"\x7f\x10\xda\xbe", Looks::Image("vdi")),
    (Start(0), b"conectix", Looks::Image("vpc")),
    (End(512), b"conectix", Looks::Image("vpc")),
    (Start(0), b"vhdxfile", Looks::Image("vhdx")),
    (Start(0), b"QED\0", Looks::Image("qed")),
    (Start(0), b"WithoutFreeSpace", Looks::Image("parallels")),
    (Start(0), b"WithouFreSpacExt", Looks::Image("parallels")),
    (Start(0), b"Bochs Virtual HD Image", Looks::Image("bochs")),
    (
        Start(0),
        b"#!/bin/sh\n#V2.0 Format\n",
        Looks::Image("cloop"),
    ),
    (End(512), b"koly", Looks::Image("dmg")),
    (Start(0), b"\x1f\x8b\x08", Looks::Compressed("gzip -d")),
    (Start(0), b"\xfd7zXZ\0", Looks::Compressed("xz -d")),
    (Start(0), b"\x28\xb5\x2f\xfd", Looks::Compressed("zstd -d")),
    (Start(0), b"\x04\x22\x4d\x18", Looks::Compressed("lz4 -d")),
    (Start(4), b"1AY&SY", Looks::Compressed("bzip2 -d")),
    (Start(0), b"PK\x03\x04", Looks::Compressed("unzip")),
    (Start(0), b"7z\xbc\xaf\x27\x1c", Looks::Compressed("7z x")),
];

/// What the file looks like, if not like a raw image.
pub(super) fn looks(file: &File, size: u64) -> Result<Option<Looks>> {
    let (mut start, mut end) = ([0; 128], [0; 512]);
    read(file, 0, &mut start)?;
    if let Some(last) = size.checked_sub(end.len() as u64) {
        read(file, last, &mut end)?;
    }
    let found = SIGNS.iter().find(|(place, bytes, _)| match *place {
        Start(at) => start[at..].starts_with(bytes),
        End(before) => end[end.len() - before as usize..].starts_with(bytes),
    });
    Ok(found.map(|&(_, _, looks)| looks))
}

/// Reads as much as there is.
fn read(file: &File, mut at: u64, mut buffer: &mut [u8]) -> Result<()> {
    while let count @ 1.. = file.read_at(buffer, at)? {
        at += count as u64;
        buffer = &mut buffer[count..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sign_is_found_and_nothing_else() {
        for (place, bytes, expected) in SIGNS {
            let mut image = vec![0; 4096];
            let at = match *place {
                Start(at) => at,
                End(before) => image.len() - before as usize,
            };
            image[at..at + bytes.len()].copy_from_slice(bytes);
            let seen = |image: &[u8]| {
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), image).unwrap();
                looks(file.as_file(), image.len() as u64).unwrap()
            };
            assert_eq!(seen(&image), Some(*expected), "{bytes:?}");
            image[at] ^= 1;
            assert_eq!(seen(&image), None, "{bytes:?}");
            // What is shorter than a sign has none.
            assert_eq!(seen(&bytes[..2]), None, "{bytes:?}");
        }
    }
}
