//! Fetches what guests are made of from Debian: kernels, busybox, firmware, U-Boot.
//!
//! Each suite has a private apt root in the cache, so that nothing of this machine's own
//! configuration changes. apt checks the signatures with the keyring of this machine. What is there
//! is never fetched again.

use crate::progress::{say, step};
use crate::{mirror, paths};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The keys of the Debian archive; those of Debian 12 verify its successors as well.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A suite of the Debian archive.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Suite {
    /// Debian 12.
    Bookworm,
    /// What Debian 12 has been given since.
    BookwormBackports,
    /// Debian 13.
    Trixie,
    /// Debian unstable.
    Sid,
}

impl Suite {
    /// All of them, the oldest first.
    pub const ALL: [Self; 4] = [
        Self::Bookworm,
        Self::BookwormBackports,
        Self::Trixie,
        Self::Sid,
    ];

    /// The name in the archive.
    pub fn name(self) -> &'static str {
        self.names()[0]
    }

    /// The names in the archive, the best first. A mirror keeps an index under each, and while it is
    /// being brought up to date one of them may be whole when another is not.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Bookworm => &["bookworm", "oldstable"],
            Self::BookwormBackports => &["bookworm-backports", "oldstable-backports"],
            Self::Trixie => &["trixie", "stable"],
            Self::Sid => &["sid", "unstable"],
        }
    }

    /// riscv64 is an architecture of Debian since 13; before, only packages for all of them help.
    fn architecture(self) -> &'static str {
        match self {
            Self::Bookworm | Self::BookwormBackports => "amd64",
            Self::Trixie | Self::Sid => "riscv64",
        }
    }
}

/// A kernel of Debian.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its release, as `uname -r` says it.
    pub release: String,
    /// What boots.
    pub image: PathBuf,
    /// `lib/modules/<release>`.
    pub modules: PathBuf,
}

/// The kernel that a suite's `linux-image-riscv64` stands for.
pub fn kernel(suite: Suite) -> Result<Kernel> {
    let root = obtain(suite, "linux", "the Linux kernel", |apt| {
        let image = apt.depends("linux-image-riscv64", &["linux-image-"])?;
        let image = image
            .first()
            .context("linux-image-riscv64 names no kernel")?;
        // Since 7.x image and modules are packages of their own, which this one depends on.
        let parts = apt.depends(image, &["linux-binary-", "linux-modules-"])?;
        Ok(if parts.is_empty() {
            vec![image.clone()]
        } else {
            parts
        })
    })?;
    let modules = only_entry(&root.join("usr/lib/modules"))?;
    let release = modules.file_name().unwrap_or_default().to_string_lossy();
    let release = release.into_owned();
    let image = [
        root.join(format!("boot/vmlinux-{release}")),
        root.join(format!("boot/vmlinuz-{release}")),
        modules.join("vmlinuz"),
        modules.join("vmlinux"),
    ]
    .into_iter()
    .find(|path| path.is_file())
    .with_context(|| format!("no kernel in {}: remove it to fetch again", root.display()))?;
    Ok(Kernel {
        release,
        image,
        modules,
    })
}

/// A board's device tree as it comes with Debian 13's kernel, such as `microchip/mpfs-icicle-kit`.
pub fn device_tree(board: &str) -> Result<PathBuf> {
    let kernel = kernel(Suite::Trixie)?;
    let root = kernel.modules.ancestors().nth(4).unwrap_or(&kernel.modules);
    let file = format!("usr/lib/linux-image-{}/{board}.dtb", kernel.release);
    existing(root, &[&file])
}

/// A static busybox for riscv64.
pub fn busybox() -> Result<PathBuf> {
    let root = obtain(Suite::Trixie, "busybox", "a static busybox", |_| {
        Ok(vec!["busybox-static".into()])
    })?;
    existing(&root, &["usr/bin/busybox", "bin/busybox"])
}

/// OpenSBI: 1.1 in bookworm, 1.5 in bookworm-backports, 1.6 in trixie, 1.9 or later in sid.
pub fn opensbi(suite: Suite) -> Result<PathBuf> {
    opensbi_file(suite, "fw_dynamic.bin")
}

/// The same as an ELF file that goes on at a fixed address, for hosts that tell firmware nothing.
pub fn opensbi_jump(suite: Suite) -> Result<PathBuf> {
    opensbi_file(suite, "fw_jump.elf")
}

fn opensbi_file(suite: Suite, file: &str) -> Result<PathBuf> {
    let root = obtain(suite, "opensbi", "the OpenSBI firmware", |_| {
        Ok(vec!["opensbi".into()])
    })?;
    let file = format!("usr/lib/riscv64-linux-gnu/opensbi/generic/{file}");
    existing(&root, &[&file])
}

