//! The host's tree, read from what QEMU and others give.

use devices::Seeds;
use devices::host_tree::{
    ControllerKind, HostController, HostInterrupt, HostRange, HostTree, HostUart, HostVirtio,
    NoController, Reserved, Target, TreeError, Trigger, UartModel, read,
};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use isa::address::HostPhys;
use proptest::prelude::*;

const ONE_HART: &[u8] = include_bytes!("data/qemu-virt-1-hart.dtb");
const FOUR_HARTS: &[u8] = include_bytes!("data/qemu-virt-4-harts.dtb");
/// Two harts of `-cpu thead-c906`.
const THEAD_C906: &[u8] = include_bytes!("data/qemu-virt-thead-c906.dtb");
/// Four harts and the memory of two NUMA nodes, each with a PLIC.
const NUMA: &[u8] = include_bytes!("data/qemu-virt-numa.dtb");
/// `-M sifive_u` with five harts, of which the first has no S-mode.
const SIFIVE_U: &[u8] = include_bytes!("data/qemu-sifive-u.dtb");
/// Two harts of `-M virt,aia=aplic`, and of `aia=aplic-imsic`.
const APLIC: &[u8] = include_bytes!("data/qemu-virt-aplic.dtb");
const APLIC_IMSIC: &[u8] = include_bytes!("data/qemu-virt-aplic-imsic.dtb");

fn range(base: u64, size: u64) -> HostRange {
    HostRange {
        base: HostPhys(base),
        size,
    }
}

fn high(source: u32) -> HostInterrupt {
    HostInterrupt {
        source,
        trigger: Trigger::High,
    }
}

/// Harts with the numbers that a controller has for them.
fn targets(numbers: impl IntoIterator<Item = (u64, u32)>) -> Vec<Target> {
    let target = |(hart, index)| Target { hart, index };
    numbers.into_iter().map(target).collect()
}

/// QEMU's one-hart tree with a change.
fn changed(change: impl FnOnce(&mut DeviceTree)) -> Vec<u8> {
    changed_of(ONE_HART, change)
}

fn changed_of(tree: &[u8], change: impl FnOnce(&mut DeviceTree)) -> Vec<u8> {
    let mut tree = DeviceTree::from_fdt(&Fdt::new(tree).expect("a tree"));
    change(&mut tree);
    tree.to_dtb()
}

fn set(tree: &mut DeviceTree, path: &str, name: &str, value: impl dtoolkit::ToPropertyValue) {
    tree.find_node_mut(path)
        .unwrap_or_else(|| panic!("no {path}"))
        .add_property(DeviceTreeProperty::new_unchecked(name, value));
}

fn read_changed(change: impl FnOnce(&mut DeviceTree)) -> Result<HostTree, TreeError> {
    read(&changed(change))
}

#[test]
fn qemu_with_one_hart_is_read() {
    let tree = read(ONE_HART).expect("QEMU's tree");
    assert_eq!(tree.model.as_deref(), Some("riscv-virtio,qemu"));
    assert_eq!(tree.memory, [range(0x8000_0000, 256 << 20)]);
    assert_eq!(tree.reserved, []);
    assert_eq!(tree.initrd, None);
    assert_eq!(tree.timebase_frequency, 10_000_000);
    let [hart] = &tree.harts[..] else {
        panic!("{} harts", tree.harts.len())
    };
    assert_eq!((hart.id, hart.enabled), (0, true));
    assert_eq!(hart.mmu_type.as_deref(), Some("riscv,sv57"));
    assert!(
        hart.isa
            .as_ref()
            .is_some_and(|isa| isa.starts_with("rv64imafdch_"))
    );
    assert_eq!(hart.isa_base.as_deref(), Some("rv64i"));
    assert_eq!(hart.isa_extensions[..3], ["i", "m", "a"]);
    assert_eq!(hart.cbom_block_size, Some(64));
    assert_eq!(hart.cboz_block_size, Some(64));
    let uart = tree.uart.expect("a UART");
    assert_eq!(uart.registers, range(0x1000_0000, 0x100));
    assert_eq!((uart.register_shift, uart.access_width), (0, 1));
    assert_eq!(
        (uart.interrupt, uart.clock),
        (Some(high(10)), Some(3_686_400))
    );
    assert_eq!(uart.model, UartModel::Ns16550);
    assert_eq!(uart.compatible, "ns16550a");
    assert_eq!(tree.rtc, Some(range(0x10_1000, 0x1000)));
    assert_eq!(tree.finisher, Some(range(0x10_0000, 0x1000)));
    let plic = tree.controller.expect("a PLIC");
    assert_eq!(plic.registers, range(0xc00_0000, 0x60_0000));
    assert_eq!((plic.sources, plic.kind), (95, ControllerKind::Plic));
    assert_eq!(plic.targets, targets([(0, 1)]));
}

