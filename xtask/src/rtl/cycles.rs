//! `cargo xtask bench --rtl`: cycles of privileged instructions, system calls and faults on each core, natively and in
//! each of the monitor's modes.

use super::simulator::{Job, Simulator};
use super::trace::Followed;
use super::{Core, trace};
use crate::demo::table::align;
use crate::progress::{say, seconds};
use crate::{build, setup};
use anyhow::{Context, Result, bail, ensure};
use patchvisor::Mode;
use patchvisor::guest::Guest;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The guest that measures.
const PROGRAM: &str = "bench_cycles";
const MEMORY: u64 = 128 << 20;
/// What the guest needs, so that a boot does not take longer than the measurement.
const SHADOW_POOL: u64 = 512 << 10;
const VALUES: u32 = 4096;
/// A run that takes longer has gone wrong.
const LIMIT: u64 = 100_000_000;
/// The monitor's modes; `None` is native.
const MODES: [Option<Mode>; 4] = [
    None,
    Some(Mode::Trap),
    Some(Mode::BreakFrame),
    Some(Mode::Break),
];

/// Options of the measurement.
#[derive(Clone, Debug, clap::Args)]
pub struct Choice {
    /// Measure cycles, on Rocket and CVA6 simulated from their RTL, instead
    #[arg(long, conflicts_with_all = ["io", "check", "quick"])]
    pub rtl: bool,
    /// One of the two cores alone
    #[arg(long, value_name = "CORE", requires = "rtl")]
    core: Option<Core>,
    /// Measure in these modes alone (native, trap, break-frame, break); trap takes the longest
    #[arg(long, value_name = "MODES", value_delimiter = ',', requires = "rtl")]
    modes: Vec<String>,
    /// Write what happens in one passage of a patch and in one system call, instruction by instruction, into this
    /// directory
    #[arg(long, value_name = "DIRECTORY", requires = "rtl")]
    trace: Option<PathBuf>,
}

/// What was measured of one thing.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    name: String,
    core: Core,
    mode: &'static str,
    /// Of one execution.
    cycles: f64,
    instructions: f64,
}

/// All of it.
#[derive(Debug, Serialize)]
struct Report {
    /// Cycles from a request on the bus to its answer.
    latency: u32,
    rows: Vec<Row>,
}

/// Measures and reports; as JSON if it is for machines.
///
/// # Errors
/// When something cannot be built, or a run does not come to its end.
pub fn measure(options: &Choice, json: bool, filter: Option<&str>) -> Result<()> {
    let began = Instant::now();
    let modes = modes(&options.modes)?;
    setup::ensure()?;
    setup::ensure_for_cores()?;
    let monitor = build::monitor()?;
    let directory = tempfile::tempdir()?;
    let image = directory.path().join(PROGRAM);
    build::image(&guest()?, &image)?;
    if let Some(directory) = &options.trace {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("creating {}", directory.display()))?;
    }
    let mut report = Report {
        latency: 10,
        rows: Vec::new(),
    };
    let chosen = |core: &Core| options.core.is_none_or(|only| only == *core);
    for core in Core::ALL.into_iter().filter(chosen) {
        let mut simulator = Simulator::start(core)?;
        for &mode in &modes {
            let run = Run {
                core,
                mode,
                monitor: &monitor,
                guest: &image,
                directory: directory.path(),
            };
            report.rows.extend(run.measure(&mut simulator)?);
            if let Some(directory) = &options.trace {
                run.write_traces(directory)?;
            }
        }
    }
    if let Some(part) = filter {
        report.rows.retain(|row| row.name.contains(part));
        ensure!(
            !report.rows.is_empty(),
            "nothing that is measured has {part:?} in its name"
        );
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", table(&report));
    }
    say(&format!("measured in {}", seconds(began.elapsed())));
    Ok(())
}

/// The modes of these names; all if none is named.
fn modes(names: &[String]) -> Result<Vec<Option<Mode>>> {
    let known = MODES.map(|mode| mode.map_or("native", Mode::name));
    for name in names {
        ensure!(
            known.contains(&name.as_str()),
            "there is no mode {name:?}: name some of {}",
            known.join(", ")
        );
    }
    let chosen = known.iter().zip(MODES);
    let chosen =
        chosen.filter(|(known, _)| names.is_empty() || names.iter().any(|name| name == *known));
    Ok(chosen.map(|(_, mode)| mode).collect())
}

fn guest() -> Result<PathBuf> {
    let guests = build::guests()?;
    let found = guests
        .into_iter()
        .find(|path| path.file_name().is_some_and(|file| file == PROGRAM));
    found.with_context(|| format!("the build made no guest {PROGRAM}"))
}

/// One way to run the guest on one core.
struct Run<'a> {
    core: Core,
    mode: Option<Mode>,
    monitor: &'a Path,
    guest: &'a Path,
    directory: &'a Path,
}

