//! `patchvisor doctor`: what is missing on this machine, and what mends it.

use crate::print;
use anyhow::Result;
use patchvisor::{guest, path, qemu};
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the monitor is compiled for.
const TARGET: &str = "riscv64imac-unknown-none-elf";

/// What something is needed for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Purpose {
    /// Running guests. Nothing else is needed.
    Run,
    /// Making images of disks.
    Disks,
    /// Building the monitor.
    Build,
    /// Making Debian packages, and the tests.
    Package,
}

/// Something that should be there.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    purpose: Purpose,
    /// What was found.
    found: Option<String>,
    /// What is wrong, when it was not found or is too old.
    problem: Option<String>,
    /// What mends it.
    mend: Option<String>,
}

/// Says what there is and what is missing; whether nothing is that running needs.
pub fn doctor(json: bool) -> Result<bool> {
    let checks = checks();
    let is_well = !checks.iter().any(Check::is_fatal);
    print(&match json {
        true => serde_json::to_string(&serde_json::json!({ "ok": is_well, "checks": checks }))?,
        false => show(&checks, is_well),
    })?;
    Ok(is_well)
}

fn checks() -> Vec<Check> {
    use Purpose::{Build, Disks, Package, Run};
    let packages = packages(std::fs::read_to_string("/etc/os-release").unwrap_or_default());
    let (monitor, remedy) = monitor();
    vec![
        Check::new(
            "qemu-system-riscv64",
            Run,
            check_qemu(),
            &match std::env::var_os("QEMU") {
                None => packages(&["qemu"]),
                Some(_) => format!(
                    "unset QEMU, which names it, or have it name a qemu-system-riscv64; {}",
                    packages(&["qemu"])
                ),
            },
        ),
        Check::new("the monitor's image", Run, monitor, &remedy),
        Check::new(
            "setpriv",
            Run,
            program("setpriv"),
            &packages(&["util-linux"]),
        ),
        Check::new(
            "qemu-img",
            Disks,
            program("qemu-img"),
            &packages(&["qemu-utils"]),
        ),
        Check::new(
            "cross linker",
            Build,
            program("riscv64-linux-gnu-ld").and_then(|linker| {
                program("riscv64-linux-gnu-objcopy")?;
                Ok(linker)
            }),
            &packages(&["binutils-riscv64-linux-gnu"]),
        ),
        Check::new(
            "Rust for RISC-V",
            Build,
            rust(),
            &format!(
                "`rustup target add {TARGET}`, or {}",
                packages(&["rustc-web", "cargo-web", "rust-web-src"])
            ),
        ),
        Check::new(
            "dpkg-deb",
            Package,
            program("dpkg-deb"),
            &packages(&["dpkg"]),
        ),
        Check::new(
            "dtc",
            Package,
            program("dtc"),
            &packages(&["device-tree-compiler"]),
        ),
    ]
}

impl Check {
    fn new(
        name: &'static str,
        purpose: Purpose,
        result: Result<String, String>,
        mend: &str,
    ) -> Self {
        let (found, problem) = match result {
            Ok(found) => (Some(found), None),
            Err(problem) => (None, Some(problem)),
        };
        let mend = problem.is_some().then(|| mend.to_owned());
        Self {
            name,
            purpose,
            found,
            problem,
            mend,
        }
    }

    fn is_fatal(&self) -> bool {
        self.problem.is_some() && self.purpose == Purpose::Run
    }
}

/// Where the monitor's image is, or what is wrong, and what mends that.
fn monitor() -> (Result<String, String>, String) {
    let error = match guest::monitor(None) {
        Ok(path) => return (Ok(path.display().to_string()), String::new()),
        Err(error) => error,
    };
    match error.downcast::<guest::NoMonitor>() {
        Ok(missing) => {
            let image = missing.image.display();
            (Err(format!("{image} is not there")), missing.remedy)
        }
        Err(error) => {
            let remedy = "name a file that is there, or unset the variable";
            (Err(format!("{error:#}")), remedy.into())
        }
    }
}

fn check_qemu() -> Result<String, String> {
    let qemu = qemu::find().map_err(|error| match error.downcast_ref::<std::io::Error>() {
        Some(_) => "is not there".to_owned(),
        None => error.to_string(),
    })?;
    judge_qemu(qemu.version)
}