#[test]
fn virtio_devices_are_in_the_order_of_their_addresses() {
    let devices = read(FOUR_HARTS).expect("QEMU's tree").virtio;
    // QEMU lists them from the last to the first.
    let expected: Vec<HostVirtio> = (0..8)
        .map(|index| HostVirtio {
            registers: range(0x1000_1000 + 0x1000 * index, 0x1000),
            interrupt: Some(high(1 + index as u32)),
        })
        .collect();
    assert_eq!(devices, expected);
    assert_eq!(read(SIFIVE_U).expect("QEMU's tree").virtio, []);
}

#[test]
fn a_virtio_device_that_is_disabled_is_left_out() {
    let tree = read_changed(|tree| set(tree, "/soc/virtio_mmio@10001000", "status", "disabled"));
    let first = tree.expect("a tree").virtio[0];
    assert_eq!(first.registers, range(0x1000_2000, 0x1000));
}

/// The second node's devices and the UART are at two interrupt controllers.
#[test]
fn a_virtio_device_at_another_interrupt_controller_has_no_interrupt() {
    let tree = read_changed(|tree| {
        set(tree, "/soc/virtio_mmio@10001000", "interrupt-parent", 2u32);
    });
    let devices = tree.expect("a tree").virtio;
    assert_eq!(
        (devices[0].interrupt, devices[1].interrupt),
        (None, Some(high(2)))
    );
}

#[test]
fn qemu_with_four_harts_has_a_context_for_each() {
    let tree = read(FOUR_HARTS).expect("QEMU's tree");
    let ids: Vec<u64> = tree.harts.iter().map(|hart| hart.id).collect();
    assert_eq!(ids, [0, 1, 2, 3]);
    assert_eq!(
        tree.bootargs.as_deref(),
        Some("console=ttyS0 root=/dev/vda")
    );
    let plic = tree.controller.expect("a PLIC");
    let contexts: Vec<Option<u32>> = (0..5).map(|hart| plic.index(hart)).collect();
    assert_eq!(contexts, [Some(1), Some(3), Some(5), Some(7), None]);
}

#[test]
fn machine_contexts_that_firmware_disabled_keep_their_place() {
    let tree = read_changed(|tree| {
        set(
            tree,
            "/soc/plic@c000000",
            "interrupts-extended",
            [2, u32::MAX, 2, 9],
        );
    });
    let plic = tree.expect("a tree").controller.expect("a PLIC");
    assert_eq!(plic.targets, targets([(0, 1)]));
}

/// So the contexts of SiFive's FU540 do not alternate.
#[test]
fn a_hart_without_supervisor_mode_has_one_context() {
    let tree = read(SIFIVE_U).expect("QEMU's tree");
    assert_eq!(tree.timebase_frequency, 1_000_000);
    let mmus: Vec<bool> = tree
        .harts
        .iter()
        .map(|hart| hart.mmu_type.is_some())
        .collect();
    assert_eq!(mmus, [false, true, true, true, true]);
    let plic = tree.controller.expect("a PLIC");
    let contexts: Vec<Option<u32>> = (0..5).map(|hart| plic.index(hart)).collect();
    assert_eq!(contexts, [None, Some(2), Some(4), Some(6), Some(8)]);
}

