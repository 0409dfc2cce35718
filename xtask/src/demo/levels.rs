//! `cargo xtask demo --levels N`: the demonstration's kernel under monitors that are guests of monitors.

use super::report::{Report, Run};
use super::table::{align, percent, shown, thousands};
use super::{Options, prepare, run};
use crate::build;
use anyhow::{Context, Result, bail};
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::Machine;
use std::path::Path;
use std::time::Duration;

/// Memory that a monitor in a guest needs besides what its own guest has.
const LEVEL: u64 = 192 << 20;

/// `guest` under `levels` monitors, of which all but the lowest are guests too: all guests, the lowest level's
/// first, `guest` last. The bundles for the upper levels are written to `directory`.
///
/// # Errors
/// When a file cannot be read or written.
pub fn nest(guest: &Guest, levels: u32, monitor: &Path, directory: &Path) -> Result<Vec<Guest>> {
    let mut guests = vec![guest.clone()];
    for level in (1..levels).rev() {
        let inner = &guests[0];
        let bundle = directory.join(format!("level-{level}.bundle"));
        std::fs::write(&bundle, inner.pack()?).context("writing a bundle")?;
        let mut outer = Guest::new(monitor);
        outer.vm.name = format!("monitor-{level}");
        outer.vm.statistics = true;
        outer.vm.vcpus = inner.vm.vcpus;
        outer.vm.memory = inner.vm.memory + LEVEL + std::fs::metadata(&bundle)?.len();
        outer.vm.memory = outer.vm.memory.next_multiple_of(2 << 20);
        outer.initrd = Some(bundle);
        guests.insert(0, outer);
    }
    Ok(guests)
}

/// Runs the kernel natively, under one monitor, and under as many as were asked for.
pub fn demo(options: &Options, levels: u32) -> Result<()> {
    let monitor = build::monitor()?;
    let directory = tempfile::tempdir()?;
    let guest = prepare(options, &directory.path().join("initrd.img"))?;
    let limit = Duration::from_secs(options.timeout);
    let mut report = Report::new(&guest.vm.name, &options.cpu, 1);
    let native: Machine = guest.native().cpu(&options.cpu);
    let outcome = run("native", &native, limit)?;
    report.add(Run::new("native", &guest.vm, &outcome)?);
    for depth in if levels > 1 { vec![1, levels] } else { vec![1] } {
        let guests = nest(&guest, depth, &monitor, directory.path())?;
        let bundle = directory.path().join("bundle");
        std::fs::write(&bundle, guests[0].pack()?).context("writing the bundle")?;
        let machine = guest::machine(&monitor, &bundle)?
            .cpu(&options.cpu)
            .harts(options.host_harts());
        let name = match depth {
            1 => "1 level".to_owned(),
            depth => format!("{depth} levels"),
        };
        let outcome = run(&name, &machine, limit)?;
        for of in guests.iter().rev() {
            let mut row = Run::new(&name, &of.vm, &outcome)?;
            if of.vm.name != guest.vm.name {
                (row.boot_s, row.work_s) = (None, None);
            } else if options.initrd.is_none() && row.work_s.is_none() {
                bail!(
                    "{name}: the guest powered off before its work was done; its console is above"
                );
            }
            report.add(row);
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", table(&report));
    }
    Ok(())
}

/// One row for each guest of each run.
fn table(report: &Report) -> String {
    let header = ["run", "guest", "boot s", "work s", "privileged", "by patch"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for run in &report.runs {
        rows.push(vec![
            run.mode.clone(),
            run.vm.clone(),
            shown(run.boot_s, |time| format!("{time:.2}")),
            shown(run.work_s, |time| format!("{time:.2}")),
            shown(run.privileged, thousands),
            shown(run.patched_share, percent),
        ]);
    }
    let (kernel, cpu) = (&report.kernel, &report.cpu);
    format!("\n{kernel} on {cpu}, one run each:\n\n{}", align(&rows))
}
