//! `cargo xtask hostile`: all hostile guests on one board beside a witness, for as long as one likes.

use crate::{setup, test};
use anyhow::{Context, Result};

/// Tells the long tests with hostile guests how long they last, in seconds.
pub const SECONDS: &str = "PATCHVISOR_HOSTILE_SECONDS";
/// Tells them the seed, which is the time of day without it.
pub const SEED: &str = "PATCHVISOR_HOSTILE_SEED";

/// The trial that is run.
const TRIAL: &str = "hostile::all_at_once::long";

/// Options of the run.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// How long the attack lasts
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,
    /// Where the attackers' random numbers begin; without it, another one each time
    #[arg(long)]
    seed: Option<u64>,
}

const EXAMPLES: &str = "\
The seed is printed. What was found with one is found again with it, as far as it does not
depend on who ran when.

Examples:
  cargo xtask hostile
  cargo xtask hostile --minutes 60 --seed 7";

/// Attacks; whether the witness was undisturbed.
///
/// # Errors
/// When the tools for it cannot be had.
pub fn hostile(options: &Options) -> Result<bool> {
    setup::ensure()?;
    let arguments = ["test", "--package", "tests", "--test", "hostile", "--"];
    let mut command = test::cargo(&arguments)?;
    command.args(["--include-ignored", "--exact", TRIAL]);
    command.env(SECONDS, (options.minutes * 60).to_string());
    if let Some(seed) = options.seed {
        command.env(SEED, seed.to_string());
    }
    Ok(command.status().context("starting cargo")?.success())
}
