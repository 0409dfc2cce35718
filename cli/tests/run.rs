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

/// What a monitor prints that runs the VMs `a` and `b`: one line of `a` is too long for one, with a
/// line of `b` between its pieces, and `a` tries to look like the monitor.
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
    sleep 0.2
    printf 'b| PV:boot\r\n'
    printf 'patchvisor: stats {"vm":"a","privileged":4,"patched":3}\r\n'
"#;

fn texts(outcome: &Outcome, vm: &str) -> Vec<String> {
    let lines = outcome.lines_of(vm).iter();
    lines.map(|line| line.text.clone()).collect()
}

#[test]
fn each_vm_of_a_prefixed_console_has_its_own_lines_and_times() {
    let script = Script::new(TWO_VMS);
    let machine = script.machine().prefixed(["a", "b"]);
    let outcome = machine.spawn().unwrap().wait(SOON).unwrap();
    let long = format!("{}end", "x".repeat(512));
    assert_eq!(texts(&outcome, "a")[..2], ["PV:boot".to_owned(), long]);
    assert_eq!(texts(&outcome, "b"), ["cc -c \\", "a.c", "PV:boot"]);
    let booted = |vm| patchvisor::qemu::marker(outcome.lines_of(vm), "PV:boot").unwrap();
    assert!(booted("b") >= booted("a") + Duration::from_millis(150));
}

#[test]
fn a_prompt_of_a_vm_is_found_and_logged_while_its_line_goes_on() {
    let script = Script::new(
        r#"
        printf 'b| login: \r\na| log\r\npatchvisor: a word\r\na+ in: \r\n'
        read name
        printf "a+ $name\r\n"
        printf 'a| # \r\n'
        read command
        "#,
    );
    let logs = script.path("logs");
    let machine = script.machine().prefixed(["a", "b"]).logs(&logs);
    let log = || std::fs::read_to_string(logs.join("a.log")).unwrap();
    let mut run = machine.spawn().unwrap();
    run.expect_from("a", "login: ", SOON).unwrap();
    assert_eq!(log(), "login: ");
    run.send("root\n").unwrap();
    run.expect_from("a", "# ", SOON).unwrap();
    assert_eq!(log(), "login: root\n# ");
    assert!(run.expect_from("c", "# ", SOON).is_err());
    run.send("exit\n").unwrap();
    let outcome = run.wait(SOON).unwrap();
    assert_eq!(log(), "login: root\n# \n");
    assert_eq!(texts(&outcome, "a"), ["login: root", "# "]);
    assert_eq!(texts(&outcome, "b"), ["login: "]);
    assert!(outcome.lines_of("c").is_empty());
}

#[test]
fn each_vm_has_its_own_statistics_and_a_guest_cannot_fake_them() {
    let script = Script::new(TWO_VMS);
    let machine = script.machine().prefixed(["a", "b"]);
    let outcome = machine.spawn().unwrap().wait(SOON).unwrap();
    assert_eq!(outcome.stats_of("a").unwrap().privileged, 4);
    assert_eq!(outcome.stats_of("b").unwrap().privileged, 8);
    assert!(outcome.stats_of("c").is_err());
    assert_eq!(outcome.all_stats().unwrap().len(), 2);
    assert_eq!(outcome.monitor_error(), None);
    assert!(outcome.success());
}

