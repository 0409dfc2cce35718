//! The demonstration's tables for people.

use super::report::{Report, Run};
use std::fmt::Write;

/// Renders the report.
pub fn render(report: &Report) -> String {
    match report.vms()[..] {
        [vm] => one(report, vm),
        ref vms => several(report, vms),
    }
}

/// The tables of the only guest.
fn one(report: &Report, vm: &str) -> String {
    let all = report.runs_of(vm);
    let (kernel, cpu, vcpus) = (&report.kernel, &report.cpu, vcpus(&all));
    let mut text = format!("\n{kernel} on {cpu}, {vcpus}, one run each:\n\n");
    text.push_str(&runs(&all));
    if let Some(kinds) = kinds(&all) {
        text.push_str("\nPrivileged instructions by kind:\n\n");
        text.push_str(&kinds);
    }
    text
}

/// A table for each of several guests; kinds of instructions would be too many figures.
fn several(report: &Report, vms: &[&str]) -> String {
    let (kernel, cpu, harts) = (&report.kernel, &report.cpu, report.harts);
    let harts = match harts {
        1 => "1 hart".to_owned(),
        harts => format!("{harts} harts"),
    };
    let mut text = format!(
        "\n{} guests with {kernel} at once on {cpu} with {harts}, one run each; native is one alone:\n",
        vms.len()
    );
    for vm in vms {
        let all = report.runs_of(vm);
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{vm}, {}:\n\n{}", vcpus(&all), runs(&all));
    }
    text.push_str("\n--json has the privileged instructions by kind.\n");
    text
}

fn vcpus(runs: &[&Run]) -> String {
    match runs.first().map_or(1, |run| run.vcpus) {
        1 => "1 vCPU".to_owned(),
        vcpus => format!("{vcpus} vCPUs"),
    }
}

/// The run in a mode.
fn in_mode<'a>(runs: &[&'a Run], mode: &str) -> Option<&'a Run> {
    runs.iter().copied().find(|run| run.mode == mode)
}

/// One row for each run.
fn runs(runs: &[&Run]) -> String {
    let native = in_mode(runs, "native");
    let header = [
        "mode",
        "boot s",
        "work s",
        "work/native",
        "privileged",
        "by patch",
        "sites",
        "routines",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for run in runs {
        let ratio = run
            .work_s
            .zip(native.and_then(|native| native.work_s))
            .filter(|(_, native)| *native > 0.0)
            .map(|(work, native)| work / native);
        rows.push(vec![
            run.mode.clone(),
            shown(run.boot_s, |time| format!("{time:.2}")),
            shown(run.work_s, |time| format!("{time:.2}")),
            shown(ratio, |ratio| format!("{ratio:.2}")),
            shown(run.privileged, thousands),
            shown(run.patched_share, percent),
            shown(run.sites, thousands),
            shown(run.routines, thousands),
        ]);
    }
    align(&rows)
}

/// One row for each kind; counts are of the last run, which is the one with break patches.
fn kinds(runs: &[&Run]) -> Option<String> {
    let last = *runs.iter().rfind(|run| !run.by_kind.is_empty())?;
    let frames = in_mode(runs, "break-frame").filter(|run| run.mode != last.mode);
    let mut header = vec![
        "kind".to_owned(),
        format!("executed ({})", last.mode),
        "by patch".to_owned(),
        "gate instructions".to_owned(),
    ];
    if frames.is_some() {
        header.push("with a frame".to_owned());
    }
    let mut rows = vec![header];
    let mut kinds: Vec<_> = last.by_kind.iter().collect();
    kinds.sort_by_key(|(name, kind)| (std::cmp::Reverse(kind.executed), name.as_str()));
    let gate = |run: &Run, name: &str| {
        run.by_kind
            .get(name)
            .and_then(|kind| kind.gate_instructions)
    };
    for (name, kind) in kinds {
        let mut row = vec![
            name.clone(),
            thousands(kind.executed),
            percent(kind.patched_share()),
            shown(gate(last, name), thousands),
        ];
        if let Some(frames) = frames {
            row.push(shown(gate(frames, name), thousands));
        }
        rows.push(row);
    }
    Some(align(&rows))
}

pub(crate) fn shown<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Rounded down, so that 100 % means all.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", (share * 10_000.0).floor() / 100.0)
}

/// Columns of equal width: names to the left, figures to the right.
pub(crate) fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            // Writing to a String cannot fail.
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_and_shares_never_rounded_up() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(percent(1.0), "100.00 %");
        assert_eq!(percent(0.999_99), "99.99 %");
    }

    fn run(mode: &str, vm: &str, work_s: f64) -> Run {
        Run {
            mode: mode.into(),
            vm: vm.into(),
            vcpus: 2,
            boot_s: Some(1.0),
            work_s: Some(work_s),
            privileged: None,
            patched_share: None,
            sites: None,
            routines: None,
            by_kind: Default::default(),
        }
    }

    #[test]
    fn each_of_several_guests_is_compared_with_the_one_native_run() {
        let mut report = Report::new("linux", "rv64", 4);
        report.add(run("native", "linux", 2.0));
        report.add(run("break", "linux-1", 5.0));
        report.add(run("break", "linux-2", 7.0));
        let text = render(&report);
        assert!(text.contains("2 guests with linux at once on rv64 with 4 harts"));
        let (_, tables) = text.split_once("\nlinux-1, 2 vCPUs:\n").unwrap();
        let (first, second) = tables.split_once("\nlinux-2, 2 vCPUs:\n").unwrap();
        let row = |table: &str, mode: &str| {
            let row = table.lines().find(|line| line.starts_with(mode)).unwrap();
            row.split_whitespace().nth(3).unwrap().to_owned()
        };
        assert_eq!(
            (row(first, "native"), row(first, "break")),
            ("1.00".into(), "2.50".into())
        );
        assert_eq!(
            (row(second, "native"), row(second, "break")),
            ("1.00".into(), "3.50".into())
        );
    }

    #[test]
    fn one_guest_has_one_table() {
        let mut report = Report::new("linux", "rv64", 1);
        report.add(run("native", "linux", 2.0));
        report.add(run("break", "linux", 5.0));
        let text = render(&report);
        assert!(
            text.starts_with("\nlinux on rv64, 2 vCPUs, one run each:\n"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 6, "{text}");
    }

    #[test]
    fn columns_line_up() {
        let rows = [["mode", "n"], ["break", "12"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(align(&rows), "mode    n\nbreak  12\n");
    }
}
