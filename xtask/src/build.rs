//! Builds what runs on a hart: the monitor and the small guests.
//!
//! Two toolchains can do it. If the one that runs this has the target installed, it is used plainly;
//! else Debian's, whose `core` and `alloc` are built from source. Debian's cargo must not see the
//! variables that rustup's cargo has set for this process.

use crate::paths;
use crate::progress::step;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Integer registers only: the monitor never touches the guest's F and V registers.
pub const TARGET: &str = "riscv64imac-unknown-none-elf";

/// Prefix of the cross binutils.
const BINUTILS: &str = "riscv64-linux-gnu-";

/// For all bare-metal programs. Nothing unwinds, so frame pointers and tables would be dead weight.
const COMMON_FLAGS: &[&str] = &[
    "-Clinker=riscv64-linux-gnu-ld",
    "-Clinker-flavor=ld",
    "-Ccode-model=medium",
    "-Cforce-frame-pointers=no",
];

/// The monitor runs wherever firmware has put it, and relocates itself.
const MONITOR_FLAGS: &[&str] = &[
    "-Crelocation-model=pic",
    "-Clink-arg=-pie",
    "-Clink-arg=--no-dynamic-linker",
    "-Clink-arg=-znotext",
    "-Clink-arg=--gc-sections",
];

/// Guests stand at a fixed address.
const GUEST_FLAGS: &[&str] = &[
    "-Crelocation-model=static",
    "-Clink-arg=--gc-sections",
    "-Clink-arg=-no-pie",
];

/// Debian's toolchain, as its packages rustc-web and cargo-web install it.
pub const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// See [`DEBIAN_RUSTC`].
pub const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// Which toolchain builds for [`TARGET`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Toolchain {
    /// The one that runs this; it has the target's `core`.
    Plain,
    /// Debian's, with `core` from source.
    Debian,
}

impl Toolchain {
    /// Chooses the toolchain.
    pub fn choose() -> Self {
        let installed = Command::new("rustc")
            .args(["--print", "sysroot"])
            .output()
            .ok()
            .filter(|output| output.status.success())
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .is_some_and(|sysroot| {
                let target = Path::new(&sysroot).join("lib/rustlib").join(TARGET);
                target.join("lib").is_dir()
            });
        if installed { Self::Plain } else { Self::Debian }
    }

    /// A cargo command that builds for [`TARGET`] with `flags`.
    fn cargo(self, flags: &[String]) -> Result<Command> {
        let mut command = match self {
            Self::Plain => Command::new("cargo"),
            Self::Debian => Command::new(DEBIAN_CARGO),
        };
        scrub(&mut command);
        if self == Self::Debian {
            command
                .env("RUSTC", DEBIAN_RUSTC)
                .env("RUSTC_BOOTSTRAP", "1");
        }
        command
            .current_dir(paths::root()?)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .args(["build", "--release", "--target", TARGET]);
        if self == Self::Debian {
            command.arg("-Zbuild-std=core,alloc");
        }
        Ok(command)
    }
}

/// Removes what rustup and an outer cargo have set, which would leak into the inner build.
fn scrub(command: &mut Command) {
    const KEPT: [&str; 2] = ["CARGO_HOME", "CARGO_NET_OFFLINE"];
    const DROPPED: [&str; 8] = [
        "CARGO",
        "LD_LIBRARY_PATH",
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
    ];
    for (name, _) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let cargos = name.starts_with("CARGO_") && !KEPT.contains(&name);
        if cargos || DROPPED.contains(&name) {
            command.env_remove(name);
        }
    }
}

/// The flags of one program, with its linker script.
fn flags(own: &[&str], script: &Path) -> Vec<String> {
    COMMON_FLAGS
        .iter()
        .chain(own)
        .map(|flag| (*flag).to_owned())
        .chain([format!("-Clink-arg=-T{}", script.display())])
        .collect()
}

/// Builds the monitor; returns its `Image`.
pub fn monitor() -> Result<PathBuf> {
    let directory = paths::target("monitor")?;
    let flags = flags(MONITOR_FLAGS, &paths::root()?.join("monitor/link.ld"));
    let mut cargo = Toolchain::choose().cargo(&flags)?;
    cargo.args(["--package", "monitor", "--target-dir"]);
    step("building the monitor", cargo.arg(&directory))?;
    let image = directory.join("patchvisor.bin");
    self::image(&monitor_elf()?, &image)?;
    Ok(image)
}

/// Where [`monitor`] leaves its symbols.
pub fn monitor_elf() -> Result<PathBuf> {
    let release = paths::target("monitor")?.join(TARGET).join("release");
    Ok(release.join("monitor"))
}

/// Builds the small guests; returns their ELF files in the order of their names.
pub fn guests() -> Result<Vec<PathBuf>> {
    let directory = paths::target("guests")?;
    let flags = flags(GUEST_FLAGS, &paths::root()?.join("guests/link.ld"));
    let mut cargo = Toolchain::choose().cargo(&flags)?;
    cargo.args(["--package", "guests", "--bins", "--target-dir"]);
    step("building the guests", cargo.arg(&directory))?;
    let release = directory.join(TARGET).join("release");
    let mut guests = Vec::new();
    for entry in std::fs::read_dir(&release)? {
        let path = entry?.path();
        if path.is_file() && is_elf(&path)? {
            guests.push(path);
        }
    }
    guests.sort();
    Ok(guests)
}

fn is_elf(path: &Path) -> Result<bool> {
    use std::io::Read;
    let mut start = [0; 4];
    let count = std::fs::File::open(path)?.read(&mut start)?;
    Ok(start[..count] == *b"\x7fELF")
}

/// Makes the raw image. It appears under its name only when it is whole: tests may run meanwhile.
pub fn image(elf: &Path, image: &Path) -> Result<()> {
    let unfinished = image.with_extension(format!("{}.tmp", std::process::id()));
    let mut command = Command::new(format!("{BINUTILS}objcopy"));
    command.args(["-O", "binary"]).arg(elf).arg(&unfinished);
    let output = command
        .output()
        .context("riscv64-linux-gnu-objcopy cannot be started: run `cargo xtask setup`")?;
    if !output.status.success() {
        anyhow::bail!(
            "objcopy: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    std::fs::rename(&unfinished, image)
        .with_context(|| format!("moving {} to its place", image.display()))
}
