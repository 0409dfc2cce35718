//! Opening a bundle, and packing one.
//!
//! The member `patchvisor-bundle` is one block of 512 bytes, little-endian, zero beyond this:
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 8 | [`MAGIC`] |
//! | 8 | 4 | format, [`FORMAT`] |
//! | 12 | 4 | CRC-32 (ISO-HDLC, as in gzip) of everything after this block |
//! | 16 | 8 | length of the whole bundle in bytes |

use crate::{Description, Error, FORMAT, recognise};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use crc::{CRC_32_ISO_HDLC, Crc, Table};
use tar_no_std::TarArchiveRef;

/// What a bundle's first member begins with.
pub const MAGIC: &[u8; 8] = b"PVBUNDLE";

/// Name of the first member.
#[cfg(feature = "pack")]
const SEAL: &str = "patchvisor-bundle";
/// Name of the second member.
const DESCRIPTION: &str = "description.json";
/// Where the checked part begins.
const BODY: usize = 1024;
/// Longest name of a member that a plain tar header holds.
#[cfg(feature = "pack")]
const LONGEST_NAME: usize = 99;

/// The monitor checks tens of megabytes at boot: the table of 16 rows takes 16 bytes a step.
static CHECKSUM: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

/// A bundle that was opened and checked.
#[derive(Debug)]
pub struct Bundle<'a> {
    size: usize,
    description: Description,
    files: Vec<(String, &'a [u8])>,
}

/// Opens a bundle. `bytes` may go on after its end.
///
/// # Errors
/// Every defect of the bundle is found here: after this, each file that a VM names is there.
pub fn open(bytes: &[u8]) -> Result<Bundle<'_>, Error> {
    let size = check_seal(bytes)?;
    let body = &bytes[BODY..size];
    let archive = TarArchiveRef::new(body).map_err(|error| Error::Damaged(error.to_string()))?;
    let mut files = Vec::new();
    for entry in archive.entries() {
        let name = entry.filename();
        let name = name
            .as_str()
            .map_err(|_| Error::Damaged("a file's name is not text".into()))?;
        files.push((name.to_string(), entry.data()));
    }
    let json = files
        .iter()
        .find(|(name, _)| name == DESCRIPTION)
        .map(|(_, data)| *data)
        .ok_or_else(|| Error::Damaged(format!("{DESCRIPTION} is missing")))?;
    let description: Description =
        serde_json::from_slice(json).map_err(|error| Error::Description(error.to_string()))?;
    description.check()?;
    let bundle = Bundle {
        size,
        description,
        files,
    };
    for vm in &bundle.description.vms {
        if let Some(file) = vm.files().find(|file| bundle.file(file).is_none()) {
            return Err(Error::MissingFile {
                vm: vm.name.clone(),
                file: file.into(),
            });
        }
    }
    Ok(bundle)
}

/// Where the bundle that `bytes` begins with wants the monitor's window, if one of its VMs says. Nothing is
/// checked: this is for the monitor before it has a place, and a bundle that [`open`] refuses may have any.
#[must_use]
pub fn asked_window(bytes: &[u8]) -> Option<u64> {
    // The header of the second member: its name, and at 124 its size in octal digits.
    let header = bytes.get(BODY..BODY + 512)?;
    let is_description = header.starts_with(DESCRIPTION.as_bytes());
    let size = core::str::from_utf8(&header[124..135]).ok()?;
    let size = usize::from_str_radix(size, 8).ok()?;
    let json = bytes.get(BODY + 512..)?.get(..size)?;
    let description: Description = serde_json::from_slice(json)
        .ok()
        .filter(|_| is_description)?;
    description.vms.iter().find_map(|vm| vm.window)
}

