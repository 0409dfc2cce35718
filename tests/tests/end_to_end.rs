//! Runs all end-to-end trials. See the library for what there is and how to choose.

use libtest_mimic::{Arguments, Trial};

/// Machines that run at a time: more than the cores of a small machine only make each other late.
const MACHINES: usize = 2;

fn trials() -> anyhow::Result<Vec<Trial>> {
    let mut trials = Vec::new();
    trials.extend(tests::oracle::trials()?);
    trials.extend(tests::bad_input::trials());
    Ok(trials)
}

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(MACHINES);
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
