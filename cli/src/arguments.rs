//! The command line.

use bundle::{Mode, Sum};
use clap::{Args, Parser, Subcommand, ValueEnum};
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
    /// Run a guest under the monitor on QEMU; Ctrl-A x leaves
    Run(Box<RunArguments>),
    /// Write a bundle, which firmware loads with the monitor as its initrd
    Pack(Box<PackArguments>),
}

const RUN_EXAMPLES: &str = "\
Examples:
  patchvisor run --kernel vmlinux --initrd initrd.img --append 'console=ttyS0'
  patchvisor run --kernel vmlinux --memory 256M --cpu thead-c906 --append no4lvl --mode trap
  patchvisor run --config vm.toml --json

A file for --config:
  cpu = \"rv64,h=false\"
  [[vm]]
  kernel = \"vmlinux\"            # relative to the file
  initrd = \"initrd.img\"
  append = \"console=ttyS0\"
  memory = \"1G\"
  mode = \"break\"

It ends with the status of the guest: 0 when it powers off, the code of a failure that it reports,
1 when the monitor stops with an error, 124 after --timeout.";

const PACK_EXAMPLES: &str = "\
Examples:
  patchvisor pack --kernel vmlinux --initrd initrd.img --append 'console=ttyS0' -o debian.bundle
  patchvisor pack --config vm.toml -o board.bundle";

#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArguments {
    #[command(flatten)]
    pub guest: GuestArguments,
    #[command(flatten)]
    pub host: HostArguments,
    /// Print the statistics as JSON, alone on standard output; the console goes to standard error
    #[arg(long)]
    pub json: bool,
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
}

/// What the guest is. Each flag goes before the configuration file.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Guest")]
pub struct GuestArguments {
    /// Read what flags do not say from a TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The kernel: a Linux Image, plain, gzipped or EFI zboot, or an ELF executable
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    pub kernel: Option<PathBuf>,
    /// The initrd
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// The kernel's command line
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub append: Option<String>,
    /// Memory [default: 1G]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub memory: Option<u64>,
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
    /// First address of the monitor's window, a multiple of 1 GiB [default: chosen]
    #[arg(long, value_name = "ADDRESS", value_parser = size::address)]
    pub window: Option<u64>,
    /// The monitor's image [default: beside this program, or built in its checkout]
    #[arg(long, value_name = "FILE", env = "PATCHVISOR_MONITOR")]
    pub monitor: Option<PathBuf>,
}

/// What the host is.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Host")]
pub struct HostArguments {
    /// The processor, as QEMU's -cpu takes it [default: rv64,h=false]
    #[arg(long)]
    pub cpu: Option<String>,
    /// The firmware [default: QEMU's own]
    #[arg(long, value_name = "FILE")]
    pub bios: Option<PathBuf>,
    /// How many harts [default: 1]
    #[arg(long, value_name = "N")]
    pub harts: Option<u32>,
    /// Memory [default: what the guests and the monitor need]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub host_memory: Option<u64>,
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
}
