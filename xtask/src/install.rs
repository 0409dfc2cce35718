//! Installs the host command with what it needs and what shells and man(1) know of it.

use crate::progress::step;
use crate::{build, paths};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where each shell looks for completions of `patchvisor`, below the prefix.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "share/bash-completion/completions/patchvisor"),
    ("zsh", "share/zsh/site-functions/_patchvisor"),
    ("fish", "share/fish/vendor_completions.d/patchvisor.fish"),
];

/// Options of the installation.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Install into DIR/bin, DIR/lib and DIR/share [default: ~/.local]
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
}

/// Builds and installs as a person asks for it; returns where the program is.
///
/// # Errors
/// Those of [`into`], and when there is no home directory to install into.
pub fn install(options: &Options) -> Result<PathBuf> {
    let prefix = match &options.prefix {
        Some(prefix) => prefix.clone(),
        None => std::env::home_dir()
            .context("no home directory: say where with --prefix")?
            .join(".local"),
    };
    into(&prefix)
}

/// Builds the command and the monitor, and installs them below `prefix`; returns where the program is.
///
/// # Errors
/// When something cannot be built or written.
pub fn into(prefix: &Path) -> Result<PathBuf> {
    let monitor = build::monitor()?;
    let installed = prefix.join("bin/patchvisor");
    copy(&program()?, &installed)?;
    copy(&monitor, &prefix.join("lib/patchvisor/patchvisor.bin"))?;
    for (shell, path) in COMPLETIONS {
        let text = said_by(Command::new(&installed).args(["completions", shell]))?;
        write(&prefix.join(path), &format!("{text}\n"))?;
    }
    let pages = prefix.join("share/man/man1");
    said_by(Command::new(&installed).arg("man").arg(&pages))?;
    Ok(installed)
}

/// Builds the host command; returns its program.
fn program() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(paths::root()?);
    command.args(["build", "--release", "--package", "patchvisor"]);
    command
        .arg("--target-dir")
        .arg(paths::root()?.join("target"));
    step("building the host command", &mut command)?;
    Ok(paths::target("release")?.join("patchvisor"))
}

/// Copies a file. One that stands there is removed first: it may be a program that runs.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = || {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        if to.exists() {
            fs::remove_file(to)?;
        }
        fs::copy(from, to).map(drop)
    };
    copied().with_context(|| format!("copying {} to {}", from.display(), to.display()))
}

/// Writes a file, and makes its directories.
pub(crate) fn write(to: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))
        .and_then(|()| fs::write(to, text))
        .with_context(|| format!("writing {}", to.display()))
}

/// What a command prints, without the end of its last line.
pub(crate) fn said_by(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}", errors.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}
