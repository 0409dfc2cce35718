//! How many instructions the monitor may spend on each kind of privileged instruction that a patch
//! serves. Instructions do not vary from run to run, so more of them than here is a step back; who
//! finds a shorter way lowers the figure.

use super::run::{Clock, Way, program_results, run};
use anyhow::{Result, bail};
use patchvisor::guest::Guest;
use std::path::Path;

/// The guest that measures, `guests/src/bin/bench_csr.rs`.
pub const PROGRAM: &str = "bench_csr";

/// From the break to the return: instructions of the machine less the guest's own one.
const MOST: &[(&str, u64)] = &[
    ("csrr-sstatus", 24),
    ("csrci-sstatus", 25),
    ("csrsi-sstatus", 27),
    ("csrrci-sstatus", 26),
    ("csrs-sstatus-sum", 36),
    ("csrc-sstatus-sum", 35),
    ("csrw-sstatus", 35),
    ("csrrw-sscratch", 26),
    ("csrr-sscratch", 24),
    ("csrw-sepc", 26),
    ("csrr-sepc", 24),
    ("csrr-scause", 24),
    ("csrr-stval", 24),
    ("csrr-sip", 24),
    ("csrs-sie", 32),
    ("csrc-sie", 31),
    ("csrw-stvec", 27),
    ("csrr-satp", 24),
];

/// Counts the instructions of the patches that the monitor makes and compares them with [`MOST`].
/// It takes seconds.
///
/// # Errors
/// Names each kind that takes more than it may, or was not measured.
pub fn check(monitor: &Path, program: &Path) -> Result<()> {
    let mut guest = Guest::new(program);
    guest.vm.memory = super::PROGRAM_MEMORY;
    guest.vm.statistics = false;
    let outcome = run(monitor, &guest, Way::Break, Clock::Instructions)?;
    let (_, measured) = program_results(&outcome);
    let mut complaints = Vec::new();
    for (name, most) in MOST {
        match measured.get(*name) {
            // A timer's tick may fall between; it is not a tenth of an instruction each.
            Some(count) if count - 1.0 <= *most as f64 + 0.5 => {}
            Some(count) => complaints.push(format!("{name}: {:.1}, not {most}", count - 1.0)),
            None => complaints.push(format!("{name} was not measured")),
        }
    }
    if !complaints.is_empty() {
        bail!(
            "instructions of the monitor for one emulation, more than they were (xtask/src/bench/counts.rs):\n{}",
            complaints.join("\n")
        );
    }
    Ok(())
}