#[test]
fn a_run_with_logs_has_a_file_for_each_vm_and_shows_the_console() {
    let script = Script::new(TWO_VMS);
    let kernel = script.file("Image", &image());
    let config = script.file(
        "two.toml",
        b"[[vm]]\nname = \"a\"\nkernel = \"Image\"\n[[vm]]\nname = \"b\"\nkernel = \"Image\"\n",
    );
    let logs = script.path("logs");
    let output = patchvisor()
        .args(["run", "--json", "--log-dir"])
        .arg(&logs)
        .arg("--config")
        .arg(config)
        .args(["--qemu-arg", "--script", "--qemu-arg", &script.body])
        .env("PATCHVISOR_MONITOR", &kernel)
        .output()
        .unwrap();
    assert!(output.status.success());
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(shown.contains("a| PV:boot\r\n"), "{shown}");
    let log = |name: &str| std::fs::read_to_string(logs.join(name)).unwrap();
    assert!(log("a.log").starts_with("PV:boot\nxxx"));
    assert!(log("a.log").contains("xxxend\npatchvisor: stats"));
    assert_eq!(log("b.log"), "cc -c \\\na.c\nPV:boot\n");
    let monitor = log("monitor.log");
    assert!(monitor.starts_with("OpenSBI v1.5\npatchvisor: 2 VMs"));
    assert_eq!(monitor.lines().count(), 4, "{monitor}");
    let json = String::from_utf8(output.stdout).unwrap();
    let stats = json.lines().map(|line| {
        let stats: serde_json::Value = serde_json::from_str(line).unwrap();
        stats["vm"].as_str().unwrap().to_owned()
    });
    assert_eq!(stats.collect::<Vec<_>>(), ["b", "a"]);
}

#[test]
fn one_vm_that_fails_makes_the_run_fail() {
    let script = Script::new(
        r#"
        printf 'patchvisor: error: VM "vm-2": the guest powered off with failure code 1\r\n'
        printf 'vm-1| fine\r\n'
        printf 'patchvisor: error: VM "vm-3": the guest jumped into nothing\r\n'
        "#,
    );
    let kernel = script.file("Image", &image());
    let arguments = [
        "--name",
        "vm",
        "--vms",
        "3",
        "--vcpus",
        "2",
        "--console",
        "prefixed",
    ];
    let output = script.patchvisor_run(&arguments, &kernel);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    for vm in ["vm-2", "vm-3"] {
        let line = format!("error: the monitor reports: VM \"{vm}\"");
        assert!(errors.contains(&line), "{errors}");
    }
}

#[test]
fn logs_of_a_switched_console_are_refused_before_qemu_starts() {
    let script = Script::new("echo started");
    let kernel = script.file("Image", &image());
    let logs = script.path("logs");
    let arguments = [
        "--console",
        "switched",
        "--log-dir",
        &logs.display().to_string(),
    ];
    let output = script.patchvisor_run(&arguments, &kernel);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty() && !logs.exists());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("--log-dir"), "{errors}");
}

#[test]
fn a_host_has_the_harts_and_the_memory_that_its_vms_need() {
    let script = Script::new("tr '\\0' ' ' < /proc/$$/cmdline");
    let kernel = script.file("Image", &image());
    let arguments = ["--vms", "2", "--memory", "512M", "--harts", "4"];
    let output = script.patchvisor_run(&arguments, &kernel);
    let line = String::from_utf8_lossy(&output.stdout);
    assert!(line.contains("-smp 4 -m 1216M"), "{line}");
}

/// A stand-in that prints the arguments it was given.
const ECHO: &str = "tr '\\0' ' ' < /proc/$$/cmdline";

#[test]
fn devices_of_guests_are_devices_of_the_host() {
    let script = Script::new(ECHO);
    let kernel = script.file("Image", &image());
    let disk = script.file("root.img", &[0; 1024]);
    let qcow2 = script.file("data.qcow2", b"QFI\xfb and more");
    let root = format!("{},serial=root", disk.display());
    let data = format!("{},readonly", qcow2.display());
    let net = "user,mac=52:54:00:12:34:56,hostfwd=tcp::2222-:22";
    let arguments = [
        "--disk", &root, "--drive", &data, "--net", net, "--net", "--port", "log",
    ];
    let output = script.patchvisor_run(&arguments, &kernel);
    let line = String::from_utf8_lossy(&output.stdout);
    for part in [
        "format=raw,cache=writeback,file=/",
        "root.img -device virtio-blk-device,drive=disk0,bus=virtio-mmio-bus.0 ",
        "format=qcow2,cache=writeback,readonly=on,file=/",
        "-device virtio-blk-device,drive=disk1,bus=virtio-mmio-bus.1 ",
        "-netdev user,hostfwd=tcp::2222-:22,id=uplink ",
        "-device virtio-net-device,netdev=uplink,bus=virtio-mmio-bus.2 ",
        "-device virtio-rng-device,bus=virtio-mmio-bus.3 ",
        "-global virtio-mmio.force-legacy=false ",
    ] {
        assert!(line.contains(part), "{part} is not in: {line}");
    }
    let arguments = ["--net", "uplink", "--uplink", "none", "--rng=false"];
    let output = script.patchvisor_run(&arguments, &kernel);
    let line = String::from_utf8_lossy(&output.stdout);
    assert!(line.contains("-smp") && !line.contains("virtio"), "{line}");
}

