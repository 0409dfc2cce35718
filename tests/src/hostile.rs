//! Hostile machines: one that attacks runs beside a witness, from one bundle. The attacker may do what
//! it likes, to itself too; the witness must come to its end, and the monitor must say nothing wrong.

use crate::programs::{self, Kind, Program};
use crate::{artefacts, runner};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::disk::{Content, Disk, images};
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::Outcome;
use patchvisor::{Console, Net};
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use tempfile::NamedTempFile;
use xtask::hostile;

const MIB: u64 = 1 << 20;
/// Each attacker runs so long in every test run, in seconds: all together more than a minute.
const SECONDS: u64 = 6;
/// The long ones, unless `$PATCHVISOR_HOSTILE_SECONDS` says otherwise.
const LONG_SECONDS: u64 = 120;
/// Seeds of every test run. What was found with others belongs here too.
const SEEDS: [u64; 2] = [1, 0x5eed];
/// What a board may take beyond the time that the attack lasts, on a machine that is busy otherwise too.
const GRACE: Duration = Duration::from_secs(240);
/// How long attackers have to come to their end after the witness.
const AFTERWARDS: Duration = Duration::from_secs(20);
/// How much longer the attacker is at it than the witness looks on: the witness must see all of it.
const HEAD_START: u64 = 1;

const WITNESS: &str = "witness";
/// Most that the monitor reports of what a machine does wrong.
const REPORTS: usize = 16;
/// The attacker that has devices to attack with.
const VIRTIO: &str = "hostile_virtio";

/// One trial for each attacker and seed, and for all attackers at once.
///
/// # Errors
/// When the list of programs cannot be read.
pub fn trials() -> Result<Vec<Trial>> {
    let list = programs::list()?.into_iter();
    let (witnesses, attackers): (Vec<_>, Vec<_>) = list
        .filter(|program| program.kind == Kind::Hostile)
        .partition(|program| program.name == WITNESS);
    let witness = witnesses.first();
    let witness = witness.context("no witness in guests/programs.toml")?;
    let mut trials = Vec::new();
    let mut add = |name: &str, attackers: Vec<Program>| {
        let attack = |seconds, seed| Attack {
            attackers: attackers.clone(),
            witness: witness.clone(),
            seed,
            seconds,
        };
        for seed in SEEDS {
            let attack = attack(SECONDS, seed);
            let name = format!("hostile::{name}::seed-{seed}");
            trials.push(runner::trial(name, move || attack.run()));
        }
        let (seconds, seed) = (number(hostile::SECONDS)?, number(hostile::SEED)?);
        let attack = attack(
            seconds.unwrap_or(LONG_SECONDS),
            seed.unwrap_or_else(seed_of_the_day),
        );
        trials.push(runner::long(format!("hostile::{name}::long"), move || {
            attack.run()
        }));
        anyhow::Ok(())
    };
    for attacker in &attackers {
        add(&attacker.name, vec![attacker.clone()])?;
    }
    add("all_at_once", attackers)?;
    Ok(trials)
}

/// A number from the environment.
fn number(variable: &str) -> Result<Option<u64>> {
    match std::env::var(variable) {
        Ok(text) => Ok(Some(text.parse().with_context(|| format!("${variable}"))?)),
        Err(_) => Ok(None),
    }
}

fn seed_of_the_day() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Attackers beside the witness, on one board.
struct Attack {
    attackers: Vec<Program>,
    witness: Program,
    seed: u64,
    seconds: u64,
}

impl Attack {
    fn run(&self) -> Result<()> {
        let mut guests = vec![machine(&self.witness, self.arguments(self.seconds))?];
        let disk = disk()?;
        let longer = self.arguments(self.seconds + HEAD_START) + " wild=1";
        for attacker in &self.attackers {
            guests.push(machine(attacker, longer.clone())?);
        }
        for guest in guests.iter_mut().filter(|guest| guest.vm.name == VIRTIO) {
            give_devices(guest, disk.path());
        }
        let mut bundle = NamedTempFile::new()?;
        bundle.write_all(&guest::pack(&guests, Console::Prefixed)?)?;
        let mut run = guest::machine(&artefacts::monitor()?, bundle.path())?
            .harts(2)
            .disks(images(&guests)?)
            .entropy(true)
            .no_reboot()
            .spawn()?;
        // Attackers may have come to nothing: one whose trap vector is not mapped any more faults for ever.
        let limit = Duration::from_secs(self.seconds) + GRACE;
        let _ = run.expect_from(WITNESS, "witness: ok", limit);
        let outcome = run.wait(AFTERWARDS)?;
        let rounds = judge(&outcome).with_context(|| format!("with seed {}", self.seed))?;
        if guests.iter().any(|guest| guest.vm.name == VIRTIO) {
            mistakes(&outcome)?;
        }
        let claims = self.attackers.iter().filter_map(|attacker| {
            let lines = outcome.lines_of(&attacker.name).iter();
            lines.rev().find_map(|line| claimed(&line.text))
        });
        let claims: Vec<_> = claims.collect();
        println!(
            "hostile: seed {}, {} s: {} of {} attackers came to their end and claim {} rounds; \
             the witness was undisturbed in {rounds} rounds",
            self.seed,
            self.seconds,
            claims.len(),
            self.attackers.len(),
            claims.iter().sum::<u64>()
        );
        Ok(())
    }

