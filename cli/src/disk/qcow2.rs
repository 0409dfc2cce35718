//! What a qcow2 image says of other files (QEMU, docs/interop/qcow2.rst).
//!
//! A guest may have written all of it. Nothing is read beyond the first cluster.

use super::signs::QCOW2;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Bytes of the header of version 2, and of the length that version 3 has at least.
const HEADER_2: usize = 72;
const HEADER_3: usize = 104;
/// Bit of `incompatible_features`: the data are in another file.
const EXTERNAL_DATA: u64 = 1 << 2;
/// Header extensions: what format the backing file has, and what the data file is called.
const BACKING_FORMAT: u32 = 0xe279_2aca;
const DATA_FILE: u32 = 0x4441_5441;
/// Most bytes of the name of a backing file.
const LONGEST_NAME: usize = 1023;
/// A cluster has from 2^9 to 2^21 bytes.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;

/// The other files that an image names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Others {
    pub backing: Option<String>,
    /// The format of the backing file, if it is said.
    pub backing_format: Option<String>,
    /// `Some("")` if there is one that has no name.
    pub data: Option<String>,
}

/// Reads which other files the image names.
///
/// # Errors
/// When it is no qcow2 image that can be read.
pub(super) fn others(file: &File) -> Result<Others> {
    let mut cluster = vec![0; HEADER_3];
    let found = read(file, &mut cluster)?;
    if !cluster.starts_with(QCOW2) || found < HEADER_2 {
        bail!("it is no qcow2 image: leave format=qcow2 out");
    }
    let version = u32_at(&cluster, 4)?;
    let (header, features) = match version {
        2 => (HEADER_2, 0),
        3 => (u32_at(&cluster, 100)? as usize, u64_at(&cluster, 72)?),
        _ => bail!(
            "it is an image of version {version}, and versions 2 and 3 are known: \
             `qemu-img convert -O qcow2` makes one if you know where it comes from"
        ),
    };
    if u32_at(&cluster, 32)? != 0 {
        bail!("it is encrypted: `qemu-img convert` makes one that is not");
    }
    let (name_at, name_size) = (u64_at(&cluster, 8)?, u32_at(&cluster, 16)? as usize);
    let has_data = features & EXTERNAL_DATA != 0;
    let mut others = Others::default();
    if name_at == 0 && !has_data {
        return Ok(others);
    }
    let bits = u32_at(&cluster, 20)?;
    if !CLUSTER_BITS.contains(&bits) {
        bail!("its header is damaged (clusters of 2^{bits} bytes): `qemu-img check` says more");
    }
    cluster.resize(1 << bits, 0);
    let found = read(file, &mut cluster)?;
    cluster.truncate(found);
    extensions(&cluster, header, &mut others)?;
    others.data = has_data.then(|| others.data.unwrap_or_default());
    if name_at != 0 {
        if name_size > LONGEST_NAME {
            bail!("the name of its backing file has {name_size} bytes, more than a name may have");
        }
        let at = usize::try_from(name_at).unwrap_or(usize::MAX);
        others.backing = Some(text(&cluster, at, name_size)?);
    }
    Ok(others)
}

/// Reads the extensions, which follow the header up to the one of type 0.
fn extensions(cluster: &[u8], mut at: usize, others: &mut Others) -> Result<()> {
    while at < cluster.len() {
        let (kind, size) = (u32_at(cluster, at)?, u32_at(cluster, at + 4)? as usize);
        match kind {
            0 => break,
            BACKING_FORMAT => others.backing_format = Some(text(cluster, at + 8, size)?),
            DATA_FILE => others.data = Some(text(cluster, at + 8, size)?),
            _ => {}
        }
        at = at
            .saturating_add(8)
            .saturating_add(size)
            .next_multiple_of(8);
    }
    Ok(())
}

/// Reads from the start, as much as there is.
fn read(file: &File, buffer: &mut [u8]) -> Result<usize> {
    let mut found = 0;
    while let count @ 1.. = file.read_at(&mut buffer[found..], found as u64)? {
        found += count;
    }
    Ok(found)
}

