//! What shells and man(1) know of the command, from the description of the command line.

use crate::arguments::Arguments;
use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::Write;
use std::path::Path;

/// Prints the completions of a shell.
pub fn completions(shell: Shell) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "patchvisor", &mut text);
    let mut out = std::io::stdout();
    out.write_all(&text).context("writing to standard output")
}

/// Writes the manual pages, one for each command.
pub fn man(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), directory))
        .with_context(|| format!("writing manual pages to {}", directory.display()))
}
