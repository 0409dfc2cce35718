//! Where things are.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The root of the checkout that this is run in: cargo says where, and else the working directory does. Where
/// this was compiled says nothing, for a checkout is copied and renamed with its build directory.
///
/// # Errors
/// When it is run outside of a checkout.
pub fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let start = match package {
        Some(package) => package,
        None => std::env::current_dir().context("there is no working directory")?,
    };
    root_above(&start)
}

/// The checkout that a directory lies in.
fn root_above(start: &Path) -> Result<PathBuf> {
    let is_root = |directory: &&Path| {
        let files = ["Cargo.toml", "xtask/Cargo.toml", "monitor/Cargo.toml"];
        files.iter().all(|file| directory.join(file).is_file())
    };
    let root = start.ancestors().find(is_root).with_context(|| {
        format!(
            "{} is in no checkout of Patchvisor: run `cargo xtask` in one",
            start.display()
        )
    })?;
    Ok(root.to_owned())
}

/// Where the bare-metal builds go, apart from the host's.
///
/// # Errors
/// As [`root`].
pub fn target(name: &str) -> Result<PathBuf> {
    Ok(root()?.join("target").join(name))
}

/// What is fetched goes here, outside of the checkout: `$XDG_CACHE_HOME/patchvisor` or
/// `~/.cache/patchvisor`.
pub fn cache() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(base) if !base.is_empty() => PathBuf::from(base),
        _ => std::env::home_dir()
            .context("no home directory: set HOME or XDG_CACHE_HOME")?
            .join(".cache"),
    };
    let cache = base.join("patchvisor");
    std::fs::create_dir_all(&cache).with_context(|| format!("creating {}", cache.display()))?;
    Ok(cache)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_checkout_is_its_own_root() {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("copy");
        for package in ["", "xtask", "monitor", "tests"] {
            std::fs::create_dir_all(copy.join(package)).unwrap();
            std::fs::write(copy.join(package).join("Cargo.toml"), "").unwrap();
        }
        for start in ["", "xtask", "tests/src"] {
            assert_eq!(root_above(&copy.join(start)).unwrap(), copy);
        }
        let error = root_above(directory.path()).unwrap_err().to_string();
        assert!(error.contains("no checkout"), "{error}");
    }
}
