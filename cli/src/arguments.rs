//! The command line.

use crate::devices::{DiskTable, NetTable};
use bundle::{Console, Mode, Sum};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use patchvisor::size;
use std::path::PathBuf;

/// Runs unmodified operating systems on RISC-V processors without the hypervisor extension.
#[derive(Debug, Parser)]
#[command(name = "patchvisor", version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a guest under the monitor on QEMU; Ctrl-A x leaves, Ctrl-T b is a BREAK, Ctrl-T ? lists the keys
    Run(Box<RunArguments>),
    /// Write a bundle, which firmware loads with the monitor as its initrd
    Pack(Box<PackArguments>),
    /// Say what is in a bundle, or which privileged instructions a kernel has
    Inspect(InspectArguments),
    /// Say what this machine lacks to run guests, and what mends it
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the completions of a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// Where to
        directory: PathBuf,
    },
}

const INSPECT_EXAMPLES: &str = "\
Examples:
  patchvisor inspect vmlinux
  patchvisor inspect board.bundle --json

An ELF file and an Image with an EFI stub mark their code; any other Image is scanned as a whole, \
which may count data. An instruction that straddles two pages is never patched, and one that has no \
template neither: each traps and is emulated.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  patchvisor doctor
  patchvisor doctor --json

It ends with 1 when something is missing that running guests needs.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  patchvisor completions bash > ~/.local/share/bash-completion/completions/patchvisor";

const MAN_EXAMPLES: &str = "\
Examples:
  patchvisor man ~/.local/share/man/man1";

const RUN_EXAMPLES: &str = "\
Examples:
  patchvisor run --kernel vmlinux --initrd initrd.img --append 'console=ttyS0'
  patchvisor run --kernel vmlinux --memory 256M --cpu thead-c906 --append no4lvl --mode trap
  patchvisor run --kernel vmlinux --initrd initrd.img --vms 2 --vcpus 2 --harts 2 --log-dir logs
  patchvisor run --kernel vmlinux --initrd initrd.img --append 'console=ttyS0 root=/dev/vda' --disk root.img \
    --net user,hostfwd=tcp::2222-:22
  patchvisor run --config vm.toml --json
  patchvisor run -M sifive_u --kernel vmlinux --initrd initrd.img --vcpus 4

A file for --config:
  cpu = \"rv64,h=false\"
  [[vm]]
  kernel = \"vmlinux\"            # relative to the file
  initrd = \"initrd.img\"
  append = \"console=ttyS0\"
  memory = \"1G\"
  mode = \"break\"
  [[vm.disk]]
  file = \"root.img\"             # or bundle = \"root.img\", or device = 0
  [[vm.net]]
  uplink = true
  hostfwd = [\"tcp::2222-:22\"]

Two VMs on two host harts, with two vCPUs each; the second gets a third of the time when both are \
busy, never more than half a hart, and each of its vCPUs has a hart of its own:
  patchvisor run --config two.toml --log-dir logs

  harts = 2
  console = \"prefixed\"         # lines begin with the name of their VM
  [[vm]]
  name = \"web\"
  kernel = \"vmlinux\"
  initrd = \"web.img\"
  append = \"console=ttyS0\"
  vcpus = 2
  weight = 200
  [[vm]]
  name = \"batch\"
  kernel = \"vmlinux\"
  initrd = \"batch.img\"
  append = \"console=ttyS0\"
  memory = \"512M\"
  vcpus = 2
  weight = 100
  cap = 50
  pin = [0, 1]

It ends with the status of the guest: 0 when it powers off, the code of a failure that it reports, \
1 when the monitor stops with an error, 124 after --timeout, 128 and the number of a signal that ended it. With several VMs it is a failure if any \
of them fails.";

const PACK_EXAMPLES: &str = "\
Examples:
  patchvisor pack --kernel vmlinux --initrd initrd.img --append 'console=ttyS0' -o debian.bundle
  patchvisor pack --kernel vmlinux --append 'root=/dev/vda' --disk device:0/3 --net uplink -o board.bundle
  patchvisor pack --config vm.toml -o board.bundle";

#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArguments {
    #[command(flatten)]
    pub guest: GuestArguments,
    #[command(flatten)]
    pub host: HostArguments,
    /// Print the statistics as JSON, one line for each VM, alone on standard output; the console goes
    /// to standard error. It turns --statistics on
    #[arg(long)]
    pub json: bool,
    /// Also write what each VM prints to DIR/<name>.log, and the rest to DIR/monitor.log; the console
    /// is then prefixed
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// End the run after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = PACK_EXAMPLES)]
pub struct PackArguments {
    #[command(flatten)]
    pub guest: GuestArguments,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Say what was written as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = INSPECT_EXAMPLES)]