#[test]
fn the_uart_of_sifive_has_registers_of_four_bytes() {
    let tree = read(SIFIVE_U).expect("QEMU's tree");
    let expected = HostUart {
        model: UartModel::SiFive,
        registers: range(0x1001_0000, 0x1000),
        register_shift: 2,
        access_width: 4,
        interrupt: Some(high(4)),
        clock: None,
        compatible: "sifive,uart0".into(),
    };
    assert_eq!(tree.uart, Some(expected));
}

#[test]
fn several_memory_nodes_are_all_read() {
    let tree = read(NUMA).expect("QEMU's tree");
    let expected = [range(0x8000_0000, 256 << 20), range(0x9000_0000, 256 << 20)];
    assert_eq!(tree.memory, expected);
}

#[test]
fn of_several_plics_the_uarts_own_is_taken() {
    let blob = |parent: &str| {
        let mut tree = DeviceTree::from_fdt(&Fdt::new(NUMA).expect("a tree"));
        let path = format!("/soc/{parent}");
        let plic = tree.find_node(&path).expect("a PLIC");
        let phandle = dtoolkit::Node::property(&plic, "phandle").expect("a phandle");
        let phandle: u32 = dtoolkit::Property::value_as(&phandle).expect("a cell");
        set(
            &mut tree,
            "/soc/serial@10000000",
            "interrupt-parent",
            phandle,
        );
        tree.to_dtb()
    };
    for (name, base, harts) in [
        ("plic@c000000", 0xc00_0000, [0, 1]),
        ("plic@c600000", 0xc60_0000, [2, 3]),
    ] {
        let plic = read(&blob(name))
            .expect("a tree")
            .controller
            .expect("a PLIC");
        assert_eq!(plic.registers.base, HostPhys(base));
        let with_context: Vec<u64> = plic.targets.iter().map(|target| target.hart).collect();
        assert_eq!(with_context, harts);
    }
}

#[test]
fn the_extensions_of_a_thead_hart_are_offered_less_its_privileged_ones() {
    let tree = read(THEAD_C906).expect("QEMU's tree");
    let hart = &tree.harts[1];
    assert_eq!(hart.mmu_type.as_deref(), Some("riscv,sv39"));
    assert_eq!(hart.cboz_block_size, None);
    let guest = devices::guest_isa(hart.isa.as_deref(), &hart.isa_extensions).expect("an ISA");
    let withheld: Vec<&String> = hart
        .isa_extensions
        .iter()
        .filter(|name| !guest.extensions.contains(name))
        .collect();
    assert_eq!(withheld, ["xtheadcmo", "xtheadsync"]);
}

#[test]
fn initrd_bounds_are_read_in_one_cell_or_two() {
    for wide in [false, true] {
        let tree = read_changed(|tree| {
            for (name, value) in [
                ("linux,initrd-start", 0x8800_0000_u32),
                ("linux,initrd-end", 0x8800_1234),
            ] {
                if wide {
                    set(tree, "/chosen", name, u64::from(value));
                } else {
                    set(tree, "/chosen", name, value);
                }
            }
        });
        assert_eq!(
            tree.expect("a tree").initrd,
            Some(range(0x8800_0000, 0x1234))
        );
    }
}

#[test]
fn an_initrd_that_ends_before_it_begins_is_an_error() {
    let tree = read_changed(|tree| {
        set(tree, "/chosen", "linux,initrd-start", 2_u32);
        set(tree, "/chosen", "linux,initrd-end", 1_u32);
    });
    let error = tree.expect_err("a broken tree");
    assert_eq!(
        error.to_string(),
        "the device tree is broken: `linux,initrd-end` of /chosen has a value of the wrong shape"
    );
}

