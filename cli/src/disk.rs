//! Disks as the host has them: images for QEMU, disks of a board, files that go into the bundle.

use crate::guest::Guest;
use anyhow::{Context, Result, bail};
use bundle::Source;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Bytes of a sector (Virtio 1.3, 5.2.4: the unit of capacity).
const SECTOR: u64 = 512;
/// What a qcow2 image begins with (QEMU, docs/interop/qcow2.txt).
const QCOW2: &[u8; 4] = b"QFI\xfb";
/// Most bytes of changes to a packed disk, unless more or fewer are asked for.
pub const DEFAULT_CHANGES: u64 = 64 << 20;

/// A disk of a guest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Disk {
    /// What is on it.
    pub content: Content,
    /// Whether the guest may not change it.
    pub read_only: bool,
    /// What the guest is told that it is called.
    pub serial: String,
}

/// What is on a disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// An image, raw or qcow2, which QEMU gives the host as a disk; a partition of it by its number in
    /// the GPT, if one is named.
    Image {
        /// The image.
        path: PathBuf,
        /// The partition, from 1.
        partition: Option<u32>,
    },
    /// A disk or partition that the host has anyway, see [`Source`].
    Host(Source),
    /// A raw image that is packed into the bundle. Changes are kept in memory, up to so many bytes.
    Packed {
        /// The image.
        path: PathBuf,
        /// The limit.
        changes: u64,
    },
}

/// An image that QEMU gives the host as a disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    /// The file or block device, absolute.
    pub path: PathBuf,
    /// How the disk is stored in it.
    pub format: Format,
    /// Whether nobody may change it.
    pub read_only: bool,
}

/// How a disk is stored in a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Byte for byte.
    Raw,
    /// As QEMU's qcow2.
    Qcow2,
}

impl Disk {
    /// A disk that may be changed and has no serial.
    pub fn new(content: Content) -> Self {
        Self {
            content,
            read_only: false,
            serial: String::new(),
        }
    }
}

impl Format {
    /// QEMU's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// The images of these guests in the order in which the host has them as disks. Guests that name the
/// same image share the disk.
///
/// # Errors
/// When a path cannot be made absolute.
pub fn images(guests: &[Guest]) -> Result<Vec<Image>> {
    let mut images: Vec<Image> = Vec::new();
    for disk in guests.iter().flat_map(|guest| &guest.disks) {
        let Content::Image { path, .. } = &disk.content else {
            continue;
        };
        let path = absolute(path)?;
        match images.iter_mut().find(|image| image.path == path) {
            Some(image) => image.read_only &= disk.read_only,
            None => images.push(Image {
                format: Format::Raw,
                path,
                read_only: disk.read_only,
            }),
        }
    }
    for image in &mut images {
        // What cannot be read is named by `check`.
        image.format = format(&image.path).unwrap_or(Format::Raw);
    }
    Ok(images)
}

/// Which of the host's disks an image, or a partition of it, is.
pub(crate) fn source(images: &[Image], path: &Path, partition: Option<u32>) -> Result<Source> {
    let path = absolute(path)?;
    let device = images.iter().position(|image| image.path == path);
    let device = device.context("a disk image was moved meanwhile: try again")? as u32;
    Ok(match partition {
        None => Source::Device(device),
        Some(number) => Source::Partition { device, number },
    })
}

/// The one name of an image. Names that QEMU might take for an address begin otherwise.
fn absolute(path: &Path) -> Result<PathBuf> {
    match std::fs::canonicalize(path) {
        Ok(path) => Ok(path),
        Err(_) => std::path::absolute(path).context("finding a disk image"),
    }
}

fn format(path: &Path) -> std::io::Result<Format> {
    let mut start = [0; QCOW2.len()];
    let is_qcow2 = match File::open(path)?.read_exact(&mut start) {
        Ok(()) => &start == QCOW2,
        Err(_) => false,
    };
    Ok(if is_qcow2 { Format::Qcow2 } else { Format::Raw })
}

impl Image {
    /// Checks that it can serve as a disk.
    ///
    /// # Errors
    /// When it cannot be opened or has no size that a disk may have.
    pub fn check(&self) -> Result<()> {
        let path = self.path.display();
        open(&self.path, !self.read_only)
            .and_then(|size| match (size, self.format) {
                (Some(size), Format::Raw) => check_size(size),
                _ => Ok(()),
            })
            .with_context(|| format!("the disk image {path}"))
    }
}

/// Reads a raw image that is to be packed.
///
/// # Errors
/// When it cannot be read, or is no raw image.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let read = || {
        open(path, false)?;
        if format(path)? == Format::Qcow2 {
            bail!(
                "it is a qcow2 image, and a bundle takes raw ones: `qemu-img convert -O raw` makes one"
            );
        }
        let bytes = std::fs::read(path)?;
        check_size(bytes.len() as u64)?;
        Ok(bytes)
    };
    read().with_context(|| format!("the disk image {}", path.display()))
}

