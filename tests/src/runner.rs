//! What the test programs have in common: how they run their trials.

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

/// Machines that run at a time: more than the cores of a small machine only make each other late.
const MACHINES: usize = 2;

/// Runs the trials that the command line asks for.
pub fn run(trials: anyhow::Result<Vec<Trial>>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(MACHINES);
    match trials {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A trial of a function; its error is shown with all its causes.
pub fn trial(
    name: impl Into<String>,
    test: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        test().map_err(|error| format!("{error:#}").into())
    })
}

/// A trial that runs only when it is asked for with `cargo xtask test --long`, which passes
/// `--include-ignored` on.
pub fn long(
    name: impl Into<String>,
    test: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> Trial {
    trial(name, test).with_ignored_flag(true)
}