#[test]
fn reserved_memory_is_read_from_both_places() {
    let tree = read_changed(|tree| {
        tree.memory_reservations
            .push(dtoolkit::memreserve::MemoryReservation::new(
                0x9000_0000,
                0x1000,
            ));
        let mut firmware = DeviceTreeNode::new_unchecked("mmode_resv0@80000000");
        firmware.add_property(DeviceTreeProperty::new_unchecked(
            "reg",
            [0, 0x8000_0000, 0, 0x8_0000_u32],
        ));
        firmware.add_property(DeviceTreeProperty::new_unchecked("no-map", [0_u8; 0]));
        let mut later = DeviceTreeNode::new_unchecked("linux,cma");
        later.add_property(DeviceTreeProperty::new_unchecked("size", 0x100_0000_u64));
        let mut reserved = DeviceTreeNode::new_unchecked("reserved-memory");
        for (name, value) in [("#address-cells", 2_u32), ("#size-cells", 2)] {
            reserved.add_property(DeviceTreeProperty::new_unchecked(name, value));
        }
        reserved.add_property(DeviceTreeProperty::new_unchecked("ranges", [0_u8; 0]));
        reserved.add_child(firmware);
        reserved.add_child(later);
        tree.root.add_child(reserved);
    });
    let expected = [
        Reserved {
            range: range(0x9000_0000, 0x1000),
            no_map: false,
        },
        Reserved {
            range: range(0x8000_0000, 0x8_0000),
            no_map: true,
        },
    ];
    assert_eq!(tree.expect("a tree").reserved, expected);
}

#[test]
fn stdout_may_be_an_alias_with_options() {
    let tree = read_changed(|tree| {
        let mut second = DeviceTreeNode::new_unchecked("serial@20000000");
        for (name, value) in [("reg-shift", 2_u32), ("reg-io-width", 4)] {
            second.add_property(DeviceTreeProperty::new_unchecked(name, value));
        }
        second.add_property(DeviceTreeProperty::new_unchecked(
            "compatible",
            "snps,dw-apb-uart",
        ));
        second.add_property(DeviceTreeProperty::new_unchecked(
            "reg",
            [0, 0x2000_0000, 0, 0x400_u32],
        ));
        tree.find_node_mut("/soc").expect("/soc").add_child(second);
        set(tree, "/aliases", "serial1", "/soc/serial@20000000");
        set(tree, "/chosen", "stdout-path", "serial1:115200n8");
    });
    let uart = tree.expect("a tree").uart.expect("a UART");
    assert_eq!(uart.registers, range(0x2000_0000, 0x400));
    assert_eq!((uart.register_shift, uart.access_width), (2, 4));
    assert_eq!(
        (uart.interrupt, uart.compatible.as_str()),
        (None, "snps,dw-apb-uart")
    );
}

#[test]
fn without_stdout_the_first_enabled_uart_is_taken() {
    let tree = read_changed(|tree| {
        tree.find_node_mut("/chosen")
            .expect("/chosen")
            .remove_property("stdout-path");
    });
    assert!(tree.expect("a tree").uart.is_some());
    let tree = read_changed(|tree| set(tree, "/soc/serial@10000000", "status", "disabled"));
    assert_eq!(tree.expect("a tree").uart, None);
}

#[test]
fn bus_ranges_are_translated() {
    let tree = read_changed(|tree| {
        set(
            tree,
            "/soc",
            "ranges",
            [0, 0x1000_0000, 0x20, 0x4000_0000, 0, 0x100_0000_u32],
        );
    });
    let tree = tree.expect("a tree");
    assert_eq!(
        tree.uart.expect("a UART").registers.base,
        HostPhys(0x20_4000_0000)
    );
    // The PLIC lies in no range and stays.
    assert_eq!(
        tree.controller.expect("a PLIC").registers.base,
        HostPhys(0xc00_0000)
    );
}

#[test]
fn thead_plics_are_known() {
    let tree = read_changed(|tree| {
        set(tree, "/soc/plic@c000000", "compatible", "thead,c900-plic");
    });
    assert!(tree.expect("a tree").controller.expect("a PLIC").kind == ControllerKind::Plic);
}

