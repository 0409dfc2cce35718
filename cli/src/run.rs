//! `patchvisor run`: boots the monitor with the guests on QEMU and gives the console.

use crate::arguments::RunArguments;
use crate::{config, print};
use anyhow::{Context, Result, bail};
use patchvisor::disk::users;
use patchvisor::qemu::{Machine, Outcome, Show};
use patchvisor::{guest, progress, size};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// Exit code of a run that took too long, as of timeout(1).
const TIMED_OUT: u8 = 124;
/// What is added to the number of a signal that ends a process, as shells do.
const SIGNALLED: i32 = 128;

/// What QEMU says of an image that another process has locked: `Failed to get "write" lock`, or `shared "write"`.
const LOCKED: &str = "\" lock";

/// What QEMU complains of in its own words, and what mends it.
const REMEDIES: &[(&str, &str)] = &[
    (
        "cannot set up guest memory",
        "this machine has not so much memory: give the guests less with --memory",
    ),
    (
        "Could not set up host forwarding rule",
        "another program may listen on that port of this machine, or it is below 1024: choose another one; an \
         address before the port must be one of this machine, and may be left out: hostfwd=tcp::2222-:22",
    ),
    (
        "Invalid host forwarding rule",
        "a rule is PROTOCOL:ADDRESS:PORT-GUEST:PORT, and addresses may be left out: hostfwd=tcp::2222-:22",
    ),
    (
        "Invalid SMP CPUs",
        "the board has not so many harts: give it fewer with --harts",
    ),
    (
        "Unable to find the RISC-V BIOS",
        "--bios names a file, or is left out for the OpenSBI that comes with QEMU",
    ),
    (
        "unable to find CPU model",
        "`qemu-system-riscv64 -cpu help` lists the processors",
    ),
];

/// Packs the guests, boots the monitor with them and gives the console.
pub fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let mut setup = config::Setup::gather(&arguments.guest, Some(&arguments.host))?;
    for guest in &mut setup.guests {
        guest.vm.statistics |= arguments.json;
    }
    let console = setup.console_for(arguments.log_dir.is_some())?;
    setup.check_pins()?;
    let (images, backend) = (setup.images()?, setup.backend()?);
    let monitor = guest::monitor(setup.monitor.as_deref())?;
    // It has no name, so that nothing is left of it however this process ends.
    let mut file = tempfile::tempfile().context("making a temporary file for the bundle")?;
    progress::said("packing", || -> Result<_> {
        let bundle = guest::pack_for_a_run(&setup.guests, console)?;
        file.write_all(&bundle)
            .context("writing the bundle to the folder for temporary files, which $TMPDIR names")
    })?;
    let bundle = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let files: Vec<_> = images.iter().map(|image| image.path.clone()).collect();
    let machine = guest::machine(&monitor, Path::new(&bundle))?.disks(images);
    let machine = match backend {
        Some(backend) => machine.uplink(backend),
        None => machine.no_uplink(),
    };
    let mut machine = host(&setup, machine)?;
    if let Some(directory) = &arguments.log_dir {
        machine = machine.logs(directory);
    }

    let show = match arguments.json {
        true => Show::StandardError,
        false => Show::StandardOutput,
    };
    // Before QEMU starts, so that no signal comes too early to reach it.
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("waiting for signals")?;
    let run = machine.spawn_interactive(show)?;
    let signal = pass_on(signals, run.id())?;
    eprintln!("patchvisor: Ctrl-A x leaves the guest");
    let limit = arguments.timeout.map_or(Duration::MAX, Duration::from_secs);
    let outcome = run.wait(limit)?;
    // QEMU has had it until here.
    drop(file);
    if arguments.json {
        for stats in outcome.all_stats().unwrap_or_default() {
            print(&serde_json::to_string(&stats)?)?;
        }
    }
    Ok(match signal.load(Ordering::Relaxed) {
        0 => verdict(&outcome, &files),
        signal => ExitCode::from(u8::try_from(SIGNALLED + signal).unwrap_or(1)),
    })
}

/// Has QEMU end when this process is told to end: it would go on alone, and the bundle would stay.
/// The value is the signal, or 0.
fn pass_on(mut signals: Signals, qemu: u32) -> Result<Arc<AtomicI32>> {
    let received = Arc::new(AtomicI32::new(0));
    let qemu = i32::try_from(qemu).ok().and_then(Pid::from_raw);
    let qemu = qemu.context("QEMU has no process id")?;
    let seen = Arc::clone(&received);
    std::thread::spawn(move || {
        for signal in signals.forever() {
            seen.store(signal, Ordering::Relaxed);
            // It may have ended already, of the same signal.
            let _ = kill_process(qemu, Signal::TERM);
        }
    });
    Ok(received)
}

/// The machine with all that was said about the host.
fn host(setup: &config::Setup, machine: Machine) -> Result<Machine> {
    let mut machine = machine
        .board(setup.board.clone())
        .cpu(&setup.cpu)
        .harts(setup.harts)
        .args(&setup.qemu_arguments);
    if let Some(memory) = setup.host_memory {
        let least = setup.least_host_memory();
        if memory < least {
            bail!(
                "--host-memory {} is less than the guests have of it, which is {}: give it more, or leave it out",
                size::show(memory),
                size::show(least)
            );
        }
        machine = machine.memory(memory);
    }
    if let Some(dtb) = &setup.dtb {
        machine = machine.dtb(dtb);
    }
    if let Some(bios) = &setup.bios {
        machine = machine.bios(bios);
    }
    Ok(machine)
}

/// The guest's status where there is one: QEMU's own exit code says it. A VM that failed has an error
/// line, whatever became of the others.
fn verdict(outcome: &Outcome, images: &[PathBuf]) -> ExitCode {
    let Some(status) = outcome.status else {
        let seconds = outcome.elapsed.as_secs();
        eprintln!(
            "patchvisor: error: not powered off after {seconds} s: --timeout gives it longer"
        );
        return ExitCode::from(TIMED_OUT);
    };
    if !outcome.complaints.trim().is_empty() {
        eprintln!("{}", outcome.complaints.trim());
    }
    if outcome.complaints.contains(LOCKED) {
        let users: Vec<_> = images.iter().flat_map(|image| users(image)).collect();
        let by = match users.is_empty() {
            true => "another QEMU, perhaps of another user".to_owned(),
            false => format!("another QEMU: {}", users.join(", ")),
        };
        eprintln!(
            "patchvisor: error: a disk image is in use by {by}; end that one, copy the image, or add ,readonly in both"
        );
    }
    for (complaint, remedy) in REMEDIES {
        if outcome.complaints.contains(complaint) {
            eprintln!("patchvisor: error: {remedy}");
        }
    }
    let mut failed = false;
    // With several VMs it has gone on for the others.
    let stopped = match outcome.vms.len() {
        0 | 1 => "stopped",
        _ => "reports",
    };
    for error in outcome.monitor_errors() {
        eprintln!("patchvisor: error: the monitor {stopped}: {error}");
        failed = true;
    }
    if failed {
        return ExitCode::FAILURE;
    }
    match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => {
            eprintln!("patchvisor: error: QEMU ended with {status}");
            ExitCode::FAILURE
        }
    }
}
