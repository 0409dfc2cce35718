//! Images that QEMU gives the host as disks. A guest may have written every byte of one, so the user says
//! what format it has, and QEMU is told each file that it shall open.

use super::qcow2::{self, Others};
use super::signs::{Looks, looks};
use super::{Format, check_size, open};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs::File;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Most images that stand behind each other.
const LONGEST_CHAIN: usize = 64;

/// An image that QEMU gives the host as a disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    /// The file or block device, absolute.
    pub path: PathBuf,
    /// How the disk is stored in it; raw if nothing was said.
    pub format: Option<Format>,
    /// Whether nobody may change it.
    pub read_only: bool,
}

impl Image {
    /// Checks that it can serve as a disk, and describes it as QEMU's `-blockdev` takes it: with each file
    /// that belongs to it and the format of each, so that QEMU looks for none by itself.
    ///
    /// # Errors
    /// When it cannot be opened, has no size that a disk may have, looks like what it was not said to be, or
    /// names files that were not allowed.
    pub(crate) fn block_device(&self, name: &str) -> Result<String> {
        let mut node = self
            .node()
            .with_context(|| format!("the disk image {}", self.path.display()))?;
        node["node-name"] = name.into();
        Ok(node.to_string())
    }

    fn node(&self) -> Result<Value> {
        let (file, size) = open(&self.path, !self.read_only)?;
        match self.format {
            Some(Format::Qcow2 { others }) => {
                qcow2_node(&self.path, &file, self.read_only, others, LONGEST_CHAIN)
            }
            said => {
                if said.is_none() {
                    check_looks(looks(&file, size.unwrap_or(0))?)?;
                }
                size.map_or(Ok(()), check_size)?;
                raw_node(&self.path, &file, self.read_only)
            }
        }
    }
}

/// Refuses what is probably no raw image. QEMU would never find out: this is for people who do not know.
fn check_looks(looks: Option<Looks>) -> Result<()> {
    let raw = "if it is the raw disk of a guest, which may write what it likes, add ,format=raw";
    match looks {
        None => Ok(()),
        Some(Looks::Qcow2) => {
            bail!("it looks like a qcow2 image: if you made it one, add ,format=qcow2; {raw}")
        }
        Some(Looks::Image(format)) => bail!(
            "it looks like a {format} image, and disks are raw or qcow2: if you know where it comes from, \
             `qemu-img convert -f {format} -O qcow2 FILE FILE.qcow2` makes one for ,format=qcow2; {raw}"
        ),
        Some(Looks::Compressed(unpack)) => bail!(
            "it looks compressed: `{unpack} FILE` unpacks it, if you know where it comes from; {raw}"
        ),
    }
}

fn raw_node(path: &Path, file: &File, read_only: bool) -> Result<Value> {
    let protocol = protocol(path, file, read_only)?;
    Ok(json!({"driver": "raw", "read-only": read_only, "file": protocol}))
}

/// `depth` is how many images may still stand behind this one.
fn qcow2_node(
    path: &Path,
    file: &File,
    read_only: bool,
    allowed: bool,
    depth: usize,
) -> Result<Value> {
    let others = qcow2::others(file)?;
    if !allowed && others != Others::default() {
        let name = others.backing.or(others.data).unwrap_or_default();
        bail!(
            "it makes QEMU open another file, {name:?}: add ,backing=allow if you made it so; a guest \
             can write such a name into a raw disk"
        );
    }
    let mut node = json!({
        "driver": "qcow2",
        "read-only": read_only,
        "file": protocol(path, file, read_only)?,
        "backing": null,
    });
    if let Some(name) = others.data {
        let data = beside(path, &name).context("its data file")?;
        let (file, _) =
            open(&data, !read_only).with_context(|| format!("its data file {}", data.display()))?;
        node["data-file"] = protocol(&data, &file, read_only)?;
    }
    if let Some(name) = others.backing {
        node["backing"] = backing_node(path, &name, others.backing_format.as_deref(), depth)?;
    }
    Ok(node)
}

fn backing_node(image: &Path, name: &str, format: Option<&str>, depth: usize) -> Result<Value> {
    let depth = depth.checked_sub(1).with_context(|| {
        format!("more than {LONGEST_CHAIN} images stand behind it, or one behind itself: `qemu-img info --backing-chain` shows them")
    })?;
    let path = beside(image, name).context("its backing file")?;
    let node = || {
        let (file, _) = open(&path, false)?;
        match format {
            Some("raw") => raw_node(&path, &file, true),
            Some("qcow2") => qcow2_node(&path, &file, true, true, depth),
            _ => bail!(
                "the image in front of it says no format that is known, raw or qcow2: \
                 `qemu-img rebase -u -b NAME -F FORMAT IMAGE` says it, if you know where they come from"
            ),
        }
    };
    node().with_context(|| format!("its backing file {}", path.display()))
}

/// The file that an image names, which is relative to the image.
fn beside(image: &Path, name: &str) -> Result<PathBuf> {
    // What QEMU takes for a protocol, `json:` among them: a colon before any slash.
    let is_protocol = name
        .split('/')
        .next()
        .is_some_and(|part| part.contains(':'));
    if is_protocol || name.is_empty() {
        bail!(
            "{name:?} is no name of a file: `qemu-img rebase -u -b NAME -F FORMAT IMAGE` writes another one"
        );
    }
    Ok(image.parent().unwrap_or(Path::new("/")).join(name))
}

