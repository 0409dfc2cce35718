//! Disks of every kind but a whole image: a partition, a file of the bundle, what may not be written, qcow2.

use crate::linux::{LIMIT, POWER_OFF, WITH_MODULES};
use crate::{artefacts, runner};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::disk::{self, Content, Disk, Format};
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
        runner::trial("disks::a_header_that_a_guest_writes_opens_nothing", forged),
    ]
}

/// Runs a script with one disk, whose serial is `a serial`. All its commands must succeed.
fn run(content: Content, read_only: bool, script: &str) -> Result<()> {
    let disk = Disk {
        read_only,
        ..Disk::new(content)
    };
    run_on(disk, script)
}

fn run_on(mut disk: Disk, script: &str) -> Result<()> {
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
    disk.serial = "a serial".into();
    guest.disks = vec![disk];
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

/// The guest makes its raw disk look like a qcow2 image that has a file of the host behind it. At the next run
/// that is refused, unless the user allows that very thing; then it is such an image.
fn forged() -> Result<()> {
    const SIZE: u64 = 64 << 10;
    let behind = patterned(SIZE)?;
    let disk = NamedTempFile::with_prefix("patchvisor-disk-")?;
    disk.as_file().set_len(SIZE)?;
    let header = qcow2(SIZE, behind.path().to_str().context("a name of no text")?);
    let octal = header.iter().map(|byte| format!("\\{byte:03o}"));
    let script = format!(
        "printf '{}' | dd of=$disk conv=notrunc,fsync",
        octal.collect::<String>()
    );
    let described = |format, read_only| Disk {
        format,
        read_only,
        ..Disk::new(Content::Image {
            path: disk.path().to_owned(),
            partition: None,
        })
    };
    run_on(described(None, false), &script)?;
    ensure!(std::fs::read(disk.path())?.starts_with(&header));

    let qcow2 = |others| Some(Format::Qcow2 { others });
    for (format, way) in [(None, ",format=raw"), (qcow2(false), ",backing=allow")] {
        let error = run_on(described(format, true), "true").err();
        let error = format!("{:#}", error.context("it runs")?);
        ensure!(error.contains(way), "{error}");
    }
    let script = format!(
        "test $(sha256sum < $disk | cut -d ' ' -f 1) = {}",
        sum(0, SIZE)?
    );
    run_on(described(qcow2(true), true), &script)
}

/// A qcow2 image of this size, with clusters of 512 bytes none of which is there: all is in the raw
/// file behind it (QEMU, docs/interop/qcow2.rst).
fn qcow2(size: u64, behind: &str) -> Vec<u8> {
    const CLUSTER: u64 = 512;
    let mut image = vec![0; 4 * CLUSTER as usize];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb\0\0\0\x02");
    put(8, &256_u64.to_be_bytes());
    put(16, &(behind.len() as u32).to_be_bytes());
    put(20, &CLUSTER.ilog2().to_be_bytes());
    put(24, &size.to_be_bytes());
    // The first table is the second cluster; each of its entries stands for a cluster of 64.
    put(36, &(size.div_ceil(CLUSTER * 64) as u32).to_be_bytes());
    put(40, &CLUSTER.to_be_bytes());
    // A table of reference counts, and a block of them.
    put(48, &(2 * CLUSTER).to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    put(2 * CLUSTER as usize, &(3 * CLUSTER).to_be_bytes());
    put(3 * CLUSTER as usize, &[0, 1, 0, 1, 0, 1, 0, 1]);
    // The format of what is behind it.
    put(72, b"\xe2\x79\x2a\xca\0\0\0\x03raw");
    put(256, behind.as_bytes());
    image
}
