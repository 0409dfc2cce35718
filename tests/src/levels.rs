//! Monitors in guests of monitors: each stands behind the window of the one below, with no flag.

use crate::programs::Kind;
use crate::{artefacts, runner, transcript};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::DEFAULT_CPU;
use std::time::Duration;
use xtask::demo::levels::nest;

const MIB: u64 = 1 << 20;
/// Longest that a machine may run.
const LIMIT: Duration = Duration::from_secs(300);

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
fn nested(levels: u32, cpu: &str) -> Result<()> {
    let mut guest = Guest::new(artefacts::guest("optional_paging")?);
    guest.vm.memory = 128 * MIB;
    guest.vm.statistics = true;
    let (monitor, directory) = (artefacts::monitor()?, tempfile::tempdir()?);
    let guests = nest(&guest, levels, &monitor, directory.path())?;
    let bundle = guests[0].write_bundle()?;
    let machine = guest::machine(&monitor, bundle.path())?;
    let outcome = machine.cpu(cpu).no_reboot().spawn()?.wait(LIMIT)?;
    let text = outcome.text();
    let end = &text[text.floor_char_boundary(text.len().saturating_sub(1500))..];
    ensure!(
        outcome.success() && text.contains("guest: optional_paging done"),
        "the console ends with\n{end}"
    );
    // The innermost ends first. A monitor executes more of them than its guest.
    let counts: Vec<u64> = outcome
        .all_stats()?
        .iter()
        .map(|of| of.privileged)
        .collect();
    ensure!(
        counts.len() == levels as usize && counts.is_sorted() && counts[0] > 0,
        "privileged instructions by level: {counts:?}; the console ends with\n{end}"
    );
    Ok(())
}
