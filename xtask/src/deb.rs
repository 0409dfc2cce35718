//! Makes the Debian package: the host command, the monitor's image, completions, manual pages, the book.

use crate::install::{self, copy, said_by, write};
use crate::paths;
use crate::progress::step;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of the workspace, which all crates share.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Who maintains it: the authors that the workspace names.
const MAINTAINER: &str = env!("CARGO_PKG_AUTHORS");

/// Builds the package; returns where it is.
///
/// # Errors
/// When something cannot be built, or dpkg's tools are not there.
pub fn deb() -> Result<PathBuf> {
    let architecture = said_by(Command::new("dpkg").arg("--print-architecture"))
        .context("a Debian package is made on Debian, with dpkg and gzip")?;
    let parent = paths::target("deb")?;
    let tree = parent.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).context("removing the last package's tree")?;
    }
    let installed = install::into(&tree.join("usr"))?;
    step("stripping", Command::new("strip").arg(&installed))?;
    // Where packages of Debian have them; what a person installs is beside them.
    let zsh = tree.join("usr/share/zsh");
    fs::rename(zsh.join("site-functions"), zsh.join("vendor-completions"))?;
    let documents = tree.join("usr/share/doc/patchvisor");
    copy_documents(&documents)?;
    write(&documents.join("changelog"), &changelog()?)?;
    let mut gzip = Command::new("gzip");
    gzip.arg("-9n").arg(documents.join("changelog"));
    for page in fs::read_dir(tree.join("usr/share/man/man1"))? {
        gzip.arg(page?.path());
    }
    said_by(&mut gzip)?;

    let control = control(&architecture, &fs::read(&installed)?, size(&tree)?);
    write(&tree.join("DEBIAN/control"), &control)?;
    let package = parent.join(format!("patchvisor_{VERSION}_{architecture}.deb"));
    let mut command = Command::new("dpkg-deb");
    command.args(["--root-owner-group", "--build"]);
    step("packing", command.arg(&tree).arg(&package))?;
    Ok(package)
}

/// The licences, the overview and the book's pages.
fn copy_documents(to: &Path) -> Result<()> {
    let root = paths::root()?;
    for name in ["README.md", "ARCHITECTURE.md"] {
        copy(&root.join(name), &to.join(name))?;
    }
    let mit = fs::read_to_string(root.join("LICENSE-MIT")).context("reading the MIT licence")?;
    write(&to.join("copyright"), &copyright(&mit))?;
    copy_tree(&root.join("docs/src"), &to.join("book"))
}

/// The licences as Debian's policy has them, 12.5: copyright-format 1.0. Debian itself has the text of
/// the Apache licence.
fn copyright(mit: &str) -> String {
    let holders = mit
        .lines()
        .find_map(|line| line.strip_prefix("Copyright (c) "));
    let text = mit.lines().map(|line| match line {
        "" => " .\n".to_owned(),
        line => format!(" {line}\n"),
    });
    format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: Patchvisor\n\n\
         Files: *\n\
         Copyright: {}\n\
         License: Apache-2.0 or Expat\n\n\
         License: Apache-2.0\n\
         \x20The text is in /usr/share/common-licenses/Apache-2.0.\n\n\
         License: Expat\n{}",
        holders.unwrap_or(MAINTAINER),
        text.collect::<String>(),
    )
}

/// See deb-changelog(5); dated now, or as `$SOURCE_DATE_EPOCH` says, as dpkg-deb(1) takes it.
fn changelog() -> Result<String> {
    let mut date = Command::new("date");
    date.env("LC_ALL", "C").arg("-R");
    if let Ok(seconds) = std::env::var("SOURCE_DATE_EPOCH") {
        date.arg("-ud").arg(format!("@{seconds}"));
    }
    Ok(format!(
        "patchvisor ({VERSION}) unstable; urgency=medium\n\n  * Version {VERSION}.\n\n \
         -- {MAINTAINER}  {}\n",
        said_by(&mut date)?
    ))
}

/// `DEBIAN/control`, see deb-control(5). `installed` is in bytes.
fn control(architecture: &str, program: &[u8], installed: u64) -> String {
    // The emulator of RISC-V was in `-misc`, which goes on without it.
    format!(
        "Package: patchvisor\n\
         Version: {VERSION}\n\
         Architecture: {architecture}\n\
         Maintainer: {MAINTAINER}\n\
         Installed-Size: {}\n\
         Depends: libc6 (>= 2.{}), libgcc-s1, qemu-system-riscv | qemu-system-misc (<< 1:9.1.0+ds-9~)\n\
         Suggests: qemu-utils\n\
         Section: otherosfs\n\
         Priority: optional\n\
         Description: virtual machine monitor for RISC-V without the H extension\n\
         \x20Runs unmodified operating systems on RISC-V processors that have no\n\
         \x20hypervisor extension. Guests run in user mode, with patches in the place of\n\
         \x20their privileged instructions. This package has the monitor and the command\n\
         \x20that packs guests for it and runs them on QEMU.\n",
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
