//! Counts instructions of each hart apart, in QEMU's log of what is executed.
//!
//! With `-accel tcg,thread=single` the harts take turns on one thread, and with one instruction to a block and
//! `-d exec,nochain` the log has one line for each instruction: `Trace HART: … […/PC/…] …`. A hart that waits for
//! another in a loop is in that loop when its turn ends, which tells waiting from work.

use super::gdb;
use super::run::Measured;
use anyhow::{Context, Result, ensure};
use patchvisor::qemu::{Machine, Outcome};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How many instructions a loop has at most in which a hart waits.
const LOOP: usize = 512;

/// Where the guest that is counted says what it does.
struct Marks {
    /// The log begins.
    begin: u64,
    /// It ends.
    end: u64,
    /// The caller's `ecall`.
    ask: u64,
    /// Where the call returns to.
    asked: u64,
    /// The other hart is at rest again.
    rest: u64,
}

impl Marks {
    fn of(program: &Path) -> Result<Self> {
        let output = Command::new("riscv64-linux-gnu-nm").arg(program).output();
        let output = output.context("running riscv64-linux-gnu-nm")?;
        let symbols = String::from_utf8_lossy(&output.stdout).into_owned();
        let find = |name: &str| {
            let mut lines = symbols.lines().map(|line| line.split_whitespace());
            let found = lines.find_map(|mut words| {
                let address = words.next()?;
                (words.next_back() == Some(name)).then(|| u64::from_str_radix(address, 16).ok())?
            });
            found.with_context(|| format!("{} has no {name}", program.display()))
        };
        Ok(Self {
            begin: find("bench_begin")?,
            end: find("bench_end")?,
            ask: find("bench_ask")?,
            asked: find("bench_asked")?,
            rest: find("bench_rest")?,
        })
    }
}

/// Runs the guest whose file is `program` in a machine until it powers off, and counts instructions of what it says it
/// counts.
///
/// # Errors
/// When the machine does not get there, or the log does not have what the guest says.
pub fn count(
    machine: Machine,
    program: &Path,
    directory: &Path,
    limit: Duration,
) -> Result<(Outcome, Measured)> {
    let marks = Marks::of(program)?;
    let (socket, log) = (directory.join("gdb"), directory.join("log"));
    let server = format!("unix:{},server=on,wait=off", socket.display());
    let mut machine = machine.args(["-accel", "tcg,thread=single", "-S", "-gdb", &server]);
    machine = machine.arg("-D").arg(&log);
    let run = machine.spawn()?;
    gdb::between(
        &socket,
        [marks.begin, marks.end],
        &["one-insn-per-tb on", "log exec,nochain"],
        &["log none"],
    )?;
    let outcome = run.wait(limit)?;
    let log = Log::read(&marks, BufReader::new(File::open(&log)?))?;
    let measured = log.measured(&outcome)?;
    Ok((outcome, measured))
}

/// The instructions of one hart, by their addresses.
#[derive(Debug, Default)]
struct Hart {
    executed: Vec<u64>,
    /// How many it had executed when its turns ended.
    turns: Vec<usize>,
}

impl Hart {
    /// Which of its instructions were executed while it waited: those that repeat a loop in which a
    /// turn ended. The first pass through a loop is work, since it would be there if there were nothing to wait for.
    fn waiting(&self) -> Vec<bool> {
        let executed = &self.executed;
        let mut waiting = vec![false; executed.len()];
        let starts = std::iter::once(0).chain(self.turns.iter().copied());
        for (start, &end) in starts.zip(&self.turns) {
            // Rounds that are the same, a turn for each, are no loop.
            let repeats = |at: usize, period| at >= period && executed[at] == executed[at - period];
            let is_loop = |period: &usize| {
                end.checked_sub(2 * period)
                    .is_some_and(|from| from >= start)
                    && (end - period..end).all(|at| repeats(at, *period))
            };
            let Some(period) = (1..=LOOP).find(is_loop) else {
                continue;
            };
            let before = (0..end).rev().take_while(|&at| repeats(at, period));
            let after = (end..executed.len()).take_while(|&at| repeats(at, period));
            before.chain(after).for_each(|at| waiting[at] = true);
        }
        waiting
    }
}

/// What is done between two marks, as places in the lists of the harts.
#[derive(Debug)]
struct Round {
    caller: usize,
    /// Of each hart, when the call was made.
    ask: Vec<usize>,
    /// Of the caller, when it returned; nothing if it did so on another hart.
    asked: Option<usize>,
    /// Of each hart, when the others were at rest.
    rest: Vec<usize>,
}

/// A log that was read.
#[derive(Debug, Default)]
struct Log {
    harts: Vec<Hart>,
    rounds: Vec<Round>,
}

impl Log {
    fn read(marks: &Marks, lines: impl BufRead) -> Result<Self> {
        let mut log = Self::default();
        let mut turn = 0;
        let mut round: Option<Round> = None;
        for line in lines.lines() {
            let line = line?;
            let Some((hart, pc)) = instruction(&line) else {
                if line.starts_with(NOT_EXECUTED) {
                    log.harts[turn].executed.pop();
                }
                continue;
            };
            if log.harts.len() <= hart {
                log.harts.resize_with(hart + 1, Hart::default);
            }
            if hart != turn {
                let end = log.harts[turn].executed.len();
                log.harts[turn].turns.push(end);
                turn = hart;
            }
            let done = || log.harts.iter().map(|hart| hart.executed.len()).collect();
            match (&mut round, pc) {
                (_, pc) if pc == marks.ask => {
                    round = Some(Round {
                        caller: hart,
                        ask: done(),
                        asked: None,
                        rest: Vec::new(),
                    });
                }
                (Some(round), pc) if pc == marks.asked => {
                    round.asked = (hart == round.caller).then(|| done()[hart]);
                }
                (Some(_), pc) if pc == marks.rest => {
                    log.rounds.extend(round.take().map(|round| Round {
                        rest: done(),
                        ..round
                    }));
                }
                _ => {}
            }
            log.harts[hart].executed.push(pc);
        }
        Ok(log)
    }

