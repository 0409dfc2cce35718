//! Seeds of random number generators in guests' device trees: each VM gets its own in each of its lives, from
//! whatever the host has.

use crate::vms::{Statement, board};
use crate::{artefacts, runner};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::Console;
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::{Board, Outcome};
use std::collections::BTreeSet;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const LIMIT: Duration = Duration::from_secs(120);
/// What the monitor says where it has none to give.
const NONE: &str = "no random bytes for guests";

/// All trials.
pub fn trials() -> Vec<Trial> {
    let trials: [Statement; 3] = [
        ("each_vm_has_its_own_in_each_life", each_its_own),
        ("bytes_that_come_with_the_bundle_are_enough", brought_along),
        ("without_any_source_a_line_says_so", without),
    ];
    trials
        .map(|(name, test)| runner::trial(format!("seeds::{name}"), test))
        .into()
}

fn program(name: &str, lives: u32) -> Result<Guest> {
    let mut guest = Guest::new(artefacts::guest("seeds")?);
    guest.vm.name = name.into();
    guest.vm.memory = 128 * MIB;
    guest.vm.append = format!("lives={lives}");
    Ok(guest)
}

/// The values of a property that the programs printed, in hexadecimal digits.
fn printed<'a>(outcome: &'a Outcome, property: &str) -> Vec<&'a str> {
    let digits = |line: &'a str| {
        let value = line.split_once(property)?.1.strip_prefix(' ')?;
        value
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit())
            .then_some(value)
    };
    let lines = outcome.lines.iter();
    lines.filter_map(|line| digits(&line.text)).collect()
}

/// Fails unless there are `count` seeds of the length that QEMU gives, and no two alike.
fn must_differ(outcome: &Outcome, count: usize) -> Result<()> {
    ensure!(outcome.success(), "no success:\n{}", outcome.text());
    let seeds = printed(outcome, "rng-seed");
    ensure!(
        seeds.len() == count && seeds.iter().all(|seed| seed.len() == 64),
        "not {count} seeds of 32 bytes: {seeds:?}"
    );
    let different: BTreeSet<_> = seeds.iter().collect();
    ensure!(different.len() == count, "a seed came twice: {seeds:?}");
    let bytes = seeds.iter().map(|seed| seed.matches("00").count());
    ensure!(bytes.max() < Some(16), "no random bytes: {seeds:?}");
    // QEMU gives no seed for the kernel's place, and neither do we.
    let places = printed(outcome, "kaslr-seed");
    ensure!(
        places.is_empty(),
        "seeds that QEMU does not give: {places:?}"
    );
    Ok(())
}

fn each_its_own() -> Result<()> {
    let (machine, _bundle) = board(
        &[program("left", 3)?, program("right", 1)?],
        Console::Prefixed,
        1,
    )?;
    must_differ(&machine.spawn()?.wait(LIMIT)?, 4)
}

/// A board whose device tree has no seed.
fn bare(bundle: &[u8]) -> Result<Outcome> {
    let file = tempfile::NamedTempFile::with_prefix("patchvisor-")?;
    std::fs::write(file.path(), bundle)?;
    let machine = guest::machine(&artefacts::monitor()?, file.path())?;
    machine
        .board(Board::find("sifive_u", None)?)
        .no_reboot()
        .spawn()?
        .wait(LIMIT)
}

fn brought_along() -> Result<()> {
    let guests = [program("seeds", 2)?];
    let run = || -> Result<Outcome> {
        let outcome = bare(&guest::pack_for_a_run(&guests, Console::default())?)?;
        must_differ(&outcome, 2)?;
        ensure!(!outcome.text().contains(NONE), "it says that it has none");
        Ok(outcome)
    };
    let (first, second) = (run()?, run()?);
    let both: BTreeSet<_> = [&first, &second]
        .into_iter()
        .flat_map(|run| printed(run, "rng-seed"))
        .collect();
    ensure!(both.len() == 4, "two runs had the same seed: {both:?}");
    Ok(())
}

fn without() -> Result<()> {
    let outcome = bare(&guest::pack(&[program("seeds", 1)?], Console::default())?)?;
    ensure!(outcome.success(), "no success:\n{}", outcome.text());
    let seeds = printed(&outcome, "rng-seed");
    ensure!(seeds.is_empty(), "a seed from nowhere: {seeds:?}");
    let lines = outcome.text().matches(NONE).count();
    ensure!(
        lines == 1,
        "{lines} lines say that there is none:\n{}",
        outcome.text()
    );
    outcome
        .text()
        .contains("life 1")
        .then_some(())
        .context("it did not run")
}
