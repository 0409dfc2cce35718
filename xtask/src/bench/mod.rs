//! `cargo xtask bench`: what a privileged instruction costs, and what that makes of a kernel's work.
//!
//! Everything runs natively, by trap-and-emulate, by trap-and-emulate with illegal instructions
//! delegated straight to the monitor (so that the detour through firmware stands apart from what a
//! patch gains), by break patches with a trap frame, and by break patches. Each way runs twice: for
//! the time, and under QEMU's `-icount` for the number of instructions.

pub mod counts;
mod echo;
pub mod gdb;
mod io;
mod linux;
mod log;
mod report;
mod run;
mod table;
mod targets;

use crate::progress::{say, seconds};
use crate::{build, rtl, setup};
use anyhow::{Context, Result, bail};
use patchvisor::guest::Guest;
use patchvisor::qemu::Outcome;
use patchvisor::stats::Stats;
use report::{Column, Report};
use run::{Clock, Measured, Way, run};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Memory of the small guests that measure.
const PROGRAM_MEMORY: u64 = 128 << 20;
/// Batches of a measurement in Linux, of which the shortest counts: as many as the program finds
/// sensible, or fewer. Where instructions are counted few will do; the kernel's own work right after
/// the boot disturbs the first ones.
const MANY_BATCHES: u32 = 1000;
const FEW_BATCHES: u32 = 20;
/// The small guest that measures what one hart asks of another. Nothing is pinned of it: how many
/// instructions that takes depends on who runs when.
const SMP_PROGRAM: &str = "bench_smp";
/// What tells the small guests that instructions are counted; with several harts it makes a difference.
const COUNTED: &str = "counted=1";
/// How many harts the guests have in which several work.
const SMP_HARTS: u32 = 2;
/// The ways to run them. Which exceptions are delegated is changed on one hart only.
const SMP_WAYS: [Way; 3] = [Way::Native, Way::Trap, Way::Break];
/// A word that no measurement's name contains.
const NOTHING: &str = "nothing";
/// How often the time is measured; the shortest counts.
const ROUNDS: u32 = 3;

/// Options of the measurements.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Print the rows for machines, alone on standard output
    #[arg(long)]
    json: bool,
    /// Measure times once, in fewer repetitions
    #[arg(long)]
    quick: bool,
    /// Measure only that whose name contains this
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Measure disks and networks too, which takes minutes; so does a filter that begins with io-
    #[arg(long)]
    io: bool,
    /// Fail if a target is missed
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    rtl: rtl::Choice,
}

impl Options {
    fn measures_io(&self) -> bool {
        let named = |name: &String| name.starts_with("io-");
        self.io || self.filter.as_ref().is_some_and(named)
    }
}

const EXAMPLES: &str = "\
Ratios are of times: vs_trap 0.1 is a tenth of the time by trap.

Examples:
  cargo xtask bench
  cargo xtask bench --quick --check
  cargo xtask bench --filter sstatus
  cargo xtask bench --filter io-disk-read
  cargo xtask bench --rtl
  cargo xtask bench --rtl --core rocket --trace traces
  cargo xtask bench --filter linux --json | jq '.rows[] | select(.mode == \"break\")'";

/// Measures and reports.
///
/// # Errors
/// When something cannot be built, a guest does not reach its end, nothing has the chosen name, or a
/// target is missed and that was to be an error.
pub fn bench(options: &Options) -> Result<()> {
    if options.rtl.rtl {
        return rtl::measure(&options.rtl, options.json, options.filter.as_deref());
    }
    let began = Instant::now();
    setup::ensure()?;
    let monitor = build::monitor()?;
    let guests = build::guests()?;
    let mut report = Report::default();
    let path = |name: &str| {
        let found = guests
            .iter()
            .find(|path| path.file_name().is_some_and(|file| file == name));
        found.with_context(|| format!("the build made no guest {name}"))
    };
    for name in counts::programs() {
        program(options, &monitor, path(name)?, &Way::ALL, 1, &mut report)?;
    }
    let smp = path(SMP_PROGRAM)?;
    program(options, &monitor, smp, &SMP_WAYS, SMP_HARTS, &mut report)?;
    let directory = tempfile::tempdir()?;
    let guest = linux::guest(&directory.path().join("initrd.img"))?;
    // What the firmware's detour costs has been shown.
    let ways = [Way::Native, Way::Trap, Way::BreakFrame, Way::Break];
    linux(options, &monitor, &guest, &ways, &mut report)?;
    let mut parallel = guest.clone();
    parallel.vm.vcpus = SMP_HARTS;
    linux(options, &monitor, &parallel, &SMP_WAYS, &mut report)?;
    if options.measures_io() {
        io::measure(options, &monitor, &mut report)?;
    }
    report.find_speed_ups();
    let all = options.filter.is_none();
    let served = if all && (!options.json || options.check) {
        served(&monitor, &guest)?
    } else {
        Vec::new()
    };
    if report.rows.is_empty() {
        let filter = options.filter.as_deref().unwrap_or_default();
        bail!("nothing that is measured has {filter:?} in its name");
    }

    let targets = targets::targets(&report, &served);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", table::render(&report, &served, &targets));
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

    fn rounds(&self) -> u32 {
        if self.quick { 1 } else { ROUNDS }
    }
}

