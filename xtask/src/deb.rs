//! Makes the Debian package: the host command, the monitor's image, completions, manual pages, the book.

use crate::progress::step;
use crate::{build, paths};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where in the package each shell looks for completions of `patchvisor`.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/patchvisor"),
    ("zsh", "usr/share/zsh/vendor-completions/_patchvisor"),
    (
        "fish",
        "usr/share/fish/vendor_completions.d/patchvisor.fish",
    ),
];

/// Builds the package; returns where it is.
///
/// # Errors
/// When something cannot be built, or dpkg's tools are not there.
pub fn deb() -> Result<PathBuf> {
    let architecture = said_by(Command::new("dpkg").arg("--print-architecture"))?;
    let monitor = build::monitor()?;
    let program = program()?;
    let parent = paths::target("deb");
    let tree = parent.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).context("removing the last package's tree")?;
    }
    let install = |from: &Path, to: &str| copy(from, &tree.join(to));
    install(&program, "usr/bin/patchvisor")?;
    let installed = tree.join("usr/bin/patchvisor");
    step("stripping", Command::new("strip").arg(&installed))?;
    install(&monitor, "usr/lib/patchvisor/patchvisor.bin")?;
    for (shell, path) in COMPLETIONS {
        let text = said_by(Command::new(&installed).args(["completions", shell]))?;
        write(&tree.join(path), &format!("{text}\n"))?;
    }
    let pages = tree.join("usr/share/man/man1");
    said_by(Command::new(&installed).arg("man").arg(&pages))?;
    let mut gzip = Command::new("gzip");
    gzip.arg("-9n");
    for page in fs::read_dir(&pages)? {
        gzip.arg(page?.path());
    }
    said_by(&mut gzip)?;
    documents(&tree.join("usr/share/doc/patchvisor"))?;

    let control = control(&architecture, &fs::read(&installed)?, size(&tree)?);
    write(&tree.join("DEBIAN/control"), &control)?;
    let package = parent.join(format!("patchvisor_{}_{architecture}.deb", version()));
    let mut command = Command::new("dpkg-deb");
    command.args(["--root-owner-group", "--build"]);
    step("packing", command.arg(&tree).arg(&package))?;
    Ok(package)
}

/// Builds the host command; returns its program.
fn program() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(paths::root());
    command.args(["build", "--release", "--package", "patchvisor"]);
    command
        .arg("--target-dir")
        .arg(paths::root().join("target"));
    step("building the host command", &mut command)?;
    Ok(paths::target("release").join("patchvisor"))
}

/// The version of the workspace, which all crates share.
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The licences, the overview and the book's pages.
fn documents(to: &Path) -> Result<()> {
    let root = paths::root();
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
    ] {
        copy(&root.join(name), &to.join(name))?;
    }
    // Debian's policy, 12.5, wants the licence under this name.
    copy(&root.join("LICENSE"), &to.join("copyright"))?;
    copy_tree(&root.join("docs/src"), &to.join("book"))
}

/// `DEBIAN/control`, see deb-control(5). `installed` is in bytes.
fn control(architecture: &str, program: &[u8], installed: u64) -> String {
    format!(
        "Package: patchvisor\n\
         Version: {}\n\
         Architecture: {architecture}\n\
         Maintainer: The Patchvisor developers <patchvisor@localhost>\n\
         Installed-Size: {}\n\
         Depends: libc6 (>= 2.{}), libgcc-s1, qemu-system-misc (>= 1:7.2) | qemu-system-riscv\n\
         Suggests: qemu-utils\n\
         Section: otherosfs\n\
         Priority: optional\n\
         Description: virtual machine monitor for RISC-V without the H extension\n\
         \x20Runs unmodified operating systems on RISC-V processors that have no\n\
         \x20hypervisor extension. Guests run in user mode, with patches in the place of\n\
         \x20their privileged instructions. This package has the monitor and the command\n\
         \x20that packs guests for it and runs them on QEMU.\n",
        version(),
        installed.div_ceil(1024),
        glibc(program),
    )
}

/// The minor version of the oldest glibc 2 that has all that a program names in its symbol versions.
fn glibc(program: &[u8]) -> u32 {
    const PREFIX: &[u8] = b"GLIBC_2.";
    let named = program
        .windows(PREFIX.len() + 3)
        .filter_map(|window| window.strip_prefix(PREFIX));
    let versions = named.filter_map(|rest| {
        let digits: Vec<_> = rest.iter().take_while(|it| it.is_ascii_digit()).collect();
        let number = |sum, digit: &&u8| sum * 10 + u32::from(**digit - b'0');
        (!digits.is_empty()).then(|| digits.iter().fold(0, number))
    });
    versions.max().unwrap_or(0)
}

/// Bytes of all files in a directory.
fn size(directory: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        sum += match path.is_dir() {
            true => size(&path)?,
            false => path.metadata()?.len(),
        };
    }
    Ok(sum)
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy_tree(&path, &to)?,
            false => copy(&path, &to)?,
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))
        .and_then(|()| fs::copy(from, to))
        .map(drop)
        .with_context(|| format!("copying {} to {}", from.display(), to.display()))
}

fn write(to: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))
        .and_then(|()| fs::write(to, text))
        .with_context(|| format!("writing {}", to.display()))
}

/// What a command prints.
fn said_by(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| {
        format!(
            "{program} cannot be started: a Debian package is made on Debian, with dpkg and gzip"
        )
    })?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}", errors.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_symbol_version_is_what_the_package_depends_on() {
        let program = b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.17\0GLIBC_PRIVATE\0";
        assert_eq!(glibc(program), 34);
        assert!(control("amd64", program, 2049).contains("libc6 (>= 2.34)"));
        assert!(control("amd64", program, 2049).contains("Installed-Size: 3\n"));
    }
}
