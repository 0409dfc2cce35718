//! What the nodes mean.

use super::blob::{Blob, NodeId, ROOT};
use super::{
    HostHart, HostRange, HostTree, HostUart, Reserved, TreeError, UartModel, controller, virtio,
};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use isa::address::HostPhys;

/// `compatible` names of the UARTs that can be driven.
const UARTS: [(&str, UartModel); 6] = [
    ("ns16550a", UartModel::Ns16550),
    ("ns16550", UartModel::Ns16550),
    ("snps,dw-apb-uart", UartModel::Ns16550),
    ("sifive,ns16550a", UartModel::Ns16550),
    ("sifive,uart0", UartModel::SiFive),
    ("sifive,fu540-c000-uart", UartModel::SiFive),
];
/// The most cells of an address or a size; PCI has three, and no use here.
const MOST_CELLS: u32 = 2;

pub(super) fn read(tree: &Blob<'_>) -> Result<HostTree, TreeError> {
    let memory = memory(tree)?;
    if memory.is_empty() {
        return Err(TreeError::Missing {
            what: "memory node (`device_type = \"memory\"`)",
        });
    }
    let cpus = tree
        .child(ROOT, "cpus")
        .ok_or(TreeError::Missing { what: "/cpus node" })?;
    let harts = harts(tree, cpus)?;
    if harts.is_empty() {
        return Err(TreeError::Missing {
            what: "cpu node in /cpus",
        });
    }
    let chosen = tree.child(ROOT, "chosen");
    let chosen_text = |name| chosen.and_then(|node| tree.string(node, name));
    let uart_node = find_uart(tree, chosen_text("stdout-path"));
    let (controller_node, controller) = controller::read(tree, uart_node);
    Ok(HostTree {
        model: tree.string(ROOT, "model").map(ToOwned::to_owned),
        memory,
        reserved: reserved(tree)?,
        initrd: chosen.map_or(Ok(None), |node| initrd(tree, node))?,
        bootargs: chosen_text("bootargs").map(ToOwned::to_owned),
        timebase_frequency: timebase(tree, cpus)?,
        harts,
        uart: uart_node
            .map(|node| uart(tree, node, controller_node))
            .transpose()?,
        controller,
        virtio: virtio::read(tree, controller_node)?,
        rtc: device(tree, &["google,goldfish-rtc"])?,
        finisher: device(tree, &["sifive,test0"])?,
    })
}

fn memory(tree: &Blob<'_>) -> Result<Vec<HostRange>, TreeError> {
    let mut ranges = Vec::new();
    for node in tree.children(ROOT) {
        if tree.string(node, "device_type") == Some("memory") && tree.is_enabled(node) {
            ranges.extend(registers(tree, node)?);
        }
    }
    ranges.retain(|range| range.size > 0);
    Ok(ranges)
}

/// `/reserved-memory` and the reservation block. A region without `reg` is for the operating system
/// to place: nothing is there yet.
fn reserved(tree: &Blob<'_>) -> Result<Vec<Reserved>, TreeError> {
    let mut reserved: Vec<Reserved> = tree
        .reservations
        .iter()
        .map(|&(base, size)| Reserved {
            range: HostRange {
                base: HostPhys(base),
                size,
            },
            no_map: false,
        })
        .collect();
    let Some(parent) = tree.child(ROOT, "reserved-memory") else {
        return Ok(reserved);
    };
    for node in tree.children(parent).filter(|&node| tree.is_enabled(node)) {
        let no_map = tree.property(node, "no-map").is_some();
        reserved.extend(
            registers(tree, node)?
                .into_iter()
                .map(|range| Reserved { range, no_map }),
        );
    }
    Ok(reserved)
}

