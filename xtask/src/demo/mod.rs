//! `cargo xtask demo`: an unmodified Debian kernel, natively and under the monitor, and a table.

mod debian;
pub mod levels;
mod report;
pub(crate) mod table;

use crate::fetch::{self, Suite};
use crate::initramfs::Initramfs;
use crate::progress::{say, seconds};
use crate::{build, setup};
use anyhow::{Context, Result, bail};
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::{self, Machine, Outcome};
use patchvisor::{Console, Mode, size};
use report::{Report, Run};
use std::path::PathBuf;
use std::time::Duration;

/// Printed by the guest when its first process runs.
const BOOTED: &str = "PV:boot";
/// Printed by the guest when its work is done.
const WORKED: &str = "PV:work-done";
/// One way to run the guest.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Way {
    /// Without the monitor.
    Native,
    /// Every privileged instruction traps and is emulated.
    Trap,
    /// Break patches that save a full trap frame all the same.
    BreakFrame,
    /// Break patches.
    Break,
}

impl Way {
    const ALL: [Self; 4] = [Self::Native, Self::Trap, Self::BreakFrame, Self::Break];

    /// How the monitor serves privileged instructions; `None` without it.
    fn mode(self) -> Option<Mode> {
        match self {
            Self::Native => None,
            Self::Trap => Some(Mode::Trap),
            Self::BreakFrame => Some(Mode::BreakFrame),
            Self::Break => Some(Mode::Break),
        }
    }

    fn name(self) -> &'static str {
        self.mode().map_or("native", Mode::name)
    }
}

/// Options of the demonstration.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Give a shell in the guest instead of measuring; Ctrl-A x leaves
    #[arg(long, conflicts_with = "json")]
    interactive: bool,
    /// Boot a whole Debian from its disk to its prompt for a login, natively and with break patches; it
    /// has 1 GiB of memory
    #[arg(long, conflicts_with_all = ["interactive", "kernel", "initrd", "vms", "harts", "bios", "memory"])]
    debian: bool,
    /// What root does there, in the shell, instead of telling about the system
    #[arg(long, value_name = "COMMAND", requires = "debian")]
    command: Option<String>,
    /// Run it under so many monitors, each but the lowest a guest of the next, after a native run and one under
    /// one monitor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4),
          conflicts_with_all = ["interactive", "debian", "vms", "mode", "bios"])]
    levels: Option<u32>,
    /// The guest's kernel: a file, or debian:trixie or debian:sid
    #[arg(long, value_name = "FILE", default_value = "debian:trixie")]
    kernel: String,
    /// The guest's initrd, instead of one with busybox and the demonstration's script
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// More words for the kernel's command line
    #[arg(
        long,
        value_name = "WORDS",
        default_value = "",
        allow_hyphen_values = true
    )]
    append: String,
    /// The guest's memory
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = size::parse)]
    memory: u64,
    /// The host's processor, as QEMU's -cpu takes it
    #[arg(long, default_value = qemu::DEFAULT_CPU)]
    cpu: String,
    /// How many guests run at once under the monitor; natively it is always one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    vms: u32,
    /// How many virtual harts each guest has, and how many harts it has natively
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    vcpus: u32,
    /// How many harts the monitor's host has [default: one for each virtual hart, but at most 4]
    #[arg(long, value_name = "N")]
    harts: Option<u32>,
    /// The host's firmware: a file, or debian:bookworm, -backports, :trixie or :sid for OpenSBI 1.1,
    /// 1.5, 1.6 or 1.9; else QEMU's own
    #[arg(long, value_name = "FILE")]
    bios: Option<String>,
    /// Run in this way only (and natively, to compare), instead of all four
    #[arg(long)]
    mode: Option<Way>,
    /// Print the table for machines, alone on standard output
    #[arg(long)]
    json: bool,
    /// How long each run may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo
  cargo xtask demo --interactive
  cargo xtask demo --debian --command 'systemd-analyze blame | head'
  cargo xtask demo --json | jq '.runs[] | {mode, boot_s, work_s, patched_share}'
  cargo xtask demo --vms 2 --vcpus 2 --mode break
  cargo xtask demo --levels 2 --timeout 1800
  cargo xtask demo --cpu thead-c906 --append no4lvl
  cargo xtask demo --kernel debian:sid --bios debian:sid --mode break";

