//! The list of guest programs, `guests/programs.toml`.

use anyhow::{Context, Result, ensure};
use patchvisor::Sum;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One program; the fields are described where they are written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Program {
    pub name: String,
    #[serde(default)]
    pub kind: Kind,
    #[serde(default)]
    pub hosts: Vec<String>,
    #[serde(default)]
    pub everywhere: bool,
    pub native_cpu: Option<String>,
    #[serde(default = "one")]
    pub harts: u32,
    #[serde(default)]
    pub sum: Sum,
    pub stops: Option<String>,
    #[serde(default)]
    pub reboots: bool,
}

const fn one() -> u32 {
    1
}

/// How a program's output is compared.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// To the letter.
    #[default]
    Oracle,
    /// But for times.
    Bench,
    /// Not at all; it makes the monitor stop.
    Fails,
    /// Not at all; it attacks the host, or is the witness of that.
    Hostile,
    /// Not at all; it is one of several VMs.
    Company,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct List {
    other_hosts: Vec<String>,
    program: Vec<Program>,
}

fn guests() -> Result<PathBuf> {
    Ok(xtask::paths::root()?.join("guests"))
}

/// Reads the list; `hosts` of each program is complete then, the usual one first.
///
/// # Errors
/// When it cannot be read or has an unknown field.
pub fn list() -> Result<Vec<Program>> {
    let path = guests()?.join("programs.toml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut list: List = toml::from_str(&text).with_context(|| path.display().to_string())?;
    for program in &mut list.program {
        program
            .hosts
            .insert(0, patchvisor::qemu::DEFAULT_CPU.to_owned());
        if program.everywhere {
            program.hosts.extend_from_slice(&list.other_hosts);
        }
    }
    Ok(list.program)
}

/// Every program that can be built is in the list, and the other way round.
///
/// # Errors
/// Names the programs that are in one place alone.
pub fn check() -> Result<()> {
    let listed: BTreeSet<_> = list()?.into_iter().map(|program| program.name).collect();
    let sources = sources(&guests()?.join("src/bin"))?;
    let lost: Vec<_> = listed.symmetric_difference(&sources).collect();
    ensure!(
        lost.is_empty(),
        "only in guests/programs.toml or only in guests/src/bin: {lost:?}"
    );
    let manifest = std::fs::read_to_string(guests()?.join("Cargo.toml"))?;
    for name in &listed {
        let entry = format!("name = \"{name}\"\n");
        ensure!(
            manifest.contains(&entry),
            "{name} has no [[bin]] in guests/Cargo.toml"
        );
    }
    Ok(())
}

fn sources(directory: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_stem().context("a source without a name")?;
        names.insert(name.to_string_lossy().into_owned());
    }
    Ok(names)
}
