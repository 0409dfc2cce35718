//! What a guest program printed, and how two such outputs are compared.

use crate::programs::Kind;
use anyhow::{Result, bail};
use patchvisor::qemu::Outcome;
use similar::TextDiff;

/// Longest difference that is shown, in lines.
const SHOWN: usize = 60;

/// The program's own lines: from its first one to its last, without the monitor's.
///
/// # Errors
/// When the machine did not end by itself, or the program did not come to its end.
pub fn whole(name: &str, kind: Kind, outcome: &Outcome) -> Result<String> {
    let lines = lines(name, kind, texts(outcome));
    if lines.last() != Some(&format!("guest: {name} done")) || !outcome.success() {
        let how = match outcome.status {
            None => "it ran into the time limit".to_owned(),
            Some(status) => format!("QEMU ended with {status} {}", outcome.complaints.trim()),
        };
        bail!(
            "the program did not end as it should; {how}\n{}",
            tail(name, outcome)
        );
    }
    Ok(lines.join("\n") + "\n")
}

/// The lines of a program that the monitor must stop with an error that contains `reason`, up to
/// there.
///
/// # Errors
/// When it did not stop, or for another reason.
pub fn stopped(name: &str, kind: Kind, reason: &str, outcome: &Outcome) -> Result<String> {
    match outcome.monitor_error() {
        Some(error) if error.contains(reason) && !outcome.timed_out() => {
            Ok(lines(name, kind, texts(outcome)).join("\n") + "\n")
        }
        found => bail!(
            "the monitor should have stopped with {reason:?}, but: {found:?}\n{}",
            tail(name, outcome)
        ),
    }
}

fn texts(outcome: &Outcome) -> impl Iterator<Item = &str> {
    outcome.lines.iter().map(|line| line.text.as_str())
}

/// The program's own lines among all that a console said.
pub fn lines<'a>(
    name: &str,
    kind: Kind,
    console: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let first = format!("guest: {name}");
    let resets = format!("guest: {name} resets");
    let mut lines = Vec::new();
    // Around the program, before it and between its boots, firmware speaks.
    let mut inside = false;
    for line in console {
        inside |= line == first;
        if inside && !line.starts_with("patchvisor: ") {
            lines.push(normal(kind, line));
        }
        inside &= line != resets;
    }
    lines
}

fn normal(kind: Kind, line: &str) -> String {
    match (kind, line.split_once(" time ")) {
        (Kind::Bench, Some((before, _))) if line.starts_with("bench ") => {
            format!("{before} time ...")
        }
        _ => line.to_owned(),
    }
}

/// The end of what the program and the monitor said; of everything, where there was no program.
fn tail(name: &str, outcome: &Outcome) -> String {
    let first = format!("guest: {name}");
    let start = outcome
        .lines
        .iter()
        .position(|line| line.text == first)
        .unwrap_or(0);
    let start = start.max(outcome.lines.len().saturating_sub(25));
    let cut = |text: &str| text.chars().take(240).collect::<String>();
    let lines: Vec<_> = outcome.lines[start..]
        .iter()
        .map(|line| cut(&line.text))
        .collect();
    format!("the console ends with\n{}", lines.join("\n"))
}

/// Passes if both are the same.
///
/// # Errors
/// With the difference, as a unified diff.
pub fn same(expected: &str, found: &str) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    let diff = TextDiff::from_lines(expected, found);
    let text = diff
        .unified_diff()
        .context_radius(2)
        .header("native", "guest")
        .to_string();
    let lines: Vec<_> = text.lines().collect();
    let more = match lines.len() {
        0..=SHOWN => String::new(),
        all => format!("\n... {} lines more", all - SHOWN),
    };
    bail!(
        "the guest's output differs\n{}{more}",
        lines[..lines.len().min(SHOWN)].join("\n")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_benchmarks_are_not_compared() {
        let line = "bench nop iterations 100 time 17";
        assert_eq!(
            normal(Kind::Bench, line),
            "bench nop iterations 100 time ..."
        );
        assert_eq!(normal(Kind::Oracle, line), line);
    }

    #[test]
    fn a_difference_is_shown_with_its_surroundings() {
        let error = same("one\ntwo\nthree\n", "one\n2\nthree\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("-two\n+2\n"), "{error}");
        assert!(same("one\n", "one\n").is_ok());
    }
}
