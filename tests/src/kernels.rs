//! Real kernels: Debian's and its U-Boot, on the hosts that there are, by way of each firmware.

use crate::linux::{Files, LIMIT, Linux, Output, last};
use crate::{artefacts, runner, transcript};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::{DEFAULT_CPU, Machine};
use patchvisor::{Mode, Sum, Vm};
use xtask::fetch::{self, Suite};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What `linux/whole.sh` loads.
const MODULES: &[&str] = &[
    "lib/test_static_key_base",
    "lib/test_static_keys",
    "lib/ts_bm",
    "lib/libcrc32c",
    "drivers/block/loop",
    "crypto/md4",
    "fs/minix/minix",
];

/// What a short run does: processes, the checks of registers and faults, and what mode it runs in.
const SHORT: &str = "
probe misaligned
probe faults
probe float
probe vector
for i in 1 2 3 4 5; do (true | cat); done
grep -m1 mmu /proc/cpuinfo
";

/// A machine that boots a kernel to its power-off, and what is special about it.
struct Boot {
    name: &'static str,
    suite: Suite,
    cpu: &'static str,
    harts: u32,
    /// `None` for QEMU's own.
    firmware: Option<Suite>,
    append: &'static str,
    vm: fn(&mut Vm),
    /// What the script must print.
    says: &'static [&'static str],
}

const USUAL: Boot = Boot {
    name: "",
    suite: Suite::Trixie,
    cpu: DEFAULT_CPU,
    harts: 1,
    firmware: None,
    append: "",
    vm: |_| {},
    says: &["sv57"],
};

const BOOTS: &[Boot] = &[
    Boot {
        name: "sid",
        suite: Suite::Sid,
        ..USUAL
    },
    Boot {
        name: "cpu_sifive_u54",
        cpu: "sifive-u54",
        says: &["sv39", "vector: none"],
        ..USUAL
    },
    Boot {
        name: "cpu_thead_c906",
        cpu: "thead-c906",
        says: &["sv39"],
        ..USUAL
    },
    Boot {
        name: "cpu_rva22s64",
        cpu: "rva22s64,h=false",
        says: &[],
        ..USUAL
    },
    Boot {
        name: "cpu_max_with_vectors",
        cpu: "max,h=false",
        says: &["vector: 4 processes, 0 of them"],
        ..USUAL
    },
    Boot {
        name: "cpu_rv64_with_hypervisor_unused",
        cpu: "rv64",
        ..USUAL
    },
    Boot {
        name: "on_4_harts_with_3_parked",
        harts: 4,
        ..USUAL
    },
    Boot {
        name: "opensbi_of_bookworm",
        firmware: Some(Suite::Bookworm),
        ..USUAL
    },
    Boot {
        name: "opensbi_of_bookworm_backports",
        firmware: Some(Suite::BookwormBackports),
        ..USUAL
    },
    Boot {
        name: "opensbi_of_trixie",
        firmware: Some(Suite::Trixie),
        ..USUAL
    },
    Boot {
        name: "opensbi_of_sid",
        firmware: Some(Suite::Sid),
        ..USUAL
    },
    Boot {
        name: "sv48",
        append: "no5lvl",
        says: &["sv48"],
        ..USUAL
    },
    Boot {
        name: "sv39",
        append: "no4lvl",
        says: &["sv39"],
        ..USUAL
    },
    Boot {
        name: "memory_of_256_mib",
        vm: |vm| vm.memory = 256 * MIB,
        ..USUAL
    },
    Boot {
        name: "memory_of_4_gib",
        vm: |vm| vm.memory = 4 * GIB,
        ..USUAL
    },
    Boot {
        name: "shadow_pool_of_1_mib",
        vm: |vm| vm.shadow_pool = MIB,
        ..USUAL
    },
    Boot {
        name: "mode_trap",
        vm: |vm| vm.mode = Mode::Trap,
        ..USUAL
    },
    Boot {
        name: "mode_break_frame",
        vm: |vm| vm.mode = Mode::BreakFrame,
        ..USUAL
    },
    Boot {
        name: "strict_sum",
        vm: |vm| vm.sum = Sum::Strict,
        ..USUAL
    },
];

/// All trials.
pub fn trials() -> Vec<Trial> {
    let boots = BOOTS
        .iter()
        .map(|boot| runner::trial(format!("kernels::boots::{}", boot.name), || boots(boot)));
    let others = [
        runner::trial(
            "kernels::text_that_the_kernel_changes_is_as_natively",
            changes_its_text,
        ),
        runner::trial("kernels::a_bug_is_reported_as_natively", reports_a_bug),
        runner::trial("kernels::a_shell_is_typed_to", typed_to),
        runner::trial(
            "kernels::early_messages_come_through_the_sbi",
            early_messages,
        ),
        runner::trial("kernels::a_reboot_starts_again", reboots),
        runner::trial("kernels::u_boot_comes_to_its_prompt", u_boot),
    ];
    boots.chain(others).collect()
}

fn boots(boot: &Boot) -> Result<()> {
    let mut linux = Linux::script(boot.suite, SHORT, Files::None)?.append(boot.append);
    (boot.vm)(&mut linux.guest.vm);
    let firmware = boot.firmware.map(fetch::opensbi).transpose()?;
    let adjust = |machine: Machine| {
        let machine = machine.cpu(boot.cpu).harts(boot.harts);
        match &firmware {
            Some(firmware) => machine.bios(firmware),
            None => machine,
        }
    };
    let output = linux.run(adjust)?;
    for text in boot
        .says
        .iter()
        .chain(&["float: 4 processes, 0 of them", "misaligned: 0 wrong"])
    {
        output.must_say(text)?;
    }
    if linux.guest.vm.mode == Mode::Break && linux.guest.vm.sum == Sum::Relaxed {
        mostly_patched(&output)?;
    }
    Ok(())
}