/// How QEMU reaches the file itself.
fn protocol(path: &Path, file: &File, read_only: bool) -> Result<Value> {
    let driver = match file.metadata()?.file_type().is_block_device() {
        true => "host_device",
        false => "file",
    };
    let name = path.to_str().with_context(|| {
        format!(
            "{}: QEMU takes names of UTF-8 alone: rename it",
            path.display()
        )
    })?;
    Ok(json!({"driver": driver, "filename": name, "read-only": read_only}))
}

#[cfg(test)]
mod tests {
    use super::super::qcow2::tests::image as qcow2_image;
    use super::*;

    struct Directory(tempfile::TempDir);

    impl Directory {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        }
    }

    fn device(path: &Path, format: Option<Format>) -> Result<Value, String> {
        let image = Image {
            path: path.to_owned(),
            format,
            read_only: false,
        };
        let device = image
            .block_device("d")
            .map_err(|error| format!("{error:#}"))?;
        Ok(serde_json::from_str(&device).unwrap())
    }

    const RAW: Option<Format> = Some(Format::Raw);
    const QCOW2: Option<Format> = Some(Format::Qcow2 { others: false });
    const OTHERS: Option<Format> = Some(Format::Qcow2 { others: true });

    #[test]
    fn what_an_image_says_of_itself_never_decides() {
        let directory = Directory::new();
        let zeroes = directory.put("a,b.img", &[0; 1024]);
        let qcow2 = directory.put(
            "b.img",
            &qcow2_image(Some("/etc/passwd"), Some("raw"), None),
        );
        for (path, format) in [(&zeroes, None), (&zeroes, RAW), (&qcow2, RAW)] {
            let expected = json!({
                "node-name": "d", "driver": "raw", "read-only": false,
                "file": {"driver": "file", "filename": path, "read-only": false},
            });
            assert_eq!(device(path, format), Ok(expected));
        }
        let error = device(&qcow2, None).unwrap_err();
        assert!(
            error.contains(",format=qcow2") && error.contains(",format=raw"),
            "{error}"
        );
        let error = device(&zeroes, QCOW2).unwrap_err();
        assert!(error.contains("no qcow2 image"), "{error}");
        let vmdk = directory.put("c.img", &[b"KDMV".as_slice(), &[0; 508]].concat());
        let error = device(&vmdk, None).unwrap_err();
        assert!(
            error.contains("-f vmdk") && error.contains(",format=raw"),
            "{error}"
        );
        let packed = directory.put("d.img.gz", b"\x1f\x8b\x08...");
        let error = device(&packed, None).unwrap_err();
        assert!(
            error.contains("gzip -d") && error.contains(",format=raw"),
            "{error}"
        );
    }

    #[test]
    fn qcow2_opens_other_files_only_where_that_was_allowed() {
        let directory = Directory::new();
        let alone = directory.put("alone", &qcow2_image(None, None, None));
        for format in [QCOW2, OTHERS] {
            assert_eq!(device(&alone, format).unwrap()["backing"], Value::Null);
        }
        directory.put("raw.img", &[0; 512]);
        let middle = qcow2_image(Some("raw.img"), Some("raw"), None);
        let middle = directory.put("middle", &middle);
        let top = qcow2_image(middle.to_str(), Some("qcow2"), Some("raw.img"));
        let top = directory.put("top", &top);
        let error = device(&top, QCOW2).unwrap_err();
        assert!(
            error.contains("middle") && error.contains(",backing=allow"),
            "{error}"
        );
        let data = directory.put("data", &qcow2_image(None, None, Some("raw.img")));
        assert!(device(&data, QCOW2).unwrap_err().contains("raw.img"));
        let device = device(&top, OTHERS).unwrap();
        let raw = directory.0.path().join("raw.img");
        let read_only = json!({"driver": "file", "filename": raw, "read-only": true});
        let data = json!({"driver": "file", "filename": raw, "read-only": false});
        assert_eq!(device["data-file"], data);
        let backing = json!({"driver": "raw", "read-only": true, "file": read_only});
        assert_eq!(device["backing"]["driver"], "qcow2");
        assert_eq!(device["backing"]["read-only"], true);
        assert_eq!(device["backing"]["backing"], backing);
    }

    #[test]
    fn names_that_lead_out_of_the_files_are_refused_even_where_others_are_allowed() {
        let directory = Directory::new();
        let refused = |name: &str, format| {
            let image = directory.put("image", &qcow2_image(Some(name), format, None));
            device(&image, OTHERS).unwrap_err()
        };
        for name in [
            "json:{}",
            "nbd://127.0.0.1",
            "fat:rw:/",
            "file:/etc/passwd",
            "",
        ] {
            let error = refused(name, Some("raw"));
            assert!(error.contains("no name of a file"), "{error}");
        }
        directory.put("base", &[0; 512]);
        assert!(refused("base", None).contains("-F FORMAT"));
        assert!(refused("base", Some("vmdk")).contains("-F FORMAT"));
        assert!(refused("base", Some("qcow2")).contains("no qcow2"));
        assert!(refused("absent", Some("raw")).contains("absent"));
        assert!(refused("image", Some("qcow2")).contains("behind itself"));
        let pipe = directory.0.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(pipe).status();
        assert!(made.unwrap().success());
        assert!(refused("pipe", Some("raw")).contains("neither"));
    }
}