/// U-Boot for S-mode, an ELF file.
pub fn u_boot() -> Result<PathBuf> {
    let root = obtain(Suite::Trixie, "u-boot", "U-Boot", |_| {
        Ok(vec!["u-boot-qemu".into()])
    })?;
    let directory = "usr/lib/u-boot/qemu-riscv64_smode";
    let files = ["uboot.elf", "u-boot", "u-boot.elf"].map(|file| format!("{directory}/{file}"));
    existing(&root, &files.each_ref().map(String::as_str))
}

/// Debian's installer for booting over a network: its kernel and its initrd, which has all of it.
pub fn installer() -> Result<(PathBuf, PathBuf)> {
    let what = "the Debian installer";
    let root = obtain(Suite::Trixie, "installer", what, |_| {
        Ok(vec!["debian-installer-13-netboot-riscv64".into()])
    })?;
    let directory = "usr/lib/debian-installer/images/13/riscv64/text/debian-installer/riscv64";
    let file = |name| existing(&root, &[&format!("{directory}/{name}")]);
    Ok((file("linux")?, file("initrd.gz")?))
}

/// The sources.list(5) line of a suite, with the name under which the mirror's index can be read now.
pub(crate) fn source(suite: Suite) -> Result<String> {
    let apt = Apt::new(&paths::cache()?, suite)?;
    let line = std::fs::read_to_string(apt.root.join("sources.list"))?;
    Ok(line.trim_end().to_owned())
}

fn existing(root: &Path, files: &[&str]) -> Result<PathBuf> {
    files
        .iter()
        .map(|file| root.join(file))
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "{} is not in {}: remove that directory to fetch again",
                files[0],
                root.display()
            )
        })
}

fn only_entry(directory: &Path) -> Result<PathBuf> {
    let mut entries =
        std::fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let entry = entries
        .next()
        .with_context(|| format!("{} is empty", directory.display()))??;
    Ok(entry.path())
}

/// The unpacked packages of one thing; fetched if they are not there.
///
/// `packages` names the packages, given the suite's apt.
fn obtain(
    suite: Suite,
    thing: &str,
    what: &str,
    packages: impl FnOnce(&Apt) -> Result<Vec<String>>,
) -> Result<PathBuf> {
    let cache = paths::cache()?;
    let place = cache.join("debian").join(suite.name()).join(thing);
    if place.is_dir() {
        return Ok(place);
    }
    // Another run may be fetching: wait for it, then look again.
    let lock = lock(&cache)?;
    if !place.is_dir() {
        say(&format!(
            "{what} of Debian {} is not in {}: fetching it",
            suite.name(),
            cache.display()
        ));
        let apt = Apt::new(&cache, suite)?;
        let packages = packages(&apt)?;
        apt.unpack(&packages, &place)?;
    }
    drop(lock);
    Ok(place)
}

/// Locks the cache until the file is dropped.
pub(crate) fn lock(cache: &Path) -> Result<File> {
    let file = File::create(cache.join("lock")).context("opening the cache's lock")?;
    if file.try_lock().is_err() {
        say("another run uses the cache: waiting for it ...");
        file.lock().context("locking the cache")?;
    }
    Ok(file)
}

/// The private apt root of one suite.
struct Apt {
    root: PathBuf,
    suite: Suite,
}

impl Apt {
    /// Makes the root and reads the suite's index.
    fn new(cache: &Path, suite: Suite) -> Result<Self> {
        let root = cache.join("apt").join(suite.name());
        for directory in ["lists/partial", "archives/partial"] {
            std::fs::create_dir_all(root.join(directory))
                .with_context(|| format!("creating {}", root.display()))?;
        }
        let architecture = suite.architecture();
        std::fs::write(root.join("status"), "")?;
        std::fs::write(root.join("apt.conf"), configuration(&root, architecture))?;
        let apt = Self { root, suite };
        let [best, others @ ..] = suite.names() else {
            unreachable!("every suite has a name")
        };
        let mut read = apt.read_index(best);
        for other in others {
            let Err(error) = &read else { break };
            say(&format!("{error:#}"));
            say(&format!(
                "the mirror's index of {best} cannot be used: trying the one that it keeps as {other}"
            ));
            read = apt.read_index(other);
        }
        read.map(|()| apt)
    }

