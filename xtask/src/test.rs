//! `cargo xtask test`: everything that can be tested, and one line that counts.

use crate::progress::{say, seconds};
use crate::{build, fuzz, paths, setup};
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The package whose tests run QEMU.
const END_TO_END: &str = "tests";

/// Options of the tests.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Run this part alone
    #[arg(long)]
    only: Option<Part>,
    /// Run the long tests too: minutes each, an hour or more in all
    #[arg(long)]
    long: bool,
    /// How many seconds each fuzz target runs
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    fuzz_seconds: u32,
    /// Run only the tests whose names contain this
    filter: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask test
  cargo xtask test --only unit
  cargo xtask test --only end-to-end sret
  cargo xtask test --long --only end-to-end linux_vms
  cargo xtask test --only fuzz --fuzz-seconds 3600";

/// A part of the tests.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Part {
    /// Formatting and lints
    Lint,
    /// Unit, property and documentation tests on this machine
    Unit,
    /// The bare-metal build, and tests that run guests on QEMU
    EndToEnd,
    /// Fuzz targets of what guests write, on this machine
    Fuzz,
}

/// How many checks passed and failed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Count {
    passed: u64,
    failed: u64,
    /// The names of those that failed, as far as they have been seen.
    names: Vec<String>,
}

impl Count {
    fn passed() -> Self {
        Self {
            passed: 1,
            ..Self::default()
        }
    }

    fn failed(name: String) -> Self {
        say(&format!("FAILED: {name}"));
        Self {
            failed: 1,
            names: vec![name],
            ..Self::default()
        }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.names.extend(other.names);
    }
}

/// Runs the tests; whether all passed. The last line, on standard output, counts.
///
/// # Errors
/// When the tools for it cannot be had.
pub fn test(options: &Options) -> Result<bool> {
    let wanted = |part| options.only.is_none_or(|only| only == part);
    let began = Instant::now();
    let mut count = Count::default();
    setup::ensure()?;
    if wanted(Part::Lint) && options.filter.is_none() {
        count.add(check("formatting", &["fmt", "--all", "--check"])?);
        let lints = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ];
        count.add(check("lints", &lints)?);
        let targets = ["fmt", "--manifest-path", fuzz::MANIFEST, "--check"];
        count.add(check("formatting of fuzz targets", &targets)?);
    }
    if wanted(Part::Unit) {
        let arguments = ["--workspace", "--exclude", END_TO_END];
        count.add(tests("unit tests", &arguments, options, &[])?);
    }
    if wanted(Part::EndToEnd) {
        count.add(end_to_end(options)?);
    }
    if wanted(Part::Fuzz) {
        count.add(fuzzing(options));
    }
    say(&format!("tested in {}", seconds(began.elapsed())));
    for name in &count.names {
        println!("FAILED: {name}");
    }
    println!("{} passed, {} failed", count.passed, count.failed);
    Ok(count.failed == 0)
}

/// The tests that need the bare-metal programs, which they do not build again.
fn end_to_end(options: &Options) -> Result<Count> {
    let built = build::monitor().and_then(|monitor| Ok((monitor, build::guests()?)));
    let (monitor, guests) = match built {
        Ok(built) => built,
        Err(error) => {
            return Ok(Count::failed(format!("bare-metal build: {error:#}")));
        }
    };
    let mut count = Count::passed();
    let directory = guests
        .first()
        .and_then(|guest| guest.parent())
        .context("the build made no guests")?;
    let environment = [
        ("PATCHVISOR_MONITOR", monitor.as_path()),
        ("PATCHVISOR_GUESTS", directory),
    ];
    let arguments = ["--package", END_TO_END];
    count.add(tests(
        "end-to-end tests",
        &arguments,
        options,
        &environment,
    )?);
    Ok(count)
}

/// Each fuzz target passes or fails, and so does what they need.
fn fuzzing(options: &Options) -> Count {
    say("--- fuzz targets");
    let filter = options.filter.as_deref().unwrap_or_default();
    let mut count = Count::default();
    match fuzz::fuzz(filter, options.fuzz_seconds) {
        Ok(results) => {
            for result in results {
                count.add(match result {
                    Ok(()) => Count::passed(),
                    Err(error) => Count::failed(format!("{error:#}")),
                });
            }
        }
        Err(error) => count.add(Count::failed(format!("fuzz targets: {error:#}"))),
    }
    count
}

/// A command of cargo that passes or fails as a whole.
fn check(what: &str, arguments: &[&str]) -> Result<Count> {
    say(&format!("--- {what}"));
    let status = cargo(arguments)?.status().context("starting cargo")?;
    if status.success() {
        return Ok(Count::passed());
    }
    let command = arguments.join(" ");
    Ok(Count::failed(format!("{what}: cargo {command}")))
}

/// `cargo test`; counts what each test program reports.
fn tests(
    what: &str,
    arguments: &[&str],
    options: &Options,
    environment: &[(&str, &std::path::Path)],
) -> Result<Count> {
    say(&format!("--- {what}"));
    let mut command = cargo(&["test", "--no-fail-fast"])?;
    command.args(arguments).args(&options.filter);
    if options.long {
        command.args(["--", "--include-ignored"]);
    }
    command.envs(environment.iter().copied());
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cargo")?;
    let output = child.stdout.take().context("no pipe for cargo's output")?;
    let mut count = Count::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        count.add(result(&line).unwrap_or_default());
        count.names.extend(failure(&line));
    }
    let status = child.wait()?;
    if !status.success() && count.failed == 0 {
        // It did not compile, or a test program died before it could report.
        let name = format!("{what}: cargo test ended with {status}");
        count.add(Count::failed(name));
    }
    Ok(count)
}

/// Reads libtest's `test result: ok. 3 passed; 0 failed; ...`.
fn result(line: &str) -> Option<Count> {
    let (_, figures) = line.split_once("test result: ")?;
    let figure = |name: &str| {
        let (before, _) = figures.split_once(name)?;
        before.split_whitespace().last()?.parse().ok()
    };
    Some(Count {
        passed: figure(" passed;")?,
        failed: figure(" failed;")?,
        names: Vec::new(),
    })
}

/// Reads libtest's `test name ... FAILED`.
fn failure(line: &str) -> Option<String> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    verdict.contains("FAILED").then(|| name.trim().to_owned())
}

pub(crate) fn cargo(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new("cargo");
    command.current_dir(paths::root()?).args(arguments);
    command.stdin(Stdio::null());
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_libtest_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s";
        let expected = Count {
            passed: 12,
            failed: 3,
            names: Vec::new(),
        };
        assert_eq!(result(line), Some(expected));
        let coloured = "test result: \u{1b}[32mok\u{1b}[0m. 1 passed; 0 failed; 0 ignored";
        assert_eq!(result(coloured), Some(Count::passed()));
        assert_eq!(result("test result_is_read ... ok"), None);
    }

    #[test]
    fn failures_are_named() {
        let failed = "test sret::keeps_spie - should panic ... FAILED";
        let name = "sret::keeps_spie - should panic";
        assert_eq!(failure(failed).as_deref(), Some(name));
        assert_eq!(failure("test sret::keeps_spie ... ok"), None);
        assert_eq!(failure("test result: FAILED. 1 passed; 1 failed"), None);
    }
}