pub struct InspectArguments {
    /// A bundle or a kernel
    pub file: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// [`bundle::description::MOST_VMS`], as a range of numbers takes it.
const MOST_VMS: i64 = bundle::description::MOST_VMS as i64;

/// What the guests are. Each flag goes before the configuration file.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Guest")]
pub struct GuestArguments {
    /// Read what flags do not say from a TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The kernel: a Linux Image or an ELF executable, plain, compressed or EFI zboot
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    pub kernel: Option<PathBuf>,
    /// The initrd
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// The kernel's command line
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub append: Option<String>,
    /// Memory [default: 1G]
    #[arg(short, long, value_name = "SIZE", value_parser = size::parse, visible_alias = "mem")]
    pub memory: Option<u64>,
    /// How many virtual harts; give the host as many with --harts [default: 1]
    #[arg(long, value_name = "N", visible_aliases = ["smp", "cpus"])]
    pub vcpus: Option<u32>,
    /// Share of the host's time relative to other VMs, from 1 to 10000 [default: 100]
    #[arg(long, value_name = "N")]
    pub weight: Option<u32>,
    /// Most of the host's time, in percent of one host hart [default: no limit]
    #[arg(long, value_name = "PERCENT")]
    pub cap: Option<u32>,
    /// The host harts that vCPUs run on, the first vCPU's first, then again from the start
    /// [default: anywhere]
    #[arg(long, value_name = "HART,...", value_delimiter = ',')]
    pub pin: Option<Vec<u32>>,
    /// A device-tree overlay
    #[arg(long, value_name = "FILE")]
    pub overlay: Option<PathBuf>,
    /// The name in messages and statistics [default: that of the kernel's file]
    #[arg(long)]
    pub name: Option<String>,
    /// How privileged instructions are served [default: break]
    #[arg(long)]
    pub mode: Option<ModeArgument>,
    /// Whether sstatus.SUM is enforced [default: relaxed]
    #[arg(long)]
    pub sum: Option<SumArgument>,
    /// Memory for shadow page tables [default: 16M]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub shadow_pool: Option<u64>,
    /// Memory for routines [default: 1M]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub routine_cache: Option<u64>,
    /// Values of the emulation map in use [default: 65536]
    #[arg(long, value_name = "N")]
    pub values: Option<u32>,
    /// First address of the monitor's window, an entry of the root in the upper half of the processor's widest
    /// paging mode [default: the first, or behind the window of a Patchvisor below]
    #[arg(long, value_name = "ADDRESS", value_parser = size::address)]
    pub window: Option<u64>,
    /// A disk: an image file, which is raw unless ,format=qcow2 is added; bundle:FILE for an image that is
    /// packed, whose changes stay in memory; device:N[/PARTITION] for a disk that the host has. Options:
    /// ,readonly ,serial=TEXT ,partition=N ,format=raw for an image that only looks like another kind,
    /// ,backing=allow for a qcow2 image that names other files and, for bundle:FILE, ,changes=SIZE
    /// [default: 64M]. May be given several times
    #[arg(long, value_name = "FILE[,...]", visible_alias = "drive")]
    pub disk: Vec<DiskTable>,
    /// A network interface: on the switch that the VMs share, or with `user` (or `uplink`) on that and
    /// the host's network. Options: ,mac=ADDRESS ,hostfwd=RULE. May be given several times
    #[arg(long, value_name = "switch|user[,...]", num_args = 0..=1, default_missing_value = "switch")]
    pub net: Vec<NetTable>,
    /// A virtio console beside the UART
    #[arg(long)]
    pub virtio_console: bool,
    /// A port of the virtio console; those of one name connect two VMs. May be given several times
    #[arg(long, value_name = "NAME")]
    pub port: Vec<String>,
    /// An entropy device [default: with a disk or a network interface]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub rng: Option<bool>,
    /// Count what patches serve, and print a line of statistics at power-off; each patch takes 3 instructions
    /// more for it [default: only with `run --json`]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub statistics: Option<bool>,
    /// So many VMs like this one, called NAME-1 and so on [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_VMS))]
    pub vms: Option<u32>,
    /// How VMs share the console [default: switched]
    #[arg(long)]
    pub console: Option<ConsoleArgument>,
    /// The monitor's image [default: ../lib/patchvisor/patchvisor.bin, from where this program is]
    #[arg(long, value_name = "FILE", env = "PATCHVISOR_MONITOR")]
    pub monitor: Option<PathBuf>,
}

/// What the host is.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Host")]
pub struct HostArguments {
    /// The board, as QEMU's -M takes it: one that QEMU makes a device tree for, or with --dtb [default: virt]
    #[arg(short = 'M', long, value_name = "NAME")]
    pub machine: Option<String>,
    /// The board's device tree, where QEMU makes none
    #[arg(long, value_name = "FILE")]
    pub dtb: Option<PathBuf>,
    /// The processor, as QEMU's -cpu takes it [default: rv64,h=false]
    #[arg(long)]
    pub cpu: Option<String>,
    /// The firmware [default: QEMU's own]
    #[arg(long, value_name = "FILE")]
    pub bios: Option<PathBuf>,
    /// How many harts; several VMs or vCPUs run at the same time only on several harts [default: 1]
    #[arg(long, value_name = "N")]
    pub harts: Option<u32>,
    /// Memory [default: what the guests and the monitor need]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub host_memory: Option<u64>,
    /// What an uplink reaches, as QEMU's -netdev takes it, or `none` [default: user]
    #[arg(long, value_name = "BACKEND")]
    pub uplink: Option<String>,
    /// One more argument for QEMU; may be given several times
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub qemu_arg: Vec<String>,
}

/// [`Mode`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ModeArgument {
    /// Every privileged instruction traps and is emulated
    Trap,
    /// Break patches that save a full trap frame all the same
    BreakFrame,
    /// Break patches
    Break,
}

