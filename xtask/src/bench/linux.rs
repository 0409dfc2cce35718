//! The Linux guest: Debian's kernel, and a program in C as its only process.

use crate::fetch::{self, Suite};
use crate::initramfs::Initramfs;
use crate::paths;
use crate::progress::step;
use anyhow::{Context, Result};
use patchvisor::guest::Guest;
use std::path::{Path, PathBuf};
use std::process::Command;

const COMPILER: &str = "riscv64-linux-gnu-gcc";
const MEMORY: u64 = 512 << 20;

/// Compiles a program of `guests/linux`; returns where it is.
pub fn program(name: &str) -> Result<PathBuf> {
    let directory = paths::target("linux")?;
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("creating {}", directory.display()))?;
    let program = directory.join(name);
    let mut compiler = Command::new(COMPILER);
    compiler
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-o"])
        .arg(&program)
        .arg(paths::root()?.join(format!("guests/linux/{name}.c")));
    step("compiling the Linux benchmarks", &mut compiler)?;
    Ok(program)
}

/// The guest, its initramfs written to `initrd`.
///
/// # Errors
/// When the kernel cannot be had or the program cannot be compiled.
pub fn guest(initrd: &Path) -> Result<Guest> {
    let program = program("bench")?;
    let program =
        std::fs::read(&program).with_context(|| format!("reading {}", program.display()))?;
    let mut archive = Initramfs::new();
    archive.file("init", 0o755, &program);
    std::fs::write(initrd, archive.finish()).context("writing the initramfs")?;
    let mut guest = Guest::new(fetch::kernel(Suite::Trixie)?.image);
    guest.initrd = Some(initrd.to_owned());
    guest.vm.memory = MEMORY;
    Ok(guest)
}

/// The kernel's command line: the measurements whose names contain `filter`, at most `batches` times.
pub fn arguments(batches: u32, filter: Option<&str>) -> String {
    let mut line = format!("console=ttyS0 quiet -- {batches}");
    if let Some(filter) = filter {
        line.push(' ');
        line.push_str(filter);
    }
    line
}
