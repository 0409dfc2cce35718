//! Runs guests in the ways that are compared, and reads what they measured.

use super::{gdb, log};
use anyhow::{Context, Result, bail};
use patchvisor::Mode;
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::{Machine, Outcome};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Where firmware starts the monitor on QEMU's `virt` machine.
const MONITOR_ENTRY: u64 = 0x8020_0000;
/// How long a guest may take to its end.
pub const LIMIT: Duration = Duration::from_secs(300);

/// A way to run a guest.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Way {
    /// Without the monitor.
    Native,
    /// Privileged instructions trap, firmware hands them to the monitor.
    Trap,
    /// They trap straight to the monitor.
    TrapDelegated,
    /// Break patches that save a full trap frame all the same.
    BreakFrame,
    /// Break patches.
    Break,
}

impl Way {
    /// All of them, the one that others are compared with first.
    pub const ALL: [Self; 5] = [
        Self::Native,
        Self::Trap,
        Self::TrapDelegated,
        Self::BreakFrame,
        Self::Break,
    ];

    /// The way's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::TrapDelegated => "trap-delegated",
            way => way.mode().map_or("native", Mode::name),
        }
    }

    /// How the monitor serves privileged instructions; `None` without it.
    pub fn mode(self) -> Option<Mode> {
        match self {
            Self::Native => None,
            Self::Trap | Self::TrapDelegated => Some(Mode::Trap),
            Self::BreakFrame => Some(Mode::BreakFrame),
            Self::Break => Some(Mode::Break),
        }
    }
}

/// What a machine's clock tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Clock {
    /// The host's time.
    Time,
    /// Instructions: one takes a nanosecond.
    Instructions,
}

/// Runs a guest to its end, on as many harts as it has.
///
/// # Errors
/// When it does not power off by itself.
pub fn run(monitor: &Path, guest: &Guest, way: Way, clock: Clock) -> Result<Outcome> {
    let directory = tempfile::tempdir()?;
    let mut machine = machine(monitor, guest, way, directory.path())?;
    if clock == Clock::Instructions {
        machine = machine.icount(0);
    }
    let outcome = if way == Way::TrapDelegated {
        let socket = directory.path().join("gdb");
        delegated(machine, &socket)
    } else {
        machine.spawn()?.wait(LIMIT)
    };
    let what = || name(guest, way);
    ended(outcome.with_context(what)?).with_context(what)
}

/// Runs a guest with several harts to its end, and counts what it says it counts ([`log`]).
///
/// # Errors
/// When it does not power off by itself, or the count fails.
pub fn count(monitor: &Path, guest: &Guest, way: Way) -> Result<(Outcome, Measured)> {
    let directory = tempfile::tempdir()?;
    let machine = machine(monitor, guest, way, directory.path())?;
    let counted = log::count(machine, &guest.kernel, directory.path(), LIMIT);
    let (outcome, measured) = counted.with_context(|| name(guest, way))?;
    let outcome = ended(outcome).with_context(|| name(guest, way))?;
    Ok((outcome, measured))
}

fn name(guest: &Guest, way: Way) -> String {
    format!("{} in mode {}", guest.kernel.display(), way.name())
}

/// The machine for a way; `directory` is for the files that it needs.
fn machine(monitor: &Path, guest: &Guest, way: Way, directory: &Path) -> Result<Machine> {
    let machine = match way.mode() {
        None => guest.native(),
        Some(mode) => {
            let mut guest = guest.clone();
            guest.vm.mode = mode;
            let bundle = directory.join("bundle");
            std::fs::write(&bundle, guest.pack()?).context("writing the bundle")?;
            guest::machine(monitor, &bundle)?.harts(guest.vm.vcpus)
        }
    }
    .no_reboot()
    // QEMU's own network has a timer that, with -icount, never lets a machine go on that was stopped.
    .args(["-nic", "none"]);
    Ok(machine)
}

