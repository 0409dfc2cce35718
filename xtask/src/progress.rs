//! Tells the person what goes on, on standard error, so that standard output stays for results.

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, IsTerminal};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many of a failed command's last lines are shown.
const LAST_LINES: usize = 40;

/// How long a step may go on without a word where there is no terminal.
const PATIENCE: Duration = Duration::from_secs(10);

/// Says one line.
pub fn say(line: &str) {
    eprintln!("{line}");
}

/// Runs a command as one step: a spinner with its last line on a terminal, else a line at the start
/// and one at the end.
///
/// # Errors
/// When it cannot be started or fails; then with its last lines.
pub fn step(what: &str, command: &mut Command) -> Result<()> {
    let began = Instant::now();
    let bar = spinner(what);
    let program = command.get_program().to_string_lossy().into_owned();
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null());
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("{program} cannot be started"))?;
    // The command holds the pipe's other end, which must close when the child has ended.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut last = VecDeque::new();
    let mut reported = began;
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        match &bar {
            Some(bar) if !line.is_empty() => bar.set_message(line.clone()),
            None if reported.elapsed() > PATIENCE => {
                say(&format!("  [{}] {line}", seconds(began.elapsed())));
                reported = Instant::now();
            }
            _ => {}
        }
        last.push_back(line);
        if last.len() > LAST_LINES {
            last.pop_front();
        }
    }
    let status = child.wait()?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if !status.success() {
        let lines: Vec<_> = last.into_iter().collect();
        bail!("{what}: {program}: {status}\n{}", lines.join("\n"));
    }
    say(&format!("{what}: done in {}", seconds(began.elapsed())));
    Ok(())
}

fn spinner(what: &str) -> Option<ProgressBar> {
    if !std::io::stderr().is_terminal() {
        say(&format!("{what} ..."));
        return None;
    }
    let style = ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg:.dim}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner()
        .with_style(style)
        .with_prefix(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    Some(bar)
}

/// A time as a person reads it.
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
