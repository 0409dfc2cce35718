//! The ways to install the host command, each used from a directory that is no checkout.

use crate::{artefacts, runner};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};
use xtask::{deb, install, paths};

/// One at a time: a program that one of them writes cannot be run while another one starts a process, which
/// has the file open for writing too.
static ALONE: Mutex<()> = Mutex::new(());

/// The trials: each builds the command with optimisation.
pub fn trials() -> Vec<Trial> {
    let trial = |name, test: fn() -> Result<()>| {
        runner::long(format!("install::{name}"), move || {
            let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
            test()
        })
    };
    vec![
        trial("debian_package_runs_a_guest", package),
        trial("prefix_runs_a_guest", prefix),
        trial("cargo_install_names_the_next_step", cargo),
    ]
}

fn package() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--extract").arg(deb::deb()?);
    ensure!(unpack.arg(directory.path()).status()?.success(), "dpkg-deb");
    let prefix = directory.path().join("usr");
    let pages = std::fs::read_dir(prefix.join("share/man/man1"))?.count();
    ensure!(pages > 5, "{pages} manual pages");
    ensure!(prefix.join("share/doc/patchvisor/copyright").is_file());
    works(&prefix)
}

fn prefix() -> Result<()> {
    let directory = tempfile::tempdir()?;
    install::into(directory.path())?;
    works(directory.path())
}

fn cargo() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(paths::root()?);
    cargo.args(["install", "--quiet", "--path", "cli", "--root"]);
    ensure!(cargo.arg(directory.path()).status()?.success(), "cargo");
    let installed = Installed::new(directory.path())?;
    let guest = artefacts::guest("sret_modes")?;
    let output = installed.run(&["run", "--kernel"], Some(&guest))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let next = format!(
        "cargo xtask install --prefix {}",
        directory.path().display()
    );
    ensure!(
        !output.status.success() && errors.contains(&next),
        "{errors}"
    );
    Ok(())
}

/// A guest runs, and every command answers.
fn works(prefix: &Path) -> Result<()> {
    let installed = Installed::new(prefix)?;
    let guest = artefacts::guest("sret_modes")?;
    for words in [&["--help"][..], &["doctor"], &["completions", "bash"]] {
        installed.succeeds(words, None)?;
    }
    installed.succeeds(&["inspect"], Some(&guest))?;
    installed.succeeds(&["pack", "-o", "board.bundle", "--kernel"], Some(&guest))?;
    installed.succeeds(&["run", "--timeout", "300", "--kernel"], Some(&guest))?;
    let config = format!("[[vm]]\nkernel = {:?}\n", guest.display().to_string());
    std::fs::write(installed.empty.path().join("vm.toml"), config)?;
    installed.succeeds(&["run", "--timeout", "300", "--config", "vm.toml"], None)
}

/// The program, and a directory to use it from.
struct Installed {
    program: PathBuf,
    empty: tempfile::TempDir,
}

impl Installed {
    fn new(prefix: &Path) -> Result<Self> {
        let program = prefix.join("bin/patchvisor").canonicalize();
        Ok(Self {
            program: program.context("no program was installed")?,
            empty: tempfile::tempdir()?,
        })
    }

    /// Runs it with nothing of the environment but where programs are.
    fn run(&self, words: &[&str], file: Option<&Path>) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.current_dir(self.empty.path()).env_clear();
        command.env("PATH", "/usr/bin:/bin").args(words).args(file);
        Ok(command.stdin(std::process::Stdio::null()).output()?)
    }

    fn succeeds(&self, words: &[&str], file: Option<&Path>) -> Result<()> {
        let output = self.run(words, file)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "patchvisor {}: {errors}",
            words.join(" ")
        );
        Ok(())
    }
}