    /// Of each round, how many instructions the caller executed for it, and the others, without those
    /// of waiting.
    fn work(&self) -> Vec<Option<(usize, usize)>> {
        let waiting: Vec<_> = self.harts.iter().map(Hart::waiting).collect();
        let work = |hart: usize, from: usize, to: usize| {
            waiting[hart][from..to]
                .iter()
                .filter(|waits| !**waits)
                .count()
        };
        let of = |round: &Round| {
            let asked = |hart: usize| round.ask.get(hart).copied().unwrap_or(0);
            let others = (0..round.rest.len()).filter(|hart| *hart != round.caller);
            Some((
                work(round.caller, asked(round.caller), round.asked?),
                others
                    .map(|hart| work(hart, asked(hart), round.rest[hart]))
                    .sum(),
            ))
        };
        self.rounds.iter().map(of).collect()
    }

    /// The median of the rounds of each thing that the guest says it did.
    fn measured(&self, outcome: &Outcome) -> Result<Measured> {
        let work = self.work();
        let mut rest = &work[..];
        let mut measured = Measured::new();
        for line in &outcome.lines {
            let words: Vec<_> = line.text.split_whitespace().collect();
            let ["counted", name, "rounds", count] = words[..] else {
                continue;
            };
            let (own, others) = rest
                .split_at_checked(count.parse()?)
                .with_context(|| format!("the log has too few rounds of {name}"))?;
            rest = others;
            for (what, of) in [
                (
                    "",
                    (|(caller, others)| caller + others) as fn(&(usize, usize)) -> usize,
                ),
                ("-caller", |(caller, _)| *caller),
                ("-callee", |(_, others)| *others),
            ] {
                let mut counts: Vec<_> = own.iter().flatten().map(of).collect();
                counts.sort_unstable();
                let median = counts.get(counts.len() / 2);
                let median = median.with_context(|| format!("{name} has no rounds"))?;
                measured.insert(format!("{name}{what}"), *median as f64);
            }
        }
        ensure!(
            rest.is_empty(),
            "the log has more rounds than the guest says"
        );
        Ok(measured)
    }
}

/// What a line begins with when the instruction of the line before was not executed: there was an interrupt.
const NOT_EXECUTED: &str = "Stopped execution";

/// The hart and the address of a line of an instruction: `Trace 0: 0x7f… [cs_base/pc/flags/cflags] symbol`.
fn instruction(line: &str) -> Option<(usize, u64)> {
    let (hart, rest) = line.strip_prefix("Trace ")?.split_once(':')?;
    let pc = rest.split_once('[')?.1.split('/').nth(1)?;
    Some((hart.parse().ok()?, u64::from_str_radix(pc, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: Marks = Marks {
        begin: 0,
        end: 0,
        ask: 0xa,
        asked: 0xb,
        rest: 0xc,
    };

    /// The log of turns: a hart, and the addresses of its instructions.
    fn log(turns: &[(usize, &[u64])]) -> Log {
        let mut text = String::new();
        for (hart, turn) in turns {
            for pc in *turn {
                text += &format!("Trace {hart}: 0x7f00 [00000000/{pc:016x}/0/1] \n");
            }
        }
        Log::read(&MARKS, text.as_bytes()).unwrap()
    }

    #[test]
    fn a_loop_in_which_a_turn_ends_counts_once() {
        // The callee runs in a loop at 1 and 2 until it is interrupted, and works at 5 to 7.
        let log = log(&[
            (1, &[1, 2, 1, 2, 1, 2, 1]),
            (0, &[0xa, 8, 9, 8, 9, 8, 9, 8, 9]),
            (1, &[2, 5, 6, 7, 1, 2, 1, 2, 1, 2]),
            (0, &[8, 9, 4, 0xb, 3, 3, 3]),
            (1, &[1, 2, 1, 2]),
            (0, &[0xc]),
        ]);
        assert_eq!(log.work(), [Some((4, 5))]);
    }

    #[test]
    fn a_loop_that_ends_within_a_turn_counts_in_full() {
        let log = log(&[
            (0, &[0xa, 3, 3, 3, 3, 0xb]),
            (1, &[5, 6, 5, 6, 7]),
            (0, &[0xc]),
        ]);
        assert_eq!(log.work(), [Some((5, 5))]);
    }

    #[test]
    fn the_same_work_in_each_turn_is_no_loop() {
        let mut turns: Vec<(usize, &[u64])> = Vec::new();
        for _ in 0..4 {
            turns.extend([(0, &[0xa, 0xb][..]), (1, &[5, 6, 7]), (0, &[0xc])]);
        }
        assert_eq!(log(&turns).work(), [Some((1, 3)); 4]);
    }

    #[test]
    fn an_instruction_that_an_interrupt_came_before_counts_once() {
        let line = "Trace 0: 0x7f00 [00000000/000000000000000a/0/1] \n";
        let text = format!("{line}Stopped execution of TB chain before 0x7f00 [000a] \n{line}");
        let log = Log::read(&MARKS, text.as_bytes()).unwrap();
        assert_eq!(log.harts[0].executed, [0xa]);
    }
}
