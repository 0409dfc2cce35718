//! Disks as the host has them: images for QEMU, disks of a board, files that go into the bundle.

mod image;
mod qcow2;
mod signs;
mod users;

pub use image::Image;
pub use users::users;

use crate::guest::Guest;
use anyhow::{Context, Result, bail};
use bundle::Source;
use rustix::fs::OFlags;
use signs::looks;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of a sector (Virtio 1.3, 5.2.4: the unit of capacity).
const SECTOR: u64 = 512;
/// Most bytes of a packed disk: all of it is in the host's memory.
const LARGEST_PACKED: u64 = 8 << 30;
/// Most bytes of changes to a packed disk, unless more or fewer are asked for.
pub const DEFAULT_CHANGES: u64 = 64 << 20;

/// A disk of a guest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Disk {
    /// What is on it.
    pub content: Content,
    /// How it is stored in its image, if anything was said of it.
    pub format: Option<Format>,
    /// Whether the guest may not change it.
    pub read_only: bool,
    /// What the guest is told that it is called.
    pub serial: String,
}

/// What is on a disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// An image which QEMU gives the host as a disk; a partition of it by its number in
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

/// How a disk is stored in a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Byte for byte.
    Raw,
    /// As QEMU's qcow2.
    Qcow2 {
        /// Whether it may name other files, behind it or for its data.
        others: bool,
    },
}

impl Disk {
    /// A disk that may be changed and has no serial.
    pub fn new(content: Content) -> Self {
        Self {
            content,
            format: None,
            read_only: false,
            serial: String::new(),
        }
    }
}

/// The images of these guests in the order in which the host has them as disks. Guests that name the
/// same image share the disk.
///
/// # Errors
/// When a path cannot be made absolute, or two guests say different formats of one image.
pub fn images(guests: &[Guest]) -> Result<Vec<Image>> {
    let mut images: Vec<Image> = Vec::new();
    for disk in guests.iter().flat_map(|guest| &guest.disks) {
        let Content::Image { path, .. } = &disk.content else {
            continue;
        };
        let path = absolute(path)?;
        match images.iter_mut().find(|image| image.path == path) {
            Some(image) => {
                if image.format != disk.format {
                    bail!(
                        "the disk image {} has one format: say the same of it in each VM",
                        path.display()
                    );
                }
                image.read_only &= disk.read_only;
            }
            None => images.push(Image {
                format: disk.format,
                path,
                read_only: disk.read_only,
            }),
        }
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

/// Reads a raw image that is to be packed.
///
/// # Errors
/// When it cannot be read, or is no raw image.
pub(crate) fn read(path: &Path, format: Option<Format>) -> Result<Vec<u8>> {
    let read = || {
        let (file, size) = open(path, false)?;
        let size = size.context("it is a device: copy it into a file first")?;
        if format.is_none() && looks(&file, size)?.is_some() {
            bail!(
                "it does not look like a raw image, and a bundle takes no others: `qemu-img convert -O raw` makes one \
                 if you know where it comes from; add ,format=raw if it is the raw disk of a guest"
            );
        }
        check_size(size)?;
        if size > LARGEST_PACKED {
            bail!(
                "it has {size} bytes, and a packed disk, all of which is in the host's memory, has 8 GiB at most: \
                 give a smaller one, or leave bundle: out"
            );
        }
        let mut bytes = Vec::new();
        file.take(size).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            bail!("it became shorter meanwhile: try again");
        }
        Ok(bytes)
    };
    read().with_context(|| format!("the disk image {}", path.display()))
}

/// Opens an image; its size in bytes if it is a file.
fn open(path: &Path, write: bool) -> Result<(File, Option<u64>)> {
    use std::io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
    if path.is_dir() {
        bail!("it is a directory: name a file");
    }
    // A pipe would wait for its other end.
    let mut options = File::options();
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    match options.read(true).write(write).open(path) {
        Ok(file) => {
            let metadata = file.metadata()?;
            let kind = metadata.file_type();
            if !kind.is_file() && !kind.is_block_device() {
                bail!(
                    "it is neither a file nor a block device: copy what comes out of it into a file"
                );
            }
            Ok((file, kind.is_file().then_some(metadata.len())))
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
        let (a, b) = (put("a.img", &[0; 512]), put("b.img", &[0; 512]));
        let roundabout = directory.path().join(".").join("a.img");
        let mut guests = [
            guest(&[(&b, None, true), (&a, Some(1), true)]),
            guest(&[(&roundabout, Some(2), false)]),
        ];
        let image = |path: &PathBuf, read_only| Image {
            path: path.clone(),
            format: None,
            read_only,
        };
        let found = images(&guests).unwrap();
        assert_eq!(found, [image(&b, true), image(&a, false)]);
        let sources = guests.iter().flat_map(|guest| &guest.disks);
        let sources = sources.map(|disk| match &disk.content {
            Content::Image { path, partition } => source(&found, path, *partition).unwrap(),
            other => panic!("{other:?}"),
        });
        let partition = |number| Source::Partition { device: 1, number };
        let expected = [Source::Device(0), partition(1), partition(2)];
        assert_eq!(sources.collect::<Vec<_>>(), expected);

        guests[1].disks[0].format = Some(Format::Raw);
        let error = images(&guests).unwrap_err().to_string();
        assert!(error.contains("the same"), "{error}");
    }

    #[test]
    fn what_cannot_be_a_disk_is_told_with_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.img");
        let check = |path: &Path| {
            let image = Image {
                path: path.to_owned(),
                format: None,
                read_only: false,
            };
            image
                .block_device("d")
                .map_err(|error| format!("{error:#}"))
        };
        let message = |path: &Path| check(path).unwrap_err();
        let unpackable = |format| format!("{:#}", read(&path, format).unwrap_err());
        assert!(message(&path).contains("qemu-img create"));
        assert!(message(&path).contains("a.img"));
        assert!(message(directory.path()).contains("a directory"));
        std::fs::write(&path, b"").unwrap();
        assert!(message(&path).contains("empty"));
        std::fs::write(&path, [0; 513]).unwrap();
        assert!(message(&path).contains("truncate -s %512"));
        assert!(unpackable(None).contains("513 bytes"));
        std::fs::write(&path, [0; 1024]).unwrap();
        check(&path).unwrap();
        assert_eq!(read(&path, None).unwrap().len(), 1024);
        // What looks like another image is packed as it is, where that was said.
        let mut bytes = [0; 512];
        bytes[..4].copy_from_slice(b"QFI\xfb");
        std::fs::write(&path, bytes).unwrap();
        assert!(unpackable(None).contains("qemu-img convert"));
        assert_eq!(read(&path, Some(Format::Raw)).unwrap(), bytes);
        // Nothing is read of what is too large, though it takes no room.
        File::create(&path)
            .unwrap()
            .set_len(LARGEST_PACKED + 512)
            .unwrap();
        assert!(unpackable(None).contains("8 GiB"));
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        for write in [false, true] {
            let error = open(&path, write).unwrap_err().to_string();
            assert!(error.contains("neither a file"), "{error}");
        }
        assert!(read(&path, None).is_err());
    }
}
