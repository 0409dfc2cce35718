//! What was measured, as rows for machines.

use super::run::{Measured, Way};
use serde::Serialize;

/// The whole report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// In the order they were measured: by name, then by mode.
    pub rows: Vec<Row>,
    /// How the same work gets on with more workers; absent where none was measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub speed_ups: Vec<SpeedUp>,
}

/// The times of the rows `NAME-1` and `NAME-2` compared.
#[derive(Clone, Debug, Serialize)]
pub struct SpeedUp {
    /// What was measured, without the number of workers.
    pub name: String,
    /// How it ran, as in [`Row`].
    pub mode: &'static str,
    /// How many workers there are where they are more.
    pub workers: u32,
    /// How many times faster they are than one.
    pub speed_up: f64,
}

/// One thing measured in one mode.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// How it ran: `native`, `trap`, `trap-delegated`, `break-frame` or `break`.
    pub mode: &'static str,
    /// Instructions of the whole machine, firmware and monitor among them; counted under `-icount`, of
    /// several harts in the log of QEMU.
    pub instructions: Option<f64>,
    /// Nanoseconds of the host's time.
    pub ns: Option<f64>,
    /// How many times the native time that is.
    pub vs_native: Option<f64>,
    /// How many times the time in mode `trap` that is.
    pub vs_trap: Option<f64>,
    /// What is known of input and output alone.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub io: Option<Io>,
}

/// What a row of input and output has besides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Io {
    /// 2^20 bytes in a second; absent where no amount is moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mib_s: Option<f64>,
    /// Requests, blocks or round trips in a second.
    pub iops: f64,
    /// What the guest's accesses to devices were, in the runs that the row is of; absent natively.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub exits: Option<Exits>,
}

/// Accesses to emulated devices, from the monitor's statistics of whole runs, boot included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Exits {
    /// Accesses by a page fault for one request to a disk.
    pub exits_per_request: f64,
    /// All accesses for one request: those by a patch too.
    pub accesses_per_request: f64,
    /// The share of accesses that were by a patch.
    pub device_accesses_patched: f64,
}

/// What one way of running gave.
#[derive(Clone, Debug)]
pub struct Column {
    pub way: Way,
    pub times: Measured,
    pub instructions: Measured,
}

impl Column {
    /// A way that has not run yet.
    pub fn of(way: Way) -> Self {
        Self {
            way,
            times: Measured::new(),
            instructions: Measured::new(),
        }
    }

    /// Takes the times of one more run; the shortest one of each measurement stays.
    pub fn add_times(&mut self, times: Measured) {
        for (name, time) in times {
            let least = self.times.entry(name).or_insert(time);
            *least = least.min(time);
        }
    }
}

impl Report {
    /// Adds the results of some guest's runs; `names` gives the rows and their order.
    pub fn add(&mut self, names: &[String], columns: &[Column]) {
        let time = |name: &str, way: Way| {
            let column = columns.iter().find(|column| column.way == way)?;
            column.times.get(name).copied()
        };
        for name in names {
            for column in columns {
                let ns = column.times.get(name).copied();
                let instructions = column.instructions.get(name).copied();
                if ns.is_none() && instructions.is_none() {
                    continue;
                }
                self.rows.push(Row {
                    name: name.clone(),
                    mode: column.way.name(),
                    instructions: instructions.map(rounded),
                    ns: ns.map(rounded),
                    vs_native: ratio(ns, time(name, Way::Native)),
                    vs_trap: ratio(ns, time(name, Way::Trap)),
                    io: None,
                });
            }
        }
    }

    /// Fills in [`Self::speed_ups`] from the rows.
    pub fn find_speed_ups(&mut self) {
        let time = |name: &str, mode| {
            let row = |row: &&Row| row.name == name && row.mode == mode;
            self.rows.iter().find(row)?.ns
        };
        let speed_up = |row: &Row| {
            let name = row.name.strip_suffix("-2")?;
            let one = time(&format!("{name}-1"), row.mode);
            Some(SpeedUp {
                name: name.to_owned(),
                mode: row.mode,
                workers: 2,
                speed_up: ratio(one, row.ns)?,
            })
        };
        self.speed_ups = self.rows.iter().filter_map(speed_up).collect();
    }

    /// The row of a thing in a mode.
    pub fn row(&self, name: &str, way: Way) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.name == name && row.mode == way.name())
    }

    /// What was measured, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.rows.iter().map(|row| row.name.as_str()).collect();
        names.dedup();
        names
    }

    /// Instructions that the monitor and firmware execute for one of these: those of the row less
    /// those of the guest itself, which are the native ones.
    pub fn added_instructions(&self, name: &str, way: Way) -> Option<f64> {
        let of = |way| self.row(name, way)?.instructions;
        Some(rounded(of(way)? - of(Way::Native)?))
    }
}

fn ratio(value: Option<f64>, reference: Option<f64>) -> Option<f64> {
    let reference = reference.filter(|reference| *reference > 0.0)?;
    Some((value? / reference * 10_000.0).round() / 10_000.0)
}

/// To a hundredth: there is no more in a measurement.
pub fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(way: Way, ns: f64, instructions: f64) -> Column {
        Column {
            way,
            times: [("a".to_owned(), ns)].into(),
            instructions: [("a".to_owned(), instructions)].into(),
        }
    }

    #[test]
    fn each_row_is_compared_with_its_own_native_and_trap_rows() {
        let mut report = Report::default();
        let columns = [
            column(Way::Native, 10.0, 1.0),
            column(Way::Trap, 2000.0, 1001.0),
            column(Way::Break, 250.0, 26.0),
        ];
        report.add(&["a".to_owned()], &columns);
        let row = report.row("a", Way::Break).unwrap();
        assert_eq!((row.vs_native, row.vs_trap), (Some(25.0), Some(0.125)));
        assert_eq!(report.added_instructions("a", Way::Break), Some(25.0));
        assert_eq!(report.names(), ["a"]);
    }

    #[test]
    fn the_shortest_time_of_several_runs_stays() {
        let mut column = Column::of(Way::Break);
        for time in [3.0, 2.0, 4.0] {
            column.add_times([("a".to_owned(), time)].into());
        }
        assert_eq!(column.times["a"], 2.0);
    }

    #[test]
    fn two_workers_are_compared_with_one_in_the_same_mode() {
        let mut report = Report::default();
        for (name, ns) in [("work-1", 30.0), ("work-2", 20.0)] {
            let mut column = column(Way::Break, ns, 1.0);
            column.times = [(name.to_owned(), ns)].into();
            report.add(&[name.to_owned()], &[column]);
        }
        report.find_speed_ups();
        let found = &report.speed_ups[0];
        assert_eq!((found.name.as_str(), found.mode), ("work", "break"));
        assert_eq!((found.workers, found.speed_up), (2, 1.5));
        assert_eq!(report.speed_ups.len(), 1);
    }

    #[test]
    fn the_json_has_the_promised_fields_and_no_others() {
        let mut report = Report::default();
        report.add(&["a".to_owned()], &[column(Way::Native, 10.0, 1.0)]);
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            json,
            r#"{"rows":[{"name":"a","mode":"native","instructions":1.0,"ns":10.0,"vs_native":1.0,"vs_trap":null}]}"#
        );
    }
}
