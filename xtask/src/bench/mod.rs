//! `cargo xtask bench`: what a privileged instruction costs, and what that makes of a kernel's work.
//!
//! Everything runs natively, by trap-and-emulate, by trap-and-emulate with illegal instructions
//! delegated straight to the monitor (so that the detour through firmware stands apart from what a
//! patch gains), by break patches with a trap frame, and by break patches. Each way runs twice: for
//! the time, and under QEMU's `-icount` for the number of instructions.

pub mod counts;
mod gdb;
mod linux;
mod report;
mod run;
mod table;
mod targets;

use crate::progress::{say, seconds};
use crate::{build, setup};
use anyhow::{Context, Result, bail};
use patchvisor::guest::Guest;
use patchvisor::qemu::Outcome;
use report::{Column, Report};
use run::{Clock, Measured, Way, run};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The small guests that measure.
const PROGRAMS: [&str; 3] = ["bench_csr", "bench_traps", "bench_paging"];
const PROGRAM_MEMORY: u64 = 128 << 20;
/// Batches of a measurement in Linux: as many as the program finds sensible, and where instructions
/// are counted, one after the first, for they do not vary.
const MANY_BATCHES: u32 = 1000;
const QUICK_BATCHES: u32 = 20;
const COUNTED_BATCHES: u32 = 1;

/// Options of the measurements.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Print the rows for machines, alone on standard output
    #[arg(long)]
    json: bool,
    /// Leave out what takes long: fewer repetitions, and in Linux no counts but native and break
    #[arg(long)]
    quick: bool,
    /// Measure only that whose name contains this
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Fail if a target is missed
    #[arg(long)]
    check: bool,
}

const EXAMPLES: &str = "\
Ratios are of times: vs_trap 0.1 is a tenth of the time by trap.

Examples:
  cargo xtask bench
  cargo xtask bench --quick --check
  cargo xtask bench --filter sstatus
  cargo xtask bench --filter linux --json | jq '.rows[] | select(.mode == \"break\")'";

/// Measures and reports.
///
/// # Errors
/// When something cannot be built, a guest does not reach its end, nothing has the chosen name, or a
/// target is missed and that was to be an error.
pub fn bench(options: &Options) -> Result<()> {
    let began = Instant::now();
    setup::ensure()?;
    let monitor = build::monitor()?;
    let guests = build::guests()?;
    let mut report = Report::default();
    let mut shares = Vec::new();
    for name in PROGRAMS {
        let path = guests
            .iter()
            .find(|path| path.file_name().is_some_and(|file| file == name))
            .with_context(|| format!("the build made no guest {name}"))?;
        program(options, &monitor, path, &mut report)?;
    }
    let directory = tempfile::tempdir()?;
    let guest = linux::guest(&directory.path().join("initrd.img"))?;
    linux(options, &monitor, guest, &mut report, &mut shares)?;
    if report.rows.is_empty() {
        let filter = options.filter.as_deref().unwrap_or_default();
        bail!("nothing that is measured has {filter:?} in its name");
    }

    let targets = targets::targets(&report, &shares);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", table::render(&report, &targets));
    }
    say(&format!("measured in {}", seconds(began.elapsed())));
    let missed: Vec<_> = targets.iter().filter(|target| !target.met).collect();
    if options.check && !missed.is_empty() {
        let lines: Vec<_> = missed
            .iter()
            .map(|missed| missed.cells().join("  "))
            .collect();
        bail!("targets missed:\n{}", lines.join("\n"));
    }
    Ok(())
}

impl Options {
    fn chooses(&self, name: &str) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|part| name.contains(part.as_str()))
    }
}

/// A small guest in all ways.
fn program(options: &Options, monitor: &Path, path: &PathBuf, report: &mut Report) -> Result<()> {
    let mut guest = Guest::new(path);
    guest.vm.memory = PROGRAM_MEMORY;
    guest.vm.statistics = false;
    let mut names = Vec::new();
    let mut columns = Vec::new();
    for way in Way::ALL {
        let measure = |clock| -> Result<(Vec<String>, Measured)> {
            let outcome = announced(monitor, &guest, way, clock)?;
            let (order, mut measured) = run::program_results(&outcome);
            measured.retain(|name, _| options.chooses(name));
            Ok((order, measured))
        };
        let (order, times) = measure(Clock::Time)?;
        if way == Way::Native {
            names = order;
            if times.is_empty() {
                return Ok(());
            }
        }
        let (_, instructions) = measure(Clock::Instructions)?;
        columns.push(Column {
            way: Some(way),
            times,
            instructions,
        });
    }
    report.add(&names, &columns);
    Ok(())
}

/// Debian's kernel in all ways but the delegated one: what the firmware's detour costs has been shown.
fn linux(
    options: &Options,
    monitor: &Path,
    mut guest: Guest,
    report: &mut Report,
    shares: &mut Vec<(String, f64)>,
) -> Result<()> {
    let filter = options.filter.as_deref();
    let batches = if options.quick {
        QUICK_BATCHES
    } else {
        MANY_BATCHES
    };
    let mut names = Vec::new();
    let mut columns = Vec::new();
    for way in Way::ALL {
        if way == Way::TrapDelegated {
            continue;
        }
        guest.vm.append = linux::arguments(batches, filter);
        let outcome = announced(monitor, &guest, way, Clock::Time)?;
        let (order, times) = run::linux_results(&outcome)?;
        if way == Way::Native {
            names = order;
            if times.is_empty() {
                return Ok(());
            }
        }
        let mut instructions = Measured::new();
        if !options.quick || matches!(way, Way::Native | Way::Break) {
            guest.vm.append = linux::arguments(COUNTED_BATCHES, filter);
            let outcome = announced(monitor, &guest, way, Clock::Instructions)?;
            instructions = run::linux_results(&outcome)?.1;
        }
        columns.push(Column {
            way: Some(way),
            times,
            instructions,
        });
    }
    report.add(&names, &columns);
    if filter.is_none() {
        guest.vm.statistics = true;
        for (what, measured) in [
            ("boot of Debian's kernel", "none"),
            ("boot and benchmarks", ""),
        ] {
            guest.vm.append = linux::arguments(COUNTED_BATCHES, Some(measured));
            let outcome = announced(monitor, &guest, Way::Break, Clock::Time)?;
            shares.push((what.to_owned(), outcome.stats()?.patched_share()));
        }
    }
    Ok(())
}

/// Runs a guest and says so.
fn announced(monitor: &Path, guest: &Guest, way: Way, clock: Clock) -> Result<Outcome> {
    let outcome = run(monitor, guest, way, clock)?;
    let what = match clock {
        Clock::Time => "timed",
        Clock::Instructions => "counted",
    };
    say(&format!(
        "{} {what} in mode {}: done in {}",
        guest.vm.name,
        way.name(),
        seconds(outcome.elapsed)
    ));
    Ok(outcome)
}
