//! Faults of the monitor itself, made by QEMU's gdb server: they end the machine that the monitor was
//! at work for, and no other.

use crate::vms::shell;
use crate::{artefacts, runner};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::Console;
use patchvisor::guest::{self, Guest};
use std::io::Write;
use std::process::Command;
use std::time::Duration;
use xtask::bench::gdb;

const MIB: u64 = 1 << 20;
/// Longest that a board may run, on a machine that is busy otherwise too.
const LIMIT: Duration = Duration::from_secs(240);

/// Where QEMU loads the monitor.
pub const LOADED: u64 = 0x8020_0000;
/// Where its gigabyte is mapped.
const WINDOW: u64 = 0xff00_0000_0000_0000;
/// Exits of guests before the fault.
const EXITS: usize = 50;

/// All trials.
pub fn trials() -> Vec<Trial> {
    let trap = ["trap in the monitor: scause 0xc, sepc 0x0"];
    let memory = ["panic at ", "memory allocation of "];
    vec![
        runner::trial(
            "faults::a_trap_in_the_monitor_ends_one_machine_alone",
            move || one_machine_alone(|| Ok(0), &trap),
        ),
        runner::trial(
            "faults::a_failed_allocation_ends_one_machine_alone",
            move || one_machine_alone(|| address_of("handle_alloc_error"), &memory),
        ),
    ]
}

/// Two witnesses on one hart. The monitor jumps to `target` while it handles an exit of one of them, and
/// `says` so: that one ends, the other comes to its own end.
fn one_machine_alone(target: impl Fn() -> Result<u64>, says: &[&str]) -> Result<()> {
    let mut guests = Vec::new();
    for name in ["one", "two"] {
        let mut guest = Guest::new(artefacts::guest("witness")?);
        guest.vm.name = name.into();
        guest.vm.memory = 256 * MIB;
        guest.vm.append = "seconds=6".into();
        guests.push(guest);
    }
    let mut bundle = tempfile::NamedTempFile::new()?;
    bundle.write_all(&guest::pack(&guests, Console::Prefixed)?)?;
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("gdb");
    let server = format!("unix:{},server=on,wait=off", socket.display());
    let monitor = artefacts::monitor()?;
    let mut run = guest::machine(&monitor, bundle.path())?
        .no_reboot()
        .args(["-S", "-gdb", &server])
        .spawn()?;
    gdb::derail(&socket, address_of("handle_exit")?, EXITS, target()?)?;
    run.expect("it goes on without ", LIMIT)?;
    shell(&mut run)?;
    // One of these has ended, and the shell knows.
    run.send("pause one\rresume one\rpause two\rresume two\r")?;
    run.expect(" goes on\r\n", LIMIT)?;
    let outcome = run.wait(LIMIT)?;
    let text = outcome.text();
    let end = &text[text.floor_char_boundary(text.len().saturating_sub(2500))..];
    let report = [
        "on hart 0, at work for",
        "registers from x1 on",
        "it goes on without",
    ];
    for words in says.iter().chain(&report) {
        ensure!(
            text.contains(words),
            "no {words:?}; the console ends with\n{end}"
        );
    }
    let refused = text.matches(" has ended already").count();
    ensure!(
        refused == 2,
        "the shell refused {refused} times; the console ends with\n{end}"
    );
    let survivors = text
        .lines()
        .filter(|line| line.contains("witness: ok, "))
        .count();
    ensure!(
        survivors == 1,
        "{survivors} witnesses; the console ends with\n{end}"
    );
    let status = outcome.status;
    ensure!(
        status.is_some_and(|status| !status.success()),
        "QEMU ended with {status:?}"
    );
    Ok(())
}

/// Where a function of the running monitor is.
pub fn address_of(function: &str) -> Result<u64> {
    let program = xtask::paths::target("monitor")?
        .join(xtask::build::TARGET)
        .join("release/monitor");
    let output = Command::new("riscv64-linux-gnu-nm")
        .arg(&program)
        .output()?;
    let symbols = String::from_utf8_lossy(&output.stdout).into_owned();
    let find = |wanted: &dyn Fn(&str) -> bool| {
        let line = symbols
            .lines()
            .find(|line| line.split_whitespace().next_back().is_some_and(wanted));
        let address = line.and_then(|line| line.split_whitespace().next());
        address.and_then(|address| u64::from_str_radix(address, 16).ok())
    };
    let start = find(&|name| name == "__image_start").context("no __image_start")?;
    let at = find(&|name| name.ends_with(function));
    let at = at.with_context(|| format!("no {function} in {}", program.display()))?;
    Ok(WINDOW + LOADED % (1 << 30) + (at - start))
}
