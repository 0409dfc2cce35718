//! The monitor spends no more instructions on a patched privileged instruction than it did.

use crate::{artefacts, runner};
use libtest_mimic::Trial;
use xtask::bench::counts;

/// One trial: a machine under `-icount`.
pub fn trials() -> Vec<Trial> {
    vec![runner::trial("counts::gate_instructions", || {
        counts::check(&artefacts::monitor()?, &artefacts::guest(counts::PROGRAM)?)
    })]
}
