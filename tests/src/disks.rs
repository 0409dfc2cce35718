//! Disks of every kind but a whole image: a partition, a file of the bundle, what may not be written.

use crate::linux::{LIMIT, POWER_OFF, WITH_MODULES};
use crate::{artefacts, runner};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use patchvisor::disk::{self, Content, Disk};
use patchvisor::guest::{self, Guest};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use tempfile::NamedTempFile;
use xtask::fetch::{self, Suite};
use xtask::image::{self, DISK_MODULES, EXT4_MODULES, add_modules};
use xtask::initramfs::Initramfs;
use xtask::setup;

const MIB: u64 = 1 << 20;
const SECTOR: u64 = 512;

/// Finds the disk by its serial.
const FIND: &str = "sysfs=$(dirname $(grep -lx 'a serial' /sys/block/*/serial))
disk=/dev/$(basename $sysfs)
";

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        runner::trial(
            "disks::a_partition_is_a_disk_and_its_neighbours_are_not_touched",
            partition,
        ),
        runner::trial("disks::changes_of_a_packed_disk_end_at_their_limit", packed),
        runner::trial("disks::a_read_only_disk_refuses_to_be_written", read_only),
    ]
}

/// Runs a script with one disk, whose serial is `a serial`. All its commands must succeed.
fn run(content: Content, read_only: bool, script: &str) -> Result<()> {
    let kernel = fetch::kernel(Suite::Trixie)?;
    let init =
        format!("{WITH_MODULES}{FIND}(set -ex\n{script}\n) && echo TEST:passed\n{POWER_OFF}");
    let mut archive = Initramfs::with_busybox(&fetch::busybox()?, &init)?;
    add_modules(
        &mut archive,
        &kernel,
        &[DISK_MODULES, EXT4_MODULES].concat(),
    )?;
    let initrd = NamedTempFile::with_prefix("patchvisor-initrd-")?;
    std::fs::write(initrd.path(), archive.finish())?;
    let mut guest = Guest::new(kernel.image);
    guest.initrd = Some(initrd.path().to_owned());
    guest.vm.memory = 256 * MIB;
    guest.vm.append = "console=ttyS0 panic=1 loglevel=2".into();
    guest.disks = vec![Disk {
        read_only,
        serial: "a serial".into(),
        ..Disk::new(content)
    }];
    let bundle = guest.write_bundle()?;
    let machine = guest::machine(&artefacts::monitor()?, bundle.path())?
        .disks(disk::images(std::slice::from_ref(&guest))?);
    let outcome = machine.no_reboot().spawn()?.wait(LIMIT)?;
    let text = outcome.text();
    ensure!(
        outcome.success() && text.lines().any(|line| line == "TEST:passed"),
        "{}\n{text}",
        outcome.complaints
    );
    Ok(())
}

/// The byte at a place of a disk that has not been written to.
const fn pattern(place: u64) -> u8 {
    (place / SECTOR % 251) as u8
}

/// A file full of [`pattern`].
fn patterned(size: u64) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::with_prefix("patchvisor-disk-")?;
    let bytes: Vec<_> = (0..size).map(pattern).collect();
    file.write_all(&bytes)?;
    Ok(file)
}

/// What sha256sum says of the pattern after `zeroes` bytes of zeroes.
fn sum(zeroes: u64, size: u64) -> Result<String> {
    let byte = |place| if place < zeroes { 0 } else { pattern(place) };
    let mut file = NamedTempFile::new()?;
    file.write_all(&(0..size).map(byte).collect::<Vec<_>>())?;
    let text = image::run(image::tool("sha256sum").arg(file.path()))?;
    Ok(text
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned())
}

