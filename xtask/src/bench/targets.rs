//! What the measurements are to reach.

use super::report::Report;
use super::run::Way;
use patchvisor::stats::Stats;

/// Instructions of the monitor for a `csrci sstatus` that a patch serves.
const GATE_INSTRUCTIONS: f64 = 25.0;
/// How many times cheaper than a trap that is.
const TRAP_BY_BREAK: f64 = 6.0;
/// How many times its native time a program without privileged instructions may take.
const UNPRIVILEGED: f64 = 1.03;
/// The share of privileged instructions that patches serve.
const PATCHED_SHARE: f64 = 0.99;
/// Times this near count as equal, and those that differ by less than so many nanoseconds.
const EQUAL: f64 = 1.05;
const EQUAL_NS: f64 = 2.0;

/// Two workers are to be faster than one with patches where they are natively by this much: where the
/// machine has two processors to spare.
const SPEED_UP: f64 = 1.0;
const NATIVE_SPEED_UP: f64 = 1.5;

/// Measurements of several harts, or that wait for QEMU's other threads, by how their names begin. What
/// the host's scheduler does to them is more than the modes differ.
const SEVERAL_THREADS: [&str; 3] = ["remote-", "linux-parallel-", "io-"];
/// The share of its native throughput that a disk has with patches, for large requests that wait in line.
const DISK_THROUGHPUT: f64 = 0.8;
const DISK_ROWS: &str = "io-disk-";
const LARGE_AND_DEEP: &str = "-128k-32";
/// Measurements that no mode may change.
const UNPRIVILEGED_ROWS: [&str; 2] = ["linux-copy-64k", "linux-integer-loop-1000"];

/// One target and what came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    pub what: String,
    pub found: String,
    pub met: bool,
}

impl Target {
    fn at_most(what: impl Into<String>, value: f64, limit: f64) -> Self {
        Self {
            what: format!("{} <= {limit}", what.into()),
            found: format!("{value:.3}"),
            met: value <= limit,
        }
    }

    fn at_least(what: impl Into<String>, value: f64, limit: f64) -> Self {
        Self {
            what: format!("{} >= {limit}", what.into()),
            found: format!("{value:.4}"),
            met: value >= limit,
        }
    }

    /// The target as a row of a table.
    pub fn cells(&self) -> Vec<String> {
        let verdict = if self.met { "met" } else { "MISSED" };
        vec![self.what.clone(), self.found.clone(), verdict.to_owned()]
    }
}

/// Compares a report with the targets; those whose rows were not measured are left out. `served`
/// tells what patches served, by what ran.
pub fn targets(report: &Report, served: &[(String, Stats)]) -> Vec<Target> {
    let mut targets = Vec::new();
    let csrci = "csrci-sstatus";
    if let Some(added) = report.added_instructions(csrci, Way::Break) {
        targets.push(Target::at_most(
            "instructions of the monitor for csrci sstatus by break patch",
            added,
            GATE_INSTRUCTIONS,
        ));
    }
    let ratio = |name: &str, above, below| {
        let time = |way| report.row(name, way)?.ns;
        Some(time(above)? / time(below).filter(|time| *time > 0.0)?)
    };
    if let Some(ratio) = ratio(csrci, Way::Trap, Way::Break) {
        let what = "csrci sstatus: time by trap / time by break patch";
        targets.push(Target::at_least(what, ratio, TRAP_BY_BREAK));
    }
    for name in UNPRIVILEGED_ROWS {
        if let Some(ratio) = ratio(name, Way::Break, Way::Native) {
            let what = format!("{name}: time with patches / native time");
            targets.push(Target::at_most(what, ratio, UNPRIVILEGED));
        }
    }
    let is_disk = |name: &&str| name.starts_with(DISK_ROWS) && name.ends_with(LARGE_AND_DEEP);
    for name in report.names().into_iter().filter(is_disk) {
        if let Some(ratio) = ratio(name, Way::Native, Way::Break) {
            let what = format!("{name}: throughput with patches / native throughput");
            targets.push(Target::at_least(what, ratio, DISK_THROUGHPUT));
        }
    }
    for (what, stats) in served {
        let what = format!("{what}: share of privileged instructions served by patches");
        targets.push(Target::at_least(what, stats.patched_share(), PATCHED_SHARE));
    }
    targets.extend(slower(report));
    targets.extend(speed_up(report));
    targets
}

/// Whether two workers are faster than one, if they can be.
fn speed_up(report: &Report) -> Option<Target> {
    let of = |way: Way| {
        let mut all = report.speed_ups.iter();
        Some(all.find(|found| found.mode == way.name())?.speed_up)
    };
    let found = of(Way::Break)?;
    let what = "two parallel workers with patches: speed-up";
    (of(Way::Native)? >= NATIVE_SPEED_UP).then(|| Target::at_least(what, found, SPEED_UP))
}

