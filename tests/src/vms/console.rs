//! VMs share one console with the monitor's shell.

use super::{
    CTRL_T, Count, LIMIT, SOON, Statement, board, counts, end_of, must_have_ended, shell, spinner,
};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::Console;
use patchvisor::qemu::{Line, Run};
use std::time::Duration;
use tempfile::NamedTempFile;

/// One trial for each statement.
pub fn trials() -> Vec<Trial> {
    let statements: [Statement; 9] = [
        ("ctrl_t_and_a_digit_switch_the_console", switching),
        ("output_of_other_consoles_is_kept_and_shown", kept_output),
        ("ctrl_t_and_a_question_mark_print_the_keys", keys),
        ("the_shell_lists_the_vms_and_shows_statistics", listing),
        ("a_paused_vm_stands_still_and_resumes", pausing),
        ("a_vm_that_is_stopped_leaves_the_others", stopping),
        ("a_vm_that_is_reset_starts_again", resetting),
        ("the_shell_dumps_the_harts_of_a_vm", dumping),
        ("the_shell_turns_the_trace_on_and_off", tracing),
    ];
    super::statements(statements).collect()
}

/// Two spinners, whose console is `console`.
fn two_spinners(console: Console) -> Result<(Run, NamedTempFile)> {
    let guests = [
        spinner("left", "period=200")?,
        spinner("right", "period=200")?,
    ];
    let (machine, bundle) = board(&guests, console, 1)?;
    let mut run = machine.spawn()?;
    run.expect("count ", SOON)?;
    Ok((run, bundle))
}

fn switching() -> Result<()> {
    let (mut run, _bundle) = two_spinners(Console::Switched)?;
    run.send("a")?;
    run.expect("typed 97", SOON)?;
    run.send(&format!("{CTRL_T}2"))?;
    run.expect("patchvisor: console 2, right; Ctrl-T ? for help", SOON)?;
    run.expect("guest: spinner", SOON)?;
    run.send("b")?;
    run.expect("typed 98", SOON)?;
    run.send(&format!("{CTRL_T}1"))?;
    run.expect("patchvisor: console 1, left", SOON)?;
    run.send("c")?;
    run.expect("typed 99", SOON)?;
    let text = run.text();
    ensure!(
        text.matches("typed 97").count() == 1,
        "typed twice:\n{text}"
    );
    ensure!(
        text.matches("typed 98").count() == 1,
        "typed twice:\n{text}"
    );
    Ok(())
}

fn kept_output() -> Result<()> {
    let (mut run, _bundle) = two_spinners(Console::Switched)?;
    // The other one's first line was printed unseen; then the focused one's are, while the other has
    // the focus.
    run.send(&format!("{CTRL_T}2"))?;
    run.expect("console 2, right", SOON)?;
    run.expect("guest: spinner\n", SOON)?;
    run.expect("count ", SOON)?;
    std::thread::sleep(Duration::from_secs(2));
    run.send(&format!("{CTRL_T}1"))?;
    run.expect("console 1, left", SOON)?;
    run.expect("count ", SOON)?;
    std::thread::sleep(Duration::from_secs(1));
    run.send(&format!("{CTRL_T}2"))?;
    run.expect("console 2, right", SOON)?;
    // Every count of the left one was shown once, in order and without a gap.
    let lines = run.lines();
    let mut sections: [Vec<Line>; 2] = Default::default();
    let mut focus = 0;
    for line in lines {
        if line.text.contains("patchvisor: console 1") {
            focus = 0;
        } else if line.text.contains("patchvisor: console 2") {
            focus = 1;
        } else {
            sections[focus].push(line.clone());
        }
    }
    let left = counts(&sections[0]);
    println!(
        "{} counts were shown of the console that was left for 2 s",
        left.len()
    );
    ensure!(left.len() >= 10, "only {} counts were shown", left.len());
    for two in left.windows(2) {
        let gap = two[1].at - two[0].at;
        ensure!((0.19..0.6).contains(&gap), "{gap} s between two counts");
    }
    Ok(())
}

fn keys() -> Result<()> {
    let (mut run, _bundle) = two_spinners(Console::Switched)?;
    run.send(&format!("{CTRL_T}?"))?;
    run.expect("patchvisor: Ctrl-T 0       the monitor's shell", SOON)?;
    run.expect("patchvisor: Ctrl-T Ctrl-T  a Ctrl-T for the guest", SOON)?;
    run.send(&format!("{CTRL_T}{CTRL_T}"))?;
    run.expect("typed 20", SOON)?;
    Ok(())
}

fn listing() -> Result<()> {
    let (mut run, _bundle) = two_spinners(Console::Switched)?;
    shell(&mut run)?;
    run.send("vms\r")?;
    run.expect("number  state    vcpus", SOON)?;
    run.expect("1       runs     1", SOON)?;
    run.expect("2       runs     1", SOON)?;
    run.send("stats right\r")?;
    run.expect("stats {\"vm\":\"right\",\"mode\":\"break\"", SOON)?;
    run.send("nonsense\r")?;
    run.expect("there is no command \"nonsense\": `help` lists them", SOON)?;
    Ok(())
}