fn judge_qemu((major, minor): (u32, u32)) -> Result<String, String> {
    let (oldest, oldest_minor) = qemu::OLDEST;
    let (tested, tested_minor) = qemu::TESTED;
    let version = (major, minor);
    match version >= qemu::OLDEST {
        true if version >= qemu::TESTED => Ok(format!("version {major}.{minor}")),
        true => Ok(format!(
            "version {major}.{minor}, on which guests run; tests and figures are of {tested}.{tested_minor}"
        )),
        false => Err(format!(
            "is version {major}.{minor}, and {oldest}.{oldest_minor} is the oldest that works"
        )),
    }
}

/// Where a program is in `$PATH`.
fn program(name: &str) -> Result<String, String> {
    path::find(name).map_or_else(
        || Err(format!("{name} is not in $PATH")),
        |place| Ok(place.display().to_string()),
    )
}

/// A toolchain that compiles for [`TARGET`]: one with its `core`, or Debian's with the source of it.
fn rust() -> Result<String, String> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    if let Ok(output) = sysroot {
        let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        if sysroot
            .join("lib/rustlib")
            .join(TARGET)
            .join("lib")
            .is_dir()
        {
            return Ok(sysroot.display().to_string());
        }
    }
    let debian = Path::new("/usr/bin/rustc");
    let needs = ["/usr/bin/cargo", "/usr/lib/rustlib/src/rust/library/core"];
    if debian.exists() && needs.iter().all(|path| Path::new(path).exists()) {
        return Ok(debian.display().to_string());
    }
    Err(format!("no toolchain has {TARGET}"))
}

/// How packages are installed here, given what os-release(5) says.
fn packages(release: String) -> impl Fn(&[&str]) -> String {
    let says = |key: &str| {
        let lines = release.lines();
        let values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        values
            .map(|value| value.trim_matches('"').to_owned())
            .next()
    };
    let family = [says("ID"), says("ID_LIKE")].into_iter().flatten();
    let is_debian = family
        .flat_map(|names| names.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .any(|name| name == "debian");
    // Debian 12 has all of QEMU's less common machines in one package.
    let qemu = match says("VERSION_CODENAME").as_deref() {
        Some("bookworm") => "qemu-system-misc",
        _ => "qemu-system-riscv",
    };
    move |names| {
        if !is_debian {
            return format!("install what Debian has as {}", names.join(" "));
        }
        let names = names.iter().map(|&name| match name {
            "qemu" => qemu,
            name => name,
        });
        format!("`apt-get install {}`", names.collect::<Vec<_>>().join(" "))
    }
}

fn show(checks: &[Check], is_well: bool) -> String {
    let mut text = String::new();
    let purposes = [
        (Purpose::Run, "To run guests:"),
        (Purpose::Disks, "To make images of disks:"),
        (Purpose::Build, "To build the monitor:"),
        (Purpose::Package, "To make packages and to test:"),
    ];
    for (purpose, title) in purposes {
        let _ = writeln!(text, "{title}");
        for check in checks.iter().filter(|check| check.purpose == purpose) {
            let name = check.name;
            let _ = match (&check.found, &check.problem, &check.mend) {
                (Some(found), ..) => writeln!(text, "  ok       {name}: {found}"),
                (_, Some(problem), Some(mend)) => {
                    writeln!(
                        text,
                        "  missing  {name}: {problem}\n           mend it: {mend}"
                    )
                }
                _ => Ok(()),
            };
        }
    }
    text += match is_well {
        true => "Guests can be run here.",
        false => "Guests cannot be run here yet.",
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_running_needs_is_fatal() {
        let check = |purpose, result: Result<String, String>| {
            Check::new("x", purpose, result, "`get x`").is_fatal()
        };
        assert!(check(Purpose::Run, Err("is not there".into())));
        assert!(!check(Purpose::Build, Err("is not there".into())));
        assert!(!check(Purpose::Run, Ok("/usr/bin/x".into())));
    }

    #[test]
    fn old_versions_of_qemu_are_refused() {
        assert!(judge_qemu(qemu::OLDEST).unwrap().contains("tests"));
        assert!(!judge_qemu(qemu::TESTED).unwrap().contains("tests"));
        assert!(judge_qemu((7, 1)).unwrap_err().contains("7.2"));
        assert!(judge_qemu((6, 9)).is_err());
    }

    #[test]
    fn the_remedy_is_of_the_system_at_hand() {
        let mend = |release: &str| packages(release.to_owned())(&["qemu"]);
        let bookworm = "ID=debian\nVERSION_CODENAME=bookworm\n";
        assert_eq!(mend(bookworm), "`apt-get install qemu-system-misc`");
        let ubuntu = "ID=ubuntu\nID_LIKE=\"debian\"\n";
        assert_eq!(mend(ubuntu), "`apt-get install qemu-system-riscv`");
        assert!(!mend("ID=fedora\n").contains("apt-get"));
    }
}