impl Run<'_> {
    fn name(&self) -> &'static str {
        self.mode.map_or("native", Mode::name)
    }

    fn measure(&self, simulator: &mut Simulator) -> Result<Vec<Row>> {
        let lines = self.start(simulator)?;
        let row = |(name, cycles, instructions)| Row {
            name,
            core: self.core,
            mode: self.name(),
            cycles,
            instructions,
        };
        let rows: Vec<_> = results(&lines).into_iter().map(row).collect();
        let last = format!("guest: {PROGRAM} done");
        if !lines.contains(&last) || rows.is_empty() {
            bail!(
                "{PROGRAM} did not come to its end in mode {}:\n{}",
                self.name(),
                lines.join("\n")
            );
        }
        Ok(rows)
    }

    fn start(&self, simulator: &mut Simulator) -> Result<Vec<String>> {
        let bundle = self.directory.join("bundle");
        let mut job = Job {
            name: self.name(),
            image: self.guest,
            bundle: None,
            cycles: LIMIT,
            traces: trace::FOLLOWED
                .iter()
                .map(|followed| followed.request(&self.raw(followed)))
                .collect(),
        };
        if let Some(mode) = self.mode {
            let mut guest = Guest::new(self.guest);
            guest.vm.mode = mode;
            guest.vm.memory = MEMORY;
            guest.vm.shadow_pool = SHADOW_POOL;
            guest.vm.values = VALUES;
            guest.vm.statistics = false;
            std::fs::write(&bundle, guest.pack()?).context("writing the bundle")?;
            (job.image, job.bundle) = (self.monitor, Some(bundle.as_path()));
        }
        simulator.run(&job)
    }

    /// The simulator's trace of the run.
    fn raw(&self, followed: &Followed) -> PathBuf {
        self.directory.join(followed.name)
    }

    /// Writes the traces of the last run.
    fn write_traces(&self, directory: &Path) -> Result<()> {
        let symbols = self.mode.map(|_| trace::Symbols::read()).transpose()?;
        for followed in &trace::FOLLOWED {
            let text = std::fs::read_to_string(self.raw(followed))?;
            let rendered = trace::render(&text, symbols.as_ref())
                .with_context(|| format!("following {} in mode {}", followed.name, self.name()))?;
            let file = format!("{}-{}-{}.txt", self.core.name(), self.name(), followed.name);
            std::fs::write(directory.join(file), rendered)?;
        }
        Ok(())
    }
}

/// Reads the guest's lines `bench NAME iterations N time C cycles I instructions`: the name, and cycles and
/// instructions of one execution.
fn results(lines: &[String]) -> Vec<(String, f64, f64)> {
    let read = |line: &String| {
        let words: Vec<_> = line.split(' ').collect();
        let [
            "bench",
            name,
            "iterations",
            count,
            "time",
            cycles,
            "cycles",
            instructions,
            "instructions",
        ] = words[..]
        else {
            return None;
        };
        let number = |text: &str| text.parse::<f64>().ok();
        let count = number(count).filter(|count| *count > 0.0)?;
        let each = |text| Some(number(text)? / count);
        Some((name.to_owned(), each(cycles)?, each(instructions)?))
    };
    lines.iter().filter_map(read).collect()
}

/// The report for people: a row for each thing and a column for each core and mode.
fn table(report: &Report) -> String {
    let mut names: Vec<&str> = Vec::new();
    let mut columns: Vec<(Core, &str)> = Vec::new();
    let mut cycles = BTreeMap::new();
    for row in &report.rows {
        if !names.contains(&&*row.name) {
            names.push(&row.name);
        }
        if !columns.contains(&(row.core, row.mode)) {
            columns.push((row.core, row.mode));
        }
        cycles.insert((&*row.name, row.core.name(), row.mode), row.cycles);
    }
    let heads = columns
        .iter()
        .map(|(core, mode)| format!("{} {mode}", core.name()));
    let mut rows: Vec<Vec<String>> =
        vec![std::iter::once("cycles".to_owned()).chain(heads).collect()];
    for name in names {
        let cells = columns.iter().map(|(core, mode)| {
            let found = cycles.get(&(name, core.name(), *mode));
            found.map_or("-".to_owned(), |cycles| format!("{cycles:.1}"))
        });
        rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    }
    align(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_of_one_execution() {
        let lines = [
            "guest: bench_cycles",
            "bench csrci-sstatus iterations 40 time 414 cycles 50 instructions",
            "bench wrong iterations 0 time 414 cycles 50 instructions",
            "bench old iterations 40 time 414",
        ]
        .map(str::to_owned);
        let expected = vec![("csrci-sstatus".to_owned(), 10.35, 1.25)];
        assert_eq!(results(&lines), expected);
    }

    #[test]
    fn modes_are_chosen_by_name() {
        let chosen = modes(&["break".to_owned(), "native".to_owned()]).unwrap();
        assert_eq!(chosen, [None, Some(Mode::Break)]);
        assert_eq!(modes(&[]).unwrap(), MODES);
        assert!(modes(&["fast".to_owned()]).is_err());
    }

    #[test]
    fn the_table_has_a_column_for_each_core_and_mode() {
        let row = |name: &str, core, mode, cycles| Row {
            name: name.to_owned(),
            core,
            mode,
            cycles,
            instructions: 1.0,
        };
        let report = Report {
            latency: 10,
            rows: vec![
                row("a", Core::Rocket, "native", 5.5),
                row("b", Core::Rocket, "native", 17.0),
                row("a", Core::Cva6, "break", 63.75),
            ],
        };
        let text = table(&report);
        let words: Vec<Vec<_>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(words[0], ["cycles", "rocket", "native", "cva6", "break"]);
        assert_eq!(words[1], ["a", "5.5", "63.8"]);
        assert_eq!(words[2], ["b", "17.0", "-"]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["rows"][2]["core"], "cva6");
        assert_eq!(json["rows"][2]["cycles"], 63.75);
    }
}
