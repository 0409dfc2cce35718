//! Each VM gets its share of the host.

use super::{
    Count, ICOUNT, SOON, Statement, alone, board, cost_of_idling, counts, goes_on, must_have_ended,
    run_as, shell, spinner, vm,
};
use crate::runner;
use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use patchvisor::Console;
use patchvisor::guest::Guest;
use patchvisor::qemu::{Line, Outcome, Run};

/// How long shares of the host are measured, in seconds, and after how many the measurement begins.
const MEASURED: f64 = 10.0;
const WARM_UP: f64 = 0.5;
/// After how many seconds a spinner prints again.
const PERIOD: f64 = 0.1;
/// What a share may differ from what is due, as a part of it.
const TOLERANCE: f64 = 0.05;
/// The most that an idle board may cost, in percent of a core of this machine.
const IDLE_PERCENT: f64 = 15.0;

/// One trial for each statement.
pub fn trials() -> Vec<Trial> {
    let counted: [Statement; 5] = [
        ("weights_divide_a_host_hart", weights),
        ("a_cap_holds_beside_another_vm", cap_beside_another),
        ("a_cap_holds_on_an_idle_host", cap_alone),
        ("a_pinned_vm_leaves_the_other_its_host_hart", pinning),
        ("stolen_time_is_told", stolen_time),
    ];
    let idle = runner::trial("vms::an_idle_board_sleeps", || alone(idle_board));
    super::statements(counted).chain([idle]).collect()
}

/// Runs VMs to the board's power-off; its time is instructions.
fn run_counted(guests: &[Guest]) -> Result<Outcome> {
    run_as(guests, 1, |machine| machine.icount(ICOUNT))
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

/// Seconds that each of these VMs has had of a host hart, and those that it wanted one and had none, as the
/// shell's `vms` lists them. The last of them must be the last of the board.
fn listed<const N: usize>(run: &mut Run, names: [&str; N]) -> Result<[(f64, f64); N]> {
    run.send("vms\r")?;
    run.expect("number  state", SOON)?;
    run.expect(&format!("  {}\r\n", names[N - 1]), SOON)?;
    let mut listed = [(0.0, 0.0); N];
    for (listed, name) in listed.iter_mut().zip(names) {
        let is_row = |line: &&Line| line.text.split_whitespace().last() == Some(name);
        let row = run
            .lines()
            .iter()
            .rfind(is_row)
            .context("the VM is not in the list")?;
        let mut columns = row.text.split_whitespace().skip(3);
        let mut column = || anyhow::Ok(columns.next().context("the list is short")?.parse()?);
        *listed = (column()?, column()?);
    }
    Ok(listed)
}

/// The percentage of a host hart that each of these VMs, which always want one, has had over at least
/// [`MEASURED`] seconds, by the monitor's own account. The board's time is instructions.
fn accounted<const N: usize>(guests: &[Guest], harts: u32, names: [&str; N]) -> Result<[f64; N]> {
    let (machine, _bundle) = board(guests, Console::Prefixed, harts)?;
    let mut run = machine.icount(ICOUNT).spawn()?;
    for guest in guests {
        run.expect_from(&guest.vm.name, "count ", SOON)?;
    }
    shell(&mut run)?;
    let before = listed(&mut run, names)?;
    goes_on(&mut run, names[0], (MEASURED / PERIOD) as usize)?;
    let after = listed(&mut run, names)?;
    let percent = |vm: usize| {
        let (ran, stolen) = (after[vm].0 - before[vm].0, after[vm].1 - before[vm].1);
        100.0 * ran / (ran + stolen)
    };
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
    ensure!(
        is_near(one, 100.0) && is_near(two, 50.0) && is_near(three, 50.0),
        "the one had {one} %, the two {two} and {three} %"
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
    let percent = cost_of_idling(&run, IDLE_PERCENT)?;
    println!("four idle VMs cost {percent:.1} % of a core");
    ensure!(percent < IDLE_PERCENT, "idling costs {percent} % of a core");
    Ok(())
}

fn stolen_time() -> Result<()> {
    let stolen = |guests: &[Guest]| -> Result<f64> {
        let outcome = run_counted(guests)?;
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