/// [`Sum`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SumArgument {
    /// The guest's supervisor mode may always reach user pages
    Relaxed,
    /// Only while SUM is set
    Strict,
}

/// [`Console`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ConsoleArgument {
    /// It belongs to one VM at a time
    Switched,
    /// All print on it, each line with the name of its VM before it
    Prefixed,
}

impl From<ConsoleArgument> for Console {
    fn from(argument: ConsoleArgument) -> Self {
        match argument {
            ConsoleArgument::Switched => Self::Switched,
            ConsoleArgument::Prefixed => Self::Prefixed,
        }
    }
}

impl From<ModeArgument> for Mode {
    fn from(argument: ModeArgument) -> Self {
        match argument {
            ModeArgument::Trap => Self::Trap,
            ModeArgument::BreakFrame => Self::BreakFrame,
            ModeArgument::Break => Self::Break,
        }
    }
}

impl From<SumArgument> for Sum {
    fn from(argument: SumArgument) -> Self {
        match argument {
            SumArgument::Relaxed => Self::Relaxed,
            SumArgument::Strict => Self::Strict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_run_needs_a_kernel_or_a_configuration() {
        let parse = |words: &str| Arguments::try_parse_from(words.split(' '));
        assert!(parse("patchvisor run").is_err());
        assert!(parse("patchvisor run --kernel k").is_ok());
        assert!(parse("patchvisor run --config c").is_ok());
        assert!(parse("patchvisor run --kernel k --memory lots").is_err());
    }

    #[test]
    fn vcpus_have_the_name_that_qemu_uses_too() {
        let line = "patchvisor pack -o b --kernel k --smp 4 --pin 0,1 --weight 7 --cap 150 --vms 2";
        let parsed = Arguments::try_parse_from(line.split(' ')).unwrap();
        let Command::Pack(arguments) = parsed.command else {
            panic!("another command");
        };
        let guest = arguments.guest;
        assert_eq!((guest.vcpus, guest.vms), (Some(4), Some(2)));
        assert_eq!((guest.weight, guest.cap), (Some(7), Some(150)));
        assert_eq!(guest.pin, Some(vec![0, 1]));
    }

    #[test]
    fn copies_are_from_one_to_sixteen() {
        let parse = |count: &str| {
            Arguments::try_parse_from(["patchvisor", "run", "--kernel", "k", "--vms", count])
        };
        assert!(parse("0").is_err() && parse("17").is_err());
        assert!(parse("1").is_ok() && parse("16").is_ok());
    }
}
