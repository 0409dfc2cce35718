//! Writes initramfs archives: cpio in the "newc" format, as the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst describes it.

use anyhow::{Context, Result};
use std::io::Write;
use std::path::Path;

/// How every script that is a first process begins.
const BEGIN: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
";

const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive that grows.
#[derive(Debug, Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    inode: u32,
}

impl Initramfs {
    /// An archive with the directories and devices that an `/init` counts on.
    pub fn new() -> Self {
        let mut archive = Self::default();
        for directory in ["bin", "dev", "etc", "lib", "proc", "root", "sys", "tmp"] {
            archive.directory(directory);
        }
        archive.device("dev/console", 5, 1);
        archive.device("dev/null", 1, 3);
        archive
    }

    /// An archive with busybox and its commands, and as `/init` a shell script that ends with `script`:
    /// before it commands are put into `/bin`, and `/proc`, `/sys` and `/dev` are mounted.
    ///
    /// # Errors
    /// When busybox cannot be read.
    pub fn with_busybox(busybox: &Path, script: &str) -> Result<Self> {
        const COMMANDS: [&str; 8] = [
            "sh", "ash", "cat", "echo", "ls", "mount", "poweroff", "true",
        ];
        let mut archive = Self::new();
        let program =
            std::fs::read(busybox).with_context(|| format!("reading {}", busybox.display()))?;
        archive.file("bin/busybox", 0o755, &program);
        for command in COMMANDS {
            archive.link(&format!("bin/{command}"), "busybox");
        }
        archive.file("init", 0o755, format!("{BEGIN}{script}").as_bytes());
        Ok(archive)
    }

    /// Adds a directory.
    pub fn directory(&mut self, name: &str) {
        self.entry(name, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// Adds a file.
    pub fn file(&mut self, name: &str, permissions: u32, data: &[u8]) {
        self.entry(name, REGULAR | permissions, (0, 0), data);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, name: &str, target: &str) {
        self.entry(name, SYMLINK | 0o777, (0, 0), target.as_bytes());
    }

    /// Adds a character device.
    pub fn device(&mut self, name: &str, major: u32, minor: u32) {
        self.entry(name, CHARACTER_DEVICE | 0o600, (major, minor), &[]);
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), data: &[u8]) {
        self.inode += 1;
        let links = 1;
        let fields = [
            self.inode,
            mode,
            0,
            0,
            links,
            0,
            data.len() as u32,
            0,
            0,
            device.0,
            device.1,
            name.len() as u32 + 1,
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            // Writing to a Vec cannot fail.
            let _ = write!(self.bytes, "{field:08X}");
        }
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_begins_with_commands_and_file_systems() {
        let archive = Initramfs::with_busybox(Path::new("/dev/null"), "exit\n").unwrap();
        let text = String::from_utf8(archive.finish()).unwrap();
        assert!(text.contains(&format!("init\0\0{BEGIN}exit\n")), "{text}");
    }

    #[test]
    fn entries_are_laid_out_as_newc() {
        let mut archive = Initramfs::default();
        archive.file("a", 0o644, b"12345");
        let bytes = archive.finish();
        let fields = [1, 0o100_644, 0, 0, 1, 0, 5, 0, 0, 0, 0, 2, 0u32];
        let fields: String = fields.iter().map(|field| format!("{field:08X}")).collect();
        let header = format!("070701{fields}a\0");
        assert_eq!(bytes[..112], *header.as_bytes());
        assert_eq!(&bytes[112..120], b"12345\0\0\0");
        assert!(bytes[120..].starts_with(b"070701"));
        assert_eq!(bytes.len() % 4, 0);
    }
}
