//! The report for people.

use super::report::Report;
use super::run::Way;
use super::targets::Target;
use crate::demo::table::{align, percent, thousands};
use patchvisor::stats::Stats;

/// Renders all of it.
pub fn render(report: &Report, served: &[(String, Stats)], targets: &[Target]) -> String {
    let instructions = grid(report, |name, way| {
        report.row(name, way).and_then(|row| row.instructions)
    });
    let times = grid(report, |name, way| report.row(name, way)?.ns);
    let mut text = format!(
        "\nInstructions of the whole machine for one iteration (-icount shift=0; remote-: the log of QEMU), the guest's own \
         included:\n\n{instructions}\n\
         Nanoseconds for one iteration (no -icount):\n\n{times}\n\
         Ratios of these times:\n\n{}",
        ratios(report)
    );
    if !report.speed_ups.is_empty() {
        text.push_str(&format!(
            "\nHow many times faster more workers are than one:\n\n{}",
            speed_ups(report)
        ));
    }
    if report.rows.iter().any(|row| row.io.is_some()) {
        text.push_str(&format!("\nInput and output:\n\n{}", io(report)));
    }
    for (what, stats) in served {
        text.push_str(&format!(
            "\n{what} by break patch: {} sites, {} routines, {} privileged instructions:\n\n{}",
            stats.sites,
            stats.routines,
            thousands(stats.privileged),
            kinds(stats)
        ));
    }
    if !targets.is_empty() {
        text.push_str("\nTargets:\n\n");
        text.push_str(&align(
            &targets.iter().map(Target::cells).collect::<Vec<_>>(),
        ));
    }
    text
}

/// One row for each thing, one column for each mode.
fn grid(report: &Report, value: impl Fn(&str, Way) -> Option<f64>) -> String {
    let mut rows = vec![header(Way::ALL.map(Way::name))];
    for name in report.names() {
        let values = Way::ALL.map(|way| value(name, way).map_or("-".to_owned(), figure));
        rows.push(std::iter::once(name.to_owned()).chain(values).collect());
    }
    align(&rows)
}

/// How the modes compare with each other.
fn ratios(report: &Report) -> String {
    let mut rows = vec![header([
        "break/native",
        "trap/break",
        "delegated/break",
        "frame/break",
    ])];
    for name in report.names() {
        let time = |way| report.row(name, way).and_then(|row| row.ns);
        let ratio = |above, below| {
            let below = time(below).filter(|time| *time > 0.0);
            let ratio = time(above).zip(below).map(|(above, below)| above / below);
            ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
        };
        rows.push(vec![
            name.to_owned(),
            ratio(Way::Break, Way::Native),
            ratio(Way::Trap, Way::Break),
            ratio(Way::TrapDelegated, Way::Break),
            ratio(Way::BreakFrame, Way::Break),
        ]);
    }
    align(&rows)
}

/// One row for each mode.
fn speed_ups(report: &Report) -> String {
    let mut rows = vec![header(["mode", "workers", "speed-up"])];
    for found in &report.speed_ups {
        rows.push(vec![
            found.name.clone(),
            found.mode.to_owned(),
            found.workers.to_string(),
            figure(found.speed_up),
        ]);
    }
    align(&rows)
}

/// One row for each thing and mode.
fn io(report: &Report) -> String {
    let titles = ["mode", "MiB/s", "in a second", "of native"];
    let titles = titles
        .into_iter()
        .chain(["accesses/request", "exits/request", "by patch"]);
    let mut rows = vec![
        std::iter::once("")
            .chain(titles)
            .map(str::to_owned)
            .collect(),
    ];
    let or_dash = |value: Option<f64>| value.map_or("-".to_owned(), figure);
    for row in &report.rows {
        let Some(io) = row.io else { continue };
        rows.push(vec![
            row.name.clone(),
            row.mode.to_owned(),
            or_dash(io.mib_s),
            figure(io.iops),
            or_dash(row.vs_native.map(|ratio| 1.0 / ratio)),
            or_dash(io.exits.map(|exits| exits.accesses_per_request)),
            or_dash(io.exits.map(|exits| exits.exits_per_request)),
            io.exits.map_or("-".to_owned(), |exits| {
                percent(exits.device_accesses_patched)
            }),
        ]);
    }
    align(&rows)
}

/// The kinds of privileged instructions, the most frequent first.
fn kinds(stats: &Stats) -> String {
    let titles = ["executed", "by patch", "gate instructions"];
    let mut rows = vec![header(titles)];
    let mut kinds: Vec<_> = stats.by_kind.iter().collect();
    kinds.sort_by_key(|(name, kind)| (std::cmp::Reverse(kind.executed), name.as_str()));
    for (name, kind) in kinds {
        let gate = kind.gate_instructions;
        rows.push(vec![
            name.clone(),
            thousands(kind.executed),
            percent(kind.patched_share()),
            gate.map_or("-".to_owned(), thousands),
        ]);
    }
    align(&rows)
}

fn header<const N: usize>(columns: [&str; N]) -> Vec<String> {
    std::iter::once("")
        .chain(columns)
        .map(str::to_owned)
        .collect()
}

/// Three digits or more.
fn figure(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits() {
        assert_eq!(figure(1.0), "1.00");
        assert_eq!(figure(26.04), "26.0");
        assert_eq!(figure(15_850.2), "15850");
    }
}