/// The outcome, if the machine powered off by itself.
///
/// # Errors
/// When it did not.
pub fn ended(outcome: Outcome) -> Result<Outcome> {
    if let Some(error) = outcome.monitor_error() {
        bail!("the monitor stopped: {error}");
    }
    if !outcome.success() {
        let lines: Vec<_> = outcome
            .lines
            .iter()
            .map(|line| line.text.as_str())
            .collect();
        let last = lines[lines.len().saturating_sub(12)..].join("\n");
        let complaints = outcome.complaints.trim();
        bail!("the machine did not power off {complaints}\n{last}");
    }
    Ok(outcome)
}

/// Runs a machine whose firmware's choice of delegated exceptions is changed behind its back.
fn delegated(machine: Machine, socket: &Path) -> Result<Outcome> {
    let server = format!("unix:{},server=on,wait=off", socket.display());
    let run = machine.args(["-S", "-gdb", &server]).spawn()?;
    gdb::delegate_illegal_instructions(socket, MONITOR_ENTRY)?;
    run.wait(LIMIT)
}

/// What was measured, by name: nanoseconds (or instructions) of one iteration.
pub type Measured = BTreeMap<String, f64>;

/// Ticks of the `time` CSR on QEMU's `virt` machine.
const NANOSECONDS_OF_A_TICK: f64 = 100.0;
/// The bare programs measure their loop itself under this name.
const EMPTY: &str = "empty";
/// What the program in Linux says at its end.
const LINUX_END: &str = "linux benchmarks end";

/// Reads the lines `bench NAME iterations N time T` of the bare programs, less what the loop itself
/// costs. Gives the names in their order too.
pub fn program_results(outcome: &Outcome) -> (Vec<String>, Measured) {
    let lines = outcome.lines.iter();
    let lines = lines.filter_map(|line| line.text.strip_prefix("bench "));
    let mut order = Vec::new();
    let mut measured = Measured::new();
    for (name, ticks) in lines.filter_map(|line| figures(line, "time")) {
        order.push(name.clone());
        measured.insert(name, ticks * NANOSECONDS_OF_A_TICK);
    }
    order.retain(|name| name != EMPTY);
    let empty = measured.remove(EMPTY).unwrap_or(0.0);
    for value in measured.values_mut() {
        *value = (*value - empty).max(0.0);
    }
    (order, measured)
}

/// Reads the lines `NAME iterations N ns T` of the program in Linux.
///
/// # Errors
/// When the program did not come to its end.
pub fn linux_results(outcome: &Outcome) -> Result<(Vec<String>, Measured)> {
    if outcome.marker(LINUX_END).is_none() {
        bail!("the benchmarks in Linux did not end:\n{}", outcome.text());
    }
    let lines = outcome.lines.iter().map(|line| line.text.as_str());
    let lines = lines.filter(|line| line.starts_with("linux-"));
    let results: Vec<_> = lines.filter_map(|line| figures(line, "ns")).collect();
    let order = results.iter().map(|(name, _)| name.clone()).collect();
    Ok((order, results.into_iter().collect()))
}

/// Reads `NAME iterations N UNIT T` as the name and T/N.
pub fn figures(line: &str, unit: &str) -> Option<(String, f64)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [name, "iterations", count, found, total] = words[..] else {
        return None;
    };
    let count: f64 = count.parse().ok()?;
    let total: f64 = total.parse().ok()?;
    (found == unit && count > 0.0).then(|| (name.to_owned(), total / count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_results_is_one_iterations_share() {
        let read = figures("csrr-sip iterations 10000 time 2502", "time");
        assert_eq!(read, Some(("csrr-sip".to_owned(), 0.2502)));
        assert_eq!(figures("csrr-sip iterations 0 time 2502", "time"), None);
        assert_eq!(figures("csrr-sip iterations 10 ns 2502", "time"), None);
        assert_eq!(figures("a kernel says something else", "time"), None);
    }
}
