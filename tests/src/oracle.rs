//! The transparency oracle: each guest program runs natively and as a guest, and what it prints must
//! be the same, to the letter.

use crate::artefacts::{self, once};
use crate::programs::{self, Kind, Program};
use crate::{runner, transcript};
use anyhow::{Context, Result};
use libtest_mimic::Trial;
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::{DEFAULT_CPU, Machine, Outcome};
use patchvisor::{Mode, Vm};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// Longest that one machine may run.
const LIMIT: Duration = Duration::from_secs(240);
/// Memory of the native machine.
const NATIVE_MEMORY: u64 = 512 * MIB;
/// Memory of the guest, so that host and monitor fit in what the native machine has.
const GUEST_MEMORY: u64 = 256 * MIB;

/// A way of running a guest.
struct Variant {
    name: &'static str,
    adjust: fn(&mut Vm),
}

impl Variant {
    /// Other hosts than the usual one are for the fastest way alone, which has all of the monitor in
    /// it; and what a benchmark would measure in the tiny one is of no use.
    fn is_for(&self, program: &Program, another_host: bool) -> bool {
        match self.name {
            _ if matches!(program.kind, Kind::Fails | Kind::Hostile | Kind::Company) => false,
            "break" => true,
            "break-tiny" => !another_host && program.kind == Kind::Oracle,
            _ => !another_host,
        }
    }

    /// On how many harts of the host a program with several is run: the fastest way has all of the
    /// monitor in it.
    fn host_harts(&self) -> &'static [u32] {
        match self.name {
            "break" => &HOST_HARTS,
            _ => &HOST_HARTS[1..2],
        }
    }
}

const VARIANTS: [Variant; 4] = [
    Variant {
        name: "trap",
        adjust: |vm| vm.mode = Mode::Trap,
    },
    Variant {
        name: "break-frame",
        adjust: |vm| vm.mode = Mode::BreakFrame,
    },
    Variant {
        name: "break",
        adjust: |vm| vm.mode = Mode::Break,
    },
    // Everything runs full and is recycled all the time.
    Variant {
        name: "break-tiny",
        adjust: |vm| {
            vm.mode = Mode::Break;
            vm.values = 24;
            vm.routine_cache = 8 << 10;
            vm.shadow_pool = MIB;
        },
    },
];

/// How many harts the host has, for programs with more than one.
const HOST_HARTS: [u32; 3] = [1, 2, 4];

/// One trial for each program, processor, way of running and number of harts of the host.
///
/// # Errors
/// When the list of programs cannot be read.
pub fn trials() -> Result<Vec<Trial>> {
    let mut trials = vec![runner::trial(
        "oracle::every_program_is_listed",
        programs::check,
    )];
    for program in programs::list()? {
        for cpu in &program.hosts {
            // The usual processor goes without saying.
            let host = match cpu.as_str() {
                DEFAULT_CPU => String::new(),
                other => format!("::{other}"),
            };
            for variant in &VARIANTS {
                if !variant.is_for(&program, !host.is_empty()) {
                    continue;
                }
                let name = format!("oracle::{}{host}::{}", program.name, variant.name);
                let mut add = |name, host_harts| {
                    let (program, cpu) = (program.clone(), cpu.clone());
                    trials.push(runner::trial(name, move || {
                        compare(&program, &cpu, variant, host_harts)
                    }));
                };
                match program.harts {
                    1 => add(name, 1),
                    _ => variant
                        .host_harts()
                        .iter()
                        .for_each(|&on| add(format!("{name}::on-{on}"), on)),
                }
            }
        }
    }
    Ok(trials)
}

fn compare(program: &Program, cpu: &str, variant: &Variant, host_harts: u32) -> Result<()> {
    let outcome = virtualised(program, cpu, variant, host_harts)?;
    let (name, kind) = (&program.name, program.kind);
    if let Some(reason) = &program.stops {
        let found = transcript::stopped(name, kind, reason, &outcome)?;
        let expected = native(program, cpu)?;
        let start: String = expected
            .split_inclusive('\n')
            .take(found.lines().count())
            .collect();
        return transcript::same(&start, &found);
    }
    let found = transcript::whole(name, kind, &outcome).context("under the monitor")?;
    transcript::same(&native(program, cpu)?, &found)
}

/// The native run's output; made once for all variants.
fn native(program: &Program, cpu: &str) -> Result<String> {
    type Cell = Arc<OnceLock<Result<String, String>>>;
    static SEEN: LazyLock<Mutex<HashMap<(String, String), Cell>>> = LazyLock::new(Mutex::default);
    let key = (program.name.clone(), cpu.to_owned());
    let cell = {
        let mut seen = SEEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        seen.entry(key).or_default().clone()
    };
    once(&cell, || {
        let kernel = artefacts::guest(&program.name)?;
        // A host's H extension is not the guest's.
        let cpu = match cpu {
            "rv64" => DEFAULT_CPU,
            other => other,
        };
        let cpu = program.native_cpu.as_deref().unwrap_or(cpu);
        let machine = Machine::new()
            .cpu(cpu)
            .harts(program.harts)
            .memory(NATIVE_MEMORY)
            // The registers that guests have; QEMU's own choice is the older ones.
            .args(["-global", "virtio-mmio.force-legacy=false"])
            .kernel(kernel);
        let outcome = run(program, machine)?;
        transcript::whole(&program.name, program.kind, &outcome).context("in the native run")
    })
}

/// A run as a guest.
fn virtualised(
    program: &Program,
    cpu: &str,
    variant: &Variant,
    host_harts: u32,
) -> Result<Outcome> {
    let monitor = artefacts::monitor()?;
    let mut guest = Guest::new(artefacts::guest(&program.name)?);
    guest.vm.memory = GUEST_MEMORY;
    guest.vm.vcpus = program.harts;
    guest.vm.sum = program.sum;
    (variant.adjust)(&mut guest.vm);
    let bundle = guest.write_bundle()?;
    let machine = guest::machine(&monitor, bundle.path())?;
    run(program, machine.cpu(cpu).harts(host_harts))
}

/// Runs a machine to its end, which a reset is too unless the program wants it.
fn run(program: &Program, machine: Machine) -> Result<Outcome> {
    let machine = match program.reboots {
        true => machine,
        false => machine.no_reboot(),
    };
    machine.spawn()?.wait(LIMIT)
}
