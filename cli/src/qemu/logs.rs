//! A prefixed console in files: one for each VM, and one for the monitor and the firmware.

use super::prefixed::{Said, Splitter};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the file for lines that are no VM's, without `.log`.
const MONITOR: &str = "monitor";

/// The files. What was said is in them as soon as it came.
#[derive(Debug)]
pub struct Logs {
    splitter: Splitter,
    /// In the order of the VMs, then the monitor's.
    files: Vec<(PathBuf, File)>,
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
            failure: None,
        })
    }

    /// Takes what the console said next.
    pub fn push(&mut self, bytes: &[u8]) {
        let (files, failure) = (&mut self.files, &mut self.failure);
        // Files have no use for times.
        let write = |said: Said| write(files, failure, said);
        self.splitter.push(bytes, Duration::ZERO, write);
    }

    /// Ends all lines; returns what went wrong, if anything did.
    pub fn finish(mut self) -> Option<String> {
        let (files, failure) = (&mut self.files, &mut self.failure);
        let write = |said: Said| write(files, failure, said);
        self.splitter.finish(write);
        self.failure
    }
}

fn write(files: &mut [(PathBuf, File)], failure: &mut Option<String>, said: Said) {
    if failure.is_some() {
        return;
    }
    let monitor = files.len() - 1;
    let (path, file) = &mut files[said.vm.unwrap_or(monitor)];
    if let Err(error) = file.write_all(said.text) {
        *failure = Some(format!("writing {}: {error}", path.display()));
    }
}
