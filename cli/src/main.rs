//! `patchvisor`: packs guests into bundles and runs them on QEMU.

#![forbid(unsafe_code)]

mod arguments;
mod config;
mod devices;

use anyhow::{Context, Result, bail};
use arguments::{Arguments, Command, PackArguments, RunArguments};
use clap::Parser;
use patchvisor::guest;
use patchvisor::qemu::{Machine, Outcome, Show};
use patchvisor::size;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Exit code of a run that took too long, as of timeout(1).
const TIMED_OUT: u8 = 124;

/// What QEMU says of an image that another one has locked: `Failed to get "write" lock`.
const LOCKED: &str = "Failed to get \"";

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Pack(arguments) => pack(&arguments).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("patchvisor: error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Packs the guests, boots the monitor with them and gives the console.
fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let setup = config::Setup::gather(&arguments.guest, Some(&arguments.host))?;
    let console = setup.console_for(arguments.log_dir.is_some())?;
    setup.check_pins()?;
    let (images, backend) = (setup.images()?, setup.backend()?);
    let monitor = guest::monitor(setup.monitor.as_deref())?;
    let file = tempfile::Builder::new()
        .prefix("patchvisor-")
        .suffix(".bundle")
        .tempfile()
        .context("making a temporary file for the bundle")?;
    let bundle = guest::pack(&setup.guests, console)?;
    std::fs::write(file.path(), bundle).context("writing the bundle")?;
    let machine = guest::machine(&monitor, file.path())?.disks(images);
    let machine = match backend {
        Some(backend) => machine.uplink(backend),
        None => machine.no_uplink(),
    };
    let mut machine = host(&setup, machine);
    if let Some(directory) = &arguments.log_dir {
        machine = machine.logs(directory);
    }

    let show = match arguments.json {
        true => Show::StandardError,
        false => Show::StandardOutput,
    };
    eprintln!("patchvisor: Ctrl-A x leaves the guest");
    let limit = arguments.timeout.map_or(Duration::MAX, Duration::from_secs);
    let outcome = machine.spawn_interactive(show)?.wait(limit)?;
    // What is left in memory is the file alone, which goes with this value.
    drop(file);
    if arguments.json {
        for stats in outcome.all_stats().unwrap_or_default() {
            print(&serde_json::to_string(&stats)?)?;
        }
    }
    Ok(verdict(&outcome))
}

/// The machine with all that was said about the host.
fn host(setup: &config::Setup, machine: Machine) -> Machine {
    let mut machine = machine
        .board(setup.board)
        .cpu(&setup.cpu)
        .harts(setup.harts)
        .args(&setup.qemu_arguments);
    if let Some(memory) = setup.host_memory {
        machine = machine.memory(memory);
    }
    if let Some(dtb) = &setup.dtb {
        machine = machine.dtb(dtb);
    }
    if let Some(bios) = &setup.bios {
        machine = machine.bios(bios);
    }
    machine
}

/// The guest's status where there is one: QEMU's own exit code says it. A VM that failed has an error
/// line, whatever became of the others.
fn verdict(outcome: &Outcome) -> ExitCode {
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
        eprintln!(
            "patchvisor: error: a disk image is in use by another QEMU: end that one, copy the image, or \
             add ,readonly in both"
        );
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

/// Packs the guests into a file and says how U-Boot boots it.
fn pack(arguments: &PackArguments) -> Result<()> {
    let setup = config::Setup::gather(&arguments.guest, None)?;
    setup.check_for_board()?;
    let bytes = guest::pack(&setup.guests, setup.console.unwrap_or_default())?;
    if arguments.output.is_dir() {
        bail!("{} is a directory: name a file", arguments.output.display());
    }
    std::fs::write(&arguments.output, &bytes)
        .with_context(|| format!("writing {}", arguments.output.display()))?;
    let vms = setup.guests.iter().map(|guest| &guest.vm);
    let memory = guest::host_memory(vms, bytes.len() as u64);
    let monitor = guest::monitor(setup.monitor.as_deref()).map_or_else(
        |_| "patchvisor.bin".to_owned(),
        |path| path.display().to_string(),
    );
    let (output, length) = (arguments.output.display(), bytes.len());
    print(&format!(
        "{output}: {length} bytes; the host needs {} of memory\n\n\
         With QEMU:\n\
         \x20 qemu-system-riscv64 -M virt -cpu {} -smp {} -m {} -nographic -kernel {monitor} -initrd {output}\n\n\
         With U-Boot, from a disk that holds the monitor's image and the bundle:\n\
         \x20 load ${{devtype}} ${{devnum}} ${{kernel_addr_r}} patchvisor.bin\n\
         \x20 load ${{devtype}} ${{devnum}} ${{ramdisk_addr_r}} {name}\n\
         \x20 booti ${{kernel_addr_r}} ${{ramdisk_addr_r}}:{length:x} ${{fdtcontroladdr}}",
        size::show(memory),
        setup.cpu,
        setup.harts,
        size::show(memory),
        name = arguments
            .output
            .file_name()
            .unwrap_or_default()
            .to_string_lossy(),
    ))
}

/// Prints a result; a reader that went away is an error, not a panic.
fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("writing to standard output")
}
