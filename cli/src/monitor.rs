//! Finds the monitor's image.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Name of the monitor's image.
const IMAGE: &str = "patchvisor.bin";
/// Where the checkout that this program was built from has it: `cargo install` takes the program alone.
const IN_CHECKOUT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/monitor/patchvisor.bin"
);

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

    /// The image here, or that of the checkout.
    fn find(&self, in_checkout: &Path) -> Result<PathBuf, NoMonitor> {
        let image = self.image();
        let places = [image.clone(), in_checkout.to_owned()];
        let remedy = self.remedy();
        let found = places.into_iter().find(|path| path.is_file());
        found.ok_or(NoMonitor { image, remedy })
    }

    /// What puts the image there.
    fn remedy(&self) -> String {
        match self {
            Self::Build(_) => "`cargo xtask build monitor` builds it; if it prints another place, name that with --monitor".into(),
            Self::Prefix(prefix) => format!(
                "`cargo xtask install --prefix {}` in a checkout installs it; after `cargo install`, `cargo xtask build \
                 monitor` builds it where it is found too; or name one with --monitor or $PATCHVISOR_MONITOR",
                prefix.display()
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
/// installed or built.
///
/// # Errors
/// [`NoMonitor`], or when the one that is named is not there.
pub fn monitor(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        if !path.is_file() {
            bail!("the monitor {} is not there", path.display());
        }
        return Ok(path.to_owned());
    }
    if let Some(path) = std::env::var_os("PATCHVISOR_MONITOR").map(PathBuf::from) {
        return monitor(Some(&path)).context("in $PATCHVISOR_MONITOR");
    }
    let program = std::env::current_exe().context("finding this program")?;
    let home = Home::of(&program).context("this program is nowhere")?;
    Ok(home.find(Path::new(IN_CHECKOUT))?)
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

    #[test]
    fn what_cargo_installed_uses_the_checkouts() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::of(&directory.path().join("bin/patchvisor")).unwrap();
        let built = directory.path().join("built.bin");
        let missing = home.find(&built).unwrap_err();
        let own = directory.path().join("lib/patchvisor/patchvisor.bin");
        assert_eq!(missing.image, own);
        for next in ["cargo xtask install --prefix", "cargo xtask build"] {
            assert!(missing.remedy.contains(next), "{missing}");
        }
        std::fs::write(&built, "").unwrap();
        assert_eq!(home.find(&built), Ok(built.clone()));
        std::fs::create_dir_all(own.parent().unwrap()).unwrap();
        std::fs::write(&own, "").unwrap();
        assert_eq!(home.find(&built), Ok(own));
    }
}
