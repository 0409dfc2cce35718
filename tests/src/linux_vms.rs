//! Linux on several harts, and several Linux guests on one board.

use crate::linux::{Files, LIMIT, Linux, last};
use crate::runner;
use crate::vms::{alone, beside_others, board, cost_of_idling};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::Console;
use patchvisor::qemu::Outcome;
use std::time::Duration;
use xtask::fetch::Suite;

/// Longest that a board may run in a long trial.
const LONG_LIMIT: Duration = Duration::from_secs(900);
/// Memory of each guest where there are four.
const SMALL: u64 = 256 << 20;
/// As long as page tables are edited, in seconds.
const EDITING: u64 = 20;
const LONG_EDITING: u64 = 240;
/// How often a CPU goes and comes back.
const HOTPLUGS: usize = 20;
/// The most that four idle guests may cost, in percent of a core of this machine.
const IDLE_PERCENT: f64 = 15.0;

/// What each of several guests does.
const WORK: &str = "
echo cpus $(grep -c ^processor /proc/cpuinfo)
for i in 1 2 3; do ls /sys/kernel > /dev/null & (true | cat); wait; done
md5sum /bin/busybox > /tmp/one & md5sum /bin/busybox > /tmp/two & wait
cmp /tmp/one /tmp/two && echo the same";

/// One trial for each statement.
pub fn trials() -> Vec<Trial> {
    vec![
        runner::trial("linux_vms::two_guests_of_two_vcpus_reach_power_off", || {
            beside_others(|| side_by_side(2, 2, 2, LIMIT))
        }),
        runner::trial("linux_vms::a_cpu_goes_and_comes_back_under_load", || {
            beside_others(hotplug)
        }),
        runner::trial(
            "linux_vms::page_tables_edited_by_all_harts_keep_the_data",
            || beside_others(|| edited_tables(2, 2, EDITING, LIMIT)),
        ),
        runner::long(
            "linux_vms::page_tables_edited_by_all_harts_keep_the_data::long",
            || beside_others(|| edited_tables(4, 2, LONG_EDITING, LONG_LIMIT)),
        ),
        runner::long(
            "linux_vms::page_tables_edited_on_one_host_hart_keep_the_data::long",
            || beside_others(|| edited_tables(4, 1, LONG_EDITING, LONG_LIMIT)),
        ),
        runner::long(
            "linux_vms::four_guests_reach_power_off_on_4_host_harts::long",
            || beside_others(|| side_by_side(4, 2, 4, LONG_LIMIT)),
        ),
        runner::long(
            "linux_vms::four_guests_reach_power_off_on_1_host_hart::long",
            || beside_others(|| side_by_side(4, 2, 1, LONG_LIMIT)),
        ),
        runner::long(
            "linux_vms::four_idle_guests_cost_nearly_nothing::long",
            || alone(idle),
        ),
    ]
}

/// What a guest's script printed.
fn script(outcome: &Outcome, name: &str) -> Result<String> {
    let lines = outcome.lines_of(name).iter().map(|line| line.text.as_str());
    let all: Vec<_> = lines.collect();
    // The kernel's last words may stand behind the script's.
    let place = |text: &str| {
        all.iter()
            .position(|line| line.starts_with(text))
            .with_context(|| format!("{name} printed no {text:?}; {}", last(outcome)))
    };
    let (begin, end) = (place("TEST:begin")?, place("TEST:end")?);
    Ok(all[begin + 1..end].join("\n"))
}

/// Several guests at once, each to its power-off.
fn side_by_side(count: usize, vcpus: u32, host_harts: u32, limit: Duration) -> Result<()> {
    let linux = Linux::script(Suite::Trixie, WORK, Files::None)?;
    let mut guest = linux.guest.clone();
    guest.vm.vcpus = vcpus;
    guest.vm.name = "debian".into();
    if count > 2 {
        guest.vm.memory = SMALL;
    }
    let guests = guest.copies(count);
    let (machine, _bundle) = board(&guests, Console::Prefixed, host_harts)?;
    let outcome = machine.spawn()?.wait(limit)?;
    for guest in &guests {
        let said = script(&outcome, &guest.vm.name)?;
        let expected = format!("cpus {vcpus}\nthe same");
        ensure!(said == expected, "{} said {said:?}", guest.vm.name);
    }
    ensure!(outcome.success(), "no success; {}", last(&outcome));
    println!(
        "{count} guests of {vcpus} vCPUs on {host_harts} host harts: {:.1} s",
        outcome.elapsed.as_secs_f64()
    );
    Ok(())
}

fn hotplug() -> Result<()> {
    let commands = format!(
        "probe tables 4 3600 & load=$!
online=/sys/devices/system/cpu/cpu1/online
times=0
while [ $times -lt {HOTPLUGS} ]; do
    echo 0 > $online && [ $(cat $online) = 0 ] && echo 1 > $online && [ $(cat $online) = 1 ] || break
    times=$((times + 1))
done
echo $times times
kill -0 $load && kill $load && echo loaded
taskset 2 true && echo it runs
dmesg | grep -i -E 'stall|BUG|WARNING|lockup'"
    );
    let mut linux = Linux::script(Suite::Trixie, &commands, Files::None)?;
    linux.guest.vm.vcpus = 2;
    let output = linux.run(|machine| machine.harts(2))?;
    let expected = format!("{HOTPLUGS} times\nloaded\nit runs\n");
    ensure!(
        output.text == expected,
        "the script printed\n{}",
        output.text
    );
    println!(
        "{HOTPLUGS} times within {:.1} s",
        output.outcome.elapsed.as_secs_f64()
    );
    Ok(())
}

fn edited_tables(vcpus: u32, host_harts: u32, seconds: u64, limit: Duration) -> Result<()> {
    let threads = 2 * vcpus;
    let command = format!("probe tables {threads} {seconds}");
    let linux = Linux::script(Suite::Trixie, &command, Files::None)?;
    let mut guest = linux.guest.clone();
    guest.vm.vcpus = vcpus;
    guest.vm.name = "debian".into();
    let (machine, _bundle) = board(&[guest], Console::Prefixed, host_harts)?;
    let outcome = machine.spawn()?.wait(limit)?;
    let said = script(&outcome, "debian")?;
    println!("{said}");
    ensure!(said.starts_with("tables: 0 wrong; "), "{said}");
    ensure!(outcome.success(), "no success; {}", last(&outcome));
    Ok(())
}

fn idle() -> Result<()> {
    let linux = Linux::script(Suite::Trixie, "sleep 3600", Files::None)?;
    let mut guest = linux.guest.clone();
    guest.vm.memory = SMALL;
    guest.vm.name = "debian".into();
    let guests = guest.copies(4);
    let (machine, _bundle) = board(&guests, Console::Prefixed, 4)?;
    let mut run = machine.spawn()?;
    for guest in &guests {
        run.expect_from(&guest.vm.name, "TEST:begin", LIMIT)?;
    }
    // What a kernel still has to do after its boot is not what is measured.
    std::thread::sleep(Duration::from_secs(15));
    let percent = cost_of_idling(&run, IDLE_PERCENT)?;
    println!("four idle guests cost {percent:.1} % of a core");
    ensure!(percent < IDLE_PERCENT, "idling costs {percent} % of a core");
    Ok(())
}
