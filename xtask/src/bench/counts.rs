//! How many instructions the monitor may spend on what patches and the gate serve. Instructions do not
//! vary from run to run, so more of them than here is a step back; who finds a shorter way lowers the
//! figure.

use super::run::{Clock, Measured, Way, program_results, run};
use anyhow::{Result, ensure};
use patchvisor::guest::Guest;
use std::path::Path;

/// One measurement of a small guest, and what it may cost.
struct Pin {
    name: &'static str,
    /// Instructions of the guest itself, the one that is emulated among them.
    own: u32,
    /// The monitor's, from the break or trap to the return.
    most: u32,
    /// Patches among them, each of which takes [`COUNTING`] more with `statistics`.
    patches: u32,
}

/// Instructions that a routine takes to count its execution.
const COUNTING: u32 = 3;

/// Of one patch.
const fn pin(name: &'static str, own: u32, most: u32) -> Pin {
    Pin {
        name,
        own,
        most,
        patches: 1,
    }
}

impl Pin {
    const fn of_patches(self, patches: u32) -> Self {
        Self { patches, ..self }
    }
}

/// The guests that measure, `guests/src/bin/`, and what is pinned of each.
const PROGRAMS: [(&str, &[Pin]); 3] = [
    (
        "bench_csr",
        &[
            pin("csrr-sstatus", 1, 21),
            pin("csrci-sstatus", 1, 22),
            pin("csrsi-sstatus", 1, 24),
            pin("csrrci-sstatus", 1, 23),
            pin("csrs-sstatus-sum", 1, 33),
            pin("csrc-sstatus-sum", 1, 32),
            pin("csrw-sstatus", 1, 32),
            pin("csrrw-sscratch", 1, 23),
            pin("csrr-sscratch", 1, 21),
            pin("csrw-sepc", 1, 23),
            pin("csrr-sepc", 1, 21),
            pin("csrr-scause", 1, 21),
            pin("csrr-stval", 1, 21),
            pin("csrr-sip", 1, 21),
            pin("csrs-sie", 1, 29),
            pin("csrc-sie", 1, 28),
            pin("csrw-stvec", 1, 24),
            pin("csrr-satp", 1, 21),
        ],
    ),
    (
        "bench_traps",
        &[
            pin("sret-to-s", 5, 90).of_patches(3),
            pin("user-ecall-round-trip", 7, 111).of_patches(3),
            pin("user-breakpoint-round-trip", 7, 120).of_patches(3),
            pin("user-page-fault-round-trip", 6, 151).of_patches(3),
            pin("wfi-pending", 1, 24),
        ],
    ),
    (
        "bench_paging",
        &[
            // The guest is in Sv39 and the shadow in Sv57: two levels more in two views, 34 instructions.
            pin("sfence.vma-address", 1, 101),
            pin("sfence.vma-address-asid", 1, 101),
        ],
    ),
];

/// What a measurement may be off by: loops around it, and a timer's tick that fell into it.
const SLACK: f64 = 0.5;

/// The names of the guests.
pub fn programs() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().map(|(program, _)| *program)
}

/// Counts the instructions of the patches that the monitor makes for the guest called `name`, whose
/// file is `program`, with or without `statistics`, and compares them with what is pinned. It takes seconds.
///
/// # Errors
/// Names each measurement that takes more than it may, or was not made.
pub fn check(monitor: &Path, name: &str, program: &Path, statistics: bool) -> Result<()> {
    let pins = PROGRAMS.iter().find(|(program, _)| *program == name);
    let pins = pins.map_or(&[][..], |(_, pins)| pins);
    ensure!(!pins.is_empty(), "nothing is pinned of {name}");
    let mut guest = Guest::new(program);
    guest.vm.memory = super::PROGRAM_MEMORY;
    guest.vm.statistics = statistics;
    let outcome = run(monitor, &guest, Way::Break, Clock::Instructions)?;
    let risen = risen(pins, statistics, &program_results(&outcome).1);
    ensure!(
        risen.is_empty(),
        "more instructions of the monitor than are pinned in xtask/src/bench/counts.rs:\n{}",
        risen.join("\n")
    );
    Ok(())
}

/// One line for each pin that does not hold.
fn risen(pins: &[Pin], statistics: bool, measured: &Measured) -> Vec<String> {
    let line = |pin: &Pin| match measured.get(pin.name) {
        Some(count) => {
            let added = count - f64::from(pin.own);
            let counting = if statistics {
                COUNTING * pin.patches
            } else {
                0
            };
            let most = pin.most + counting;
            (added > f64::from(most) + SLACK)
                .then(|| format!("{}: {added:.1}, not {most}", pin.name))
        }
        None => Some(format!("{}: not measured", pin.name)),
    };
    pins.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instruction_more_is_noticed_and_one_less_is_not() {
        let pins = [pin("a", 1, 24)];
        let with = |count| risen(&pins, false, &[("a".to_owned(), count)].into());
        assert!(with(25.02).is_empty());
        assert!(with(24.0).is_empty());
        assert_eq!(with(26.0), ["a: 25.0, not 24"]);
        let counted = |count| risen(&pins, true, &[("a".to_owned(), count)].into());
        assert!(counted(28.0).is_empty());
        assert_eq!(counted(29.0), ["a: 28.0, not 27"]);
    }

    #[test]
    fn what_was_not_measured_is_noticed() {
        assert_eq!(
            risen(&[pin("a", 1, 24)], false, &Measured::new()),
            ["a: not measured"]
        );
    }
}