/// Whether patches served nearly all privileged instructions.
fn mostly_patched(output: &Output) -> Result<()> {
    let stats = output.outcome.stats()?;
    let share = stats.patched_share();
    ensure!(
        share > 0.97,
        "only {share:.4} of the privileged instructions by patches"
    );
    Ok(())
}

/// Modules, probes, tracing and reports of bugs, natively and as a guest.
fn changes_its_text() -> Result<()> {
    let script = include_str!("../linux/whole.sh");
    let linux = Linux::script(Suite::Trixie, script, Files::Modules(MODULES))?.append("nokaslr");
    let native = linux.run_natively().context("natively")?;
    let found = linux.run(|machine| machine).context("under the monitor")?;
    for proof in ["was hit", "sites hit: some", "traced\n", "WARNING:"] {
        native.must_say(proof)?;
    }
    transcript::same(&native.text, &found.text)?;
    mostly_patched(&found)
}

/// A module whose first instruction is a BUG. The kernel panics, since its own breaks count as
/// non-maskable interrupts; it must say so in the same words.
fn reports_a_bug() -> Result<()> {
    let script = "xzcat /modules/libcrc32c.ko.xz > /tmp/good.ko
probe module /tmp/good.ko /tmp/broken.ko
insmod /tmp/broken.ko";
    let linux = Linux::script(Suite::Trixie, script, Files::Modules(MODULES))?;
    let linux = linux.append("nokaslr panic=0");
    let report = |machine: Machine| -> Result<String> {
        let mut run = machine.spawn()?;
        run.expect("kernel BUG at ", LIMIT)?;
        run.expect("---[ end Kernel panic", LIMIT)?;
        let text = run.text();
        let (_, report) = text.split_once("kernel BUG at ").unwrap_or_default();
        // Registers and stack are the run's own.
        let lines = report
            .lines()
            .filter_map(|line| line.split_once("[<")?.1.split_once("] "));
        let trace: Vec<_> = lines.map(|(_, place)| place.trim_end()).collect();
        ensure!(trace.len() > 3, "no trace in {report}");
        Ok(trace.join("\n"))
    };
    let native = linux.guest.native().cpu(crate::linux::NATIVE_CPU);
    let native = report(native).context("natively")?;
    let (machine, _bundle) = linux.machine()?;
    transcript::same(&native, &report(machine).context("under the monitor")?)
}

fn typed_to() -> Result<()> {
    let (machine, _bundle) = Linux::shell(Suite::Trixie)?.machine()?;
    let mut run = machine.no_reboot().spawn()?;
    run.expect("# ", LIMIT)?;
    run.send("echo $((6 * 7))-fold\n")?;
    run.expect("42-fold\r\n", LIMIT)?;
    run.expect("# ", LIMIT)?;
    // The shell edits its lines itself: the kernel's keys count from the command on.
    run.send("echo $((6 * 9))-fold; cat\n")?;
    // What is typed sooner is echoed in the midst of the line.
    run.expect("54-fold\r\n", LIMIT)?;
    run.send("a line\u{4}")?;
    run.expect("a linea line", LIMIT)?;
    run.send("\u{3}")?;
    run.expect("# ", LIMIT)?;
    run.send("grep -o ttyS0 /proc/interrupts | tr a-z A-Z\n")?;
    run.expect("TTYS0", LIMIT)?;
    run.send("poweroff -f\n")?;
    let outcome = run.wait(LIMIT)?;
    ensure!(outcome.success(), "no power-off; {}", last(&outcome));
    Ok(())
}

fn early_messages() -> Result<()> {
    let mut linux = Linux::script(Suite::Trixie, "true", Files::None)?;
    // Parameters count in their order: what comes before `loglevel` is not printed.
    linux.guest.vm.append = "loglevel=7 earlycon=sbi console=ttyS0 panic=1".into();
    let output = linux.run(|machine| machine)?;
    let text = output.outcome.text();
    for message in [
        "earlycon: sbi0 at",
        "Linux version",
        "printk: legacy console [ttyS0] enabled",
    ] {
        ensure!(
            text.contains(message),
            "no {message:?}; {}",
            last(&output.outcome)
        );
    }
    Ok(())
}

fn reboots() -> Result<()> {
    let (machine, _bundle) = Linux::shell(Suite::Trixie)?.machine()?;
    let mut run = machine.spawn()?;
    for _ in 0..2 {
        run.expect("# ", LIMIT)?;
        run.send("reboot -f\n")?;
        run.expect("the guest resets; it starts again", LIMIT)?;
    }
    run.expect("# ", LIMIT)?;
    run.send("poweroff -f\n")?;
    let outcome = run.wait(LIMIT)?;
    ensure!(outcome.success(), "no power-off; {}", last(&outcome));
    Ok(())
}

fn u_boot() -> Result<()> {
    let mut guest = Guest::new(fetch::u_boot()?);
    guest.vm.memory = 256 * MIB;
    let bundle = guest.write_bundle()?;
    let machine = guest::machine(&artefacts::monitor()?, bundle.path())?;
    let mut run = machine.no_reboot().spawn()?;
    run.expect("Hit any key to stop autoboot", LIMIT)?;
    run.send(" ")?;
    run.expect("=> ", LIMIT)?;
    run.send("sbi\n")?;
    run.expect("Extensions:", LIMIT)?;
    run.expect("=> ", LIMIT)?;
    run.send("bdinfo\n")?;
    run.expect("80000000", LIMIT)?;
    run.expect("=> ", LIMIT)?;
    run.send("poweroff\n")?;
    let outcome = run.wait(LIMIT)?;
    ensure!(outcome.success(), "no power-off; {}", last(&outcome));
    Ok(())
}
