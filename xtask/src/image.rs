//! A whole Debian on a disk: systemd, apt, the distribution's kernel and its initramfs.
//!
//! mmdebstrap downloads and unpacks the packages on this machine, and a RISC-V machine installs them:
//! QEMU with the distribution's kernel. So neither root nor binfmt_misc is needed. The image has no
//! partitions; root has no password.

use crate::fetch::{self, Suite};
use crate::initramfs::Initramfs;
use crate::progress::{say, seconds, step};
use crate::{mirror, paths, setup};
use anyhow::{Context, Result, bail, ensure};
use patchvisor::guest::Guest;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Counts up whenever the image's making changes: images of other editions are not used.
const EDITION: u32 = 3;
/// Size of the disk; what is free takes no room on this machine.
const SIZE: &str = "2G";
/// How the names of directories begin that are being filled.
const UNFINISHED: &str = ".unfinished-";
/// Longest that installing may take, on a machine that is busy otherwise too.
const LIMIT: Duration = Duration::from_secs(3600);

/// What is installed beyond Debian's essential packages.
const PACKAGES: &[&str] = &[
    "apt",
    "ca-certificates",
    "dbus",
    "e2fsprogs",
    "fdisk",
    "initramfs-tools",
    "iproute2",
    "iputils-ping",
    "kmod",
    "libpam-systemd",
    "linux-image-riscv64",
    "login",
    "netbase",
    "passwd",
    "systemd-sysv",
    "udev",
    "util-linux",
    "wget",
    // The initramfs is compressed with it if it is there, and otherwise slowly.
    "zstd",
];

/// What tests of disks and of load run. With their libraries they are half of what is downloaded, so
/// they have a disk of their own, where they are unpacked and never installed.
/// base-files has the directories that `chroot` counts on.
const TOOLS: &[&str] = &["base-files", "fio", "stress-ng"];
/// Counts up whenever the tools' disk changes.
const TOOLS_EDITION: u32 = 1;

/// What the machine that installs needs to reach its disk, in the order of loading.
pub const DISK_MODULES: &[&str] = &["drivers/virtio/virtio_mmio", "drivers/block/virtio_blk"];
/// What it needs besides for its file system, after those.
pub const EXT4_MODULES: &[&str] = &[
    "lib/crc16",
    "fs/mbcache",
    "fs/jbd2/jbd2",
    "crypto/crc32c_generic",
    "fs/ext4/ext4",
];

/// The image, in the cache. It is for copying, not for running.
#[derive(Clone, Debug)]
pub struct Image {
    /// The disk: an ext4 file system labelled `debian`.
    pub disk: PathBuf,
    /// Its kernel, out of its `/boot`.
    pub kernel: PathBuf,
    /// Its initramfs, out of its `/boot`.
    pub initrd: PathBuf,
}

impl Image {
    fn in_directory(directory: &Path) -> Self {
        Self {
            disk: directory.join("disk.img"),
            kernel: directory.join("vmlinux"),
            initrd: directory.join("initrd.img"),
        }
    }
}

/// Copies a disk; holes stay holes.
///
/// # Errors
/// When there is no room.
pub fn copy_disk(from: &Path, to: &Path) -> Result<()> {
    let mut copy = Command::new("cp");
    copy.args(["--sparse=always", "--reflink=auto"]);
    run(copy.arg(from).arg(to)).map(drop)
}

/// The image of Debian 13; made if it is not there.
///
/// # Errors
/// When a tool is missing and cannot be installed, a package cannot be had, or installing fails.
pub fn debian() -> Result<Image> {
    let cache = paths::cache()?;
    let place = cache.join("debian").join(Suite::Trixie.name());
    let place = place.join(format!("system-{EDITION}"));
    let image = Image::in_directory(&place);
    if place.is_dir() {
        return Ok(image);
    }
    // These take the lock themselves.
    setup::ensure_for_images()?;
    let parts = (fetch::kernel(Suite::Trixie)?, fetch::busybox()?);
    once(&place, "the disk image of Debian", |directory| {
        make(directory, &parts.0, &parts.1)
    })?;
    Ok(image)
}

