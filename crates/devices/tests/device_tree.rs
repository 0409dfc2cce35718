//! The guest's tree, as other programs read it.

use devices::{GuestIsa, TreeSpec, device_tree, guest_isa, host_tree};
use dtoolkit::fdt::Fdt;
use dtoolkit::{Node, Property};
use isa::address::{GuestPhys, HostPhys};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::fs;
use std::process::{Command, Output};

fn isa() -> GuestIsa {
    guest_isa::<&str>(Some("rv64imafdc_zicbom_zicboz_zba_sstc"), &[]).expect("an ISA")
}

fn spec(isa: &GuestIsa) -> TreeSpec<'_> {
    TreeSpec {
        harts: 1,
        memory_base: GuestPhys(0x8000_0000),
        memory_size: 512 << 20,
        bootargs: "console=ttyS0 earlycon=sbi",
        initrd: Some((GuestPhys(0x8800_0000), GuestPhys(0x8812_3456))),
        isa,
        mmu_type: "riscv,sv48",
        timebase_frequency: 10_000_000,
        cbom_block_size: Some(64),
        cbop_block_size: None,
        cboz_block_size: Some(128),
        rtc: true,
        virtio: 2,
        rng_seed: &[1, 2, 3, 4, 5, 6, 7, 8],
        kaslr_seed: Some(0x1122_3344_5566_7788),
        overlay: None,
    }
}

fn make(spec: &TreeSpec<'_>) -> Vec<u8> {
    device_tree(spec).expect("no overlay")
}

fn text(fdt: &Fdt<'_>, path: &str, name: &str) -> String {
    let node = fdt.find_node(path).unwrap_or_else(|| panic!("no {path}"));
    let property = node
        .property(name)
        .unwrap_or_else(|| panic!("no {name} in {path}"));
    property.value_as::<&str>().expect("text").to_owned()
}

fn cells(fdt: &Fdt<'_>, path: &str, name: &str) -> Vec<u32> {
    let node = fdt.find_node(path).unwrap_or_else(|| panic!("no {path}"));
    let property = node
        .property(name)
        .unwrap_or_else(|| panic!("no {name} in {path}"));
    property
        .value()
        .chunks(4)
        .map(|cell| u32::from_be_bytes(cell.try_into().expect("whole cells")))
        .collect()
}

/// Runs `dtc` on `input`, in a directory of this test's own.
fn dtc(test: &str, arguments: &[&str], input: &[u8]) -> Output {
    let directory = tempfile::Builder::new().prefix(test).tempdir();
    let directory = directory.expect("a directory for the input");
    let file = directory.path().join("input");
    fs::write(&file, input).expect("the input written");
    Command::new("dtc")
        .args(arguments)
        .arg(file)
        .output()
        .expect("dtc, of the package device-tree-compiler")
}

#[test]
fn dtc_finds_nothing_to_warn_of() {
    let isa = isa();
    for harts in [1, 4, 17] {
        for rtc in [false, true] {
            let blob = make(&TreeSpec {
                harts,
                rtc,
                ..spec(&isa)
            });
            let output = dtc(
                "warnings",
                &["-I", "dtb", "-O", "dtb", "-o", "/dev/null"],
                &blob,
            );
            let warnings = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && warnings.is_empty(), "{warnings}");
        }
    }
}

