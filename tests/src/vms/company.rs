//! What one VM does to itself is no other's business.

use super::{
    ICOUNT, LIMIT, MIB, SOON, Statement, beside_others, board, counts, end_of, end_spinner,
    must_have_ended, run, shell, spinner, vm,
};
use crate::runner;
use anyhow::{Result, bail, ensure};
use libtest_mimic::Trial;
use patchvisor::Console;

/// One trial for each statement.
pub fn trials() -> Vec<Trial> {
    let statements: [Statement; 3] = [
        ("the_board_powers_off_with_the_last_vm", last_vm),
        ("a_vm_that_failed_is_seen_in_the_exit_status", exit_status),
        (
            "memory_that_does_not_suffice_refuses_one_vm",
            too_little_memory,
        ),
    ];
    let mut trials: Vec<_> = super::statements(statements).collect();
    for end in &ENDS {
        for harts in [1, 2] {
            let name = format!("vms::a_vm_that_{}_leaves_the_others::{harts}", end.name);
            trials.push(runner::trial(name, move || {
                beside_others(|| bad_company(end, harts))
            }));
        }
    }
    trials
}

/// What a VM does to itself.
struct End {
    name: &'static str,
    append: &'static str,
    /// What the monitor says.
    says: &'static str,
    /// Whether it ends by itself; else the shell stops it.
    ends: bool,
    success: bool,
}

const ENDS: [End; 6] = [
    End {
        name: "fails",
        append: "fails=1",
        says: "error: looper: the guest powered off with failure code 1",
        ends: true,
        success: false,
    },
    End {
        name: "crashes",
        append: "crashes=1",
        says: "error: looper: ",
        ends: true,
        success: false,
    },
    End {
        name: "reboots_for_ever",
        append: "reboots=1",
        says: "looper: the guest resets; it starts again",
        ends: false,
        success: true,
    },
    End {
        name: "executes_nothing_but_patches",
        append: "patches=1",
        says: "",
        ends: false,
        success: true,
    },
    End {
        name: "is_interrupted_at_once",
        append: "interrupts=1",
        says: "",
        ends: false,
        success: true,
    },
    End {
        name: "loops_for_ever",
        append: "",
        says: "",
        ends: false,
        success: true,
    },
];

fn bad_company(end: &End, harts: u32) -> Result<()> {
    let guests = [
        vm("looper", "looper", &format!("delay=500 {}", end.append))?,
        spinner("spinner", "seconds=3")?,
        vm("sleeper", "sleeper", "seconds=3")?,
    ];
    let (machine, _bundle) = board(&guests, Console::Prefixed, harts)?;
    // On one hart time is instructions, so that nothing beside the board can make the spinner stand still. On
    // two, harts run truly at the same time, and only how all end is judged.
    let is_counted = harts == 1;
    let machine = match is_counted {
        true => machine.icount(ICOUNT),
        false => machine,
    };
    let mut run = machine.spawn()?;
    if !end.ends {
        run.expect_from("spinner", "guest: spinner done", LIMIT)?;
        run.expect_from("sleeper", "guest: sleeper done", LIMIT)?;
        shell(&mut run)?;
        run.send("stop looper\r")?;
    }
    let outcome = run.wait(LIMIT)?;
    must_have_ended(&outcome, "spinner", "spinner")?;
    must_have_ended(&outcome, "sleeper", "sleeper")?;
    ensure!(
        outcome.text().contains(end.says),
        "the monitor does not say {:?}; {}",
        end.says,
        end_of(&outcome)
    );
    ensure!(
        !outcome.timed_out() && outcome.success() == end.success,
        "the board should power off with success {}; {}",
        end.success,
        end_of(&outcome)
    );
    let counts = counts(outcome.lines_of("spinner"));
    let gaps = counts.windows(2).map(|two| two[1].at - two[0].at);
    let longest = gaps.fold(0.0, f64::max);
    println!(
        "the spinner's longest gap was {:.0} ms of 100",
        longest * 1e3
    );
    ensure!(
        !is_counted || longest < 1.0,
        "the spinner stood still for {longest} s"
    );
    Ok(())
}

fn last_vm() -> Result<()> {
    let guests = [spinner("short", "seconds=1")?, spinner("long", "")?];
    let (machine, _bundle) = board(&guests, Console::Prefixed, 2)?;
    let mut run = machine.spawn()?;
    run.expect("short: ended; 1 of the machines still run", SOON)?;
    end_spinner(&mut run, 2)?;
    let outcome = run.wait(LIMIT)?;
    must_have_ended(&outcome, "short", "spinner")?;
    must_have_ended(&outcome, "long", "spinner")?;
    ensure!(outcome.success(), "no success; {}", end_of(&outcome));
    Ok(())
}

/// What a script has that knows nothing of the monitor's lines.
fn exit_status() -> Result<()> {
    for (append, expected) in [("fails=1", 1), ("", 0)] {
        let guests = [
            spinner("short", &format!("seconds=1 {append}"))?,
            spinner("long", "seconds=2")?,
        ];
        let outcome = run(&guests, 2)?;
        let code = outcome.status.and_then(|status| status.code());
        ensure!(
            code == Some(expected),
            "{append:?}: QEMU ended with {:?}; {}",
            outcome.status,
            end_of(&outcome)
        );
    }
    Ok(())
}

fn too_little_memory() -> Result<()> {
    let mut large = spinner("large", "seconds=1")?;
    large.vm.memory = 1024 * MIB;
    let guests = [spinner("small", "seconds=1")?, large];
    let (machine, _bundle) = board(&guests, Console::Prefixed, 1)?;
    let outcome = machine.memory(512 * MIB).spawn()?.wait(LIMIT)?;
    ensure!(!outcome.timed_out(), "no power-off; {}", end_of(&outcome));
    must_have_ended(&outcome, "small", "spinner")?;
    let errors: Vec<_> = outcome.monitor_errors().collect();
    println!("{errors:?}");
    let [error] = errors[..] else {
        bail!("not one error but {errors:?}");
    };
    for text in ["large is not started", "1024 MiB", "`--memory`"] {
        ensure!(error.contains(text), "no {text:?} in {error:?}");
    }
    ensure!(!outcome.success(), "the board counts as a success");
    Ok(())
}