#[test]
fn a_disk_that_cannot_be_stops_the_run_before_qemu_starts() {
    let script = Script::new("echo started");
    let kernel = script.file("Image", &image());
    let odd = script.file("odd.img", &[0; 700]).display().to_string();
    let absent = script.path("absent.img").display().to_string();
    let message = |arguments: &[&str]| {
        let output = script.patchvisor_run(arguments, &kernel);
        assert_ne!(output.status.code(), Some(0));
        assert!(output.stdout.is_empty(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let odd = |options: &str| message(&["--disk", &format!("{odd}{options}")]);
    assert!(odd("").contains("700 bytes"));
    assert!(odd(",size=4").contains("size=4"));
    assert!(message(&["--disk", &absent]).contains("qemu-img create"));
    assert!(message(&["--disk", &format!("bundle:{absent}")]).contains("absent.img"));
    assert!(message(&["--disk", "/"]).contains("a directory"));
    let even = script.file("even.img", &[0; 512]).display().to_string();
    assert!(message(&["--vms", "2", "--disk", &even]).contains("same device"));
    assert!(message(&["--uplink", "tap"]).contains("--net uplink"));
    let rule = "user,hostfwd=tcp::1-:1";
    assert!(message(&["--net", rule, "--uplink", "tap"]).contains("hostfwd"));
}

#[test]
fn an_image_in_use_is_told_with_the_remedy() {
    let complaint = "qemu-system-riscv64: Failed to get \"write\" lock\n\
                     Is another process using the image [root.img]?";
    let script = Script::new(&format!("echo '{complaint}' >&2; exit 1"));
    let kernel = script.file("Image", &image());
    let output = script.patchvisor_run(&[], &kernel);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("root.img"), "{errors}");
    assert!(errors.contains("in use by another QEMU"), "{errors}");
}

#[test]
fn a_bundle_for_a_board_numbers_its_disks() {
    let script = Script::new("exit 0");
    let kernel = script.file("Image", &image());
    let bundle = script.path("a.bundle");
    let pack = |arguments: &[&str]| {
        let mut command = patchvisor();
        command.arg("pack").arg("--kernel").arg(&kernel);
        command.arg("-o").arg(&bundle).args(arguments);
        command.output().unwrap()
    };
    let packed = script.file("small.img", &[7; 512]).display().to_string();
    let output = pack(&[
        "--disk",
        "device:1/2,readonly",
        "--disk",
        &format!("bundle:{packed}"),
        "--net",
        "uplink",
    ]);
    assert!(output.status.success());
    let bytes = std::fs::read(&bundle).unwrap();
    let bundle = bundle::open(&bytes).unwrap();
    let vm = &bundle.description().vms[0];
    let sources: Vec<_> = vm.disks.iter().map(|disk| &disk.source).collect();
    let partition = bundle::Source::Partition {
        device: 1,
        number: 2,
    };
    let file = bundle::Source::File {
        name: "disk".into(),
        changes: 1 << 20,
    };
    assert_eq!(sources, [&partition, &file]);
    assert!(vm.disks[0].read_only && vm.nets[0].uplink && vm.entropy);
    assert_eq!(bundle.file("disk"), Some(&[7; 512][..]));

    let output = pack(&["--disk", &packed]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("device:N"), "{errors}");
}

/// Runs `patchvisor` with these words and a file.
fn patchvisor_on(words: &[&str], file: &Path) -> Output {
    patchvisor().args(words).arg(file).output().unwrap()
}

#[test]
fn a_kernel_is_inspected_in_a_table_and_as_json() {
    let script = Script::new("exit 0");
    let mut kernel = image();
    kernel.extend(0x1020_0073_u32.to_le_bytes()); // sret
    let kernel = script.file("Image", &kernel);
    let table = patchvisor_on(&["inspect"], &kernel);
    let table = String::from_utf8_lossy(&table.stdout);
    assert!(table.contains("may count data"), "{table}");
    let line = table.lines().find(|line| line.starts_with("sret"));
    let fields: Vec<_> = line.unwrap().split_whitespace().collect();
    assert_eq!(fields, ["sret", "1", "1", "0", "0"]);
    let json = patchvisor_on(&["inspect", "--json"], &kernel);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["what"], "kernel");
    assert_eq!(
        (&json["marked"], &json["size"]),
        (&false.into(), &68.into())
    );
    assert_eq!(json["kinds"]["sret"]["patchable"], 1);
    let script = patchvisor_on(&["inspect"], Path::new(QEMU));
    assert_eq!(script.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&script.stderr).contains("a script"));
}