/// Checks magic, format, length and checksum; returns the length.
fn check_seal(bytes: &[u8]) -> Result<usize, Error> {
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    let not_a_bundle = || Error::NotABundle {
        looks_like: recognise::looks_like(bytes),
    };
    let seal = bytes.get(512..BODY).ok_or_else(not_a_bundle)?;
    if !seal.starts_with(MAGIC) {
        return Err(not_a_bundle());
    }
    let word = |at: usize| u32::from_le_bytes([seal[at], seal[at + 1], seal[at + 2], seal[at + 3]]);
    let format = word(8);
    if format != FORMAT {
        return Err(Error::UnknownFormat { found: format });
    }
    let need = u64::from(word(16)) | u64::from(word(20)) << 32;
    let have = bytes.len() as u64;
    if need > have {
        return Err(Error::CutShort { have, need });
    }
    let size = usize::try_from(need).map_err(|_| Error::CutShort { have, need })?;
    if size < BODY {
        return Err(Error::Damaged(format!("a length of {size} bytes")));
    }
    let (expected, found) = (word(12), CHECKSUM.checksum(&bytes[BODY..size]));
    if expected != found {
        return Err(Error::Damaged(format!(
            "checksum {found:08x} instead of {expected:08x}"
        )));
    }
    Ok(size)
}

/// The length that a bundle's seal states, of what may be one; nothing else of it is checked.
pub(crate) fn stated_size(bytes: &[u8]) -> Option<usize> {
    let seal = bytes.get(512..BODY)?;
    let length = seal.get(16..24)?.try_into().ok()?;
    let is_sealed = seal.starts_with(MAGIC);
    is_sealed
        .then(|| u64::from_le_bytes(length).try_into().ok())
        .flatten()
}

impl<'a> Bundle<'a> {
    /// What the VMs are.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The contents of a file, if the bundle has it.
    pub fn file(&self, name: &str) -> Option<&'a [u8]> {
        self.files
            .iter()
            .find(|(file, _)| file == name)
            .map(|(_, data)| *data)
    }

    /// The names of the files, the description among them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(name, _)| name.as_str())
    }

    /// Length of the bundle in bytes; the slice that was opened may be longer.
    pub fn size(&self) -> usize {
        self.size
    }
}

/// Packs a description and the files it names.
///
/// # Errors
/// When the description is wrong, names a file that is not given, or a file's name does not fit.
#[cfg(feature = "pack")]
pub fn pack(description: &Description, files: &[(&str, &[u8])]) -> Result<Vec<u8>, Error> {
    description.check()?;
    for (index, (name, _)) in files.iter().enumerate() {
        let taken = *name == DESCRIPTION
            || *name == SEAL
            || files[..index].iter().any(|(other, _)| other == name);
        let plain = name.chars().all(|c| c.is_ascii_graphic() && c != '/');
        if taken || !plain || name.is_empty() || name.len() > LONGEST_NAME {
            return Err(Error::FileName(name.to_string()));
        }
    }
    for vm in &description.vms {
        if let Some(file) = vm
            .files()
            .find(|file| !files.iter().any(|(n, _)| n == file))
        {
            return Err(Error::MissingFile {
                vm: vm.name.clone(),
                file: file.into(),
            });
        }
    }
    let json = serde_json::to_vec_pretty(description)
        .map_err(|error| Error::Description(error.to_string()))?;
    let content: usize = files.iter().map(|(_, data)| data.len() + 1024).sum();
    let mut archive = tar::Builder::new(Vec::with_capacity(content + json.len() + 4096));
    let sealed = append(&mut archive, SEAL, &[0; 512])
        .and_then(|()| append(&mut archive, DESCRIPTION, &json))
        .and_then(|()| {
            files
                .iter()
                .try_for_each(|(name, data)| append(&mut archive, name, data))
        })
        .and_then(|()| archive.into_inner());
    // Writing to a Vec cannot fail; a member that does not fit a header is all that is left.
    let mut bytes = sealed.map_err(|error| Error::FileName(error.to_string()))?;
    let checksum = CHECKSUM.checksum(&bytes[BODY..]);
    let length = bytes.len() as u64;
    let seal = &mut bytes[512..BODY];
    seal[..8].copy_from_slice(MAGIC);
    seal[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    seal[12..16].copy_from_slice(&checksum.to_le_bytes());
    seal[16..24].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// Appends a member with the same metadata each time, so that equal input gives equal bundles.
#[cfg(feature = "pack")]
fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    name: &str,
    data: &[u8],
) -> Result<(), std::io::Error> {
    let mut header = tar::Header::new_ustar();
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, data)
}