/// The loader's initial RAM disk. Loaders write its bounds as one cell or as two.
fn initrd(tree: &Blob<'_>, chosen: NodeId) -> Result<Option<HostRange>, TreeError> {
    let bound = |name: &'static str| {
        tree.property(chosen, name)
            .map(|value| match value.len() {
                4 | 8 => Ok(joined(value)),
                _ => Err(tree.bad(chosen, name)),
            })
            .transpose()
    };
    let start = bound("linux,initrd-start")?;
    let end = bound("linux,initrd-end")?;
    let Some((start, end)) = start.zip(end) else {
        return Ok(None);
    };
    let size = end
        .checked_sub(start)
        .ok_or_else(|| tree.bad(chosen, "linux,initrd-end"))?;
    Ok((size > 0).then_some(HostRange {
        base: HostPhys(start),
        size,
    }))
}

/// The frequency is in `/cpus`, or in each cpu node. Some trees write it as two cells.
fn timebase(tree: &Blob<'_>, cpus: NodeId) -> Result<u32, TreeError> {
    const PROPERTY: &str = "timebase-frequency";
    for node in core::iter::once(cpus).chain(tree.children(cpus)) {
        if let Some(value) = tree.property(node, PROPERTY) {
            let frequency = match value.len() {
                4 | 8 => u32::try_from(joined(value)).ok(),
                _ => None,
            };
            return frequency
                .filter(|&frequency| frequency > 0)
                .ok_or_else(|| tree.bad(node, PROPERTY));
        }
    }
    Err(TreeError::Missing {
        what: "timebase-frequency in /cpus",
    })
}

fn harts(tree: &Blob<'_>, cpus: NodeId) -> Result<Vec<HostHart>, TreeError> {
    let mut harts = Vec::new();
    for node in tree.children(cpus) {
        if tree.string(node, "device_type") != Some("cpu") {
            continue;
        }
        let text = |name| tree.string(node, name).map(ToOwned::to_owned);
        harts.push(HostHart {
            id: hart_id(tree, node).ok_or_else(|| tree.bad(node, "reg"))?,
            enabled: tree.is_enabled(node),
            isa: text("riscv,isa"),
            isa_base: text("riscv,isa-base"),
            isa_extensions: tree
                .strings(node, "riscv,isa-extensions")
                .map(String::from)
                .collect(),
            mmu_type: text("mmu-type"),
            cbom_block_size: tree.cell(node, "riscv,cbom-block-size")?,
            cbop_block_size: tree.cell(node, "riscv,cbop-block-size")?,
            cboz_block_size: tree.cell(node, "riscv,cboz-block-size")?,
        });
    }
    Ok(harts)
}

/// The hart id of a cpu node: its `reg`, one or two cells.
pub(super) fn hart_id(tree: &Blob<'_>, cpu: NodeId) -> Option<u64> {
    let value = tree.property(cpu, "reg")?;
    matches!(value.len(), 4 | 8).then(|| joined(value))
}

/// The UART that `stdout` names (a path or an alias, options after a colon), if it can be driven,
/// else the first that can.
fn find_uart(tree: &Blob<'_>, stdout: Option<&str>) -> Option<NodeId> {
    let usable = |node: NodeId| uart_model(tree, node).is_some() && tree.is_enabled(node);
    stdout
        .and_then(|stdout| stdout.split(':').next())
        .and_then(|name| {
            let alias = tree
                .child(ROOT, "aliases")
                .and_then(|aliases| tree.string(aliases, name));
            tree.find(alias.unwrap_or(name))
        })
        .filter(|&node| usable(node))
        .or_else(|| (ROOT..tree.nodes.len()).find(|&node| usable(node)))
}

fn uart_model(tree: &Blob<'_>, node: NodeId) -> Option<UartModel> {
    let mut known = UARTS.iter();
    known.find_map(|&(name, model)| tree.is_compatible(node, &[name]).then_some(model))
}

