//! A prefixed console in files: one for each VM, and one for the monitor and the firmware.

use super::console::without_return;
use super::prefixed::{Entry, Splitter};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the file for lines that are no VM's, without `.log`.
const MONITOR: &str = "monitor";

/// The files, written line by line.
#[derive(Debug)]
pub struct Logs {
    splitter: Splitter,
    /// In the order of the VMs, then the monitor's.
    files: Vec<(PathBuf, File)>,
    /// A line that has no end yet.
    line: Vec<u8>,
    /// The first failure, after which nothing more is written.
    failure: Option<String>,
}

impl Logs {
    /// Makes the directory, and the files anew.
    ///
    /// # Errors
    /// When a file cannot be made, or a VM's would be the monitor's.
    pub fn create(directory: &Path, vms: &[String]) -> Result<Self> {
        if vms.iter().any(|vm| vm == MONITOR) {
            bail!("a VM called \"{MONITOR}\" would have the monitor's log: rename it");
        }
        std::fs::create_dir_all(directory)
            .with_context(|| format!("making the directory {}", directory.display()))?;
        let create = |name: &str| {
            let path = directory.join(format!("{name}.log"));
            let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
            Ok((path, file))
        };
        let names = vms.iter().map(String::as_str).chain([MONITOR]);
        Ok(Self {
            splitter: Splitter::new(vms),
            files: names.map(create).collect::<Result<_>>()?,
            line: Vec::new(),
            failure: None,
        })
    }

    /// Takes what the console said next.
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(end) => {
                    self.line.extend(end);
                    self.end_line();
                }
                None => self.line.extend(piece),
            }
        }
    }

    /// Writes what has no end; returns what went wrong, if anything did.
    pub fn finish(mut self) -> Option<String> {
        if !self.line.is_empty() {
            self.end_line();
        }
        let nothing = Splitter::new(&[]);
        for entry in std::mem::replace(&mut self.splitter, nothing).finish() {
            self.write(entry);
        }
        self.failure
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        // Files have no use for times.
        if let Some(entry) = self.splitter.take(without_return(&line), Duration::ZERO) {
            self.write(entry);
        }
    }

    fn write(&mut self, mut entry: Entry) {
        if self.failure.is_some() {
            return;
        }
        entry.text.push(b'\n');
        let monitor = self.files.len() - 1;
        let (path, file) = &mut self.files[entry.vm.unwrap_or(monitor)];
        if let Err(error) = file.write_all(&entry.text) {
            self.failure = Some(format!("writing {}: {error}", path.display()));
        }
    }
}
