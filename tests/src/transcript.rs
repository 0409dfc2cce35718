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
pub fn of(name: &str, kind: Kind, outcome: &Outcome) -> Result<String> {
    let first = format!("guest: {name}");
    let last = format!("guest: {name} done");
    let mut lines = Vec::new();
    for line in outcome.lines.iter().map(|line| line.text.as_str()) {
        let inside = !lines.is_empty() || line == first;
        if inside && !line.starts_with("patchvisor: ") {
            lines.push(normal(kind, line));
        }
    }
    if lines.last() != Some(&last) || !outcome.success() {
        let how = match () {
            () if outcome.timed_out() => "it ran into the time limit".to_owned(),
            () => format!("QEMU: {:?} {}", outcome.status, outcome.complaints.trim()),
        };
        bail!(
            "the program did not end as it should; {how}; the console ends with\n{}",
            tail(outcome)
        );
    }
    Ok(lines.join("\n") + "\n")
}

fn normal(kind: Kind, line: &str) -> String {
    match (kind, line.split_once(" time ")) {
        (Kind::Bench, Some((before, _))) if line.starts_with("bench ") => {
            format!("{before} time ...")
        }
        _ => line.to_owned(),
    }
}

fn tail(outcome: &Outcome) -> String {
    let lines = &outcome.lines[outcome.lines.len().saturating_sub(25)..];
    let lines: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    lines.join("\n")
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
