//! The other commands, and the program where it is installed.

use crate::{QEMU, Script, image, patchvisor, patchvisor_on, program};
use std::path::Path;
use std::process::Command;

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

#[test]
fn commands_that_are_printed_have_names_between_quotes() {
    let script = Script::new("exit 0");
    let kernel = script.file("Image", &image());
    let bundle = script.path("it's a bundle");
    let output = patchvisor()
        .args(["pack", "--kernel"])
        .arg(&kernel)
        .arg("-o")
        .arg(&bundle)
        .env(
            "PATCHVISOR_MONITOR",
            script.file("my monitor.bin", &image()),
        )
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(r"/it'\''s a bundle'"), "{text}");
    assert!(text.contains("/my monitor.bin' -initrd '"), "{text}");
    assert!(
        text.contains(r"${ramdisk_addr_r} 'it'\''s a bundle'"),
        "{text}"
    );
}

#[test]
fn a_flag_of_another_program_is_an_error_with_the_next_step() {
    for (flag, step) in [
        ("-hda", "--disk FILE"),
        ("-monitor", "leave it out"),
        ("--cmdline", "--append"),
    ] {
        let output = patchvisor()
            .args(["run", "--kernel", "k", flag, "x"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{flag}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            errors.contains("error: ") && errors.contains(step),
            "{errors}"
        );
        assert!(output.stdout.is_empty(), "{flag}");
    }
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
        (&false.into(), &80.into())
    );
    assert_eq!(json["kinds"]["sret"]["patchable"], 1);
    let script = patchvisor_on(&["inspect"], Path::new(QEMU));
    assert_eq!(script.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&script.stderr).contains("a script"));
}

#[test]
fn a_bundle_never_takes_the_place_of_what_it_is_made_from() {
    let script = Script::new("");
    let kernel = script.file("Image", &image());
    let config = script.file("vm.toml", b"[[vm]]\nkernel = \"Image\"\n");
    let link = script.path("link");
    std::os::unix::fs::symlink(&kernel, &link).unwrap();
    for output in [&kernel, &link, &config] {
        let packed = patchvisor()
            .args(["pack", "--config"])
            .arg(&config)
            .arg("-o")
            .arg(output)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&packed.stderr);
        assert_eq!(packed.status.code(), Some(1), "{errors}");
        assert!(errors.contains("name another file"), "{errors}");
    }
    assert_eq!(std::fs::read(&kernel).unwrap(), image());
}

#[test]
fn nothing_is_left_of_a_bundle_that_cannot_be_written() {
    let script = Script::new("");
    let kernel = script.file("Image", &image());
    let folder = script.path("folder");
    std::fs::create_dir(&folder).unwrap();
    let old = folder.join("vm.bundle");
    std::fs::write(&old, "as it was").unwrap();
    // A limit on files that the bundle exceeds.
    let packed = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"])
        .arg(program())
        .args(["pack", "--kernel"])
        .arg(&kernel)
        .arg("-o")
        .arg(&old)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&packed.stderr);
    assert_eq!(packed.status.code(), Some(1), "{errors}");
    assert!(errors.contains("vm.bundle"), "{errors}");
    assert_eq!(std::fs::read(&old).unwrap(), b"as it was");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
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
    let script = Script::new("");
    let monitor = script.file("patchvisor.bin", &image());
    let doctor = |qemu: &str, words: &[&str]| {
        let mut command = patchvisor();
        command.arg("doctor").args(words).env("QEMU", qemu);
        command
            .env("PATCHVISOR_MONITOR", &monitor)
            .output()
            .unwrap()
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
    // What is no QEMU, or not this one, is told too.
    for (qemu, problem) in [
        ("true", "is no QEMU"),
        ("tests/other-qemu.sh", "no 64-bit RISC-V"),
    ] {
        let output = doctor(qemu, &[]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains(problem) && text.contains("unset QEMU"),
            "{text}"
        );
        assert_eq!(output.status.code(), Some(1));
    }
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
    copy.arg(crate::program()).arg(&program);
    assert!(copy.status().unwrap().success());
    let said = |words: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(words)
            .current_dir(&empty)
            .env_clear()
            .env("QEMU", Path::new(QEMU).canonicalize().unwrap());
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
fn a_reader_that_goes_away_is_no_error_to_tell() {
    let mut command = patchvisor();
    command.args(["completions", "bash"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert!(output.stderr.is_empty());
}