    fn arguments(&self, seconds: u64) -> String {
        format!("seed={} seconds={seconds}", self.seed)
    }
}

fn machine(program: &Program, append: String) -> Result<Guest> {
    let mut guest = Guest::new(artefacts::guest(&program.name)?);
    guest.vm.memory = 128 * MIB;
    guest.vm.statistics = true;
    guest.vm.vcpus = program.harts;
    guest.vm.append = append;
    Ok(guest)
}

/// An image for the disks.
fn disk() -> Result<NamedTempFile> {
    let image = NamedTempFile::with_prefix("patchvisor-disk-")?;
    image.as_file().set_len(4 * MIB)?;
    Ok(image)
}

/// Gives a machine devices of all kinds: disks of both kinds, interfaces that reach each other.
fn give_devices(guest: &mut Guest, image: &Path) {
    let path = image.to_owned();
    let packed = Content::Packed {
        path: path.clone(),
        changes: MIB,
    };
    let partition = None;
    for content in [packed, Content::Image { path, partition }] {
        guest.disks.push(Disk::new(content));
    }
    guest.vm.nets = vec![Net::default(); 2];
    guest.vm.virtio_console = true;
    guest.vm.ports = vec!["log".into()];
    guest.vm.entropy = true;
}

/// The witness's rounds, if it came to its end and the monitor has nothing to complain of. The attackers
/// may have been ended; their own consoles cannot be believed.
fn judge(outcome: &Outcome) -> Result<u64> {
    let text = outcome.text();
    let end = &text[text.floor_char_boundary(text.len().saturating_sub(1500))..];
    if let Some(error) = outcome.monitor_error() {
        anyhow::bail!("the monitor says: {error}");
    }
    ensure!(
        !text.contains("patchvisor: panic"),
        "the monitor panicked; its console ends with\n{end}"
    );
    let lines = outcome.lines_of(WITNESS).iter();
    let verdict = lines.rev().find_map(|line| witnessed(&line.text));
    verdict.with_context(|| {
        format!("the witness did not come to its end; the console ends with\n{end}")
    })
}

/// Passes if mistakes of the driver were reported, no more than a machine may have the monitor say, and all were
/// counted: in the statistics, which are there if it came to its end.
fn mistakes(outcome: &Outcome) -> Result<()> {
    let of_guest = format!("patchvisor: {VIRTIO}: the guest");
    let lines = outcome.lines.iter().map(|line| line.text.as_str());
    let reports: Vec<_> = lines.filter(|line| line.starts_with(&of_guest)).collect();
    let is_mistake = |line: &&&str| line.contains("made a mistake: ");
    let mistakes = reports.iter().filter(is_mistake).count() as u64;
    ensure!(
        mistakes > 0 && reports.len() <= REPORTS,
        "of {} reports {mistakes} are of a driver's mistake",
        reports.len()
    );
    if let Ok(stats) = outcome.stats_of(VIRTIO) {
        let counted = stats.extra.get("driver_mistakes");
        let counted = counted.and_then(|counted| counted.as_u64());
        let counted = counted.context("the statistics have no mistakes of drivers")?;
        let is_right = match reports.len() {
            REPORTS => counted > mistakes,
            _ => counted == mistakes,
        };
        ensure!(
            is_right,
            "{counted} mistakes of a driver were counted, {mistakes} reported"
        );
    }
    Ok(())
}

/// The number in the witness's last line.
fn witnessed(line: &str) -> Option<u64> {
    let rounds = line.strip_prefix("witness: ok, ")?;
    rounds.strip_suffix(" rounds")?.parse().ok()
}

/// The number in an attacker's last line.
fn claimed(line: &str) -> Option<u64> {
    let (_, rounds) = line.strip_prefix("hostile: ")?.rsplit_once(", ")?;
    rounds.strip_suffix(" rounds")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_lines_are_read() {
        assert_eq!(witnessed("witness: ok, 352 rounds"), Some(352));
        assert_eq!(witnessed("guest: panic: the text was changed"), None);
        let claim = "hostile: hostile_sbi survived, seed 7, 12345 rounds";
        assert_eq!(claimed(claim), Some(12345));
    }
}