fn bytes(from: &[u8], at: usize, size: usize) -> Result<&[u8]> {
    let end = at.checked_add(size);
    let bytes = end.and_then(|end| from.get(at..end));
    bytes.context("its header is damaged: `qemu-img check` says more")
}

fn u32_at(from: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_be_bytes(bytes(from, at, 4)?.try_into()?))
}

fn u64_at(from: &[u8], at: usize) -> Result<u64> {
    Ok(u64::from_be_bytes(bytes(from, at, 8)?.try_into()?))
}

fn text(from: &[u8], at: usize, size: usize) -> Result<String> {
    let bytes = bytes(from, at, size)?.to_vec();
    // A C program sees the name up to a zero.
    let name = String::from_utf8(bytes)
        .ok()
        .filter(|name| !name.contains('\0'));
    name.context("a name in its header is no text: `qemu-img info` says more")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An image of nothing but a header, of version 3 with clusters of 512 bytes.
    pub fn image(backing: Option<&str>, format: Option<&str>, data: Option<&str>) -> Vec<u8> {
        let mut image = vec![0; 1024];
        let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, QCOW2);
        put(4, &3_u32.to_be_bytes());
        put(20, &9_u32.to_be_bytes());
        put(100, &104_u32.to_be_bytes());
        let mut at = 104;
        for (kind, text) in [(BACKING_FORMAT, format), (DATA_FILE, data)] {
            let Some(text) = text else { continue };
            put(at, &kind.to_be_bytes());
            put(at + 4, &(text.len() as u32).to_be_bytes());
            put(at + 8, text.as_bytes());
            at = (at + 8 + text.len()).next_multiple_of(8);
        }
        if data.is_some() {
            put(72, &EXTERNAL_DATA.to_be_bytes());
        }
        if let Some(name) = backing {
            put(8, &400_u64.to_be_bytes());
            put(16, &(name.len() as u32).to_be_bytes());
            put(400, name.as_bytes());
        }
        image
    }

    fn read(image: &[u8]) -> Result<Others> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(image, 0).unwrap();
        others(&file)
    }

    #[test]
    fn other_files_are_found() {
        assert_eq!(read(&image(None, None, None)).unwrap(), Others::default());
        let all = Others {
            backing: Some("base.img".into()),
            backing_format: Some("raw".into()),
            data: Some("data.img".into()),
        };
        let found = read(&image(Some("base.img"), Some("raw"), Some("data.img")));
        assert_eq!(found.unwrap(), all);
        // A file is used because of the bit, whether it has a name or not; a name alone uses none.
        let mut nameless = image(None, None, Some(""));
        assert_eq!(read(&nameless).unwrap().data.as_deref(), Some(""));
        nameless[104..112].fill(0);
        assert_eq!(read(&nameless).unwrap().data.as_deref(), Some(""));
        let mut unused = image(None, None, Some("/etc/passwd"));
        unused[72..80].fill(0);
        assert_eq!(read(&unused).unwrap().data, None);
    }

    #[test]
    fn damaged_headers_are_told() {
        let message = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut image = image(Some("base"), Some("raw"), None);
            change(&mut image);
            format!("{:#}", read(&image).unwrap_err())
        };
        assert!(message(&|image| image[3] = 0).contains("no qcow2"));
        assert!(message(&|image| image[7] = 1).contains("version 1"));
        assert!(message(&|image| image[35] = 2).contains("encrypted"));
        assert!(message(&|image| image[23] = 40).contains("damaged"));
        assert!(message(&|image| image[14] = 0xff).contains("damaged"));
        assert!(message(&|image| image[16] = 1).contains("bytes"));
        assert!(message(&|image| image[402] = 0).contains("no text"));
        assert!(message(&|image| image[108] = 0xff).contains("damaged"));
        assert!(message(&|image| image.truncate(60)).contains("no qcow2"));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(
            changes in prop::collection::vec((0..520_usize, any::<u8>()), 0..20),
            size in 0..1024_usize,
        ) {
            let mut image = image(Some("base"), Some("raw"), Some("data"));
            for (at, byte) in changes {
                image[at] = byte;
            }
            let _ = read(&image[..size]);
            let _ = read(&image);
        }
    }
}