fn pausing() -> Result<()> {
    let (mut run, _bundle) = two_spinners(Console::Prefixed)?;
    shell(&mut run)?;
    run.send("pause left\r")?;
    run.expect("left is paused; `resume 1` lets it go on", SOON)?;
    // What it had printed before comes through.
    std::thread::sleep(Duration::from_millis(500));
    run.expect_from("right", "count ", SOON)?;
    let seen = run.lines().len();
    std::thread::sleep(Duration::from_secs(2));
    run.send("vms\r")?;
    run.expect("1       paused", SOON)?;
    let silent = &run.lines()[seen..];
    let of = |name: &str| {
        silent
            .iter()
            .filter(|line| line.text.contains(&format!("{name}| count")))
            .count()
    };
    let (left, right) = (of("left"), of("right"));
    println!("in 2 s the paused VM counted {left} times, the other {right} times");
    ensure!(left == 0 && right >= 8, "{left} and {right} counts");
    run.send("resume left\r")?;
    run.expect("left goes on", SOON)?;
    run.expect("left| count ", SOON)?;
    run.expect("left| count ", SOON)?;
    // Its count goes on where it stood: what it would have had in the pause is missing.
    let mut totals: [Vec<Line>; 2] = Default::default();
    for line in run.lines() {
        for (total, name) in totals.iter_mut().zip(["left| ", "right| "]) {
            if let Some((_, text)) = line.text.split_once(name) {
                total.push(Line {
                    at: line.at,
                    text: text.into(),
                });
            }
        }
    }
    let [left, right] = totals.map(|lines| counts(&lines));
    let last = |counts: &[Count]| counts.last().map_or(0, |count| count.count);
    ensure!(
        last(&left) * 3 < last(&right) * 2,
        "the paused one counted to {}, the other to {}",
        last(&left),
        last(&right)
    );
    ensure!(
        left.windows(2).all(|two| two[0].count < two[1].count),
        "its count went back"
    );
    Ok(())
}

fn stopping() -> Result<()> {
    let guests = [spinner("left", "")?, spinner("right", "seconds=3")?];
    let (machine, _bundle) = board(&guests, Console::Prefixed, 2)?;
    let mut run = machine.spawn()?;
    run.expect_from("left", "count ", SOON)?;
    shell(&mut run)?;
    run.send("stop left\r")?;
    run.expect("left: ended; 1 of the machines still run", SOON)?;
    run.send("stop left\r")?;
    run.expect("left has ended already", SOON)?;
    let outcome = run.wait(LIMIT)?;
    must_have_ended(&outcome, "right", "spinner")?;
    ensure!(outcome.success(), "no success; {}", end_of(&outcome));
    Ok(())
}

fn resetting() -> Result<()> {
    let guests = [spinner("left", "")?, spinner("right", "seconds=4")?];
    let (machine, _bundle) = board(&guests, Console::Prefixed, 2)?;
    let mut run = machine.spawn()?;
    run.expect_from("left", "count ", SOON)?;
    shell(&mut run)?;
    for _ in 0..3 {
        run.send("reset left\r")?;
        run.expect("left: the guest resets; it starts again", SOON)?;
        run.expect_from("left", "guest: spinner", SOON)?;
        run.expect_from("left", "count ", SOON)?;
    }
    run.send("stop left\r")?;
    let outcome = run.wait(LIMIT)?;
    must_have_ended(&outcome, "right", "spinner")?;
    ensure!(outcome.success(), "no success; {}", end_of(&outcome));
    let counts = counts(outcome.lines_of("right"));
    let rises = counts.windows(2).all(|two| two[0].count < two[1].count);
    ensure!(rises, "the other's count went back");
    Ok(())
}

fn dumping() -> Result<()> {
    let (mut run, _bundle) = two_spinners(Console::Switched)?;
    shell(&mut run)?;
    run.send("dump right\r")?;
    run.expect("hart 0: Started, ", SOON)?;
    run.expect("  sp   0000000080", SOON)?;
    run.expect("  satp     ", SOON)?;
    // It still runs.
    run.send(&format!("{CTRL_T}2"))?;
    run.expect("console 2, right", SOON)?;
    run.send("a")?;
    run.expect("typed 97", SOON)?;
    Ok(())
}

fn tracing() -> Result<()> {
    let (mut run, _bundle) = two_spinners(Console::Prefixed)?;
    shell(&mut run)?;
    run.send("trace on left\r")?;
    run.expect("the trace of slow exits is on", SOON)?;
    std::thread::sleep(Duration::from_secs(1));
    run.send("trace off\r")?;
    run.expect("the trace of slow exits is off", SOON)?;
    run.expect_from("left", "count ", SOON)?;
    let text = run.text();
    let (_, traced) = text
        .split_once("slow exits is on")
        .context("it is not on")?;
    let (traced, _) = traced
        .split_once("slow exits is off")
        .context("it is not off")?;
    let exits = traced
        .lines()
        .filter(|line| line.contains(" pc 0x"))
        .count();
    println!("{exits} exits were traced");
    ensure!(exits > 0, "nothing was traced:\n{traced}");
    Ok(())
}