/// Opens an image; its size in bytes if it is a file.
fn open(path: &Path, write: bool) -> Result<Option<u64>> {
    use std::io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
    if path.is_dir() {
        bail!("it is a directory: name a file");
    }
    match File::options().read(true).write(write).open(path) {
        Ok(file) => {
            let metadata = file.metadata()?;
            let is_device = metadata.file_type().is_block_device();
            Ok((!is_device).then_some(metadata.len()))
        }
        Err(error) if error.kind() == NotFound => {
            bail!("it is not there: `qemu-img create -f raw FILE 4G` makes an empty one")
        }
        Err(error) if write && matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) => {
            bail!("it may not be written: add ,readonly or change its permissions")
        }
        Err(error) => Err(error.into()),
    }
}

fn check_size(size: u64) -> Result<()> {
    if size == 0 {
        bail!("it is empty: `truncate -s 4G FILE` makes room");
    }
    if !size.is_multiple_of(SECTOR) {
        bail!(
            "it has {size} bytes, and a disk has whole sectors of 512: `truncate -s %512 FILE` fills it up"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(disks: &[(&Path, Option<u32>, bool)]) -> Guest {
        let disk = |&(path, partition, read_only): &(&Path, _, _)| Disk {
            read_only,
            ..Disk::new(Content::Image {
                path: path.to_owned(),
                partition,
            })
        };
        Guest {
            disks: disks.iter().map(disk).collect(),
            ..Guest::new("k")
        }
    }

    #[test]
    fn guests_that_name_one_image_share_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.canonicalize().unwrap()
        };
        let (a, b) = (put("a.img", &[0; 512]), put("b.qcow2", b"QFI\xfb..."));
        let roundabout = directory.path().join(".").join("a.img");
        let guests = [
            guest(&[(&b, None, true), (&a, Some(1), true)]),
            guest(&[(&roundabout, Some(2), false)]),
        ];
        let images = images(&guests).unwrap();
        let image = |path: &PathBuf, format, read_only| Image {
            path: path.clone(),
            format,
            read_only,
        };
        let expected = [
            image(&b, Format::Qcow2, true),
            image(&a, Format::Raw, false),
        ];
        assert_eq!(images, expected);
        let sources = guests.iter().flat_map(|guest| &guest.disks);
        let sources = sources.map(|disk| match &disk.content {
            Content::Image { path, partition } => source(&images, path, *partition).unwrap(),
            other => panic!("{other:?}"),
        });
        let partition = |number| Source::Partition { device: 1, number };
        let expected = [Source::Device(0), partition(1), partition(2)];
        assert_eq!(sources.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_cannot_be_a_disk_is_told_with_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.img");
        let check = |path: &Path, read_only| {
            let image = Image {
                path: path.to_owned(),
                format: format(path).unwrap_or(Format::Raw),
                read_only,
            };
            image.check().map_err(|error| format!("{error:#}"))
        };
        let message = |path: &Path| check(path, false).unwrap_err();
        assert!(message(&path).contains("qemu-img create"));
        assert!(message(&path).contains("a.img"));
        assert!(message(directory.path()).contains("a directory"));
        std::fs::write(&path, b"").unwrap();
        assert!(message(&path).contains("empty"));
        std::fs::write(&path, [0; 513]).unwrap();
        assert!(message(&path).contains("truncate -s %512"));
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("513 bytes"));
        std::fs::write(&path, [0; 1024]).unwrap();
        check(&path, false).unwrap();
        assert_eq!(read(&path).unwrap().len(), 1024);
        // A qcow2 image is as long as it likes, and is packed nowhere.
        std::fs::write(&path, b"QFI\xfb and more").unwrap();
        check(&path, true).unwrap();
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("qemu-img convert"));
    }
}
