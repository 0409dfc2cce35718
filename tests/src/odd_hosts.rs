//! Hosts on which something is missing or strange: QEMU's, with registers changed by its gdb server.

use crate::programs::Kind;
use crate::{artefacts, faults, runner, transcript};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use patchvisor::Mode;
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::Outcome;
use std::path::Path;
use std::time::Duration;
use xtask::bench::gdb::{self, Change};

/// Longest that a board may run.
const LIMIT: Duration = Duration::from_secs(120);
const MIB: u64 = 1 << 20;

/// S-mode may not read `time` (`mcounteren.TM`), and firmware does not help: illegal instructions are handed
/// straight to S-mode (`medeleg`).
const NO_TIME: [Change; 2] = [
    Change {
        register: "mcounteren",
        clear: 1 << 1,
        set: 0,
    },
    Change {
        register: "medeleg",
        clear: 0,
        set: 1 << 2,
    },
];

/// `wfi` traps in S-mode (`mstatus.TW`).
const NO_WAIT: [Change; 1] = [Change {
    register: "mstatus",
    clear: 0,
    set: 1 << 21,
}];

/// A trigger of type 2 (Debug Specification, "Match Control") breaks in U-mode at the guest's first
/// instruction, which is none of its breakpoints.
const TRIGGER: [Change; 2] = [
    Change {
        register: "tdata2",
        clear: u64::MAX,
        set: faults::LOADED,
    },
    Change {
        register: "tdata1",
        clear: u64::MAX,
        set: 2 << 60 | 1 << 3 | 1 << 2,
    },
];

/// Where the monitor tries what `wfi` does in U-mode (`monitor/src/wfi.rs`).
const TRIED_WFI: u64 = 0x5000;
/// All trials.
pub fn trials() -> Vec<Trial> {
    vec![
        runner::trial("odd_hosts::without_time_it_says_so_and_stops", || {
            let outcome = run("wfi", Mode::Break, |socket| {
                gdb::change(socket, faults::LOADED, 1, &NO_TIME)
            })?;
            stops(&outcome, "S-mode cannot read `time`")
        }),
        runner::trial("odd_hosts::a_fault_is_reported_without_time", || {
            let at = faults::address_of("handle_exit")?;
            let outcome = run("wfi", Mode::Break, |socket| {
                gdb::change(socket, at, 20, &NO_TIME)
            })?;
            let text = outcome.text();
            ensure!(
                text.contains("trap in the monitor: scause 0x2"),
                "no report: {text}"
            );
            stops(&outcome, "the monitor has a bug and stops")
        }),
        runner::trial("odd_hosts::where_wfi_traps_in_s_mode_guests_run", || {
            let outcome = run("wfi", Mode::Break, |socket| {
                gdb::change(socket, faults::LOADED, 1, &NO_WAIT)
            })?;
            transcript::whole("wfi", Kind::Oracle, &outcome).map(drop)
        }),
        runner::trial(
            "odd_hosts::a_break_without_a_breakpoint_ends_the_machine",
            || {
                let outcome = run("wfi", Mode::Break, |socket| {
                    gdb::change(socket, faults::LOADED, 1, &TRIGGER)
                })?;
                stops(&outcome, "the host breaks at 0x80200000 again and again")
            },
        ),
        runner::trial(
            "odd_hosts::where_wfi_passes_in_u_mode_none_is_executed",
            || {
                no_wfi_is_executed(
                    Mode::Break,
                    &[
                        "wfi",
                        "self_modifying",
                        "copied_code",
                        "moving_text",
                        "mixed_page",
                    ],
                )
            },
        ),
        runner::trial(
            "odd_hosts::where_wfi_passes_in_u_mode_none_is_executed::trap",
            || no_wfi_is_executed(Mode::Trap, &["wfi"]),
        ),
    ]
}

/// On QEMU a `wfi` that was not patched before its first execution traps, whatever the monitor was led to
/// believe, and is counted as neither patched nor emulated from a patch.
fn no_wfi_is_executed(mode: Mode, programs: &[&str]) -> Result<()> {
    for &program in programs {
        // The `wfi` does nothing.
        let pass = |socket: &Path| gdb::derail(socket, TRIED_WFI, 1, TRIED_WFI + 4);
        let outcome = run(program, mode, pass)?;
        let text = outcome.text();
        ensure!(
            text.contains("`wfi` does not trap in U-mode here"),
            "the monitor was not led to believe it: {text}"
        );
        transcript::whole(program, Kind::Oracle, &outcome)?;
        let stats = outcome.stats()?;
        if let Some(wfi) = stats.by_kind.get("wfi") {
            let handed_over = wfi
                .extra
                .get("emulated_from_patch")
                .and_then(|count| count.as_u64());
            ensure!(
                wfi.executed == wfi.patched + handed_over.unwrap_or(0),
                "{program}: {} wfi executed, {} by patch, {handed_over:?} handed over by one",
                wfi.executed,
                wfi.patched
            );
        }
    }
    Ok(())
}

/// The machine failed with an error that contains `words`.
fn stops(outcome: &Outcome, words: &str) -> Result<()> {
    let text = outcome.text();
    let end = &text[text.floor_char_boundary(text.len().saturating_sub(2500))..];
    let lines = text.lines().filter(|line| line.contains(words)).count();
    ensure!(
        lines == 1,
        "{lines} lines with {words:?}; the console ends with\n{end}"
    );
    let status = outcome.status;
    ensure!(
        status.is_some_and(|status| !status.success()),
        "QEMU ended with {status:?}; the console ends with\n{end}"
    );
    Ok(())
}

/// Runs a guest on a host that `change` changes by its gdb server.
fn run(program: &str, mode: Mode, change: impl FnOnce(&Path) -> Result<()>) -> Result<Outcome> {
    let mut guest = Guest::new(artefacts::guest(program)?);
    guest.vm.memory = 256 * MIB;
    guest.vm.statistics = true;
    guest.vm.mode = mode;
    let bundle = guest.write_bundle()?;
    let monitor = artefacts::monitor()?;
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("gdb");
    let server = format!("unix:{},server=on,wait=off", socket.display());
    let machine = guest::machine(&monitor, bundle.path())?
        .no_reboot()
        .args(["-S", "-gdb", &server])
        .spawn()?;
    change(&socket)?;
    machine.wait(LIMIT)
}
