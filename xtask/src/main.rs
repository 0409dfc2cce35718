//! `cargo xtask`: the development tasks.

#![forbid(unsafe_code)]

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use std::process::ExitCode;
use xtask::{build, demo, setup};

/// Development tasks of Patchvisor.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Boot an unmodified Debian kernel natively and under the monitor, and compare.
    Demo(demo::Options),
    /// Build what runs on a hart; prints where it is.
    Build {
        /// Build this alone.
        what: Option<What>,
    },
    /// Install the Debian packages that are missing; says what and why.
    Setup,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum What {
    /// The monitor's image.
    Monitor,
    /// The small guests' ELF files.
    Guests,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Demo(options) => demo::demo(&options)?,
        Task::Setup => setup::ensure()?,
        Task::Build { what } => {
            if what != Some(What::Guests) {
                println!("{}", build::monitor()?.display());
            }
            if what != Some(What::Monitor) {
                for guest in build::guests()? {
                    println!("{}", guest.display());
                }
            }
        }
    }
    Ok(())
}