/// Everything that both trees have is the same, property by property, but for what differs between
/// the machines: numbers of phandles, the ISA, the seeds, and what firmware changes on its way.
#[test]
fn the_tree_is_that_of_qemu() {
    const DIFFERS: [&str; 10] = [
        "phandle",
        "interrupt-parent",
        "regmap",
        "interrupts-extended",
        "rng-seed",
        "kaslr-seed",
        "bootargs",
        "riscv,isa",
        "riscv,isa-extensions",
        "mmu-type",
    ];
    fn compare(path: &str, ours: &impl Node, theirs: &impl Node) -> usize {
        let mut compared = 0;
        for property in ours.properties() {
            let name = property.name();
            if DIFFERS.contains(&name)
                || name.starts_with("linux,initrd")
                || name == "#address-cells"
            {
                continue;
            }
            let their = theirs
                .property(name)
                .unwrap_or_else(|| panic!("{path} has no {name} in QEMU"));
            assert_eq!(property.value(), their.value(), "{path} {name}");
            compared += 1;
        }
        for child in ours.children() {
            let name = child.name().as_ref().to_owned();
            let their = theirs
                .child(&name)
                .unwrap_or_else(|| panic!("no {path}/{name} in QEMU"));
            compared += compare(&format!("{path}/{name}"), &child, &their);
        }
        compared
    }
    let qemu = Fdt::new(include_bytes!("data/qemu-virt-4-harts.dtb")).expect("QEMU's tree");
    let isa = isa();
    let blob = make(&TreeSpec {
        harts: 4,
        memory_size: 256 << 20,
        cboz_block_size: Some(64),
        ..spec(&isa)
    });
    let ours = Fdt::new(&blob).expect("our tree");
    assert!(compare("", &ours.root(), &qemu.root()) > 70);
}

#[test]
fn chosen_says_what_the_boot_loader_would() {
    let isa = isa();
    let blob = make(&spec(&isa));
    let fdt = Fdt::new(&blob).expect("a tree");
    assert_eq!(
        text(&fdt, "/chosen", "bootargs"),
        "console=ttyS0 earlycon=sbi"
    );
    assert_eq!(text(&fdt, "/chosen", "stdout-path"), "/soc/serial@10000000");
    assert_eq!(
        cells(&fdt, "/chosen", "linux,initrd-start"),
        [0, 0x8800_0000]
    );
    assert_eq!(cells(&fdt, "/chosen", "linux,initrd-end"), [0, 0x8812_3456]);
    assert_eq!(
        cells(&fdt, "/chosen", "rng-seed"),
        [0x0102_0304, 0x0506_0708]
    );
    assert_eq!(
        cells(&fdt, "/chosen", "kaslr-seed"),
        [0x1122_3344, 0x5566_7788]
    );
}

#[test]
fn what_is_not_given_is_not_there() {
    let isa = isa();
    let blob = make(&TreeSpec {
        initrd: None,
        cbom_block_size: None,
        cboz_block_size: None,
        rtc: false,
        rng_seed: &[],
        kaslr_seed: None,
        ..spec(&isa)
    });
    let fdt = Fdt::new(&blob).expect("a tree");
    let chosen = fdt.find_node("/chosen").expect("/chosen");
    let names: Vec<_> = chosen
        .properties()
        .map(|property| property.name().to_owned())
        .collect();
    assert_eq!(names, ["bootargs", "stdout-path"]);
    let cpu = fdt.find_node("/cpus/cpu@0").expect("a cpu");
    assert!(
        cpu.properties()
            .all(|property| !property.name().contains("block-size"))
    );
    assert!(fdt.find_node("/soc/rtc@101000").is_none());
}

#[test]
fn the_plic_leads_to_the_supervisor_context_of_each_hart() {
    let isa = isa();
    let blob = make(&TreeSpec {
        harts: 3,
        ..spec(&isa)
    });
    let fdt = Fdt::new(&blob).expect("a tree");
    let extended = cells(&fdt, "/soc/plic@c000000", "interrupts-extended");
    for (hart, context) in extended.chunks(4).enumerate() {
        let path = format!("/cpus/cpu@{hart}/interrupt-controller");
        let phandle = cells(&fdt, &path, "phandle")[0];
        assert_eq!(context, [phandle, u32::MAX, phandle, 9]);
    }
}

#[test]
fn each_virtio_device_has_a_node() {
    let isa = isa();
    let blob = make(&spec(&isa));
    let fdt = Fdt::new(&blob).expect("a tree");
    for (node, interrupt) in [("10001000", 1), ("10002000", 2)] {
        let path = format!("/soc/virtio_mmio@{node}");
        assert_eq!(text(&fdt, &path, "compatible"), "virtio,mmio");
        assert_eq!(cells(&fdt, &path, "interrupts"), [interrupt]);
    }
    assert!(fdt.find_node("/soc/virtio_mmio@10003000").is_none());
}