/// A disk with an ext4 file system labelled `tools`, for mounting and `chroot`: fio and stress-ng;
/// made if it is not there.
///
/// # Errors
/// Those of [`debian`].
pub fn tools() -> Result<PathBuf> {
    let cache = paths::cache()?;
    let place = cache.join("debian").join(Suite::Trixie.name());
    let place = place.join(format!("tools-{TOOLS_EDITION}"));
    if !place.is_dir() {
        setup::ensure_for_images()?;
        once(&place, "the disk of tools of Debian", |directory| {
            unpack(directory, "tools", &TOOLS.join(","))
        })?;
    }
    Ok(place.join("disk.img"))
}

/// Makes a directory of the cache with what `make` puts into it: whole, or not at all.
fn once(place: &Path, what: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let cache = paths::cache()?;
    let parent = place.parent().context("the cache has no parent")?;
    std::fs::create_dir_all(parent)?;
    // Another run may be making it: wait for that, then look again.
    let lock = fetch::lock(&cache)?;
    if !place.is_dir() {
        say(&format!(
            "{what} {} is not in {}: making it",
            Suite::Trixie.name(),
            cache.display()
        ));
        let began = Instant::now();
        // Runs that were killed leave theirs.
        for entry in std::fs::read_dir(parent)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        let unfinished = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(parent)?;
        make(unfinished.path())?;
        std::fs::rename(unfinished.path(), place)
            .with_context(|| format!("moving {} to its place", place.display()))?;
        // It has moved away: there is nothing left to remove.
        let _ = unfinished.keep();
        say(&format!("{what} took {}", seconds(began.elapsed())));
    }
    drop(lock);
    Ok(())
}

/// Makes `disk.img` with packages and what they depend on, unpacked.
fn unpack(directory: &Path, label: &str, packages: &str) -> Result<()> {
    let image = Image::in_directory(directory);
    let tree = directory.join("tree");
    let script = directory.join("tree.sh");
    std::fs::write(&script, include_str!("image/tree.sh"))?;
    let mut command = tool("fakeroot");
    command.arg("sh").arg(&script).arg(&tree).arg(&image.disk);
    command.args([SIZE, label, &fetch::source(Suite::Trixie)?, packages]);
    step("downloading and unpacking Debian", &mut command)?;
    std::fs::remove_dir_all(&tree).context("removing the unpacked packages")?;
    std::fs::remove_file(&script)?;
    Ok(())
}

fn make(directory: &Path, kernel: &fetch::Kernel, busybox: &Path) -> Result<()> {
    let image = Image::in_directory(directory);
    // mmdebstrap takes a list that begins with a pattern as one pattern.
    let packages = PACKAGES.join(",") + ",?essential";
    unpack(directory, "debian", &packages)?;

    let initrd = directory.join("install.img");
    std::fs::write(&initrd, installer(kernel, busybox)?)?;
    install(&image.disk, &kernel.image, &initrd)?;
    std::fs::remove_file(&initrd)?;
    check_file_system(&image.disk)?;
    take_out(&image.disk, "vmlinux-", &image.kernel)?;
    take_out(&image.disk, "initrd.img-", &image.initrd)
}

/// The initramfs of the machine that installs.
fn installer(kernel: &fetch::Kernel, busybox: &Path) -> Result<Vec<u8>> {
    let script = [WITH_MODULES, include_str!("image/init.sh")].concat();
    let mut archive = Initramfs::with_busybox(busybox, &script)?;
    let sources = format!(
        "echo 'deb {} trixie main' > /etc/apt/sources.list\n",
        mirror::main()?
    );
    let script = include_str!("image/install.sh").to_owned() + &sources;
    archive.file("install.sh", 0o644, script.as_bytes());
    add_modules(&mut archive, kernel, &[DISK_MODULES, EXT4_MODULES].concat())?;
    Ok(archive.finish())
}

/// How a script goes on whose initramfs has modules: all of these are loaded, in their order.
pub const WITH_MODULES: &str = "for name in $(cat /modules/order); do
    xzcat /modules/$name.ko.xz > /modules/$name.ko && insmod /modules/$name.ko
done
";

