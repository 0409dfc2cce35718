//! `patchvisor`: packs guests into bundles and runs them on QEMU.

#![forbid(unsafe_code)]

mod arguments;
mod config;
mod devices;
mod doctor;
mod inspect;
mod manual;
mod pack;
mod run;
mod vm_table;

use anyhow::{Context, Result};
use arguments::{Arguments, Command};
use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Pack(arguments) => pack::pack(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Inspect(arguments) => inspect::inspect(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Doctor { json } => doctor::doctor(json).map(|is_well| match is_well {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }),
        Command::Completions { shell } => manual::completions(shell).map(|()| ExitCode::SUCCESS),
        Command::Man { directory } => manual::man(&directory).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("patchvisor: error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Prints a result; a reader that went away is an error, not a panic.
fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("writing to standard output")
}
