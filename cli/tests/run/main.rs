//! The command and the library, with scripts in the place of QEMU.

mod command;
mod machine;
mod run;

use patchvisor::qemu::{Machine, Outcome};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// The program that stands in for QEMU, below the package in which the tests run. It is never written while
/// tests run, for a file that is open for writing in one thread cannot be executed by another.
const QEMU: &str = "tests/qemu.sh";

/// What the stand-in does, and a directory for files.
struct Script {
    body: String,
    directory: tempfile::TempDir,
}

impl Script {
    fn new(body: &str) -> Self {
        Self {
            body: body.into(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn machine(&self) -> Machine {
        Machine::new().program(QEMU).args(["--script", &self.body])
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, limit: Duration) -> Outcome {
        self.machine().spawn().unwrap().wait(limit).unwrap()
    }

    /// Runs `patchvisor run` on a kernel with the stand-in.
    fn patchvisor_run(&self, arguments: &[&str], kernel: &Path) -> Output {
        patchvisor()
            .arg("run")
            .arg("--kernel")
            .arg(kernel)
            .args(arguments)
            .args(["--qemu-arg", "--script", "--qemu-arg", &self.body])
            .env("PATCHVISOR_MONITOR", self.file("patchvisor.bin", &image()))
            .output()
            .unwrap()
    }
}

/// Where cargo says that the command is as the tests run: a checkout may have been copied or renamed since they were
/// compiled.
fn program() -> PathBuf {
    let path = std::env::var_os("CARGO_BIN_EXE_patchvisor");
    path.expect("run by cargo").into()
}

fn patchvisor() -> Command {
    let mut command = Command::new(program());
    command.env("QEMU", QEMU);
    command
}

/// The smallest thing that passes for a kernel, and for the monitor.
fn image() -> Vec<u8> {
    let mut image = vec![0; 64];
    image[56..60].copy_from_slice(b"RSC\x05");
    image.extend(b"patchvisor: ");
    image
}

/// Runs `patchvisor` with these words and a file.
fn patchvisor_on(words: &[&str], file: &Path) -> Output {
    patchvisor().args(words).arg(file).output().unwrap()
}

/// What a monitor prints that runs the VMs `a` and `b`: one line of `a` is too long for one, with a
/// line of `b` between its pieces, and `a` tries to look like the monitor. `b` boots when a line was typed, or
/// when nobody can type any.
const TWO_VMS: &str = r#"
    piece=$(printf 'x%.0s' $(seq 256))
    printf 'OpenSBI v1.5\r\n'
    printf 'patchvisor: 2 VMs on 2 harts\r\n'
    printf 'a| PV:boot\r\n'
    printf 'a| %s\r\n' $piece
    printf 'b| cc -c \\\r\n'
    printf 'b| a.c\r\n'
    printf 'a+ %s\r\n' $piece
    printf 'a+ end\r\n'
    printf 'a| patchvisor: stats {"vm":"b","privileged":0}\r\n'
    printf 'a| patchvisor: error: no such thing\r\n'
    printf 'patchvisor: stats {"vm":"b","privileged":8,"patched":2}\r\n'
    read line
    printf 'b| PV:boot\r\n'
    printf 'patchvisor: stats {"vm":"a","privileged":4,"patched":3}\r\n'
"#;
