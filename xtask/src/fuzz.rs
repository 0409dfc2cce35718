//! Fuzzes what parses guests' input: every target in `crates/virtio/fuzz`, for a while each.

use crate::progress::{say, step};
use crate::{paths, setup};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The package of the targets, in the checkout.
const PACKAGE: &str = "crates/virtio/fuzz";
/// Its manifest.
pub const MANIFEST: &str = "crates/virtio/fuzz/Cargo.toml";
/// The version of cargo-fuzz that is installed when there is none.
const CARGO_FUZZ: &str = "0.13.2";
/// How many targets run at a time.
const AT_A_TIME: usize = 3;

/// Runs each target whose name contains `filter` for this many seconds; what is wrong with each.
///
/// # Errors
/// When the tools for it cannot be had, with the next step; or when the targets do not build.
pub fn fuzz(filter: &str, seconds: u32) -> Result<Vec<Result<()>>> {
    let targets = targets(filter)?;
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    ensure_nightly()?;
    ensure_cargo_fuzz()?;
    step("building the fuzz targets", &mut cargo_fuzz("build")?)?;
    let mut results = Vec::new();
    for batch in targets.chunks(AT_A_TIME) {
        say(&format!("fuzzing {} for {seconds} s", batch.join(", ")));
        std::thread::scope(|scope| {
            let mut running = Vec::new();
            for target in batch {
                running.push(scope.spawn(|| run(target, seconds)));
            }
            for thread in running {
                results.push(thread.join().expect("it reports by its result"));
            }
        });
    }
    Ok(results)
}

/// The names of the targets, in order.
fn targets(filter: &str) -> Result<Vec<String>> {
    let directory = paths::root()?.join(PACKAGE).join("fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_stem().context("a target without a name")?;
        names.push(name.to_string_lossy().into_owned());
    }
    names.retain(|name| name.contains(filter));
    names.sort();
    Ok(names)
}

/// Sanitizers are there with nightly Rust alone, which this does not install: it is large.
fn ensure_nightly() -> Result<()> {
    const ADVICE: &str = "run `rustup toolchain install nightly --profile minimal`, then try again";
    let list = Command::new("rustup").args(["toolchain", "list"]).output();
    let list = list.with_context(|| format!("fuzzing needs rustup and nightly Rust: {ADVICE}"))?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    if !list.lines().any(|line| line.starts_with("nightly-")) {
        bail!("fuzzing needs nightly Rust: {ADVICE}");
    }
    Ok(())
}

/// Where cargo-fuzz is installed: apart from the person's own programs.
fn tools() -> Result<PathBuf> {
    Ok(paths::cache()?.join("tools"))
}

fn ensure_cargo_fuzz() -> Result<()> {
    let tools = tools()?;
    if setup::found("cargo-fuzz") || tools.join("bin/cargo-fuzz").is_file() {
        return Ok(());
    }
    let mut command = Command::new("cargo");
    command.args(["install", "--locked", "cargo-fuzz", "--version", CARGO_FUZZ]);
    command.arg("--root").arg(tools);
    step(
        "installing cargo-fuzz, which runs fuzz targets",
        &mut command,
    )
}

/// A command of cargo-fuzz, with nightly Rust. What it builds goes to `target/fuzz`.
fn cargo_fuzz(task: &str) -> Result<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::env::split_paths(&path).chain([tools()?.join("bin")]);
    let mut command = Command::new("rustup");
    command
        .env("PATH", std::env::join_paths(paths)?)
        .current_dir(paths::root()?)
        .args(["run", "nightly", "cargo", "fuzz", task])
        .args(["--fuzz-dir", PACKAGE, "--target-dir"])
        .arg(paths::target("fuzz")?)
        .stdin(Stdio::null());
    Ok(command)
}

fn run(target: &str, seconds: u32) -> Result<()> {
    let output = paths::target("fuzz")?.join("output");
    // What the fuzzer finds worth keeping stays here for the next time.
    let corpus = paths::target("fuzz")?.join("corpus").join(target);
    std::fs::create_dir_all(&output)?;
    std::fs::create_dir_all(&corpus)?;
    let log = output.join(format!("{target}.log"));
    let file = File::create(&log)?;
    let status = cargo_fuzz("run")?
        .arg(target)
        .arg(corpus)
        .arg(paths::root()?.join(PACKAGE).join("seeds").join(target))
        .args(["--", "-timeout=10", "-print_final_stats=1"])
        .arg(format!("-max_total_time={seconds}"))
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .context("starting cargo-fuzz")?;
    let text = std::fs::read(&log)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    match runs(&text) {
        Some(runs) if status.success() && runs > 0 => {
            say(&format!("{target}: {runs} inputs, nothing found"));
            Ok(())
        }
        _ => bail!(
            "fuzz target {target}: {status}; see {}, and {PACKAGE}/artifacts/{target} for the input",
            log.display()
        ),
    }
}

/// Reads libFuzzer's `stat::number_of_executed_units: 136802`.
fn runs(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("stat::number_of_executed_units:")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_of_libfuzzer_are_read() {
        let text = "Done 12 runs in 1 second(s)\nstat::number_of_executed_units: 12\nstat::x: 4";
        assert_eq!(runs(text), Some(12));
        assert_eq!(runs("==1== ERROR: libFuzzer: deadly signal"), None);
    }

    #[test]
    fn every_target_has_seeds() {
        let targets = targets("").expect("the package is there");
        assert!(targets.contains(&"queue_block".to_owned()), "{targets:?}");
        for target in targets {
            let seeds = paths::root()
                .unwrap()
                .join(PACKAGE)
                .join("seeds")
                .join(&target);
            let any = std::fs::read_dir(seeds).is_ok_and(|mut seeds| seeds.next().is_some());
            assert!(any, "{target} has none");
        }
    }
}
