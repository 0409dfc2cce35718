//! Monitors in guests of monitors: each stands behind the window of the one below, with no flag.

use crate::programs::Kind;
use crate::{artefacts, runner, transcript};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::DEFAULT_CPU;
use std::io::Write;
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// Longest that a machine may run.
const LIMIT: Duration = Duration::from_secs(300);
/// What a level needs beside its guest.
const LEVEL: u64 = 192 * MIB;

/// All trials.
pub fn trials() -> Vec<Trial> {
    let cases = [
        ("two", 2, DEFAULT_CPU),
        ("three", 3, DEFAULT_CPU),
        ("three_in_sv48", 3, "rv64,h=false,sv57=false"),
        ("three_in_sv39", 3, "rv64,h=false,sv48=false,sv57=false"),
    ];
    let nested = cases.into_iter().map(|(name, levels, cpu)| {
        runner::trial(format!("levels::{name}"), move || nested(levels, cpu))
    });
    let elsewhere = runner::trial("levels::a_window_that_was_asked_for", elsewhere);
    nested.chain([elsewhere]).collect()
}

/// A guest has the addresses where the monitor stands by default when that stands elsewhere.
fn elsewhere() -> Result<()> {
    let program = "first_slots";
    let mut guest = Guest::new(artefacts::guest(program)?);
    guest.vm.memory = 128 * MIB;
    guest.vm.window = Some(0xff42_0000_0000_0000);
    let native = guest.native().no_reboot().spawn()?.wait(LIMIT)?;
    let bundle = guest.write_bundle()?;
    let machine = guest::machine(&artefacts::monitor()?, bundle.path())?;
    let found = machine.no_reboot().spawn()?.wait(LIMIT)?;
    let whole = |outcome| transcript::whole(program, Kind::Oracle, outcome);
    let native = whole(&native).context("in the native run")?;
    transcript::same(&native, &whole(&found).context("under the monitor")?)
}

/// A guest program under so many monitors comes to its end, and each monitor counts what it emulated.
fn nested(levels: usize, cpu: &str) -> Result<()> {
    let mut inner = Guest::new(artefacts::guest("optional_paging")?);
    inner.vm.memory = 128 * MIB;
    inner.vm.statistics = true;
    let mut bundle = inner.write_bundle()?;
    for level in 1..levels {
        let mut outer = Guest::new(artefacts::monitor()?);
        outer.vm.statistics = true;
        outer.vm.name = format!("level-{level}");
        outer.vm.memory = inner.vm.memory + level as u64 * LEVEL;
        outer.initrd = Some(bundle.path().to_path_buf());
        let mut next = tempfile::NamedTempFile::new()?;
        next.write_all(&outer.pack()?)?;
        bundle = next;
    }
    let machine = guest::machine(&artefacts::monitor()?, bundle.path())?;
    let outcome = machine.cpu(cpu).no_reboot().spawn()?.wait(LIMIT)?;
    let text = outcome.text();
    let end = &text[text.floor_char_boundary(text.len().saturating_sub(1500))..];
    ensure!(
        outcome.success() && text.contains("guest: optional_paging done"),
        "the console ends with\n{end}"
    );
    let counts: Vec<u64> = text
        .lines()
        .filter_map(|line| line.split("\"privileged\":").nth(1))
        .map(|rest| rest.split(',').next().unwrap_or("").parse())
        .collect::<Result<_, _>>()
        .context("a count of privileged instructions")?;
    // The innermost ends first. A monitor executes more of them than its guest.
    ensure!(
        counts.len() == levels && counts.is_sorted() && counts[0] > 0,
        "privileged instructions by level: {counts:?}; the console ends with\n{end}"
    );
    Ok(())
}
