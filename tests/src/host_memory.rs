//! Hosts with much memory: as much as the processor's paging reaches is used, and the firmware's device tree is
//! read wherever it is. QEMU gives the host pages when they are touched.

use crate::programs::Kind;
use crate::{artefacts, runner, transcript};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use patchvisor::guest::Guest;
use patchvisor::qemu::{DEFAULT_CPU, Machine, Outcome};
use std::time::Duration;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SV39: &str = "rv64,h=false,sv48=false,sv57=false";
const SV48: &str = "rv64,h=false,sv57=false";
/// Longest that a machine may run.
const LIMIT: Duration = Duration::from_secs(240);

/// All trials.
pub fn trials() -> Vec<Trial> {
    let reached = [
        ("62_gib", DEFAULT_CPU, 62),
        ("1_tib", DEFAULT_CPU, 1024),
        ("1_tib_in_sv48", SV48, 1024),
    ];
    let reached = reached.into_iter().map(|(name, cpu, gigabytes)| {
        runner::trial(format!("host_memory::{name}"), move || {
            let (program, text) = run(cpu, gigabytes * GIB, 128 * MIB)?;
            ensure!(
                !text.contains("are not used"),
                "{program}: memory is left out"
            );
            Ok(())
        })
    });
    let beyond = runner::trial("host_memory::beyond_what_sv39_reaches", || {
        let (_, text) = run(SV39, 300 * GIB, 128 * MIB)?;
        // RAM begins at 2 GiB, and the window has 63 for it.
        let said = format!(
            "{} MiB of the host's memory lie beyond 0xfc0000000",
            239 << 10
        );
        ensure!(text.contains(&said), "no {said:?}");
        Ok(())
    });
    let large = runner::trial("host_memory::a_guest_with_200_gib", || {
        run(DEFAULT_CPU, 300 * GIB, 200 * GIB).map(drop)
    });
    reached.chain([beyond, large]).collect()
}

/// A program on a host of so much memory, with so much for the guest, prints what it prints natively. The
/// program's name, and all that was printed.
fn run(cpu: &str, host: u64, memory: u64) -> Result<(&'static str, String)> {
    let program = "superpages";
    let mut guest = Guest::new(artefacts::guest(program)?);
    guest.vm.memory = memory;
    let bundle = guest.write_bundle()?;
    let backend = format!("memory-backend-ram,id=ram,size={host},reserve=off");
    let machine = Machine::new()
        .cpu(cpu)
        .memory(host)
        .args(["-object", &backend, "-machine", "memory-backend=ram"])
        .kernel(artefacts::monitor()?)
        .initrd(bundle.path());
    let found = machine.no_reboot().spawn()?.wait(LIMIT)?;
    let native = Machine::new()
        .cpu(cpu)
        .memory(512 * MIB)
        .kernel(artefacts::guest(program)?)
        .no_reboot()
        .spawn()?
        .wait(LIMIT)?;
    let whole = |outcome: &Outcome| transcript::whole(program, Kind::Oracle, outcome);
    transcript::same(&whole(&native)?, &whole(&found)?)?;
    Ok((program, found.text()))
}
