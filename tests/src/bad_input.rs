//! Bad input: the machine stops with one clear line that names the thing, and never just hangs.

use crate::{artefacts, runner};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::Vm;
use patchvisor::guest::Guest;
use patchvisor::qemu::{DEFAULT_CPU, Machine, Outcome};
use std::io::Write;
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// Longest that one machine may take to stop, on a machine that is busy otherwise too.
const LIMIT: Duration = Duration::from_secs(120);

/// What is wrong with a boot of the monitor.
struct Case {
    name: &'static str,
    cpu: &'static str,
    /// Makes the initrd from a good bundle.
    initrd: fn(Vec<u8>) -> Option<Vec<u8>>,
    vm: fn(&mut Vm),
    guest: &'static str,
    /// What the one error line must contain.
    says: &'static [&'static str],
}

const GOOD: Case = Case {
    name: "",
    cpu: DEFAULT_CPU,
    initrd: Some,
    vm: |_| {},
    guest: "ecall_ebreak",
    says: &[],
};

const CASES: [Case; 9] = [
    Case {
        name: "no_bundle",
        initrd: |_| None,
        says: &["no bundle", "patchvisor pack"],
        ..GOOD
    },
    Case {
        name: "a_bundle_cut_short",
        initrd: |bundle| Some(bundle[..bundle.len() / 2].to_vec()),
        says: &["bundle is cut short"],
        ..GOOD
    },
    Case {
        name: "a_bundle_that_lacks_a_byte",
        initrd: |bundle| Some(bundle[..bundle.len() - 1].to_vec()),
        says: &["bundle is cut short"],
        ..GOOD
    },
    Case {
        name: "a_bundle_with_a_flipped_bit",
        initrd: |mut bundle| {
            let middle = bundle.len() / 2;
            bundle[middle] ^= 4;
            Some(bundle)
        },
        says: &["bundle is damaged"],
        ..GOOD
    },
    Case {
        name: "an_initrd_that_is_no_bundle",
        initrd: |_| Some(vec![0x5a; 70_000]),
        says: &["not a bundle"],
        ..GOOD
    },
    Case {
        name: "more_guest_memory_than_there_is",
        vm: |vm| vm.memory = 4096 * MIB,
        says: &["4096 MiB", "--memory"],
        ..GOOD
    },
    Case {
        name: "a_processor_without_an_mmu",
        cpu: "rv64,h=false,mmu=false",
        says: &["no Sv39"],
        ..GOOD
    },
    Case {
        name: "a_window_that_sv39_does_not_reach",
        vm: |vm| vm.window = Some(1 << 45),
        says: &["window"],
        ..GOOD
    },
    Case {
        name: "a_guest_that_jumps_into_nothing",
        guest: "jumps_into_nothing",
        says: &["jumped into nothing", "0x800000"],
        ..GOOD
    },
];

/// A trial for each case.
pub fn trials() -> Vec<Trial> {
    let booted = CASES
        .iter()
        .map(|case| runner::trial(format!("bad_input::{}", case.name), || check(case)));
    let refused = runner::trial("bad_input::a_processor_without_c", no_c);
    booted.chain([refused]).collect()
}

/// Firmware cannot say a word without C, so the host command must.
fn no_c() -> Result<()> {
    let cpu = "rv64,h=false,c=false,zca=false,zcd=false";
    let machine = Machine::new().cpu(cpu).kernel(artefacts::monitor()?);
    let error = machine.spawn().err().context("it starts")?.to_string();
    for text in ["no C extension", cpu, "--cpu", DEFAULT_CPU] {
        ensure!(
            error.contains(text),
            "the error does not say {text:?} but: {error}"
        );
    }
    Ok(())
}

fn check(case: &Case) -> Result<()> {
    let outcome = boot(case)?;
    let console = outcome.text();
    let end = &console[console.floor_char_boundary(console.len().saturating_sub(1500))..];
    ensure!(
        !outcome.timed_out(),
        "the machine did not stop; its console ends with\n{end}"
    );
    let errors = console.matches("patchvisor: error: ").count();
    ensure!(
        errors == 1,
        "{errors} lines with errors instead of one; the console ends with\n{end}"
    );
    let error = outcome
        .monitor_error()
        .context("the error is not at the start of a line")?;
    for text in case.says {
        ensure!(
            error.contains(text),
            "the error does not say {text:?} but: {error}"
        );
    }
    ensure!(!outcome.success(), "it counts as a success");
    Ok(())
}

fn boot(case: &Case) -> Result<Outcome> {
    let monitor = artefacts::monitor()?;
    let mut guest = Guest::new(artefacts::guest(case.guest)?);
    guest.vm.memory = 256 * MIB;
    (case.vm)(&mut guest.vm);
    let mut machine = Machine::new()
        .cpu(case.cpu)
        .memory(512 * MIB)
        .kernel(monitor);
    let mut file = tempfile::NamedTempFile::new()?;
    if let Some(initrd) = (case.initrd)(guest.pack()?) {
        file.write_all(&initrd)?;
        machine = machine.initrd(file.path());
    }
    machine.no_reboot().spawn()?.wait(LIMIT)
}
