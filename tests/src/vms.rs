//! Several VMs on one board: what one does is no other's business, each gets its share of the host,
//! and they share one console with the monitor's shell.

use crate::{artefacts, runner};
use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use patchvisor::Console;
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::{Line, Machine, Outcome, Run};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;
use tempfile::NamedTempFile;

const MIB: u64 = 1 << 20;
/// Longest that something may take to happen.
const SOON: Duration = Duration::from_secs(20);
/// Longest that a board may run.
const LIMIT: Duration = Duration::from_secs(60);
/// How long shares of the host are measured, in seconds, and after how many the measurement begins.
const MEASURED: f64 = 10.0;
const WARM_UP: f64 = 0.5;
/// What a share may differ from what is due, as a part of it.
const TOLERANCE: f64 = 0.05;
/// The most that an idle board may cost, in percent of a core of this machine.
const IDLE_PERCENT: f64 = 15.0;
/// Ctrl-T, which begins a command to the terminal.
const CTRL_T: char = '\x14';

/// Measurements are made alone: machines beside them would take time from one VM and not the other.
static OTHERS: RwLock<()> = RwLock::new(());

/// A statement, and what tells whether it is so.
type Statement = (&'static str, fn() -> Result<()>);

/// One trial for each statement.
pub fn trials() -> Vec<Trial> {
    let statements: [Statement; 12] = [
        ("the_board_powers_off_with_the_last_vm", last_vm),
        ("a_vm_that_failed_is_seen_in_the_exit_status", exit_status),
        (
            "memory_that_does_not_suffice_refuses_one_vm",
            too_little_memory,
        ),
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
    let measurements: [Statement; 6] = [
        ("weights_divide_a_host_hart", weights),
        ("a_cap_holds_beside_another_vm", cap_beside_another),
        ("a_cap_holds_on_an_idle_host", cap_alone),
        ("a_pinned_vm_leaves_the_other_its_host_hart", pinning),
        ("an_idle_board_sleeps", idle_board),
        ("stolen_time_is_told", stolen_time),
    ];
    let mut trials = Vec::new();
    for (name, test) in statements {
        trials.push(runner::trial(format!("vms::{name}"), move || {
            beside_others(test)
        }));
    }
    for end in &ENDS {
        for harts in [1, 2] {
            let name = format!("vms::a_vm_that_{}_leaves_the_others::{harts}", end.name);
            trials.push(runner::trial(name, move || {
                beside_others(|| bad_company(end, harts))
            }));
        }
    }
    for (name, test) in measurements {
        trials.push(runner::trial(format!("vms::{name}"), move || alone(test)));
    }
    trials
}

/// Runs a test that does not mind others at the same time.
pub(crate) fn beside_others(test: impl FnOnce() -> Result<()>) -> Result<()> {
    let _others = OTHERS.read().unwrap_or_else(PoisonError::into_inner);
    test()
}

/// Runs a measurement while no other trial of this program runs.
pub(crate) fn alone(test: impl FnOnce() -> Result<()>) -> Result<()> {
    let _alone = OTHERS.write().unwrap_or_else(PoisonError::into_inner);
    test()
}

/// Percent of a core that a run costs over the time of a `sleep`.
pub(crate) fn cost_of_idling(run: &Run, sleep: Duration) -> Result<f64> {
    let before = processor_time(run)?;
    std::thread::sleep(sleep);
    let used = processor_time(run)? - before;
    Ok(100.0 * used.as_secs_f64() / sleep.as_secs_f64())
}

/// What all threads of QEMU have had of this machine's processors: `utime` and `stime` of
/// proc_pid_stat(5), whose unit is 10 ms on all of Linux's architectures that run QEMU.
fn processor_time(run: &Run) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", run.id()))?;
    // The second field is a name in parentheses, which may have anything in it.
    let (_, rest) = stat.rsplit_once(") ").context("no name in stat")?;
    let fields: Vec<_> = rest.split(' ').collect();
    let field = |number: usize| -> Result<u64> {
        let text = fields.get(number - 3).context("stat is short")?;
        Ok(text.parse()?)
    };
    Ok(Duration::from_millis(10 * (field(14)? + field(15)?)))
}

pub(crate) fn vm(name: &str, program: &str, append: &str) -> Result<Guest> {
    let mut guest = Guest::new(artefacts::guest(program)?);
    guest.vm.name = name.into();
    guest.vm.memory = 128 * MIB;
    guest.vm.append = append.into();
    Ok(guest)
}

fn spinner(name: &str, append: &str) -> Result<Guest> {
    vm(name, "spinner", append)
}

/// A board with these VMs, and the bundle, which must outlive it.
pub(crate) fn board(
    guests: &[Guest],
    console: Console,
    harts: u32,
) -> Result<(Machine, NamedTempFile)> {
    let bundle = NamedTempFile::with_prefix("patchvisor-")?;
    std::fs::write(bundle.path(), guest::pack(guests, console)?)?;
    let machine = guest::machine(&artefacts::monitor()?, bundle.path())?;
    Ok((machine.harts(harts).no_reboot(), bundle))
}

/// Runs VMs that share the console to the board's power-off.
fn run(guests: &[Guest], harts: u32) -> Result<Outcome> {
    run_as(guests, harts, |machine| machine)
}

/// The same on a board whose time is instructions, so that nothing beside it can take time from one VM
/// and not from another: 16 ns for each.
fn run_counted(guests: &[Guest]) -> Result<Outcome> {
    run_as(guests, 1, |machine| machine.icount(4))
}

fn run_as(
    guests: &[Guest],
    harts: u32,
    adjust: impl FnOnce(Machine) -> Machine,
) -> Result<Outcome> {
    let (machine, _bundle) = board(guests, Console::Prefixed, harts)?;
    let outcome = adjust(machine).spawn()?.wait(LIMIT)?;
    ensure!(
        !outcome.timed_out(),
        "the board did not power off; {}",
        end_of(&outcome)
    );
    Ok(outcome)
}

fn end_of(outcome: &Outcome) -> String {
    let text = outcome.text();
    let from = text.floor_char_boundary(text.len().saturating_sub(1500));
    format!("the console ends with\n{}", &text[from..])
}

/// Passes if the program of this VM came to its end.
fn must_have_ended(outcome: &Outcome, name: &str, program: &str) -> Result<()> {
    let last = format!("guest: {program} done");
    let lines = outcome.lines_of(name);
    ensure!(
        lines.iter().any(|line| line.text == last),
        "{name} did not come to its end; {}",
        end_of(outcome)
    );
    Ok(())
}

/// A spinner's count at a time.
#[derive(Clone, Copy, Debug)]
struct Count {
    count: u64,
    /// The board's `time`, in seconds.
    at: f64,
}

/// The counts that a spinner has printed.
fn counts(lines: &[Line]) -> Vec<Count> {
    let parse = |line: &Line| {
        let rest = line.text.strip_prefix("count ")?.strip_suffix(" us")?;
        let (count, at) = rest.split_once(" at ")?;
        Some(Count {
            count: count.parse().ok()?,
            at: at.parse::<f64>().ok()? / 1e6,
        })
    };
    lines.iter().filter_map(parse).collect()
}

/// The count at a time between two that were printed.
fn count_at(counts: &[Count], at: f64) -> Result<f64> {
    let next = counts.partition_point(|count| count.at < at);
    let [before, after] = match counts.get(next.wrapping_sub(1)..=next) {
        Some(&[before, after]) => [before, after],
        _ => bail!("no counts around {at} s among {} of them", counts.len()),
    };
    let passed = (at - before.at) / (after.at - before.at);
    Ok(before.count as f64 + passed * (after.count - before.count) as f64)
}

/// How much each of these spinners counted in the same [`MEASURED`] seconds.
fn counted<const N: usize>(outcome: &Outcome, names: [&str; N]) -> Result<[f64; N]> {
    let all = names.map(|name| counts(outcome.lines_of(name)));
    let begin = all
        .iter()
        .map(|counts| counts.first().map_or(f64::INFINITY, |count| count.at))
        .fold(0.0, f64::max)
        + WARM_UP;
    let mut counted = [0.0; N];
    for (counted, counts) in counted.iter_mut().zip(&all) {
        *counted = count_at(counts, begin + MEASURED)? - count_at(counts, begin)?;
    }
    Ok(counted)
}

fn is_near(found: f64, due: f64) -> bool {
    (found / due - 1.0).abs() <= TOLERANCE
}

/// How long a spinner must run so that it can be measured.
fn measured_spinner(name: &str) -> Result<Guest> {
    spinner(name, "seconds=12 period=50")
}

// --- Bad company ---

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

const ENDS: [End; 4] = [
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
    ensure!(longest < 1.0, "the spinner stood still for {longest} s");
    Ok(())
}

fn last_vm() -> Result<()> {
    let guests = [
        spinner("short", "seconds=1")?,
        spinner("long", "seconds=2")?,
    ];
    let outcome = run(&guests, 2)?;
    must_have_ended(&outcome, "short", "spinner")?;
    must_have_ended(&outcome, "long", "spinner")?;
    ensure!(outcome.success(), "no success; {}", end_of(&outcome));
    let says = "short: ended; 1 of the machines still run";
    ensure!(
        outcome.text().contains(says),
        "no {says:?}; {}",
        end_of(&outcome)
    );
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

// --- Shares of the host ---

fn weights() -> Result<()> {
    let mut guests = [measured_spinner("light")?, measured_spinner("heavy")?];
    guests[1].vm.weight = 300;
    let [light, heavy] = counted(&run_counted(&guests)?, ["light", "heavy"])?;
    println!(
        "weights 100 and 300: counts stand 1 to {:.3}",
        heavy / light
    );
    ensure!(
        is_near(heavy / light, 3.0),
        "counts stand 1 to {}",
        heavy / light
    );
    Ok(())
}

fn cap_beside_another() -> Result<()> {
    let mut guests = [measured_spinner("capped")?, measured_spinner("free")?];
    guests[0].vm.cap = Some(25);
    let [capped, free] = counted(&run_counted(&guests)?, ["capped", "free"])?;
    let percent = 100.0 * capped / (capped + free);
    println!("a cap of 25 %: {percent:.2} % beside another VM");
    ensure!(is_near(percent, 25.0), "it had {percent} %");
    Ok(())
}

/// Seconds of host time that each of these VMs has had, as the shell's `vms` lists them. The last of
/// them must be the last of the board.
fn ran<const N: usize>(run: &mut Run, names: [&str; N]) -> Result<[f64; N]> {
    run.send("vms\r")?;
    run.expect("number  state", SOON)?;
    run.expect(&format!("  {}\r\n", names[N - 1]), SOON)?;
    let mut ran = [0.0; N];
    for (ran, name) in ran.iter_mut().zip(names) {
        let is_row = |line: &&Line| line.text.split_whitespace().last() == Some(name);
        let row = run
            .lines()
            .iter()
            .rfind(is_row)
            .context("the VM is not in the list")?;
        let column = row.text.split_whitespace().nth(3);
        *ran = column.context("the list has no such column")?.parse()?;
    }
    Ok(ran)
}

/// Gives the shell the focus of a prefixed console.
fn shell(run: &mut Run) -> Result<()> {
    run.send(&format!("{CTRL_T}0"))?;
    run.expect("patchvisor> ", SOON)?;
    Ok(())
}

/// The percentage of a host hart that each of these VMs has had over [`MEASURED`] seconds, by the
/// monitor's own account.
fn accounted<const N: usize>(guests: &[Guest], harts: u32, names: [&str; N]) -> Result<[f64; N]> {
    let (machine, _bundle) = board(guests, Console::Prefixed, harts)?;
    let mut run = machine.spawn()?;
    for guest in guests {
        run.expect_from(&guest.vm.name, "count ", SOON)?;
    }
    shell(&mut run)?;
    let before = ran(&mut run, names)?;
    std::thread::sleep(Duration::from_secs_f64(MEASURED));
    let after = ran(&mut run, names)?;
    let percent = |vm: usize| 100.0 * (after[vm] - before[vm]) / MEASURED;
    Ok(std::array::from_fn(percent))
}

fn cap_alone() -> Result<()> {
    let mut guest = spinner("capped", "")?;
    guest.vm.cap = Some(25);
    let [percent] = accounted(&[guest], 1, ["capped"])?;
    println!("a cap of 25 %: {percent:.1} % of an idle host hart");
    ensure!(is_near(percent, 25.0), "it had {percent} %");
    Ok(())
}

fn pinning() -> Result<()> {
    let mut guests = [
        spinner("one", "")?,
        spinner("two", "")?,
        spinner("three", "")?,
    ];
    guests[0].vm.pin = vec![0];
    guests[1].vm.pin = vec![1];
    guests[2].vm.pin = vec![1];
    let [one, two, three] = accounted(&guests, 2, ["one", "two", "three"])?;
    println!(
        "alone on host hart 0: {one:.1} %; together on host hart 1: {two:.1} % and {three:.1} %"
    );
    // Against each other: how long the measurement took is known less well.
    ensure!(
        is_near(two + three, one),
        "the two had {two} and {three} %, the one {one} %"
    );
    ensure!(
        is_near(two, (two + three) / 2.0),
        "one of the two had {two} %, the other {three} %"
    );
    Ok(())
}

fn idle_board() -> Result<()> {
    let guests = vm("idle", "sleeper", "")?.copies(4);
    let guests: Vec<_> = guests
        .into_iter()
        .map(|mut guest| {
            guest.vm.vcpus = 2;
            guest
        })
        .collect();
    let (machine, _bundle) = board(&guests, Console::Prefixed, 2)?;
    let mut run = machine.spawn()?;
    for guest in &guests {
        run.expect_from(&guest.vm.name, "sleeps on 2 harts", SOON)?;
    }
    let percent = cost_of_idling(&run, Duration::from_secs_f64(MEASURED))?;
    println!("four idle VMs cost {percent:.1} % of a core");
    ensure!(percent < IDLE_PERCENT, "idling costs {percent} % of a core");
    Ok(())
}

fn stolen_time() -> Result<()> {
    let stolen = |guests: &[Guest]| -> Result<f64> {
        let outcome = run(guests, 1)?;
        must_have_ended(&outcome, "stolen", "stolen")?;
        let mut lines = outcome.lines_of("stolen").iter();
        let line = lines.find_map(|line| line.text.strip_prefix("stolen "));
        let (stolen, elapsed) = line
            .and_then(|line| line.strip_suffix(" ms")?.split_once(" of "))
            .context("no stolen time")?;
        Ok(100.0 * stolen.parse::<f64>()? / elapsed.parse::<f64>()?)
    };
    let thief = spinner("thief", "seconds=6")?;
    let victim = vm("stolen", "stolen", "seconds=4")?;
    let beside = stolen(&[thief, victim.clone()])?;
    let alone = stolen(&[vm("sleeper", "sleeper", "seconds=4")?, victim])?;
    println!("{beside:.1} % stolen beside a spinner, {alone:.1} % beside a sleeper");
    ensure!(
        (45.0..55.0).contains(&beside),
        "{beside} % stolen beside a spinner"
    );
    ensure!(alone < 2.0, "{alone} % stolen beside a sleeper");
    Ok(())
}

// --- The console ---

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
