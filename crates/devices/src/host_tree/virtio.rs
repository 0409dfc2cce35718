//! The host's virtio devices behind memory-mapped registers (virtio 1.2, section 4.2.1).

use super::blob::{Blob, NodeId, ROOT};
use super::controller::interrupt;
use super::read::register_range;
use super::{HostVirtio, TreeError};
use alloc::vec::Vec;

/// All of them by address. One whose interrupt goes elsewhere than to `controller` has none of use.
pub(super) fn read(
    tree: &Blob<'_>,
    controller: Option<NodeId>,
) -> Result<Vec<HostVirtio>, TreeError> {
    let mut devices = Vec::new();
    for node in ROOT..tree.nodes.len() {
        if !tree.is_compatible(node, &["virtio,mmio"]) || !tree.is_enabled(node) {
            continue;
        }
        devices.push(HostVirtio {
            registers: register_range(tree, node)?.ok_or_else(|| tree.bad(node, "reg"))?,
            interrupt: interrupt(tree, node, controller),
        });
    }
    devices.sort_by_key(|device| device.registers.base);
    Ok(devices)
}
