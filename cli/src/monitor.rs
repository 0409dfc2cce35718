//! Finds the monitor's image.

use crate::quote::quoted;
use anyhow::{Context, Result, bail};
use bundle::console;
use std::path::{Path, PathBuf};

/// Name of the monitor's image.
const IMAGE: &str = "patchvisor.bin";

/// Where the monitor's image is looked for.
#[derive(Clone, Debug)]
enum Home {
    /// This program was built in a checkout; its build directory.
    Build(PathBuf),
    /// This program is installed in `bin` below this prefix.
    Prefix(PathBuf),
    /// This program stands alone in a directory.
    Alone(PathBuf),
}

impl Home {
    fn of(program: &Path) -> Option<Self> {
        // Cargo marks its build directories with this file: target/debug/patchvisor and
        // target/debug/deps/tests-... are below one.
        let is_build = |directory: &&Path| directory.join("CACHEDIR.TAG").is_file();
        if let Some(build) = program.ancestors().skip(1).find(is_build) {
            return Some(Self::Build(build.to_owned()));
        }
        let directory = program.parent()?;
        match (directory.file_name(), directory.parent()) {
            (Some(name), Some(prefix)) if name == "bin" => Some(Self::Prefix(prefix.to_owned())),
            _ => Some(Self::Alone(directory.to_owned())),
        }
    }

    fn image(&self) -> PathBuf {
        match self {
            Self::Build(directory) => directory.join("monitor").join(IMAGE),
            Self::Prefix(prefix) => prefix.join("lib/patchvisor").join(IMAGE),
            Self::Alone(directory) => directory.join(IMAGE),
        }
    }

    /// What puts the image there.
    fn remedy(&self) -> String {
        match self {
            Self::Build(_) => "`cargo xtask build monitor` builds it; if it prints another place, name that with --monitor".into(),
            Self::Prefix(prefix) => format!(
                "`cargo xtask install --prefix {}` in a checkout installs it, or name one with --monitor or \
                 $PATCHVISOR_MONITOR",
                quoted(prefix)
            ),
            Self::Alone(_) => "`cargo xtask build monitor` in a checkout builds one: put it there, or name it with \
                               --monitor or $PATCHVISOR_MONITOR"
                .into(),
        }
    }
}

/// The monitor's image is not where this program looks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NoMonitor {
    /// Where it should be.
    pub image: PathBuf,
    /// What puts it there.
    pub remedy: String,
}

impl std::fmt::Display for NoMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (image, remedy) = (self.image.display(), &self.remedy);
        write!(f, "the monitor's image {image} is not there: {remedy}")
    }
}

impl std::error::Error for NoMonitor {}

/// Finds the monitor's image: the one named, or in `$PATCHVISOR_MONITOR`, or where this program was
/// built or installed.
///
/// # Errors
/// [`NoMonitor`], or when the one that is named is not there.
pub fn monitor(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        if !path.is_file() {
            bail!(
                "the monitor {} is not there: `patchvisor doctor` says what puts one there",
                path.display()
            );
        }
        check(path)?;
        return Ok(path.to_owned());
    }
    if let Some(path) = std::env::var_os("PATCHVISOR_MONITOR").map(PathBuf::from) {
        return monitor(Some(&path)).context("in $PATCHVISOR_MONITOR");
    }
    let program = std::env::current_exe().context("finding this program")?;
    let home = Home::of(&program).context("this program is nowhere")?;
    let image = home.image();
    if !image.is_file() {
        let remedy = home.remedy();
        bail!(NoMonitor { image, remedy });
    }
    Ok(image)
}

/// Refuses a file that is not the monitor's image: as a kernel without a word of its own it would be waited for.
fn check(path: &Path) -> Result<()> {
    let bytes =
        std::fs::read(path).with_context(|| format!("reading the monitor {}", path.display()))?;
    let says = |text: &str| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    // Linux, Documentation/arch/riscv/boot-image-header.rst: magic2. What it prints begins as its lines do.
    if bytes.get(0x38..0x3c) != Some(b"RSC\x05") || !says(console::MONITOR) {
        bail!(
            "{} is not the monitor's image: leave --monitor and $PATCHVISOR_MONITOR out, or name a {IMAGE}",
            path.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monitor_belongs_to_the_build_or_the_installation() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let image = |program: &str| Home::of(&root.join(program)).unwrap().image();
        let prefixed = root.join("usr/lib/patchvisor/patchvisor.bin");
        assert_eq!(image("usr/bin/patchvisor"), prefixed);
        assert_eq!(image("opt/patchvisor"), root.join("opt/patchvisor.bin"));
        std::fs::create_dir(root.join("target")).unwrap();
        std::fs::write(root.join("target/CACHEDIR.TAG"), "").unwrap();
        let built = root.join("target/monitor/patchvisor.bin");
        assert_eq!(image("target/release/patchvisor"), built);
        assert_eq!(image("target/debug/deps/tests-0123"), built);
    }
}
