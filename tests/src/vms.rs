//! Several VMs on one board: what one does is no other's business, each gets its share of the host,
//! and they share one console with the monitor's shell.

mod breaks;
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
/// Longest that something may take to happen, and that a board may run. Nothing is measured by them: they end
/// what hangs, and a machine that is busy otherwise too must not run into them.
const SOON: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(240);
/// For boards whose time is instructions, so that nothing beside them can take time from one VM and not from
/// another: 16 ns for each.
const ICOUNT: u32 = 4;
/// Ctrl-T, which begins a command to the terminal.
const CTRL_T: char = '\x14';
/// What costs time of this machine is measured alone.
static OTHERS: RwLock<()> = RwLock::new(());
/// A statement, and what tells whether it is so.
pub(crate) type Statement = (&'static str, fn() -> Result<()>);

/// All trials.
pub fn trials() -> Vec<Trial> {
    let trials = [company::trials(), console::trials(), shares::trials()];
    let trials = trials.into_iter().flatten();
    trials.chain(breaks::trials()).collect()
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

/// Windows in which the cost of idling is measured, and how long each is.
const WINDOWS: usize = 6;
const WINDOW: Duration = Duration::from_secs(5);

/// Percent of a core that a run costs over a window: the first that costs less than `most`, else the cheapest.
/// What else a machine does makes the same wakes dearer, never cheaper; a board that does not sleep costs too
/// much in every window.
pub(crate) fn cost_of_idling(run: &Run, most: f64) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..WINDOWS {
        let before = processor_time(run)?;
        std::thread::sleep(WINDOW);
        let used = processor_time(run)? - before;
        least = least.min(100.0 * used.as_secs_f64() / WINDOW.as_secs_f64());
        if least < most {
            break;
        }
    }
    Ok(least)
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
    /// The number of the line, from 1 on.
    line: u64,
}

/// The counts that a spinner has printed.
fn counts(lines: &[Line]) -> Vec<Count> {
    let parse = |line: &Line| {
        let (count, rest) = line.text.strip_prefix("count ")?.split_once(" at ")?;
        let (at, number) = rest.split_once(" us, line ")?;
        Some(Count {
            count: count.parse().ok()?,
            at: at.parse::<f64>().ok()? / 1e6,
            line: number.parse().ok()?,
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

/// Waits until a spinner has printed so many counts more.
fn goes_on(run: &mut Run, name: &str, times: usize) -> Result<()> {
    let printed = |run: &Run| counts(run.lines_of(name)).len();
    let enough = printed(run) + times;
    while printed(run) < enough {
        run.expect_from(name, "count ", SOON)?;
    }
    Ok(())
}

/// Has the spinner on a console come to its end.
fn end_spinner(run: &mut Run, console: usize) -> Result<()> {
    run.send(&format!("{CTRL_T}{console}q"))
}
