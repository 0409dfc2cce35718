//! `cargo xtask`: the development tasks.

#![forbid(unsafe_code)]

mod build;
mod paths;
mod progress;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use std::process::ExitCode;

/// Development tasks of Patchvisor.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build what runs on a hart; prints where it is.
    Build {
        /// Build this alone.
        what: Option<What>,
    },
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
