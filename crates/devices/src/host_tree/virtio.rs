//! The host's virtio devices behind memory-mapped registers (virtio 1.2, section 4.2.1).

use super::blob::{Blob, NodeId, ROOT, word};
use super::read::register_range;
use super::{HostVirtio, TreeError};
use alloc::vec::Vec;

/// All of them by address. One whose interrupt goes elsewhere than `uart`'s has none of use.
pub(super) fn read(tree: &Blob<'_>, uart: Option<NodeId>) -> Result<Vec<HostVirtio>, TreeError> {
    let controller = uart.and_then(|uart| tree.interrupt_parent(uart));
    let mut devices = Vec::new();
    for node in ROOT..tree.nodes.len() {
        if !tree.is_compatible(node, &["virtio,mmio"]) || !tree.is_enabled(node) {
            continue;
        }
        let is_reached = controller.is_none() || tree.interrupt_parent(node) == controller;
        devices.push(HostVirtio {
            registers: register_range(tree, node)?.ok_or_else(|| tree.bad(node, "reg"))?,
            interrupt: tree
                .property(node, "interrupts")
                .and_then(|value| word(value, 0))
                .filter(|_| is_reached),
        });
    }
    devices.sort_by_key(|device| device.registers.base);
    Ok(devices)
}
