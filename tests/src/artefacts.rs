//! What the tests run, built once.

use anyhow::{Context, Result, anyhow, bail};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The monitor's image: the one in `$PATCHVISOR_MONITOR`, else a fresh build.
///
/// # Errors
/// When it is not there or cannot be built. No test may pass without it.
pub fn monitor() -> Result<PathBuf> {
    static MONITOR: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    once(&MONITOR, || match named("PATCHVISOR_MONITOR") {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => bail!(
            "$PATCHVISOR_MONITOR names {}, which is no file",
            path.display()
        ),
        None => xtask::build::monitor(),
    })
}

/// A guest program: from the directory in `$PATCHVISOR_GUESTS`, else from a fresh build.
///
/// # Errors
/// When it is not there or cannot be built.
pub fn guest(name: &str) -> Result<PathBuf> {
    static DIRECTORY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let directory = once(&DIRECTORY, || {
        if let Some(path) = named("PATCHVISOR_GUESTS") {
            return Ok(path);
        }
        let guests = xtask::build::guests()?;
        let first = guests.first().and_then(|path| path.parent());
        first
            .map(Path::to_owned)
            .context("the build made no guest programs")
    })?;
    let path = directory.join(name);
    if !path.is_file() {
        bail!(
            "the guest program {} is not there: build it with `cargo xtask build guests`",
            path.display()
        );
    }
    Ok(path)
}

fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The cell's value, made by the first caller; an error is the same for all.
pub(crate) fn once<T: Clone>(
    cell: &OnceLock<Result<T, String>>,
    make: impl FnOnce() -> Result<T>,
) -> Result<T> {
    cell.get_or_init(|| make().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}
