//! Hostile machines: one that attacks runs beside a witness, from one bundle. The attacker may do what
//! it likes, to itself too; the witness must come to its end, and the monitor must say nothing wrong.

use crate::programs::{self, Kind, Program};
use crate::{artefacts, runner};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::Console;
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::Outcome;
use std::io::Write;
use std::time::Duration;
use tempfile::NamedTempFile;

const MIB: u64 = 1 << 20;
/// Each attacker runs so long in every test run, in seconds: all together more than a minute.
const SECONDS: u64 = 6;
/// With `--include-ignored`, from seeds of the day.
const LONG_SECONDS: u64 = 120;
/// Seeds of every test run. What was found with others belongs here too.
const SEEDS: [u64; 2] = [1, 0x5eed];
/// What a machine may take beyond the time that the attack lasts.
const GRACE: Duration = Duration::from_secs(60);
/// How much longer the attacker is at it than the witness looks on: the witness must see all of it.
const HEAD_START: u64 = 1;

const WITNESS: &str = "witness";

/// One trial for each attacker and seed.
///
/// # Errors
/// When the list of programs cannot be read.
pub fn trials() -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for program in programs::list()? {
        if program.kind != Kind::Hostile || program.name == WITNESS {
            continue;
        }
        let attacks = SEEDS.map(|seed| (format!("seed-{seed}"), Some(seed), SECONDS));
        for (name, seed, seconds) in attacks {
            let program = program.clone();
            let name = format!("hostile::{}::{name}", program.name);
            trials.push(runner::trial(name, move || attack(&program, seed, seconds)));
        }
        let name = format!("hostile::{}::long", program.name);
        trials.push(runner::long(name, move || {
            attack(&program, None, LONG_SECONDS)
        }));
    }
    Ok(trials)
}

/// Runs the attacker beside the witness.
fn attack(program: &Program, seed: Option<u64>, seconds: u64) -> Result<()> {
    let seed = seed.unwrap_or_else(seed_of_the_day);
    let bundle = bundle(program, seed, seconds)?;
    let machine = guest::machine(&artefacts::monitor()?, bundle.path())?;
    let outcome = machine
        .harts(2)
        .no_reboot()
        .spawn()?
        .wait(Duration::from_secs(seconds) + GRACE)?;
    judge(&outcome).with_context(|| format!("{} with seed {seed}", program.name))
}

fn seed_of_the_day() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Attacker and witness, in one bundle.
fn bundle(program: &Program, seed: u64, seconds: u64) -> Result<NamedTempFile> {
    let list = programs::list()?;
    let witness = list.iter().find(|program| program.name == WITNESS);
    let witness = witness.context("no witness in guests/programs.toml")?;
    let longer = seconds + HEAD_START;
    let guests = [
        machine(program, format!("seed={seed} seconds={longer} wild=1"))?,
        machine(witness, format!("seed={seed} seconds={seconds}"))?,
    ];
    let mut file = NamedTempFile::new()?;
    file.write_all(&guest::pack(&guests, Console::Prefixed)?)?;
    Ok(file)
}

fn machine(program: &Program, append: String) -> Result<Guest> {
    let mut guest = Guest::new(artefacts::guest(&program.name)?);
    guest.vm.memory = 256 * MIB;
    guest.vm.vcpus = program.harts;
    guest.vm.append = append;
    Ok(guest)
}

/// Whether the witness came to its end and the monitor has nothing to complain of. The attacker may
/// have been ended; its own console cannot be believed, and is not looked at.
fn judge(outcome: &Outcome) -> Result<()> {
    let text = outcome.text();
    let end = &text[text.floor_char_boundary(text.len().saturating_sub(1500))..];
    ensure!(
        !outcome.timed_out(),
        "the machine did not end; its console ends with\n{end}"
    );
    if let Some(error) = outcome.monitor_error() {
        anyhow::bail!("the monitor says: {error}");
    }
    ensure!(
        !text.contains("patchvisor: panic"),
        "the monitor panicked; its console ends with\n{end}"
    );
    let witnessed = text.lines().any(is_verdict);
    ensure!(
        witnessed,
        "the witness did not come to its end; the console ends with\n{end}"
    );
    Ok(())
}

/// The witness's last line, behind whatever the monitor puts before a machine's lines.
fn is_verdict(line: &str) -> bool {
    line.split_once("witness: ok, ")
        .is_some_and(|(_, rest)| rest.ends_with(" rounds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_found_behind_a_prefix() {
        assert!(is_verdict("witness: ok, 352 rounds"));
        assert!(is_verdict("[witness] witness: ok, 352 rounds"));
        assert!(!is_verdict("guest: panic: the text was changed"));
    }
}
