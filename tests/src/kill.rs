//! Nothing is lost: what a guest was told to be on its disk is there when QEMU was killed.

use crate::linux::{self, LIMIT, POWER_OFF, WITH_MODULES};
use crate::{artefacts, runner};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::guest::Guest;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::NamedTempFile;
use xtask::fetch::{self, Suite};
use xtask::image::{DISK_MODULES, add_modules};
use xtask::initramfs::Initramfs;
use xtask::system::{Host, System};

/// Room for more records than are written before the machine is killed.
const DISK: u64 = 256 << 20;
/// 64-bit words of a record.
const WORDS: u64 = 512;
/// The machine is killed when fewer records than this have been stored, and less than so many microseconds
/// later: in the midst of the next ones.
const RECORDS: u64 = 150;
const LATER: u64 = 20_000;

/// The trials.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for host in [Host::Native, Host::Patchvisor] {
        let name = |what| format!("kill::{what}::{}", host.name());
        let few = name("3_times_and_no_stored_record_is_lost");
        // Natively it is the test that is tested.
        let trial = match host {
            Host::Native => runner::long,
            Host::Patchvisor => runner::trial,
        };
        trials.push(trial(few, move || rounds(host, 1, 3)));
        let many = name("20_times_and_no_stored_record_is_lost");
        trials.push(runner::long(many, move || rounds(host, 2, 20)));
    }
    trials
}

fn rounds(host: Host, seed: u64, rounds: u64) -> Result<()> {
    let initrd = initrd()?;
    let mut guest = Guest::new(fetch::kernel(Suite::Trixie)?.image);
    guest.initrd = Some(initrd.path().to_owned());
    guest.vm.memory = 256 << 20;
    guest.vm.append = "console=ttyS0 panic=1 loglevel=4".into();
    for round in 0..rounds {
        let random = word(seed, round);
        let record = random % RECORDS;
        let after = Duration::from_micros((random >> 32) % LATER);
        let system = System::new(guest.clone())?.empty_disk(DISK)?;
        run(&system, host, record, after).with_context(|| {
            format!("seed {seed}, round {round}: killed {after:?} after record {record}")
        })?;
    }
    Ok(())
}

/// One machine, killed so long after a record. All that it said to have stored are there.
fn run(system: &System, host: Host, record: u64, after: Duration) -> Result<()> {
    let mut run = system.machine(host, artefacts::monitor)?.spawn()?;
    run.expect(&format!("stored {record}\r\n"), LIMIT)?;
    std::thread::sleep(after);
    // Unlike SIGTERM this leaves QEMU no time to flush anything.
    let killed = Command::new("kill")
        .args(["-KILL", &run.id().to_string()])
        .status()?;
    ensure!(killed.success(), "QEMU had ended before it was killed");
    let outcome = run.wait(LIMIT)?;
    let text = outcome.text();
    let stored = text.lines().filter_map(|line| line.strip_prefix("stored "));
    // The last line may have been cut short: then it names a smaller number, or none.
    let stored = stored.filter(|number| !number.is_empty());
    let stored: Vec<u64> = stored.map(str::parse).collect::<Result<_, _>>()?;
    let (last, before) = stored.split_last().context("no record was stored")?;
    ensure!(
        before.iter().copied().eq(0..before.len() as u64),
        "the numbers are not in order"
    );
    let count = (before.len() as u64).max(last + 1);
    ensure!(count > record, "record {record} was stored and is not said");
    check(system.disk(0), count)
}

/// Checks the first records of a disk.
fn check(disk: &Path, count: u64) -> Result<()> {
    let bytes = std::fs::read(disk)?;
    let mut blocks = bytes.chunks_exact(8 * WORDS as usize);
    for record in 0..count {
        let block = blocks
            .next()
            .context("more records than the disk has room for")?;
        let words = (0..WORDS).flat_map(|place| word(record, place).to_le_bytes());
        ensure!(
            block.iter().copied().eq(words),
            "record {record} of {count} was said to be stored, and is not on the disk"
        );
    }
    Ok(())
}

/// The same as in `linux/records.c`.
fn word(record: u64, place: u64) -> u64 {
    let x = (record * WORDS + place).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn initrd() -> Result<NamedTempFile> {
    let kernel = fetch::kernel(Suite::Trixie)?;
    let script = format!("{WITH_MODULES}records /dev/vda\n{POWER_OFF}");
    let mut archive = Initramfs::with_busybox(&fetch::busybox()?, &script)?;
    let program = std::fs::read(linux::program("records")?)?;
    archive.file("bin/records", 0o755, &program);
    add_modules(&mut archive, &kernel, DISK_MODULES)?;
    let file = NamedTempFile::with_prefix("patchvisor-initrd-")?;
    std::fs::write(file.path(), archive.finish())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_missing_or_wrong_is_found() {
        let file = NamedTempFile::new().unwrap();
        let record = |record| (0..WORDS).flat_map(move |place| word(record, place).to_le_bytes());
        let mut bytes: Vec<u8> = (0..3).flat_map(record).collect();
        bytes.resize(bytes.len() + 4096, 0);
        std::fs::write(file.path(), &bytes).unwrap();
        check(file.path(), 3).unwrap();
        let error = check(file.path(), 4).unwrap_err().to_string();
        assert!(error.starts_with("record 3 of 4"), "{error}");
        bytes[4096 + 17] ^= 1;
        std::fs::write(file.path(), &bytes).unwrap();
        let error = check(file.path(), 3).unwrap_err().to_string();
        assert!(error.starts_with("record 1 of 3"), "{error}");
        assert!(check(file.path(), 1).is_ok());
    }
}