#[test]
fn the_supervisor_level_domain_of_an_aplic_is_taken() {
    let tree = read(APLIC).expect("QEMU's tree");
    let expected = HostController {
        kind: ControllerKind::Aplic,
        registers: range(0xd00_0000, 0x8000),
        sources: 96,
        targets: targets([(0, 0), (1, 1)]),
    };
    assert_eq!(tree.controller, Ok(expected));
    assert_eq!(tree.uart.expect("a UART").interrupt, Some(high(10)));
    assert_eq!(tree.virtio[7].interrupt, Some(high(8)));
}

#[test]
fn an_aplic_with_imsics_numbers_harts_by_their_interrupt_files() {
    let tree = read(APLIC_IMSIC).expect("QEMU's tree");
    let expected = HostController {
        kind: ControllerKind::AplicMsi { identities: 255 },
        registers: range(0xd00_0000, 0x8000),
        sources: 96,
        targets: targets([(0, 0), (1, 1)]),
    };
    assert_eq!(tree.controller, Ok(expected));
}

/// The controller of a changed tree of `aia=aplic-imsic`.
fn with_imsic(change: impl FnOnce(&mut DeviceTree)) -> Result<HostController, NoController> {
    let tree = read(&changed_of(APLIC_IMSIC, change));
    tree.expect("a tree").controller
}

const DOMAIN: &str = "/soc/interrupt-controller@d000000";
const FILES: &str = "/soc/interrupt-controller@28000000";

/// Pages of guests' files lie between those of the harts, and each group's files are elsewhere.
#[test]
fn guest_and_group_bits_are_part_of_where_interrupt_files_are() {
    let controller = with_imsic(|tree| {
        for (name, bits) in [
            ("riscv,guest-index-bits", 3_u32),
            ("riscv,hart-index-bits", 2),
            ("riscv,group-index-bits", 1),
            ("riscv,group-index-shift", 24),
        ] {
            set(tree, FILES, name, bits);
        }
        // The second hart is the first of group 1. The first group's region ends inside its hart's pages.
        set(
            tree,
            FILES,
            "reg",
            [0, 0x2800_0000, 0, 0x1000, 0, 0x2900_0000, 0, 0x8000_u32],
        );
    });
    let expected = targets([(0, 0), (1, 1 << 2)]);
    assert_eq!(controller.expect("an APLIC").targets, expected);
}

#[test]
fn hart_indices_that_the_tree_gives_count() {
    let blob = changed_of(APLIC, |tree| {
        set(tree, DOMAIN, "riscv,hart-indexes", [5, 2_u32]);
    });
    let controller = read(&blob).expect("a tree").controller;
    let expected = targets([(0, 5), (1, 2)]);
    assert_eq!(controller.expect("an APLIC").targets, expected);
}

#[test]
fn a_domain_of_machine_level_is_passed_over() {
    for blob in [APLIC, APLIC_IMSIC] {
        let blob = changed_of(blob, |tree| set(tree, DOMAIN, "status", "disabled"));
        let tree = read(&blob).expect("a tree");
        assert_eq!(tree.controller, Err(NoController::Absent));
        assert_eq!(tree.uart.expect("a UART").interrupt, None);
    }
}

#[test]
fn what_cannot_be_used_of_an_aplic_is_told_and_the_rest_is_read() {
    let error = |change: &dyn Fn(&mut DeviceTree)| {
        let controller = with_imsic(|tree| change(tree));
        controller.expect_err("no controller").to_string()
    };
    let small = |tree: &mut DeviceTree| {
        set(tree, DOMAIN, "reg", [0, 0xd00_0000, 0, 0x1000_u32]);
    };
    assert_eq!(
        error(&small),
        "/soc/interrupt-controller@d000000: its registers end too early"
    );
    let parent = |tree: &mut DeviceTree| set(tree, DOMAIN, "msi-parent", 1_u32);
    assert_eq!(
        error(&parent),
        "/soc/interrupt-controller@d000000: its `msi-parent` is no IMSIC"
    );
    let disabled = |tree: &mut DeviceTree| set(tree, FILES, "status", "disabled");
    assert_eq!(
        error(&disabled),
        "/soc/interrupt-controller@d000000: its IMSICs are disabled"
    );
    let identities = |tree: &mut DeviceTree| set(tree, FILES, "riscv,num-ids", 62_u32);
    assert!(error(&identities).contains("`riscv,num-ids` of /soc/interrupt-controller@28000000"));
    let few = |tree: &mut DeviceTree| set(tree, FILES, "reg", [0, 0x2800_0000, 0, 0x1000_u32]);
    assert!(error(&few).contains("`reg` of /soc/interrupt-controller@28000000"));
    let sources = |tree: &mut DeviceTree| set(tree, DOMAIN, "riscv,num-sources", 1024_u32);
    assert!(error(&sources).contains("`riscv,num-sources`"));
}

