//! The monitor spends no more instructions on what patches serve than it did, with `statistics` and without.

use crate::{artefacts, runner};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::guest::{self, Guest};
use std::time::Duration;
use xtask::bench::counts;

/// Two trials for each guest that measures: a machine under `-icount`; and one that counts traps.
pub fn trials() -> Vec<Trial> {
    let blocks = runner::trial("counts::cache_blocks", cache_blocks);
    let ways = [("", false), ("::with_statistics", true)];
    let programs = counts::programs().flat_map(|program| ways.map(|way| (program, way)));
    let measured = programs.map(|(program, (suffix, statistics))| {
        runner::trial(format!("counts::{program}{suffix}"), move || {
            let (monitor, guest) = (artefacts::monitor()?, artefacts::guest(program)?);
            counts::check(&monitor, program, &guest, statistics)
        })
    });
    measured.chain([blocks]).collect()
}

/// Of the thousands of `cbo.zero` before code has run in U-mode none traps; of those after it the three that
/// U-mode is denied.
fn cache_blocks() -> Result<()> {
    let mut guest = Guest::new(artefacts::guest("cache_blocks")?);
    guest.vm.statistics = true;
    guest.vm.memory = 128 << 20;
    let bundle = guest.write_bundle()?;
    let machine = guest::machine(&artefacts::monitor()?, bundle.path())?;
    let outcome = machine
        .no_reboot()
        .spawn()?
        .wait(Duration::from_secs(120))?;
    let stats = outcome.stats()?;
    let trapped = stats
        .extra
        .get("cache_blocks")
        .and_then(|count| count.as_u64());
    let trapped = trapped.context("cache blocks are not counted")?;
    ensure!(trapped == 3, "{trapped} cache-block instructions trapped");
    Ok(())
}