    /// Reads the index that the mirror keeps under one of the suite's names.
    fn read_index(&self, name: &str) -> Result<()> {
        let (architecture, mirror) = (self.suite.architecture(), mirror::main()?);
        let source =
            format!("deb [arch={architecture} signed-by={KEYRING}] {mirror} {name} main\n");
        std::fs::write(self.root.join("sources.list"), source)?;
        let what = format!("reading the package index of Debian {name}");
        let mut update = self.command("apt-get");
        step(&what, update.args(["update", "--error-on=any"]))?;
        // Names such as `stable` pass on to the next release one day.
        let lists = std::fs::read_dir(self.root.join("lists"))?.flatten();
        let release = lists
            .map(|entry| entry.path())
            .find(|path| path.to_string_lossy().ends_with("InRelease"))
            .with_context(|| format!("apt kept no InRelease file of {name}"))?;
        let wanted = format!("Codename: {}", self.suite.name());
        let text = std::fs::read_to_string(&release)?;
        anyhow::ensure!(
            text.lines().any(|line| line == wanted),
            "the mirror's {name} is not Debian {}",
            self.suite.name()
        );
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", self.root.join("apt.conf"))
            .env("LC_ALL", "C.UTF-8");
        command
    }

    /// The packages that `package` depends on whose names begin with one of `prefixes` and go on
    /// with a digit.
    fn depends(&self, package: &str, prefixes: &[&str]) -> Result<Vec<String>> {
        let output = self
            .command("apt-cache")
            .args(["depends", "--important", package])
            .output()
            .context("apt-cache cannot be started: this needs Debian's apt")?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("apt-cache depends {package}: {}", complaint.trim());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(select(&text, prefixes))
    }

    /// Downloads packages and unpacks them into `place`, which appears only when it is whole.
    fn unpack(&self, packages: &[String], place: &Path) -> Result<()> {
        let parent = place.parent().context("the cache has no parent")?;
        std::fs::create_dir_all(parent)?;
        let downloads = tempfile::tempdir_in(parent)?;
        let unfinished = tempfile::tempdir_in(parent)?;
        let mut download = self.command("apt-get");
        download.current_dir(downloads.path()).arg("download");
        download.args(packages);
        let suite = self.suite.name();
        step(
            &format!("downloading {} of {suite}", packages.join(", ")),
            &mut download,
        )?;
        for entry in std::fs::read_dir(downloads.path())? {
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("-x").arg(entry?.path()).arg(unfinished.path());
            step("unpacking", &mut unpack)?;
        }
        std::fs::rename(unfinished.path(), place)
            .with_context(|| format!("moving {} to its place", place.display()))?;
        // It has moved away: there is nothing left to remove.
        let _ = unfinished.keep();
        Ok(())
    }
}

/// The lines `  Depends: name` and `  PreDepends: name` of `apt-cache depends`.
fn select(text: &str, prefixes: &[&str]) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.trim().split_once("Depends: "))
        .map(|(_, name)| name)
        .filter(|name| {
            prefixes.iter().any(|prefix| {
                name.strip_prefix(prefix)
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            })
        })
        .map(str::to_owned)
        .collect()
}

/// apt.conf(5). `/dev/null` keeps this machine's own sources and preferences out.
fn configuration(root: &Path, architecture: &str) -> String {
    let root = root.display();
    format!(
        "Dir::State \"{root}\";\n\
         Dir::State::status \"{root}/status\";\n\
         Dir::State::Lists \"{root}/lists\";\n\
         Dir::Cache \"{root}\";\n\
         Dir::Etc::sourcelist \"{root}/sources.list\";\n\
         Dir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::preferences \"/dev/null\";\n\
         Dir::Etc::preferencesparts \"/dev/null\";\n\
         APT::Architecture \"{architecture}\";\n\
         APT::Architectures {{ \"{architecture}\"; }};\n\
         APT::Sandbox::User \"\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::Retries \"3\";\n\
         Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_packages_are_found_among_the_dependencies() {
        let text = "linux-image-7.2.13+deb14-riscv64\n  PreDepends: linux-base\n |Depends: dracut\n  \
                    Depends: linux-base-7.2.13+deb14-riscv64\n  Depends: linux-binary-7.2.13+deb14-riscv64\n  \
                    Depends: linux-modules-7.2.13+deb14-riscv64\n  Depends: <linux-initramfs-tool>\n";
        let found = select(text, &["linux-binary-", "linux-modules-"]);
        let expected = [
            "linux-binary-7.2.13+deb14-riscv64",
            "linux-modules-7.2.13+deb14-riscv64",
        ];
        assert_eq!(found, expected);
        assert!(select(text, &["linux-image-"]).is_empty());
    }
}