fn uart(tree: &Blob<'_>, node: NodeId, controller: Option<NodeId>) -> Result<HostUart, TreeError> {
    let model = uart_model(tree, node).ok_or_else(|| tree.bad(node, "compatible"))?;
    let (shift, width) = match model {
        UartModel::Ns16550 => (0, 1),
        UartModel::SiFive => (2, 4),
    };
    Ok(HostUart {
        model,
        registers: register_range(tree, node)?.ok_or_else(|| tree.bad(node, "reg"))?,
        register_shift: tree.cell(node, "reg-shift")?.unwrap_or(shift),
        access_width: tree.cell(node, "reg-io-width")?.unwrap_or(width),
        interrupt: controller::interrupt(tree, node, controller),
        clock: tree.cell(node, "clock-frequency")?,
        compatible: tree
            .strings(node, "compatible")
            .next()
            .unwrap_or_default()
            .to_owned(),
    })
}

/// The registers of the first device that is compatible and enabled.
fn device(tree: &Blob<'_>, compatible: &[&str]) -> Result<Option<HostRange>, TreeError> {
    (ROOT..tree.nodes.len())
        .find(|&node| tree.is_compatible(node, compatible) && tree.is_enabled(node))
        .map_or(Ok(None), |node| register_range(tree, node))
}

/// The first range of a node's `reg`, as the hart addresses it.
pub(super) fn register_range(
    tree: &Blob<'_>,
    node: NodeId,
) -> Result<Option<HostRange>, TreeError> {
    Ok(registers(tree, node)?.first().copied())
}

/// All ranges of a node's `reg`, as the hart addresses them.
pub(super) fn registers(tree: &Blob<'_>, node: NodeId) -> Result<Vec<HostRange>, TreeError> {
    let (Some(parent), Some(value)) = (tree.nodes[node].parent, tree.property(node, "reg")) else {
        return Ok(Vec::new());
    };
    let (address_cells, size_cells) = cells(tree, parent)?;
    let entry = 4 * (address_cells + size_cells);
    if entry == 0 || !value.len().is_multiple_of(entry) {
        return Err(tree.bad(node, "reg"));
    }
    value
        .chunks(entry)
        .map(|entry| {
            let (address, size) = entry.split_at(4 * address_cells);
            Ok(HostRange {
                base: HostPhys(translate(tree, parent, joined(address))?),
                size: joined(size),
            })
        })
        .collect()
}

/// Translates an address in the space of `bus`' children up to that of the harts, by the `ranges` of
/// each bus on the way (Devicetree Specification, section 2.3.8). Without a matching range it is
/// taken as it is: buses that forgot theirs are common and mean just that.
fn translate(tree: &Blob<'_>, bus: NodeId, address: u64) -> Result<u64, TreeError> {
    let mut address = address;
    let mut bus = bus;
    while let Some(parent) = tree.nodes[bus].parent {
        let (child_cells, size_cells) = cells(tree, bus)?;
        let (parent_cells, _) = cells(tree, parent)?;
        let entry = 4 * (child_cells + parent_cells + size_cells);
        let ranges = tree.property(bus, "ranges").unwrap_or_default();
        if !ranges.len().is_multiple_of(entry) {
            return Err(tree.bad(bus, "ranges"));
        }
        let translated = ranges.chunks(entry.max(1)).find_map(|entry| {
            let (child, rest) = entry.split_at(4 * child_cells);
            let (parent, size) = rest.split_at(4 * parent_cells);
            let offset = address.checked_sub(joined(child))?;
            (offset < joined(size)).then(|| joined(parent).wrapping_add(offset))
        });
        address = translated.unwrap_or(address);
        bus = parent;
    }
    Ok(address)
}

/// `#address-cells` and `#size-cells` of a node, for its children.
fn cells(tree: &Blob<'_>, node: NodeId) -> Result<(usize, usize), TreeError> {
    let cells = |name: &'static str, default: u32| match tree.cell(node, name)? {
        None => Ok(default as usize),
        Some(cells) if cells <= MOST_CELLS => Ok(cells as usize),
        Some(_) => Err(tree.bad(node, name)),
    };
    Ok((cells("#address-cells", 2)?, cells("#size-cells", 1)?))
}

/// A big-endian number of up to eight bytes; of a longer one, its low 64 bits.
fn joined(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
}
