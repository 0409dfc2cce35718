//! The monitor spends no more instructions on what patches serve than it did.

use crate::{artefacts, runner};
use libtest_mimic::Trial;
use xtask::bench::counts;

/// One trial for each guest that measures: a machine under `-icount`.
pub fn trials() -> Vec<Trial> {
    counts::programs()
        .map(|program| {
            runner::trial(format!("counts::{program}"), move || {
                counts::check(&artefacts::monitor()?, program, &artefacts::guest(program)?)
            })
        })
        .collect()
}