/// Whether anything takes longer with patches than without.
fn slower(report: &Report) -> Option<Target> {
    let mut compared = 0;
    let mut found = Vec::new();
    let several = |name: &str| SEVERAL_THREADS.iter().any(|start| name.starts_with(start));
    for name in report.names().into_iter().filter(|name| !several(name)) {
        let time = |way| report.row(name, way).and_then(|row| row.ns);
        let (Some(patched), Some(trapped)) = (time(Way::Break), time(Way::Trap)) else {
            continue;
        };
        // The monitor has no part in it, and other times are the machine's.
        let count = |way| report.row(name, way).and_then(|row| row.instructions);
        if count(Way::Native).is_some_and(|native| count(Way::Break) == Some(native)) {
            continue;
        }
        compared += 1;
        if patched > trapped * EQUAL && patched > trapped + EQUAL_NS {
            found.push(format!("{name} {:.2}x", patched / trapped));
        }
    }
    (compared > 0).then(|| Target {
        what: format!("none of {compared} measurements slower by break patch than by trap"),
        met: found.is_empty(),
        found: if found.is_empty() {
            "none".into()
        } else {
            found.join(", ")
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::report::Column;
    use super::*;

    fn report(name: &str, ways: &[(Way, f64, f64)]) -> Report {
        let mut report = Report::default();
        let columns: Vec<_> = ways
            .iter()
            .map(|(way, ns, instructions)| Column {
                way: *way,
                times: [(name.to_owned(), *ns)].into(),
                instructions: [(name.to_owned(), *instructions)].into(),
            })
            .collect();
        report.add(&[name.to_owned()], &columns);
        report
    }

    fn verdicts(report: &Report) -> Vec<bool> {
        let targets = targets(report, &[]);
        targets.iter().map(|target| target.met).collect()
    }

    #[test]
    fn a_patch_of_twenty_five_instructions_and_a_sixth_of_the_time_meets_the_targets() {
        let native = (Way::Native, 10.0, 1.0);
        let trap = (Way::Trap, 1800.0, 1100.0);
        let good = report("csrci-sstatus", &[native, trap, (Way::Break, 300.0, 26.0)]);
        assert_eq!(verdicts(&good), [true, true, true]);
        let bad = report("csrci-sstatus", &[native, trap, (Way::Break, 301.0, 27.0)]);
        assert_eq!(verdicts(&bad), [false, false, true]);
    }

    #[test]
    fn a_program_without_privileged_instructions_keeps_its_time() {
        let run = |ns| {
            let ways = [(Way::Native, 100.0, 1.0), (Way::Break, ns, 1.0)];
            verdicts(&report("linux-copy-64k", &ways))
        };
        assert_eq!((run(103.0), run(104.0)), (vec![true], vec![false]));
    }

    #[test]
    fn a_disk_has_four_fifths_of_its_native_throughput() {
        let run = |name, native, patched| {
            let ways = [(Way::Native, native, 1.0), (Way::Break, patched, 1.0)];
            verdicts(&report(name, &ways))
        };
        assert_eq!(run("io-disk-read-random-128k-32", 80.0, 100.0), [true]);
        assert_eq!(run("io-disk-read-random-128k-32", 79.0, 100.0), [false]);
        assert!(run("io-disk-read-random-4k-32", 10.0, 100.0).is_empty());
    }

    #[test]
    fn what_is_slower_by_patch_is_named() {
        let ways = [(Way::Trap, 100.0, 1.0), (Way::Break, 110.0, 1.0)];
        let targets = targets(&report("wfi", &ways), &[]);
        assert_eq!(targets[0].found, "wfi 1.10x");
        assert!(!targets[0].met);
        let [native, patched] = [(Way::Native, 1.0), (Way::Break, 2.0)];
        let count = |(way, count)| (way, 110.0, count);
        let ways = [count(native), (Way::Trap, 100.0, 9.0), count(patched)];
        assert_eq!(verdicts(&report("rdtime", &ways)), [false]);
        let ways = [
            count(native),
            (Way::Trap, 100.0, 1.0),
            (Way::Break, 110.0, 1.0),
        ];
        assert!(verdicts(&report("rdtime", &ways)).is_empty());
    }

    #[test]
    fn two_workers_must_be_faster_only_where_they_are_natively() {
        let run = |native, patched| {
            let mut all = Report::default();
            for (name, native, patched) in [
                ("linux-parallel-1", 100.0, 100.0),
                ("linux-parallel-2", native, patched),
            ] {
                let ways = [(Way::Native, native, 1.0), (Way::Break, patched, 1.0)];
                all.rows.extend(report(name, &ways).rows);
            }
            all.find_speed_ups();
            verdicts(&all)
        };
        assert_eq!(run(55.0, 60.0), [true]);
        assert_eq!(run(55.0, 110.0), [false]);
        assert!(run(90.0, 110.0).is_empty());
    }

    #[test]
    fn shares_below_ninety_nine_in_a_hundred_miss() {
        let served = [("boot", 985), ("work", 999)].map(|(what, patched)| {
            let stats = Stats {
                privileged: 1000,
                patched,
                ..Stats::default()
            };
            (what.to_owned(), stats)
        });
        let targets = targets(&Report::default(), &served);
        assert_eq!([targets[0].met, targets[1].met], [false, true]);
    }
}
