//! `cargo xtask`: the development tasks.

#![forbid(unsafe_code)]

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use std::process::ExitCode;
use xtask::{bench, build, deb, demo, fetch, hostile, image, install, setup, test};

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
    /// Test everything; the last line counts.
    Test(test::Options),
    /// Run all hostile guests beside a witness, for minutes.
    Hostile(hostile::Options),
    /// Measure what privileged instructions cost, and what that makes of a kernel's work.
    Bench(bench::Options),
    /// Build what runs on a hart; prints where it is.
    Build {
        /// Build this alone.
        what: Option<What>,
    },
    /// Install the host command with the monitor, completions and manual pages; prints where it is.
    Install(install::Options),
    /// Make the Debian package; prints where it is.
    Deb,
    /// Install the Debian packages that are missing; says what and why.
    Setup,
    /// Fetch from Debian what guests are made of; prints where it is.
    Fetch {
        /// Make the disk image of a whole Debian too
        #[arg(long)]
        disk: bool,
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
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is well; what is not has been said.
fn run(task: Task) -> Result<bool> {
    match task {
        Task::Demo(options) => demo::demo(&options)?,
        Task::Test(options) => return test::test(&options),
        Task::Hostile(options) => return hostile::hostile(&options),
        Task::Bench(options) => bench::bench(&options)?,
        Task::Install(options) => println!("{}", install::install(&options)?.display()),
        Task::Deb => println!("{}", deb::deb()?.display()),
        Task::Setup => setup::ensure()?,
        Task::Fetch { disk } => {
            for suite in [fetch::Suite::Trixie, fetch::Suite::Sid] {
                let kernel = fetch::kernel(suite)?;
                println!("{}\n{}", kernel.image.display(), kernel.modules.display());
            }
            println!("{}", fetch::busybox()?.display());
            for suite in fetch::Suite::ALL {
                println!("{}", fetch::opensbi(suite)?.display());
            }
            println!("{}", fetch::u_boot()?.display());
            if disk {
                println!("{}", image::debian()?.disk.display());
            }
        }
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
    Ok(true)
}