/// Runs the demonstration.
///
/// # Errors
/// When something cannot be had or built, or a run does not reach power-off.
pub fn demo(options: &Options) -> Result<()> {
    setup::ensure()?;
    if options.debian {
        return debian::demo(options);
    }
    if let Some(levels) = options.levels {
        return levels::demo(options, levels);
    }
    let ways = options.ways();
    let monitor = match ways.iter().any(|way| way.mode().is_some()) {
        true => build::monitor()?,
        false => PathBuf::new(),
    };
    let directory = tempfile::tempdir()?;
    let guest = prepare(options, &directory.path().join("initrd.img"))?;
    let bios = options.bios.as_deref().map(firmware).transpose()?;
    let bundle = directory.path().join("bundle");
    let machine = |way: Way| -> Result<Machine> {
        let machine = match way.mode() {
            None => guest.native(),
            Some(mode) => {
                let mut guests = options.guests(&guest);
                for guest in &mut guests {
                    guest.vm.mode = mode;
                }
                let bytes = guest::pack(&guests, options.console())?;
                std::fs::write(&bundle, bytes).context("writing the bundle")?;
                guest::machine(&monitor, &bundle)?.harts(options.host_harts())
            }
        };
        let machine = machine.cpu(&options.cpu);
        Ok(match &bios {
            Some(bios) => machine.bios(bios),
            None => machine,
        })
    };
    if options.interactive {
        return interactive(&machine(ways[0])?);
    }

    let limit = Duration::from_secs(options.timeout);
    let mut report = Report::new(&guest.vm.name, &options.cpu, options.host_harts());
    for way in ways {
        let guests = match way {
            Way::Native => vec![guest.clone()],
            _ => options.guests(&guest),
        };
        let outcome = run(way.name(), &machine(way)?, limit)?;
        for guest in &guests {
            let run = Run::new(way.name(), &guest.vm, &outcome)?;
            if options.initrd.is_none() && run.work_s.is_none() {
                bail!(
                    "{}: the guest {} powered off before its work was done; its console is above",
                    way.name(),
                    guest.vm.name
                );
            }
            report.add(run);
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", table::render(&report));
    }
    Ok(())
}

impl Options {
    /// The ways to run, in order; one if interactive.
    fn ways(&self) -> Vec<Way> {
        match (self.interactive, self.mode) {
            (true, way) => vec![way.unwrap_or(Way::Break)],
            (false, None) => Way::ALL.to_vec(),
            (false, Some(Way::Native)) => vec![Way::Native],
            (false, Some(way)) => vec![Way::Native, way],
        }
    }

    /// The ways to run a whole Debian, in order: the slow ones only if they are asked for.
    fn ways_of_debian(&self) -> Vec<Way> {
        match self.mode {
            None => vec![Way::Native, Way::Break],
            Some(_) => self.ways(),
        }
    }

    /// The guests that run under the monitor at once.
    fn guests(&self, guest: &Guest) -> Vec<Guest> {
        guest.clone().copies(self.vms as usize)
    }

    /// How guests share the console: a person has one at a time, measuring reads all.
    fn console(&self) -> Console {
        match self.vms > 1 && !self.interactive {
            true => Console::Prefixed,
            false => Console::Switched,
        }
    }

    /// How many harts the monitor's host has.
    fn host_harts(&self) -> u32 {
        /// More would be slower than fewer where the machine has no more of its own.
        const MOST: u32 = 4;
        self.harts.unwrap_or((self.vms * self.vcpus).min(MOST))
    }
}

/// The guest: a kernel, and an initramfs with busybox unless there is another.
fn prepare(options: &Options, initrd: &std::path::Path) -> Result<Guest> {
    let debian = |suite| -> Result<Guest> {
        let kernel = fetch::kernel(suite)?;
        let mut guest = Guest::new(kernel.image);
        guest.vm.name = format!("linux-{}", kernel.release);
        Ok(guest)
    };
    let mut guest = match options.kernel.as_str() {
        "debian:trixie" => debian(Suite::Trixie)?,
        "debian:sid" => debian(Suite::Sid)?,
        file => Guest::new(file),
    };
    guest.vm.statistics = true;
    guest.initrd = match &options.initrd {
        Some(file) => Some(file.clone()),
        None => {
            let script = if options.interactive {
                include_str!("shell.sh")
            } else {
                include_str!("init.sh")
            };
            let archive = Initramfs::with_busybox(&fetch::busybox()?, script)?;
            std::fs::write(initrd, archive.finish()).context("writing the initramfs")?;
            Some(initrd.to_owned())
        }
    };
    guest.vm.memory = options.memory;
    guest.vm.vcpus = options.vcpus;
    guest.vm.append = format!("earlycon=sbi console=ttyS0 {}", options.append)
        .trim_end()
        .to_owned();
    Ok(guest)
}

/// The firmware's file.
fn firmware(name: &str) -> Result<PathBuf> {
    match name {
        "debian:bookworm" => fetch::opensbi(Suite::Bookworm),
        "debian:bookworm-backports" => fetch::opensbi(Suite::BookwormBackports),
        "debian:trixie" => fetch::opensbi(Suite::Trixie),
        "debian:sid" => fetch::opensbi(Suite::Sid),
        file => Ok(PathBuf::from(file)),
    }
}

fn interactive(machine: &Machine) -> Result<()> {
    say("Starting the guest. Ctrl-A x leaves (Ctrl-A Ctrl-A sends one Ctrl-A).");
    let outcome = machine
        .spawn_interactive(qemu::Show::StandardOutput)?
        .wait(Duration::MAX)?;
    check("the guest", &outcome)
}

/// One run from start to power-off, its console shown live.
fn run(name: &str, machine: &Machine, limit: Duration) -> Result<Outcome> {
    say(&format!("\n--- {name}: the guest's console follows"));
    let outcome = machine.clone().live(true).spawn()?.wait(limit)?;
    check(name, &outcome)?;
    say(&format!(
        "--- {name}: powered off after {}",
        seconds(outcome.elapsed)
    ));
    Ok(outcome)
}

/// Fails unless the machine powered off by itself with no error.
fn check(name: &str, outcome: &Outcome) -> Result<()> {
    if let Some(error) = outcome.monitor_error() {
        bail!("{name}: the monitor stopped: {error}");
    }
    match outcome.status {
        None => bail!(
            "{name}: not powered off after {}; --timeout gives it longer",
            seconds(outcome.elapsed)
        ),
        Some(status) if !status.success() => bail!(
            "{name}: QEMU ended with {status} {}",
            outcome.complaints.trim()
        ),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(line: &str) -> Options {
        let words = line.split_whitespace();
        Line::parse_from(std::iter::once("demo").chain(words)).options
    }

    #[test]
    fn the_host_has_a_hart_for_each_vcpu_up_to_four() {
        assert_eq!(options("").host_harts(), 1);
        assert_eq!(options("--vcpus 2").host_harts(), 2);
        assert_eq!(options("--vms 2 --vcpus 4").host_harts(), 4);
        assert_eq!(options("--vms 2 --vcpus 4 --harts 8").host_harts(), 8);
    }

    #[test]
    fn only_measuring_several_guests_needs_a_prefixed_console() {
        assert_eq!(options("--vcpus 2").console(), Console::Switched);
        assert_eq!(options("--vms 2").console(), Console::Prefixed);
        let interactive = options("--vms 2 --interactive");
        assert_eq!(interactive.console(), Console::Switched);
    }

    #[test]
    fn one_guest_keeps_its_name_and_several_are_numbered() {
        let guest = Guest::new("linux");
        let names = |line| {
            let guests = options(line).guests(&guest).into_iter();
            guests.map(|guest| guest.vm.name).collect::<Vec<_>>()
        };
        assert_eq!(names(""), ["linux"]);
        assert_eq!(names("--vms 2"), ["linux-1", "linux-2"]);
    }
}