/// A file system in the second partition of three: it is read and written, and is clean afterwards.
fn partition() -> Result<()> {
    const FIRST: u64 = 20480;
    const SECTORS: u64 = 65536;
    setup::ensure_for_images()?;
    let disk = patterned(64 * MIB)?;
    let table = format!(
        "label: gpt\nstart=2048, size=8192\nstart={FIRST}, size={SECTORS}\nstart=90112, size=8192\n"
    );
    partition_table(disk.path(), &table)?;
    let files = tempfile::tempdir()?;
    std::fs::write(files.path().join("question"), "from the host\n")?;
    let part = NamedTempFile::new()?;
    part.as_file().set_len(SECTORS * SECTOR)?;
    let mut make = image::tool("mke2fs");
    make.args(["-q", "-F", "-t", "ext4", "-d"])
        .arg(files.path());
    image::run(make.arg(part.path()))?;
    let at = FIRST * SECTOR;
    disk.as_file()
        .write_all_at(&std::fs::read(part.path())?, at)?;
    let before = std::fs::read(disk.path())?;

    let content = Content::Image {
        path: disk.path().to_owned(),
        partition: Some(2),
    };
    let script = format!(
        "test $(cat $sysfs/size) = {SECTORS}
         mount -t ext4 $disk /root
         grep -x 'from the host' /root/question
         echo 'from the guest' > /root/answer
         head -c 20M /dev/zero > /root/zeroes
         umount /root"
    );
    run(content, false, &script)?;

    let after = std::fs::read(disk.path())?;
    let (start, end) = (at as usize, (at + SECTORS * SECTOR) as usize);
    ensure!(
        before[..start] == after[..start] && before[end..] == after[end..],
        "the guest has changed what is not in its partition"
    );
    std::fs::write(part.path(), &after[start..end])?;
    image::check_file_system(part.path())?;
    let answer = image::run(
        image::tool("debugfs")
            .args(["-R", "cat /answer"])
            .arg(part.path()),
    )?;
    ensure!(answer == "from the guest\n", "the file holds {answer:?}");
    Ok(())
}

/// Writes a partition table as sfdisk(8) takes it.
fn partition_table(disk: &Path, table: &str) -> Result<()> {
    let mut input = NamedTempFile::new()?;
    input.write_all(table.as_bytes())?;
    let mut sfdisk = image::tool("sfdisk");
    sfdisk.args(["--quiet", "--no-reread", "--wipe=never"]);
    sfdisk
        .arg(disk)
        .stdin(Stdio::from(File::open(input.path())?));
    image::run(&mut sfdisk).map(drop)
}

/// Writes beyond the limit fail; what was written before can be read and written again.
fn packed() -> Result<()> {
    const SIZE: u64 = 8 * MIB;
    let disk = patterned(SIZE)?;
    let content = Content::Packed {
        path: disk.path().to_owned(),
        changes: MIB,
    };
    let script = format!(
        "sum() {{ echo 3 > /proc/sys/vm/drop_caches; sha256sum < $disk | cut -d ' ' -f 1; }}
         zero() {{ dd if=/dev/zero of=$disk bs=64k seek=$1 count=$2 conv=notrunc,fsync; }}
         test $(sum) = {before}
         zero 0 16
         test $(sum) = {after}
         if zero 32 1; then exit 1; fi
         test $(sum) = {after}
         zero 8 8
         test $(sum) = {after}",
        before = sum(0, SIZE)?,
        after = sum(MIB, SIZE)?,
    );
    run(content, false, &script)?;
    ensure!(
        std::fs::read(disk.path())? == (0..SIZE).map(pattern).collect::<Vec<_>>(),
        "the packed file itself has changed"
    );
    Ok(())
}

/// The guest is told that the disk is read-only, and no ioctl lets it write all the same.
fn read_only() -> Result<()> {
    const SIZE: u64 = MIB;
    let disk = patterned(SIZE)?;
    let content = Content::Image {
        path: disk.path().to_owned(),
        partition: None,
    };
    let script = format!(
        "test $(cat $sysfs/ro) = 1
         test $(sha256sum < $disk | cut -d ' ' -f 1) = {sum}
         blockdev --setrw $disk || true
         if dd if=/dev/zero of=$disk bs=4k count=1 conv=notrunc,fsync; then exit 1; fi
         echo 3 > /proc/sys/vm/drop_caches
         test $(sha256sum < $disk | cut -d ' ' -f 1) = {sum}",
        sum = sum(0, SIZE)?
    );
    run(content, true, &script)?;
    ensure!(
        std::fs::read(disk.path())? == (0..SIZE).map(pattern).collect::<Vec<_>>(),
        "the image has changed"
    );
    Ok(())
}
