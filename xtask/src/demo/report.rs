//! What the demonstration measured. Its JSON is an interface: other programs read it.

use super::{BOOTED, WORKED};
use anyhow::Result;
use patchvisor::Vm;
use patchvisor::qemu::{Outcome, marker};
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
    /// How many harts the monitor's host has.
    #[serde(skip)]
    pub harts: u32,
    /// In the order in which they ran.
    pub runs: Vec<Run>,
}

/// One guest in one run. What a native run or a foreign initrd cannot tell is `null`.
#[derive(Debug, Serialize)]
pub struct Run {
    /// `native`, `trap`, `break-frame` or `break`.
    pub mode: String,
    /// The guest's name.
    pub vm: String,
    /// How many virtual harts it has; natively, how many harts the machine has.
    pub vcpus: u32,
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
    pub fn new(kernel: &str, cpu: &str, harts: u32) -> Self {
        Self {
            kernel: kernel.into(),
            cpu: cpu.into(),
            harts,
            runs: Vec::new(),
        }
    }

    /// Adds a run.
    pub fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// The names of the guests that ran under the monitor, or the one that ran natively only.
    pub fn vms(&self) -> Vec<&str> {
        let mut vms = Vec::new();
        for run in self.runs.iter().filter(|run| !run.is_native()) {
            if !vms.contains(&run.vm.as_str()) {
                vms.push(&run.vm);
            }
        }
        if vms.is_empty() {
            vms.extend(self.runs.iter().map(|run| run.vm.as_str()));
        }
        vms
    }

    /// The runs of one guest, with the native run that all are compared with.
    pub fn runs_of(&self, vm: &str) -> Vec<&Run> {
        let runs = self.runs.iter();
        runs.filter(|run| run.is_native() || run.vm == vm).collect()
    }
}

impl Run {
    /// Reads a guest's times and, but for a native run, the monitor's statistics.
    ///
    /// # Errors
    /// When the monitor printed no statistics.
    pub fn new(mode: &str, vm: &Vm, outcome: &Outcome) -> Result<Self> {
        let lines = outcome.lines_of(&vm.name);
        let booted = marker(lines, BOOTED);
        let worked = marker(lines, WORKED);
        let mut run = Self {
            mode: mode.into(),
            vm: vm.name.clone(),
            vcpus: vm.vcpus,
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
        if !run.is_native() {
            let stats = outcome.stats_of(&vm.name)?;
            run.privileged = Some(stats.privileged);
            run.patched_share = Some(stats.patched_share());
            run.sites = Some(stats.sites);
            run.routines = Some(stats.routines);
            run.by_kind = stats.by_kind;
        }
        Ok(run)
    }

    /// Whether there was no monitor.
    pub fn is_native(&self) -> bool {
        self.mode == "native"
    }
}

/// To milliseconds: more digits would claim what one run cannot tell.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
