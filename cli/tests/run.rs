//! Running machines, with scripts in the place of QEMU: what the host side does with a console,
//! an exit status, a machine that never ends.

use patchvisor::qemu::{Machine, Outcome};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

/// The program that stands in for QEMU. It is never written while tests run, for a file that is
/// open for writing in one thread cannot be executed by another.
const QEMU: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/qemu.sh");

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
            .env("PATCHVISOR_MONITOR", kernel)
            .output()
            .unwrap()
    }
}

fn patchvisor() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchvisor"));
    command.env("QEMU", QEMU);
    command
}

/// The smallest thing that passes for a kernel.
fn image() -> Vec<u8> {
    let mut image = vec![0; 64];
    image[56..60].copy_from_slice(b"RSC\x05");
    image
}

#[test]
fn a_console_is_captured_with_its_end_and_its_status() {
    let outcome = Script::new("printf 'one\\r\\ntwo'; echo complaint >&2; exit 3").run(SOON);
    assert_eq!(outcome.text(), "one\ntwo\n");
    assert_eq!(outcome.status.unwrap().code(), Some(3));
    assert_eq!(outcome.complaints, "complaint\n");
    assert!(!outcome.success() && !outcome.timed_out());
}

#[test]
fn a_machine_that_never_ends_is_ended() {
    let began = Instant::now();
    let script = Script::new("trap '' TERM; echo up; while :; do sleep 0.1; done");
    let outcome = script.run(Duration::from_millis(500));
    assert!(outcome.timed_out());
    assert_eq!(outcome.text(), "up\n");
    assert!(began.elapsed() < SOON);
}

#[test]
fn what_is_typed_arrives_and_answers_are_found_in_order() {
    let script = Script::new("echo name?; read name; echo hello $name; read rest; exit 0");
    let mut run = script.machine().spawn().unwrap();
    run.expect("name?", SOON).unwrap();
    run.send("hart\n").unwrap();
    run.expect("hello hart", SOON).unwrap();
    let error = run.expect("name?", Duration::from_millis(200)).unwrap_err();
    assert!(error.to_string().contains("hello hart"), "{error}");
    run.send("\n").unwrap();
    assert!(run.wait(SOON).unwrap().success());
}

#[test]
fn expecting_from_a_machine_that_has_ended_fails_at_once() {
    let began = Instant::now();
    let script = Script::new("echo bye");
    let mut run = script.machine().spawn().unwrap();
    let error = run.expect("hello", SOON).unwrap_err();
    assert!(error.to_string().contains("bye"), "{error}");
    assert!(began.elapsed() < SOON);
}

#[test]
fn dropping_a_run_ends_its_machine() {
    let script = Script::new("echo $$; exec sleep 1000");
    let mut run = script.machine().spawn().unwrap();
    run.expect("\n", SOON).unwrap();
    let process = PathBuf::from("/proc").join(run.text().trim());
    assert!(process.exists());
    drop(run);
    assert!(!process.exists());
}

#[test]
fn an_error_of_the_monitor_is_a_failure_although_qemu_ends_well() {
    let script = Script::new("echo 'patchvisor: error: no bundle: make one'");
    let outcome = script.run(SOON);
    assert!(!outcome.success());
    assert_eq!(outcome.monitor_error(), Some("no bundle: make one"));
    let kernel = script.file("Image", &image());
    let output = script.patchvisor_run(&[], &kernel);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("error: the monitor stopped: no bundle"),
        "{errors}"
    );
}

#[test]
fn the_program_ends_with_the_guests_status() {
    let script = Script::new("exit 7");
    let kernel = script.file("Image", &image());
    let output = script.patchvisor_run(&[], &kernel);
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn json_is_alone_on_standard_output() {
    let script = Script::new(
        r#"echo console; echo 'patchvisor: stats {"vm":"a","privileged":4,"patched":3}'"#,
    );
    let kernel = script.file("Image", &image());
    let output = script.patchvisor_run(&["--json"], &kernel);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["patched"], 3);
    assert!(String::from_utf8_lossy(&output.stderr).contains("console"));
}

#[test]
fn a_file_that_is_no_kernel_is_named_before_qemu_starts() {
    let script = Script::new("echo started >&2");
    let kernel = script.file("vmlinuz", b"\x7fELF\x02\x01\x01");
    let output = script.patchvisor_run(&[], &kernel);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("vmlinuz"), "{errors}");
    assert!(errors.contains("cut short"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn a_packed_bundle_can_be_opened() {
    let script = Script::new("exit 0");
    let kernel = script.file("Image", &image());
    let bundle = script.directory.path().join("a.bundle");
    let mut command = patchvisor();
    command.args(["pack", "--append", "quiet", "--memory", "64M", "--kernel"]);
    let output = command
        .arg(&kernel)
        .arg("-o")
        .arg(&bundle)
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("booti"));
    let bytes = std::fs::read(&bundle).unwrap();
    let bundle = bundle::open(&bytes).unwrap();
    let vm = &bundle.description().vms[0];
    assert_eq!((vm.append.as_str(), vm.memory), ("quiet", 64 << 20));
}
