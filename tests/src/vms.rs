//! Several VMs on one board: what one does is no other's business, each gets its share of the host,
//! and they share one console with the monitor's shell.

mod company;
mod console;
mod shares;

use crate::{artefacts, runner};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::Console;
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::{Line, Machine, Outcome, Run};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;
use tempfile::NamedTempFile;

const MIB: u64 = 1 << 20;
/// Longest that something may take to happen.
const SOON: Duration = Duration::from_secs(20);
/// Longest that a board may run.
const LIMIT: Duration = Duration::from_secs(60);
/// Ctrl-T, which begins a command to the terminal.
const CTRL_T: char = '\x14';
/// Measurements are made alone: machines beside them would take time from one VM and not the other.
static OTHERS: RwLock<()> = RwLock::new(());
/// A statement, and what tells whether it is so.
type Statement = (&'static str, fn() -> Result<()>);

/// All trials.
pub fn trials() -> Vec<Trial> {
    let trials = [company::trials(), console::trials(), shares::trials()];
    trials.into_iter().flatten().collect()
}

/// One trial for each statement that does not mind others at the same time.
fn statements(statements: impl IntoIterator<Item = Statement>) -> impl Iterator<Item = Trial> {
    statements
        .into_iter()
        .map(|(name, test)| runner::trial(format!("vms::{name}"), move || beside_others(test)))
}

/// Runs a test that does not mind others at the same time.
pub(crate) fn beside_others(test: impl FnOnce() -> Result<()>) -> Result<()> {
    let _others = OTHERS.read().unwrap_or_else(PoisonError::into_inner);
    test()
}

/// Runs a measurement while no other trial of this program runs.
pub(crate) fn alone(test: impl FnOnce() -> Result<()>) -> Result<()> {
    let _alone = OTHERS.write().unwrap_or_else(PoisonError::into_inner);
    test()
}

/// Percent of a core that a run costs over the time of a `sleep`.
pub(crate) fn cost_of_idling(run: &Run, sleep: Duration) -> Result<f64> {
    let before = processor_time(run)?;
    std::thread::sleep(sleep);
    let used = processor_time(run)? - before;
    Ok(100.0 * used.as_secs_f64() / sleep.as_secs_f64())
}

/// What all threads of QEMU have had of this machine's processors: `utime` and `stime` of
/// proc_pid_stat(5), whose unit is 10 ms on all of Linux's architectures that run QEMU.
fn processor_time(run: &Run) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", run.id()))?;
    // The second field is a name in parentheses, which may have anything in it.
    let (_, rest) = stat.rsplit_once(") ").context("no name in stat")?;
    let fields: Vec<_> = rest.split(' ').collect();
    let field = |number: usize| -> Result<u64> {
        let text = fields.get(number - 3).context("stat is short")?;
        Ok(text.parse()?)
    };
    Ok(Duration::from_millis(10 * (field(14)? + field(15)?)))
}

pub(crate) fn vm(name: &str, program: &str, append: &str) -> Result<Guest> {
    let mut guest = Guest::new(artefacts::guest(program)?);
    guest.vm.name = name.into();
    guest.vm.memory = 128 * MIB;
    guest.vm.append = append.into();
    Ok(guest)
}

fn spinner(name: &str, append: &str) -> Result<Guest> {
    vm(name, "spinner", append)
}

/// A board with these VMs, and the bundle, which must outlive it.
pub(crate) fn board(
    guests: &[Guest],
    console: Console,
    harts: u32,
) -> Result<(Machine, NamedTempFile)> {
    let bundle = NamedTempFile::with_prefix("patchvisor-")?;
    std::fs::write(bundle.path(), guest::pack(guests, console)?)?;
    let machine = guest::machine(&artefacts::monitor()?, bundle.path())?;
    Ok((machine.harts(harts).no_reboot(), bundle))
}

/// Runs VMs that share the console to the board's power-off.
fn run(guests: &[Guest], harts: u32) -> Result<Outcome> {
    run_as(guests, harts, |machine| machine)
}

fn run_as(
    guests: &[Guest],
    harts: u32,
    adjust: impl FnOnce(Machine) -> Machine,
) -> Result<Outcome> {
    let (machine, _bundle) = board(guests, Console::Prefixed, harts)?;
    let outcome = adjust(machine).spawn()?.wait(LIMIT)?;
    ensure!(
        !outcome.timed_out(),
        "the board did not power off; {}",
        end_of(&outcome)
    );
    Ok(outcome)
}

fn end_of(outcome: &Outcome) -> String {
    let text = outcome.text();
    let from = text.floor_char_boundary(text.len().saturating_sub(1500));
    format!("the console ends with\n{}", &text[from..])
}

/// Passes if the program of this VM came to its end.
fn must_have_ended(outcome: &Outcome, name: &str, program: &str) -> Result<()> {
    let last = format!("guest: {program} done");
    let lines = outcome.lines_of(name);
    ensure!(
        lines.iter().any(|line| line.text == last),
        "{name} did not come to its end; {}",
        end_of(outcome)
    );
    Ok(())
}

/// A spinner's count at a time.
#[derive(Clone, Copy, Debug)]
struct Count {
    count: u64,
    /// The board's `time`, in seconds.
    at: f64,
}

/// The counts that a spinner has printed.
fn counts(lines: &[Line]) -> Vec<Count> {
    let parse = |line: &Line| {
        let rest = line.text.strip_prefix("count ")?.strip_suffix(" us")?;
        let (count, at) = rest.split_once(" at ")?;
        Some(Count {
            count: count.parse().ok()?,
            at: at.parse::<f64>().ok()? / 1e6,
        })
    };
    lines.iter().filter_map(parse).collect()
}

/// Gives the shell the focus of a prefixed console.
pub(crate) fn shell(run: &mut Run) -> Result<()> {
    run.send(&format!("{CTRL_T}0"))?;
    run.expect("patchvisor> ", SOON)?;
    Ok(())
}
