//! What people type who come from QEMU and other monitors, and what to write here.

use crate::arguments::RunArguments;
use clap::Args;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use patchvisor::quote::quoted;

/// What there is instead of a flag.
struct Habit {
    /// Its names, without the dashes before them.
    names: &'static [&'static str],
    /// What to write.
    write: &'static str,
}

const HABITS: &[Habit] = &[
    Habit {
        names: &[
            "hda",
            "hdb",
            "hdc",
            "hdd",
            "cdrom",
            "sd",
            "pflash",
            "blockdev",
            "block",
            "rootfs",
            "rwdisk",
            "hard-disk",
        ],
        write: "an image of a disk is given with --disk FILE",
    },
    Habit {
        names: &[
            "cmdline",
            "params",
            "bootargs",
            "command-line",
            "kernel-cmdline",
        ],
        write: "the kernel's command line is given with --append WORDS",
    },
    Habit {
        names: &["netdev", "nic", "network", "tap"],
        write: "a network interface is given with --net user, and what an uplink reaches with --uplink BACKEND",
    },
    Habit {
        names: &["device"],
        write: "devices of guests are --disk, --net, --virtio-console and --rng; one more device of QEMU is \
                --qemu-arg -device --qemu-arg VALUE",
    },
    Habit {
        names: &["nographic", "display", "serial", "monitor", "vnc", "curses"],
        write: "the console is on this terminal without it: leave it out",
    },
    Habit {
        names: &["accel", "enable-kvm", "machine-type"],
        write: "the host is emulated, and -M names its board: leave it out",
    },
    Habit {
        names: &["dtbo"],
        write: "a device-tree overlay is given with --overlay FILE",
    },
    Habit {
        names: &["ram", "ncpus", "num-cpus", "vcpu"],
        write: "a guest's memory and virtual harts are given with --memory SIZE and --vcpus N",
    },
    Habit {
        names: &["firmware"],
        write: "the host's firmware is given with --bios FILE; guests need none",
    },
];

/// Prints what is wrong with the command line, or the help that was asked for, and exits.
pub fn explain(error: &clap::Error) -> ! {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let tip = tip(error, &words);
    match tip {
        // To clap, -hda begins with -h, which asks for help.
        Some((word, tip)) if !error.use_stderr() => {
            eprintln!("error: unexpected argument '{word}' found\n\n  tip: {tip}");
            std::process::exit(2);
        }
        Some((_, tip)) => {
            let _ = error.print();
            eprintln!("\n  tip: {tip}");
        }
        None => {
            let _ = error.print();
        }
    }
    std::process::exit(error.exit_code())
}

/// The word that is wrong in `words`, and what its writer may have meant.
fn tip(error: &clap::Error, words: &[String]) -> Option<(String, String)> {
    let mut names_kernel = false;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        names_kernel |= word == "--kernel" || word.starts_with("--kernel=");
        if let Some(tip) = of_one_dash(word).or_else(|| of_two_dashes(word)) {
            return Some((word.clone(), tip));
        }
        // Their values may begin with dashes.
        if ["--append", "--qemu-arg"].contains(&word.as_str()) {
            rest.next();
        }
    }
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let tip = match (word.starts_with('-'), names_kernel) {
        (true, _) => return None,
        (false, true) => "a value of several words, as of --append, is put between quotes".into(),
        (false, false) => format!("is it the kernel? Then it is --kernel {}", quoted(word)),
    };
    Some((word.clone(), tip))
}

/// What to write for a word with one dash before a whole name.
fn of_one_dash(word: &str) -> Option<String> {
    let name = word.strip_prefix('-')?;
    let name = name.split('=').next().filter(|name| name.len() > 1)?;
    if let Some(habit) = habit(name) {
        return Some(habit.write.into());
    }
    if is_option(name) {
        return Some(format!("options begin with two dashes: --{name}"));
    }
    // -m1G and -Mvirt are -m 1G and -M virt; -h and -V take nothing.
    let is_lost = name.starts_with(['h', 'V'])
        || name.starts_with(|c: char| c == 'm' && !name[1..].starts_with(is_value));
    is_lost.then(|| {
        format!(
            "options begin with two dashes; what is QEMU's alone is given to it with --qemu-arg {}",
            quoted(word)
        )
    })
}

/// What a size begins with.
fn is_value(c: char) -> bool {
    c.is_ascii_digit() || c == '='
}

/// What to write for an option that others have.
fn of_two_dashes(word: &str) -> Option<String> {
    let name = word.strip_prefix("--")?.split('=').next()?;
    let habit = habit(name).filter(|_| !is_option(name))?;
    Some(habit.write.into())
}

fn habit(name: &str) -> Option<&'static Habit> {
    HABITS.iter().find(|habit| habit.names.contains(&name))
}

/// Whether `run` has an option of this name.
fn is_option(name: &str) -> bool {
    let run = RunArguments::augment_args(clap::Command::new("run"));
    let mut options = run.get_arguments();
    // clap adds the help when it is asked.
    name == "help"
        || options.any(|option| {
            let mut names = option.get_long_and_visible_aliases().into_iter().flatten();
            names.any(|it| it == name)
        })
}

#[cfg(test)]
mod tests {
    use crate::arguments::Arguments;
    use clap::Parser;

    fn tip(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let all = std::iter::once("patchvisor".to_owned()).chain(words.clone());
        let error = Arguments::try_parse_from(all).unwrap_err();
        super::tip(&error, &words).unwrap_or_default().1
    }

    #[test]
    fn habits_of_qemu_are_told_what_to_write() {
        assert!(tip("run -kernel vmlinux").ends_with("--kernel"));
        assert!(tip("run --kernel vmlinux -smp 2").ends_with("--smp"));
        assert!(tip("run -help").ends_with("--help"));
        assert!(tip("run --kernel vmlinux -machine virt").ends_with("--machine"));
        assert!(tip("run -m 1G vmlinux").ends_with("--kernel vmlinux"));
        assert!(tip("run --kernel vmlinux --append a=1 b=2").contains("quotes"));
        assert!(tip("run --kernel vmlinux --nothing").is_empty());
        assert!(tip("vmlinux").is_empty());
        for flag in ["-hda", "-cdrom", "--rootfs"] {
            assert!(tip(&format!("run --kernel vmlinux {flag} root.img")).contains("--disk"));
        }
        assert!(tip("run --kernel vmlinux -monitor stdio").contains("leave it out"));
        assert!(tip("run --kernel vmlinux -netdev user").contains("--net user"));
        assert!(tip("run --kernel vmlinux -mem-path /x").contains("--qemu-arg -mem-path"));
        for flag in ["--cmdline", "--params"] {
            assert!(tip(&format!("run --kernel vmlinux {flag} quiet")).contains("--append"));
        }
    }

    #[test]
    fn what_is_a_value_or_the_help_is_left_alone() {
        let line = "run --kernel k -m1G -Mvirt --append -hda --qemu-arg -hda --nothing";
        assert!(tip(line).is_empty());
        assert!(tip("run -h").is_empty() && tip("run --help").is_empty() && tip("-V").is_empty());
    }
}
