//! Where things are.

use anyhow::{Context, Result};
use std::path::PathBuf;

/// The root of the checkout.
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// Where the bare-metal builds go, apart from the host's.
pub fn target(name: &str) -> PathBuf {
    root().join("target").join(name)
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
