//! What the monitor reported: errors and statistics, kept however much is printed after them.

use crate::stats::{self, Stats};
use anyhow::{Result, bail};
use bundle::description::MOST_VMS;

/// Most errors that are kept. On a console that is not prefixed a guest can print what looks like one.
const MOST_ERRORS: usize = 64;
/// Most bytes of a report.
const LONGEST: usize = 64 << 10;

/// What one console's lines report.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    /// The first errors, without their prefix.
    errors: Vec<String>,
    /// The newest statistics of each VM, in the order in which they came.
    stats: Vec<Stats>,
    /// What is wrong with the first statistics that could not be read.
    defect: Option<String>,
}

impl Reports {
    /// Looks at a line that has ended.
    pub fn note(&mut self, line: &str) {
        if let Some((_, error)) = line.split_once(stats::ERROR)
            && self.errors.len() < MOST_ERRORS
        {
            let error = error.trim();
            let end = error.floor_char_boundary(LONGEST);
            self.errors.push(error[..end].to_owned());
        }
        if let Some((_, json)) = line.split_once(stats::PREFIX) {
            let parsed = match json.len() <= LONGEST {
                true => Stats::parse(json).map_err(|error| format!("{error:#}")),
                false => Err("the monitor's statistics are longer than they can be".into()),
            };
            match parsed {
                Ok(stats) => self.keep(stats),
                Err(error) => {
                    self.defect.get_or_insert(error);
                }
            }
        }
    }

    fn keep(&mut self, stats: Stats) {
        self.stats.retain(|other| other.vm != stats.vm);
        if self.stats.len() == MOST_VMS {
            self.stats.remove(0);
        }
        self.stats.push(stats);
    }

    /// The first errors, without their prefix.
    pub fn errors(&self) -> impl Iterator<Item = &str> {
        self.errors.iter().map(String::as_str)
    }

    /// The newest statistics of each VM, in the order in which they came.
    ///
    /// # Errors
    /// When some could not be read.
    pub fn stats(&self) -> Result<&[Stats]> {
        match &self.defect {
            Some(defect) => bail!("{defect}"),
            None => Ok(&self.stats),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(lines: impl IntoIterator<Item = String>) -> Reports {
        let mut reports = Reports::default();
        lines.into_iter().for_each(|line| reports.note(&line));
        reports
    }

    fn stats(vm: usize, privileged: u64) -> String {
        format!(
            "{}{{\"vm\":\"{vm}\",\"privileged\":{privileged}}}",
            stats::PREFIX
        )
    }

    #[test]
    fn the_newest_statistics_of_each_vm_are_kept() {
        let reports = reports([stats(0, 1), stats(1, 2), stats(0, 3)]);
        let stats = reports.stats().unwrap().iter();
        let figures: Vec<_> = stats
            .map(|stats| (stats.vm.as_str(), stats.privileged))
            .collect();
        assert_eq!(figures, [("1", 2), ("0", 3)]);
    }

    #[test]
    fn a_guest_that_prints_reports_for_ever_fills_nothing() {
        let errors = (0..1000).map(|number| format!("{}{number}", stats::ERROR));
        let reports = reports(errors.chain((0..1000).map(|vm| stats(vm, 0))));
        assert_eq!(reports.errors().count(), MOST_ERRORS);
        assert_eq!(reports.errors().next(), Some("0"));
        assert_eq!(reports.stats().unwrap().len(), MOST_VMS);
        let long = reports_of_one(&format!("{}{}", stats::ERROR, "\u{e4}".repeat(LONGEST)));
        assert_eq!(long.errors().next().unwrap().len(), LONGEST);
        assert!(
            reports_of_one(&format!("{}no", stats::PREFIX))
                .stats()
                .is_err()
        );
    }

    fn reports_of_one(line: &str) -> Reports {
        reports([line.to_owned()])
    }
}
