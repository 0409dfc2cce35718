//! `patchvisor`: packs guests into bundles and runs them on QEMU.

#![forbid(unsafe_code)]

mod arguments;
mod config;
mod devices;
mod doctor;
mod habits;
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

/// The status of a program that wrote to a reader that went away (128 and SIGPIPE), who knows why.
const BROKEN_PIPE: u8 = 141;

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| habits::explain(&error));
    let done = match arguments.command {
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
        let cause = error.downcast_ref::<std::io::Error>();
        if cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe) {
            return ExitCode::from(BROKEN_PIPE);
        }
        eprintln!("patchvisor: error: {}", format!("{error:#}").trim_end());
        ExitCode::FAILURE
    })
}

/// Prints a result; a reader that went away is an error, not a panic.
fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("writing to standard output")
}