#[test]
fn what_a_device_does_on_its_wire_is_read_where_the_controller_asks() {
    let of = |blob: &[u8], cell: u32| {
        let blob = changed_of(blob, |tree| {
            set(tree, "/soc/serial@10000000", "interrupts", [10, cell]);
        });
        let uart = read(&blob).expect("a tree").uart.expect("a UART");
        uart.interrupt.expect("an interrupt").trigger
    };
    let triggers = [1, 2, 4, 8].map(|cell| of(APLIC, cell));
    let expected = [
        Trigger::RisingEdge,
        Trigger::FallingEdge,
        Trigger::High,
        Trigger::Low,
    ];
    assert_eq!(triggers, expected);
    // A PLIC's cell is one.
    assert_eq!(of(ONE_HART, 1), Trigger::High);
}

/// Guests have no AIA: their harts get none of the host's interrupts.
#[test]
fn a_guest_is_not_offered_the_hosts_aia() {
    let tree = read(APLIC_IMSIC).expect("QEMU's tree");
    let hart = &tree.harts[0];
    for name in ["smaia", "ssaia"] {
        assert!(hart.isa_extensions.iter().any(|known| known == name));
    }
    let guest = devices::guest_isa(hart.isa.as_deref(), &hart.isa_extensions).expect("an ISA");
    assert!(!guest.isa.contains("aia"));
    assert!(!guest.extensions.iter().any(|name| name.contains("aia")));
}

#[test]
fn disabled_harts_are_told() {
    let tree = read_changed(|tree| set(tree, "/cpus/cpu@0", "status", "disabled"));
    assert!(!tree.expect("a tree").harts[0].enabled);
}

#[test]
fn a_timebase_in_the_cpu_nodes_or_in_two_cells_is_found() {
    let tree = read_changed(|tree| {
        tree.find_node_mut("/cpus")
            .expect("/cpus")
            .remove_property("timebase-frequency");
        set(tree, "/cpus/cpu@0", "timebase-frequency", 3_000_000_u64);
    });
    assert_eq!(tree.expect("a tree").timebase_frequency, 3_000_000);
}

#[test]
fn names_longer_than_the_specification_allows_are_no_reason_to_refuse_a_tree() {
    let long = "a-node-name-that-is-much-longer-than-thirty-one-characters";
    let blob = changed(|tree| {
        let mut node = DeviceTreeNode::new_unchecked(long);
        node.add_property(DeviceTreeProperty::new_unchecked(long, 1_u32));
        tree.root.add_child(node);
    });
    assert!(Fdt::new(&blob).is_err());
    assert!(read(&blob).is_ok());
}

#[test]
fn what_is_missing_is_named() {
    let missing = |path: &'static str, name: &'static str| {
        read_changed(|tree| {
            tree.find_node_mut(path).expect(path).remove_child(name);
        })
        .expect_err("a tree without")
        .to_string()
    };
    assert_eq!(
        missing("/", "memory@80000000"),
        "the device tree has no memory node (`device_type = \"memory\"`)"
    );
    assert_eq!(missing("/", "cpus"), "the device tree has no /cpus node");
    assert_eq!(
        missing("/cpus", "cpu@0"),
        "the device tree has no cpu node in /cpus"
    );
    let no_timebase = read_changed(|tree| {
        tree.find_node_mut("/cpus")
            .expect("/cpus")
            .remove_property("timebase-frequency");
    });
    assert_eq!(
        no_timebase.expect_err("a tree without").to_string(),
        "the device tree has no timebase-frequency in /cpus"
    );
}

