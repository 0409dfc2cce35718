//! The shell's language: a command, and the VM that it is about.

use alloc::{format, string::String, vec::Vec};
use core::fmt;

/// What the monitor is asked to do. VMs are counted from 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// List the VMs.
    Vms,
    /// Show a VM's statistics.
    Stats(usize),
    /// Pause a VM.
    Pause(usize),
    /// Let a paused VM go on.
    Resume(usize),
    /// Stop a VM for good.
    Stop(usize),
    /// Reset a VM.
    Reset(usize),
    /// Show the state of a VM's harts.
    Dump(usize),
    /// Give a VM's console a BREAK.
    Break(usize),
    /// Turn tracing on or off, for one VM or all.
    Trace {
        /// On.
        on: bool,
        /// The VM; `None` for all.
        vm: Option<usize>,
    },
    /// Power the machine off.
    PowerOff,
}

/// A line that was understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Line {
    /// Nothing but blanks.
    Empty,
    /// Say what the commands are.
    Help,
    /// Give the console of this VM the focus.
    Console(usize),
    /// Something for the monitor.
    Command(Command),
}

/// Why a line was not understood. Each is one line that ends with the next step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Error {
    /// There is no such command.
    UnknownCommand(String),
    /// The command needs something else after its name.
    Usage(&'static str),
    /// No VM has this name or number.
    UnknownVm {
        /// What was typed.
        typed: String,
        /// The VMs that there are.
        vms: String,
    },
    /// Several VMs may be meant.
    AmbiguousVm {
        /// What was typed.
        typed: String,
        /// Those VMs.
        vms: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand(typed) => {
                write!(f, "there is no command \"{typed}\": `help` lists them")
            }
            Self::Usage(usage) => write!(f, "type `{usage}`; `vms` lists the VMs"),
            Self::UnknownVm { typed, vms } => {
                write!(
                    f,
                    "there is no VM \"{typed}\": take the name or number of one of {vms}"
                )
            }
            Self::AmbiguousVm { typed, vms } => {
                write!(
                    f,
                    "\"{typed}\" may be any of {vms}: type the whole name, or the number if it is no name"
                )
            }
        }
    }
}

impl core::error::Error for Error {}

/// What stands after a command's name, and what the command is then.
enum Form {
    Alone(Line),
    Vm(fn(usize) -> Line),
    Trace,
}

/// The commands: name, usage, meaning, form.
const COMMANDS: &[(&str, &str, &str, Form)] = &[
    ("help", "help", "this list", Form::Alone(Line::Help)),
    (
        "vms",
        "vms",
        "list the VMs",
        Form::Alone(Line::Command(Command::Vms)),
    ),
    (
        "stats",
        "stats VM",
        "what the VM has done",
        Form::Vm(|vm| Line::Command(Command::Stats(vm))),
    ),
    (
        "pause",
        "pause VM",
        "stop its harts for a while",
        Form::Vm(|vm| Line::Command(Command::Pause(vm))),
    ),
    (
        "resume",
        "resume VM",
        "let it go on after a pause",
        Form::Vm(|vm| Line::Command(Command::Resume(vm))),
    ),
    (
        "stop",
        "stop VM",
        "end it",
        Form::Vm(|vm| Line::Command(Command::Stop(vm))),
    ),
    (
        "reset",
        "reset VM",
        "start it anew",
        Form::Vm(|vm| Line::Command(Command::Reset(vm))),
    ),
    (
        "dump",
        "dump VM",
        "the state of its harts",
        Form::Vm(|vm| Line::Command(Command::Dump(vm))),
    ),
    (
        "break",
        "break VM",
        "a BREAK on its console, for Magic SysRq",
        Form::Vm(|vm| Line::Command(Command::Break(vm))),
    ),
    (
        "trace",
        "trace on|off [VM]",
        "trace exits, of all VMs or one",
        Form::Trace,
    ),
    (
        "console",
        "console VM",
        "go to its console",
        Form::Vm(Line::Console),
    ),
    (
        "poweroff",
        "poweroff",
        "end all VMs and power off",
        Form::Alone(Line::Command(Command::PowerOff)),
    ),
];

/// What the commands are, a line each.
pub(crate) fn help() -> impl Iterator<Item = String> {
    let line = |(_, usage, meaning, _): &(_, _, _, _)| format!("{usage:<19}{meaning}");
    COMMANDS.iter().map(line)
}

/// Understands a line that was typed; `names` are those of the VMs.
///
/// # Errors
///
/// When it is not a command, or lacks its VM.
pub fn parse(line: &str, names: &[String]) -> Result<Line, Error> {
    let mut words = line.split_ascii_whitespace();
    let Some(name) = words.next() else {
        return Ok(Line::Empty);
    };
    let command = COMMANDS.iter().find(|command| command.0 == name);
    let Some((_, usage, _, form)) = command else {
        return Err(Error::UnknownCommand(name.into()));
    };
    let rest: Vec<&str> = words.collect();
    match (form, rest.as_slice()) {
        (Form::Alone(line), []) => Ok(*line),
        (Form::Vm(line), [vm]) => find(vm, names).map(line),
        (Form::Trace, [switch @ ("on" | "off"), vm @ ..]) if vm.len() <= 1 => {
            let vm = vm.first().map(|vm| find(vm, names)).transpose()?;
            let on = *switch == "on";
            Ok(Line::Command(Command::Trace { on, vm }))
        }
        _ => Err(Error::Usage(usage)),
    }
}

/// The VM that is meant: the one with this name or this number; else the only one whose name begins so.
fn find(typed: &str, names: &[String]) -> Result<usize, Error> {
    let is = |vm: usize| names[vm] == typed || typed.parse() == Ok(vm + 1);
    let mut meant: Vec<usize> = (0..names.len()).filter(|&vm| is(vm)).collect();
    if meant.is_empty() {
        meant = (0..names.len())
            .filter(|&vm| names[vm].starts_with(typed))
            .collect();
    }
    let typed = String::from(typed);
    match meant.as_slice() {
        [vm] => Ok(*vm),
        [] => Err(Error::UnknownVm {
            typed,
            vms: list(0..names.len(), names),
        }),
        several => Err(Error::AmbiguousVm {
            typed,
            vms: list(several.iter().copied(), names),
        }),
    }
}

/// VMs as users see them, like `1 web, 2 mail`.
fn list(vms: impl Iterator<Item = usize>, names: &[String]) -> String {
    let vms: Vec<String> = vms.map(|vm| format!("{} {}", vm + 1, names[vm])).collect();
    vms.join(", ")
}