#[test]
fn a_bundle_is_inspected_as_it_was_packed() {
    let script = Script::new("exit 0");
    let kernel = script.file("Image", &image());
    let bundle = script.path("a.bundle");
    let output = patchvisor()
        .args(["pack", "--json", "--disk", "device:1/2,readonly,serial=x"])
        .args(["--net", "uplink", "--port", "log", "--append", "quiet"])
        .arg("-o")
        .arg(&bundle)
        .arg("--kernel")
        .arg(&kernel)
        .output()
        .unwrap();
    let packed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let length = std::fs::metadata(&bundle).unwrap().len();
    assert_eq!(packed["size"], length);
    assert_eq!(packed["vms"][0], "Image");
    let text = patchvisor_on(&["inspect"], &bundle);
    let text = String::from_utf8_lossy(&text.stdout);
    for part in [
        "VM \"Image\": 1 vCPU, 1G of memory, mode break",
        "partition 2 of disk 1 of the host, read-only, serial \"x\"",
        "the switch and the host's network",
        "a RISC-V Linux Image",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let json = patchvisor_on(&["inspect", "--json"], &bundle);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["what"], "bundle");
    assert_eq!(json["description"]["vms"][0]["ports"][0], "log");
}

#[test]
fn a_doctor_without_qemu_says_what_mends_it() {
    let doctor = |qemu: &str, words: &[&str]| {
        let mut command = patchvisor();
        command.arg("doctor").args(words).env("QEMU", qemu);
        command.env("PATCHVISOR_MONITOR", QEMU).output().unwrap()
    };
    let output = doctor("/nonexistent/qemu", &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ok"], false);
    let check = &json["checks"][0];
    assert_eq!(
        (&check["purpose"], &check["found"]),
        (&"run".into(), &().into())
    );
    assert!(check["mend"].as_str().unwrap().contains("install"));
    let output = doctor("/nonexistent/qemu", &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("missing  qemu-system-riscv64"), "{text}");
    assert!(text.contains("ok       the monitor's image"), "{text}");
}

#[test]
fn shells_and_man_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let output = patchvisor().args(["completions", shell]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains("virtio-console") && text.contains("doctor"),
            "{shell}"
        );
    }
    let directory = tempfile::tempdir().unwrap();
    assert!(patchvisor_on(&["man"], directory.path()).status.success());
    for page in ["patchvisor.1", "patchvisor-run.1", "patchvisor-inspect.1"] {
        assert!(directory.path().join(page).is_file(), "{page}");
    }
}