#[test]
fn our_own_reader_of_hosts_understands_it() {
    let isa = isa();
    let blob = make(&TreeSpec {
        harts: 2,
        ..spec(&isa)
    });
    let host = host_tree::read(&blob).expect("a tree");
    assert_eq!(host.memory[0].base, HostPhys(0x8000_0000));
    assert_eq!(host.memory[0].size, 512 << 20);
    assert_eq!(host.initrd.map(|initrd| initrd.size), Some(0x12_3456));
    assert_eq!(host.harts.len(), 2);
    assert_eq!(host.harts[1].isa.as_ref(), Some(&isa.isa));
    assert_eq!(host.harts[1].isa_extensions, isa.extensions);
    assert_eq!(host.harts[1].cboz_block_size, Some(128));
    assert_eq!(host.harts[1].mmu_type.as_deref(), Some("riscv,sv48"));
    assert_eq!(
        host.uart
            .and_then(|uart| uart.interrupt)
            .map(|known| known.source),
        Some(10)
    );
    let plic = host.controller.expect("a PLIC");
    assert_eq!((plic.index(0), plic.index(1)), (Some(1), Some(3)));
}

fn compiled_overlay(test: &str) -> Vec<u8> {
    let source = br#"
        /dts-v1/;
        /plugin/;
        &soc {
            #address-cells = <2>;
            #size-cells = <2>;
            clock@5000 {
                compatible = "vendor,clock";
                reg = <0x0 0x5000 0x0 0x1000>;
                interrupts = <5>;
                interrupt-parent = <&plic>;
            };
        };
        &{/chosen} {
            bootargs = "quiet";
        };
    "#;
    let compiled = dtc(test, &["-@", "-I", "dts", "-O", "dtb"], source);
    assert!(compiled.status.success());
    compiled.stdout
}

#[test]
fn an_overlay_can_use_labels_and_paths() {
    let overlay = compiled_overlay("labels");
    let isa = isa();
    let blob = make(&TreeSpec {
        overlay: Some(&overlay),
        ..spec(&isa)
    });
    let fdt = Fdt::new(&blob).expect("a tree");
    assert_eq!(text(&fdt, "/chosen", "bootargs"), "quiet");
    assert_eq!(text(&fdt, "/soc/clock@5000", "compatible"), "vendor,clock");
    assert_eq!(
        cells(&fdt, "/soc/clock@5000", "interrupt-parent"),
        cells(&fdt, "/soc/plic@c000000", "phandle")
    );
    assert!(fdt.find_node("/__symbols__").is_none());
}

#[test]
fn an_overlay_that_does_not_fit_is_an_error() {
    let isa = isa();
    for overlay in [&b"no tree at all"[..], &make(&spec(&isa))[..100]] {
        let result = device_tree(&TreeSpec {
            overlay: Some(overlay),
            ..spec(&isa)
        });
        let message = result.expect_err("no overlay").to_string();
        assert!(
            message.starts_with("the device-tree overlay does not apply: "),
            "{message}"
        );
    }
    let compiled = dtc(
        "misfit",
        &["-@", "-I", "dts", "-O", "dtb"],
        b"/dts-v1/; /plugin/; &nowhere { x = <1>; };",
    );
    let result = device_tree(&TreeSpec {
        overlay: Some(&compiled.stdout),
        ..spec(&isa)
    });
    assert!(result.is_err());
}

#[test]
fn a_damaged_overlay_never_panics() {
    let overlay = compiled_overlay("damaged");
    let isa = isa();
    let spec = spec(&isa);
    let apply = |overlay: &[u8]| {
        let overlay = Some(overlay);
        device_tree(&TreeSpec { overlay, ..spec }).is_ok()
    };
    assert!(apply(&overlay));
    let mut runner = TestRunner::new(ProptestConfig::with_cases(1000));
    let damage = (0..overlay.len(), any::<u8>());
    runner
        .run(&prop::collection::vec(damage, 1..8), |damage| {
            let mut damaged = overlay.clone();
            for (offset, byte) in damage {
                damaged[offset] = byte;
            }
            apply(&damaged);
            Ok(())
        })
        .expect("no panic");
    for length in 0..overlay.len() {
        assert!(!apply(&overlay[..length]));
    }
}