#[test]
fn what_is_no_tree_says_what_it_is_instead() {
    assert_eq!(
        read(&[]),
        Err(TreeError::Truncated {
            needed: 40,
            given: 0
        })
    );
    assert_eq!(
        read(b"\x7fELF and more, forty bytes of it all in all")
            .expect_err("no tree")
            .to_string(),
        "there is no device tree: it would begin with 0xd00dfeed, not with 0x7f454c46"
    );
    let mut old = ONE_HART.to_vec();
    old[23] = 16;
    assert_eq!(
        read(&old),
        Err(TreeError::Version {
            version: 16,
            compatible: 16
        })
    );
}

#[test]
fn bytes_after_the_tree_do_not_matter() {
    let padded = [ONE_HART, &[0xff; 100]].concat();
    assert_eq!(read(&padded), read(ONE_HART));
}

#[test]
fn a_tree_truncated_anywhere_is_an_error_that_says_so() {
    for length in 0..FOUR_HARTS.len() {
        let error = read(&FOUR_HARTS[..length]).expect_err("a truncated tree");
        assert!(
            matches!(error, TreeError::Truncated { given, .. } if given == length),
            "{length}: {error}"
        );
    }
}

/// The same, with a header that was made to agree: now the structure itself breaks off.
#[test]
fn a_tree_that_breaks_off_inside_is_an_error() {
    for length in 40..ONE_HART.len() {
        let mut blob = ONE_HART[..length].to_vec();
        blob[4..8].copy_from_slice(&u32::try_from(length).expect("small").to_be_bytes());
        assert!(read(&blob).is_err(), "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_damaged_tree_never_panics(
        damage in prop::collection::vec((0..ONE_HART.len(), any::<u8>()), 1..20),
    ) {
        let mut blob = ONE_HART.to_vec();
        for (offset, byte) in damage {
            blob[offset] = byte;
        }
        let _ = read(&blob).map_err(|error| error.to_string());
    }

    #[test]
    fn damaged_words_of_an_aplic_never_panic(
        damage in prop::collection::vec(
            (0..APLIC_IMSIC.len() / 4, prop_oneof![0..64_u32, Just(u32::MAX), Just(1 << 31), any::<u32>()]),
            1..4,
        ),
    ) {
        let mut blob = APLIC_IMSIC.to_vec();
        for (index, word) in damage {
            blob[4 * index..4 * index + 4].copy_from_slice(&word.to_be_bytes());
        }
        let _ = read(&blob).map(|tree| tree.controller.map_err(|error| error.to_string()));
    }

    #[test]
    fn damaged_words_never_panic(
        damage in prop::collection::vec(
            (0..ONE_HART.len() / 4, prop_oneof![0..16_u32, Just(u32::MAX), Just(1 << 31), any::<u32>()]),
            1..4,
        ),
    ) {
        let mut blob = ONE_HART.to_vec();
        for (index, word) in damage {
            blob[4 * index..4 * index + 4].copy_from_slice(&word.to_be_bytes());
        }
        let _ = read(&blob).map_err(|error| error.to_string());
    }
}

#[test]
fn seeds_are_found_where_they_are() {
    let seeds = Seeds::of(ONE_HART).expect("QEMU's tree");
    let rng = seeds.rng.clone().expect("an rng-seed");
    assert_eq!((rng.len(), seeds.kaslr), (32, None));
    let mut tree = ONE_HART.to_vec();
    tree[rng.clone()].fill(0);
    assert_ne!(tree, ONE_HART);
    assert_eq!(Seeds::of(&tree).unwrap().rng, Some(rng));
    assert!(Seeds::of(b"no tree").is_err());
}