/// Adds modules as `/modules/<name>.ko.xz`, and their names in order as `/modules/order`.
///
/// # Errors
/// When the kernel has no such module.
pub fn add_modules(
    archive: &mut Initramfs,
    kernel: &fetch::Kernel,
    modules: &[&str],
) -> Result<()> {
    archive.directory("modules");
    let mut order = String::new();
    for module in modules {
        let path = kernel.modules.join("kernel").join(module);
        let path = path.with_extension("ko.xz");
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let name = module.rsplit('/').next().unwrap_or(module);
        archive.file(&format!("modules/{name}.ko.xz"), 0o644, &bytes);
        order += &format!("{name}\n");
    }
    archive.file("modules/order", 0o644, order.as_bytes());
    Ok(())
}

/// Runs the machine that installs the packages on the disk.
fn install(disk: &Path, kernel: &Path, initrd: &Path) -> Result<()> {
    let mut guest = Guest::new(kernel);
    guest.vm.memory = 1 << 30;
    guest.vm.vcpus = 2;
    guest.vm.append = "console=ttyS0 loglevel=4 panic=1".into();
    guest.initrd = Some(initrd.to_owned());
    say("installing Debian's packages on an emulated machine ...");
    let began = Instant::now();
    let machine = guest.native().no_reboot().args([
        "-global",
        "virtio-mmio.force-legacy=false",
        "-device",
        "virtio-blk-device,drive=disk",
        "-drive",
    ]);
    // If it is interrupted, the image is thrown away: nothing need be flushed.
    let drive = format!(
        "if=none,id=disk,format=raw,cache=unsafe,discard=unmap,file={}",
        disk.display()
    );
    let mut run = machine.arg(drive).spawn()?;
    let outcome = loop {
        const PATIENCE: Duration = Duration::from_secs(10);
        let asked = Instant::now();
        let installed = run.expect("PV:installed=", PATIENCE).is_ok();
        if installed || asked.elapsed() < PATIENCE || began.elapsed() > LIMIT {
            // It is about to power off, or has ended, or never will.
            break run.wait(Duration::from_secs(60))?;
        }
        if let Some(line) = run.lines().last() {
            say(&format!("  [{}] {}", seconds(began.elapsed()), line.text));
        }
    };
    ensure!(
        outcome.success() && outcome.text().contains("PV:installed=yes"),
        "Debian's packages were not installed; the machine's last lines:\n{}",
        last_lines(&outcome.text())
    );
    say(&format!("installing: done in {}", seconds(began.elapsed())));
    Ok(())
}

/// The last lines of a text, for messages.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Copies the file of the image's `/boot` whose name begins with `prefix` into a file.
fn take_out(disk: &Path, prefix: &str, file: &Path) -> Result<()> {
    let listing = debugfs(disk, "ls -p /boot")?;
    let name = listing
        .split('/')
        .find(|name| name.starts_with(prefix))
        .with_context(|| format!("the image has no {prefix}* in /boot:\n{listing}"))?;
    debugfs(disk, &format!("dump /boot/{name} {}", file.display()))?;
    ensure!(
        file.metadata().is_ok_and(|data| data.len() > 1 << 20),
        "/boot/{name} cannot be read out of the image"
    );
    Ok(())
}

fn debugfs(disk: &Path, request: &str) -> Result<String> {
    run(tool("debugfs").args(["-R", request]).arg(disk))
}

/// Checks a file system that is not in use, changing nothing.
///
/// # Errors
/// With what e2fsck says, when it is not clean.
pub fn check_file_system(disk: &Path) -> Result<()> {
    run(tool("e2fsck").arg("-fn").arg(disk)).map(drop)
}

/// A tool for administrators, which not everyone has in the path.
pub fn tool(name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let path = std::env::join_paths(std::env::split_paths(&path).chain(more));
    let mut command = Command::new(name);
    if let Ok(path) = path {
        command.env("PATH", path);
    }
    command
}

/// Runs a command; returns what it printed.
///
/// # Errors
/// When it cannot be started or fails; then with all that it said.
pub fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}\n{text}{complaint}", output.status);
    }
    Ok(text)
}
