//! VMs share one console with the monitor's shell.

use super::{
    CTRL_T, LIMIT, SOON, Statement, board, counts, end_of, end_spinner, goes_on, must_have_ended,
    shell, spinner,
};
use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use patchvisor::Console;
use patchvisor::qemu::{Line, Run};
use tempfile::NamedTempFile;

/// One trial for each statement.
pub fn trials() -> Vec<Trial> {
    let statements: [Statement; 11] = [
        ("ctrl_t_and_a_digit_switch_the_console", switching),
        ("what_is_typed_keeps_its_order", order),
        ("output_of_other_consoles_is_kept_and_shown", kept_output),
        ("an_unfinished_line_is_shown_while_all_vms_are_busy", prompt),
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

/// Both VMs ask for what was typed, on host harts of their own, while its interrupt is served.
fn order() -> Result<()> {
    const TYPED: usize = 2000;
    let guests = ["left", "right"].map(|name| spinner(name, "period=2"));
    let [left, right] = guests;
    let (machine, _bundle) = board(&[left?, right?], Console::Switched, 2)?;
    let mut run = machine.spawn()?;
    run.expect("count ", SOON)?;
    // A `q` would end it. The last letter is of its own.
    let typed: String = ('a'..='p').cycle().take(TYPED).chain(['!']).collect();
    run.send(&typed)?;
    run.expect("typed 33\n", SOON)?;
    let codes = run.lines().iter();
    let codes = codes.filter_map(|line| line.text.strip_prefix("typed ")?.parse().ok());
    let came: Vec<u8> = codes.collect();
    let mut pairs = came.iter().zip(typed.bytes());
    let wrong = pairs.position(|(came, typed)| *came != typed);
    ensure!(
        came == typed.as_bytes(),
        "{} of {} letters came, the first wrong one is {wrong:?}",
        came.len(),
        typed.len()
    );
    Ok(())
}

fn kept_output() -> Result<()> {
    let (mut run, _bundle) = two_spinners(Console::Switched)?;
    // The whole line, lest it be divided among two sections.
    run.expect(", line 1\n", SOON)?;
    // The other one's first line was printed unseen; then the focused one's are, while the other has
    // the focus: both print as often.
    run.send(&format!("{CTRL_T}2"))?;
    run.expect("console 2, right", SOON)?;
    run.expect("guest: spinner\n", SOON)?;
    run.expect(", line 20\n", SOON)?;
    run.send(&format!("{CTRL_T}1"))?;
    run.expect("console 1, left", SOON)?;
    run.expect(", line 25\n", SOON)?;
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
    let shown: Vec<_> = left.iter().map(|count| count.line).collect();
    ensure!(
        shown.len() >= 25 && shown.iter().copied().eq(1..=shown.len() as u64),
        "the lines that were shown are {shown:?}"
    );
    Ok(())
}

fn prompt() -> Result<()> {
    let guests = [
        spinner("left", "period=1000000")?,
        spinner("right", "period=1000000 prompt=1")?,
    ];
    let (machine, _bundle) = board(&guests, Console::Prefixed, 1)?;
    let mut run = machine.spawn()?;
    run.expect("right| ready> ", SOON)?;
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
    goes_on(&mut run, "left", 1)?;
    shell(&mut run)?;
    run.send("pause left\r")?;
    run.expect("left is paused; `resume 1` lets it go on", SOON)?;
    // What it had printed before comes through.
    goes_on(&mut run, "right", 2)?;
    let (left, right) = (run.lines_of("left").len(), counts(run.lines_of("right")));
    goes_on(&mut run, "right", 10)?;
    run.send("vms\r")?;
    run.expect("1       paused", SOON)?;
    let seen = run.lines_of("left").len();
    ensure!(seen == left, "the paused VM printed {} lines", seen - left);
    run.send("resume left\r")?;
    run.expect("left goes on", SOON)?;
    // The first of them may be the one that it printed before the pause.
    goes_on(&mut run, "left", 3)?;
    // Its count goes on where it stood: what it would have had in the pause is missing.
    let before = right.last().context("the other one has not counted")?;
    let left = counts(run.lines_of("left"));
    let resumed = left.partition_point(|count| count.at < before.at);
    let Some([stood, went]) = left.get(resumed.wrapping_sub(1)..=resumed) else {
        bail!("no counts before and after the pause in {left:?}");
    };
    let right = counts(run.lines_of("right"));
    let meanwhile = right.iter().take_while(|count| count.at < went.at);
    let meanwhile = meanwhile.last().map_or(0, |count| count.count) - before.count;
    println!(
        "from {} to {}, the other by {meanwhile}",
        stood.count, went.count
    );
    ensure!(
        stood.count < went.count && (went.count - stood.count) * 3 < meanwhile,
        "the paused one counted from {} to {}, the other by {meanwhile}",
        stood.count,
        went.count
    );
    Ok(())
}

fn stopping() -> Result<()> {
    let guests = [spinner("left", "")?, spinner("right", "")?];
    let (machine, _bundle) = board(&guests, Console::Prefixed, 2)?;
    let mut run = machine.spawn()?;
    run.expect_from("left", "count ", SOON)?;
    shell(&mut run)?;
    run.send("stop left\r")?;
    run.expect("left: ended; 1 of the machines still run", SOON)?;
    run.send("stop left\r")?;
    run.expect("left has ended already", SOON)?;
    goes_on(&mut run, "right", 5)?;
    end_spinner(&mut run, 2)?;
    let outcome = run.wait(LIMIT)?;
    must_have_ended(&outcome, "right", "spinner")?;
    ensure!(outcome.success(), "no success; {}", end_of(&outcome));
    Ok(())
}

fn resetting() -> Result<()> {
    let guests = [spinner("left", "")?, spinner("right", "")?];
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
    run.expect("left: ended; 1 of the machines still run", SOON)?;
    goes_on(&mut run, "right", 5)?;
    end_spinner(&mut run, 2)?;
    let outcome = run.wait(LIMIT)?;
    must_have_ended(&outcome, "right", "spinner")?;
    ensure!(outcome.success(), "no success; {}", end_of(&outcome));
    let lines = counts(outcome.lines_of("right")).into_iter();
    let lines: Vec<_> = lines.map(|count| count.line).collect();
    ensure!(
        lines.iter().copied().eq(1..=lines.len() as u64),
        "the other printed the lines {lines:?}"
    );
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
    run.expect(" pc 0x", SOON)?;
    run.send("trace off\r")?;
    run.expect("the trace of slow exits is off", SOON)?;
    // Each line that it prints is an exit.
    goes_on(&mut run, "left", 3)?;
    let text = run.text();
    let (_, after) = text
        .split_once("slow exits is off")
        .context("it is not off")?;
    ensure!(!after.contains(" pc 0x"), "it is not off:\n{after}");
    Ok(())
}