/// A small guest in some ways.
fn program(
    options: &Options,
    monitor: &Path,
    path: &PathBuf,
    ways: &[Way],
    harts: u32,
    report: &mut Report,
) -> Result<()> {
    let mut guest = Guest::new(path);
    guest.vm.vcpus = harts;
    guest.vm.memory = PROGRAM_MEMORY;
    measure(options, ways, report, |way, clock| {
        let mut guest = guest.clone();
        if clock == Clock::Instructions && harts > 1 {
            guest.vm.append = COUNTED.to_owned();
            let (outcome, measured) = run::count(monitor, &guest, way)?;
            announce(&guest.vm.name, way, clock, outcome.elapsed);
            return Ok((measured.keys().cloned().collect(), measured));
        }
        let outcome = announced(monitor, &guest, way, clock)?;
        Ok(run::program_results(&outcome))
    })
}

/// Debian's kernel in some ways.
fn linux(
    options: &Options,
    monitor: &Path,
    guest: &Guest,
    ways: &[Way],
    report: &mut Report,
) -> Result<()> {
    measure(options, ways, report, |way, clock| {
        if clock == Clock::Instructions && guest.vm.vcpus > 1 {
            // Harts that take long turns on one thread say nothing of work that is shared.
            return Ok(Default::default());
        }
        let batches = match clock {
            Clock::Time if !options.quick => MANY_BATCHES,
            _ => FEW_BATCHES,
        };
        let mut guest = guest.clone();
        guest.vm.append = linux::arguments(batches, options.filter.as_deref());
        run::linux_results(&announced(monitor, &guest, way, clock)?)
    })
}

/// What patches served of the kernel's boot, and of boot and benchmarks together. Counting costs
/// instructions in each routine, so these runs are not those that are measured.
fn served(monitor: &Path, guest: &Guest) -> Result<Vec<(String, Stats)>> {
    let parts = [
        ("Debian's boot", Some(NOTHING)),
        ("boot and benchmarks", None),
    ];
    let mut served = Vec::new();
    for (what, filter) in parts {
        let mut guest = guest.clone();
        guest.vm.statistics = true;
        guest.vm.append = linux::arguments(FEW_BATCHES, filter);
        let outcome = announced(monitor, &guest, Way::Break, Clock::Time)?;
        served.push((what.to_owned(), outcome.stats()?));
    }
    Ok(served)
}

/// Runs a guest in each of the ways, as often as it takes, and adds what was measured. The first run
/// tells whether the guest measures anything that was chosen.
fn measure(
    options: &Options,
    ways: &[Way],
    report: &mut Report,
    run: impl Fn(Way, Clock) -> Result<(Vec<String>, Measured)>,
) -> Result<()> {
    let chosen = |way, clock| -> Result<(Vec<String>, Measured)> {
        let (mut order, mut measured) = run(way, clock)?;
        order.retain(|name| options.chooses(name));
        measured.retain(|name, _| options.chooses(name));
        Ok((order, measured))
    };
    let mut names = Vec::new();
    let mut columns: Vec<_> = ways.iter().map(|way| Column::of(*way)).collect();
    for _ in 0..options.rounds() {
        for column in &mut columns {
            let (order, times) = chosen(column.way, Clock::Time)?;
            names = order;
            if names.is_empty() {
                return Ok(());
            }
            column.add_times(times);
        }
    }
    for column in &mut columns {
        let (order, instructions) = chosen(column.way, Clock::Instructions)?;
        // Some things have no time.
        let new = order.into_iter().filter(|name| !names.contains(name));
        let new: Vec<_> = new.collect();
        names.extend(new);
        column.instructions = instructions;
    }
    report.add(&names, &columns);
    Ok(())
}

/// Runs a guest and says so.
fn announced(monitor: &Path, guest: &Guest, way: Way, clock: Clock) -> Result<Outcome> {
    let outcome = run(monitor, guest, way, clock)?;
    announce(&guest.vm.name, way, clock, outcome.elapsed);
    Ok(outcome)
}

fn announce(guest: &str, way: Way, clock: Clock, elapsed: Duration) {
    let what = match clock {
        Clock::Time => "timed",
        Clock::Instructions => "counted",
    };
    say(&format!(
        "{guest} {what} in mode {}: done in {}",
        way.name(),
        seconds(elapsed)
    ));
}
