//! Boards besides QEMU's own: their device trees, UARTs and harts, of which one has no S-mode.

use crate::linux::{Files, LIMIT, Linux, last};
use crate::programs::{self, Kind, Program};
use crate::{artefacts, runner, transcript};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::{Board, Machine};
use xtask::fetch::{self, Suite};

const MIB: u64 = 1 << 20;
/// The processor of both boards, for the native run on QEMU's own.
const CPU: &str = "sifive-u54";
const BOARDS: [&str; 2] = ["sifive_u", "microchip-icicle-kit"];

/// Programs that touch what is the host's: translation, the timer, the PLIC, several harts.
const PROGRAMS: &[&str] = &[
    "superpages",
    "page_faults",
    "floating_point",
    "timer_interrupts",
    "uart",
    "smp_hsm",
    "smp_rfence",
];

/// All trials.
///
/// # Errors
/// When the list of programs cannot be read.
pub fn trials() -> Result<Vec<Trial>> {
    let programs = programs::list()?;
    let mut trials = Vec::new();
    for board in BOARDS {
        let name = |scenario: &str| format!("boards::{board}::{scenario}");
        for &wanted in PROGRAMS {
            let program = programs.iter().find(|program| program.name == wanted);
            let program = program.with_context(|| format!("no program {wanted}"))?;
            let program = program.clone();
            trials.push(runner::trial(name(wanted), move || runs(board, &program)));
        }
        trials.extend([
            runner::trial(name("debian_powers_off"), move || debian(board)),
            runner::trial(name("a_shell_is_typed_to"), move || typed_to(board)),
            runner::trial(name("an_error_ends_with_a_failure"), move || fails(board)),
        ]);
    }
    Ok(trials)
}

/// The machine on this board.
fn on(board: &str, machine: Machine) -> Result<Machine> {
    let machine = machine.no_reboot();
    Ok(match board {
        // QEMU makes no device tree for this one.
        "microchip-icicle-kit" => {
            let tree = fetch::device_tree("microchip/mpfs-icicle-kit")?;
            machine.board(Board::find(board, Some(&tree))?).dtb(tree)
        }
        _ => machine.board(Board::find(board, None)?),
    })
}

/// A program prints what it prints natively on the same processor.
fn runs(board: &str, program: &Program) -> Result<()> {
    let mut guest = Guest::new(artefacts::guest(&program.name)?);
    guest.vm.memory = 128 * MIB;
    guest.vm.vcpus = program.harts;
    let native = guest.native().cpu(CPU).no_reboot().spawn()?.wait(LIMIT)?;
    let bundle = guest.write_bundle()?;
    let machine = guest::machine(&artefacts::monitor()?, bundle.path())?;
    let found = on(board, machine)?.spawn()?.wait(LIMIT)?;
    let whole = |outcome| transcript::whole(&program.name, Kind::Oracle, outcome);
    let native = whole(&native).context("in the native run")?;
    transcript::same(&native, &whole(&found).context("under the monitor")?)
}

/// Debian's kernel on four harts of the host.
fn debian(board: &str) -> Result<()> {
    let script =
        "probe faults\nprobe float\ngrep -c ^processor /proc/cpuinfo\ngrep -m1 mmu /proc/cpuinfo";
    let mut linux = Linux::script(Suite::Trixie, script, Files::None)?;
    linux.guest.vm.vcpus = 4;
    let (machine, _bundle) = linux.machine()?;
    let outcome = on(board, machine)?.spawn()?.wait(LIMIT)?;
    ensure!(outcome.success(), "no power-off; {}", last(&outcome));
    let text = outcome.text();
    for said in ["float: 4 processes, 0 of them", "\n4\n", ": sv39"] {
        ensure!(text.contains(said), "no {said:?}; {}", last(&outcome));
    }
    // The monitor core is no hart for guests.
    ensure!(!text.contains("cannot be started"), "{}", last(&outcome));
    let share = outcome.stats()?.patched_share();
    ensure!(share > 0.97, "only {share:.4} by patches");
    Ok(())
}

fn typed_to(board: &str) -> Result<()> {
    let (machine, _bundle) = Linux::shell(Suite::Trixie)?.machine()?;
    let mut run = on(board, machine)?.spawn()?;
    run.expect("# ", LIMIT)?;
    run.send("echo $((6 * 7))-fold\n")?;
    run.expect("42-fold", LIMIT)?;
    run.expect("# ", LIMIT)?;
    // More than any FIFO of the host holds.
    let long = "0123456789".repeat(20);
    run.send(&format!("echo {long} | wc -c\n"))?;
    run.expect("201", LIMIT)?;
    run.send("poweroff -f\n")?;
    let outcome = run.wait(LIMIT)?;
    ensure!(outcome.success(), "no power-off; {}", last(&outcome));
    Ok(())
}

/// Without a bundle there is an error, which must be the run's status where the board stays on.
fn fails(board: &str) -> Result<()> {
    let machine = Machine::new().memory(512 * MIB);
    let machine = machine.kernel(artefacts::monitor()?);
    let outcome = on(board, machine)?.spawn()?.wait(LIMIT)?;
    let error = outcome.monitor_error().unwrap_or_default();
    ensure!(error.starts_with("no bundle"), "{}", last(&outcome));
    let code = outcome.status.and_then(|status| status.code());
    ensure!(code == Some(1), "status {code:?}; {}", last(&outcome));
    Ok(())
}
