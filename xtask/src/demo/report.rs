//! What the demonstration measured. Its JSON is an interface: other programs read it.

use super::{BOOTED, WORKED};
use anyhow::Result;
use patchvisor::qemu::Outcome;
use patchvisor::stats::Kind;
use serde::Serialize;
use std::collections::BTreeMap;

/// All runs of one demonstration, on one machine.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The kernel's release, or its file name if it is not Debian's.
    pub kernel: String,
    /// The host's processor.
    pub cpu: String,
    /// In the order in which they ran.
    pub runs: Vec<Run>,
}

/// One run. What a native run or a foreign initrd cannot tell is `null`.
#[derive(Debug, Serialize)]
pub struct Run {
    /// `native`, `trap`, `break-frame` or `break`.
    pub mode: String,
    /// From the start of QEMU to the guest's first process, in seconds.
    pub boot_s: Option<f64>,
    /// From there to the end of its work, in seconds.
    pub work_s: Option<f64>,
    /// Privileged instructions that the guest executed.
    pub privileged: Option<u64>,
    /// The share of them that a patch served, from 0 to 1.
    pub patched_share: Option<f64>,
    /// Sites patched.
    pub sites: Option<u64>,
    /// Routines made.
    pub routines: Option<u64>,
    /// The same by kind of instruction.
    pub by_kind: BTreeMap<String, Kind>,
}

impl Report {
    /// A report with no runs.
    pub fn new(kernel: &str, cpu: &str) -> Self {
        Self {
            kernel: kernel.into(),
            cpu: cpu.into(),
            runs: Vec::new(),
        }
    }

    /// Adds a run.
    pub fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// The run in a mode.
    pub fn run(&self, mode: &str) -> Option<&Run> {
        self.runs.iter().find(|run| run.mode == mode)
    }
}

impl Run {
    /// Reads the times and, but for a native run, the monitor's statistics.
    ///
    /// # Errors
    /// When the monitor printed no statistics.
    pub fn new(mode: &str, outcome: &Outcome) -> Result<Self> {
        let booted = outcome.marker(BOOTED);
        let worked = outcome.marker(WORKED);
        let mut run = Self {
            mode: mode.into(),
            boot_s: booted.map(|time| rounded(time.as_secs_f64())),
            work_s: booted
                .zip(worked)
                .map(|(from, to)| rounded(to.saturating_sub(from).as_secs_f64())),
            privileged: None,
            patched_share: None,
            sites: None,
            routines: None,
            by_kind: BTreeMap::new(),
        };
        if mode != "native" {
            let stats = outcome.stats()?;
            run.privileged = Some(stats.privileged);
            run.patched_share = Some(stats.patched_share());
            run.sites = Some(stats.sites);
            run.routines = Some(stats.routines);
            run.by_kind = stats.by_kind;
        }
        Ok(run)
    }
}

/// To milliseconds: more digits would claim what one run cannot tell.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
