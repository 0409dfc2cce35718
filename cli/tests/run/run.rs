//! `patchvisor run`: what it gives QEMU, what it says, and how it ends.

use crate::{QEMU, SOON, Script, TWO_VMS, image, patchvisor, patchvisor_on};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// A stand-in that prints the arguments it was given.
const ECHO: &str = "tr '\\0' ' ' < /proc/$$/cmdline";

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

#[test]
fn devices_of_guests_are_devices_of_the_host() {
    let script = Script::new(ECHO);
    let kernel = script.file("Image", &image());
    let disk = script.file("root.img", &[0; 1024]);
    let other = script.file("data.img", &[0; 1024]);
    let root = format!("{},serial=root", disk.display());
    let data = format!("{},readonly", other.display());
    let net = "user,mac=52:54:00:12:34:56,hostfwd=tcp::2222-:22";
    let arguments = [
        "--disk", &root, "--drive", &data, "--net", net, "--net", "--port", "log",
    ];
    let output = script.patchvisor_run(&arguments, &kernel);
    let line = String::from_utf8_lossy(&output.stdout);
    for part in [
        "root.img\",\"read-only\":false},\"node-name\":\"disk0\",\"read-only\":false} -device virtio-blk-device,drive=disk0,bus=virtio-mmio-bus.0 ",
        "data.img\",\"read-only\":true}",
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
    // Who has it is named: here these tests.
    let disk = script.file("root.img", &[0; 512]);
    let _open = std::fs::File::open(&disk).unwrap();
    for lock in [r#""write" lock"#, r#"shared "write" lock"#] {
        let script = Script::new(&format!("echo 'Failed to get {lock}' >&2; exit 1"));
        let output = script.patchvisor_run(&["--disk", &disk.display().to_string()], &kernel);
        let errors = String::from_utf8_lossy(&output.stderr);
        let user = format!("process {} (", std::process::id());
        assert!(errors.contains(&user), "{errors}");
    }
}

#[test]
fn a_run_that_is_told_to_end_takes_its_machine_along() {
    let script = Script::new("trap 'exit 0' TERM; echo $$; while :; do sleep 0.1; done");
    let kernel = script.file("Image", &image());
    let temporary = script.path("temporary");
    std::fs::create_dir(&temporary).unwrap();
    // What it serves, and what ends it as it stands.
    let served =
        [("TERM", 15), ("INT", 2), ("HUP", 1)].map(|(signal, number)| (signal, Ok(number)));
    let fatal = [("KILL", 9), ("QUIT", 3), ("ABRT", 6), ("USR1", 10)];
    let fatal = fatal.map(|(signal, number)| (signal, Err(number)));
    for (signal, number) in served.into_iter().chain(fatal) {
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
        let status = run.wait().unwrap();
        match number {
            Ok(number) => assert_eq!(status.code(), Some(128 + number), "{signal}"),
            Err(number) => assert_eq!(status.signal(), Some(number), "{signal}"),
        }
        let began = Instant::now();
        while number.is_err() && machine.exists() && began.elapsed() < SOON {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!machine.exists(), "{signal}");
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
    assert!(says("", &["--memory", "1M"]).contains("2M is the least"));
    assert!(says("", &["--host-memory", "1M"]).contains("the guests have of it"));
    assert!(says("", &["--dtb", QEMU]).contains("no compiled device tree"));
    assert!(says("", &["--monitor", QEMU]).contains("not the monitor's image"));
    assert!(says("", &["--harts", "0"]).contains("at least one hart"));
    let harts = "Invalid SMP CPUs 513. The max CPUs supported by machine virt is 512";
    assert!(says(harts, &["--harts", "513"]).contains("fewer with --harts"));
    let wrapped = Script::new("");
    let wrapped = wrapped.file("uInitrd", b"\x27\x05\x19\x56");
    let initrd = ["--initrd", wrapped.to_str().unwrap()];
    assert!(says("", &initrd).contains("tail -c +65"));
    assert!(says("", &["--overlay", QEMU]).contains("`dtc -I dts -O dtb`"));
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
fn memory_is_bounded_whatever_guests_print() {
    /// Most KiB that the command may ever have; what is printed is 64 MiB.
    const MOST: u64 = 24 << 10;
    let script = Script::new(
        r#"
        printf 'patchvisor: error: VM "Image": it failed early\r\n'
        yes 'Image| what a guest prints, line for line, for a month or longer' | head -c 67108864
        echo
        sed -n 's/VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$PPID/status > "$PEAK"
        "#,
    );
    let kernel = script.file("Image", &image());
    let logs = script.path("logs");
    for arguments in [&[][..], &["--log-dir", logs.to_str().unwrap()]] {
        let peak = script.path("peak");
        let mut command = patchvisor();
        command.args(["run", "--kernel"]).arg(&kernel);
        command.args(arguments);
        command.args(["--qemu-arg", "--script", "--qemu-arg", &script.body]);
        command
            .env("PATCHVISOR_MONITOR", &kernel)
            .env("PEAK", &peak);
        command.stdout(std::process::Stdio::null());
        let output = command.output().unwrap();
        // What was reported before all this is still known.
        assert_eq!(output.status.code(), Some(1));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("it failed early"), "{errors}");
        let peak: u64 = std::fs::read_to_string(peak)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        assert!(peak < MOST, "{arguments:?}: {peak} KiB");
        eprintln!("{arguments:?}: {peak} KiB at most");
    }
    let log = std::fs::metadata(logs.join("Image.log")).unwrap().len();
    assert!(log > 56 << 20, "{log}");
}