#[test]
fn every_command_has_an_example() {
    for command in ["run", "pack", "inspect", "doctor", "completions", "man"] {
        let output = patchvisor().args([command, "--help"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains(&format!("  patchvisor {command} "))
                || text.contains(&format!("  patchvisor {command}\n")),
            "{text}"
        );
    }
}

/// What `cargo install` leaves: the program alone, in `bin`. Nothing but its place tells where it belongs.
#[test]
fn an_installed_program_has_its_monitor_beside_it_or_says_what_puts_it_there() {
    let directory = tempfile::tempdir().unwrap();
    let prefix = directory.path().canonicalize().unwrap();
    let empty = prefix.join("empty");
    let program = prefix.join("bin/patchvisor");
    for directory in ["bin", "empty", "lib/patchvisor"] {
        std::fs::create_dir_all(prefix.join(directory)).unwrap();
    }
    // By another process: a file that is open for writing here while another thread forks cannot be run.
    let mut copy = Command::new("cp");
    copy.arg(env!("CARGO_BIN_EXE_patchvisor")).arg(&program);
    assert!(copy.status().unwrap().success());
    let said = |words: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(words)
            .current_dir(&empty)
            .env_clear()
            .env("QEMU", QEMU);
        let output = command.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let kernel = prefix.join("Image");
    std::fs::write(&kernel, image()).unwrap();
    let run = [
        "run",
        "--kernel",
        kernel.to_str().unwrap(),
        "--qemu-arg",
        "--script",
    ];
    let run = [&run[..], &["--qemu-arg", "echo started"]].concat();
    let remedy = format!("cargo xtask install --prefix {}", prefix.display());
    for words in [&run[..], &["doctor"]] {
        assert!(said(words).contains(&remedy), "{}", said(words));
    }
    std::fs::write(prefix.join("lib/patchvisor/patchvisor.bin"), image()).unwrap();
    assert!(said(&run).contains("started"), "{}", said(&run));
    assert!(said(&["doctor"]).contains("lib/patchvisor/patchvisor.bin\n"));
}

#[test]
fn a_run_that_is_told_to_end_takes_its_machine_along() {
    let script = Script::new("trap 'exit 0' TERM; echo $$; while :; do sleep 0.1; done");
    let kernel = script.file("Image", &image());
    let temporary = script.path("temporary");
    std::fs::create_dir(&temporary).unwrap();
    for (signal, number) in [("TERM", 15), ("INT", 2), ("HUP", 1)] {
        let began = Instant::now();
        let mut run = patchvisor()
            .args(["run", "--timeout", "60", "--kernel"])
            .arg(&kernel)
            .args(["--qemu-arg", "--script", "--qemu-arg", &script.body])
            .env("PATCHVISOR_MONITOR", &kernel)
            .env("TMPDIR", &temporary)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = run.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        let machine = PathBuf::from("/proc").join(line.trim());
        assert!(machine.exists(), "{line}");
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}")).arg(run.id().to_string());
        assert!(kill.status().unwrap().success());
        assert_eq!(run.wait().unwrap().code(), Some(128 + number), "{signal}");
        assert!(!machine.exists() && began.elapsed() < SOON, "{signal}");
        let left = std::fs::read_dir(&temporary).unwrap().count();
        assert_eq!(left, 0, "{signal}");
    }
}

#[test]
fn what_qemu_complains_of_is_told_with_the_remedy() {
    let says = |complaint: &str, arguments: &[&str]| {
        let script = Script::new(&format!(
            "echo 'qemu-system-riscv64: {complaint}' >&2; exit 1"
        ));
        let kernel = script.file("Image", &image());
        let output = script.patchvisor_run(arguments, &kernel);
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let memory = "cannot set up guest memory: Cannot allocate memory";
    assert!(says(memory, &[]).contains("--memory"));
    let port = "Could not set up host forwarding rule";
    assert!(says(port, &[]).contains("choose another"));
    // What is wrong before QEMU starts says so too.
    assert!(says("", &["--memory", "512"]).contains("512M"));
    assert!(says("", &["--harts", "0"]).contains("at least one hart"));
    assert!(says("", &["-M", "sifive_u", "--rng"]).contains("--rng=false"));
    assert!(says("", &["--overlay", QEMU]).contains("`dtc -@"));
}

#[test]
fn a_table_with_one_bracket_is_told_of_the_second() {
    let script = Script::new("exit 0");
    let config = script.file("vm.toml", b"[vm]\nkernel = \"Image\"\n");
    let output = patchvisor_on(&["run", "--config"], &config);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("[[vm]]") && !errors.ends_with("\n\n"),
        "{errors}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error_to_tell() {
    let mut command = patchvisor();
    command.args(["completions", "bash"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert!(output.stderr.is_empty());
}
