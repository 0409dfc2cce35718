//! An APLIC's domain for S-mode, and the IMSICs that it sends messages to. The properties are those of
//! Linux's bindings `riscv,aplic` and `riscv,imsics`.

use super::blob::{Blob, NodeId, word};
use super::controller::{ControllerKind, HostController, NoController, Target, parents};
use super::read::{register_range, registers};
use alloc::vec::Vec;

pub(super) const APLIC: &str = "riscv,aplic";
const IMSICS: &str = "riscv,imsics";

/// Sources that an APLIC may have (AIA, section 4.1).
const SOURCES: core::ops::RangeInclusive<u32> = 1..=1023;
/// The highest identity that an interrupt file may have (AIA, section 3.1).
const IDENTITIES: core::ops::RangeInclusive<u32> = 63..=2047;
/// Bits of a hart index (AIA, section 4.3).
const INDEX_BITS: u32 = 14;
/// Bytes of the registers of a domain before the interrupt delivery controls, and of one of those (AIA,
/// section 4.5).
const DOMAIN: u64 = 0x4000;
const DELIVERY: u64 = 32;
/// Base 2 logarithm of the bytes of an interrupt file's registers.
const PAGE_SHIFT: u32 = 12;

/// What the node of a domain says; `None` when it interrupts nobody's S-mode.
pub(super) fn read(tree: &Blob<'_>, node: NodeId) -> Result<Option<HostController>, NoController> {
    let unusable = |node, why| NoController::Unusable {
        node: tree.path(node),
        why,
    };
    // As Linux has it: with `msi-parent` the domain sends messages.
    let (kind, targets) = match tree.property(node, "msi-parent") {
        None => (ControllerKind::Aplic, by_wire(tree, node)?),
        Some(parent) => {
            let imsics = word(parent, 0)
                .and_then(|phandle| tree.by_phandle(phandle))
                .filter(|&parent| tree.is_compatible(parent, &[IMSICS]))
                .ok_or_else(|| unusable(node, "its `msi-parent` is no IMSIC"))?;
            let Some(targets) = by_message(tree, imsics)? else {
                return Ok(None);
            };
            if !tree.is_enabled(imsics) {
                return Err(unusable(node, "its IMSICs are disabled"));
            }
            let identities = tree
                .cell(imsics, "riscv,num-ids")?
                .filter(|count| IDENTITIES.contains(count))
                .ok_or_else(|| tree.bad(imsics, "riscv,num-ids"))?;
            (ControllerKind::AplicMsi { identities }, targets)
        }
    };
    let Some(highest) = targets.iter().map(|target| target.index).max() else {
        return Ok(None);
    };
    let registers = register_range(tree, node)?.ok_or_else(|| tree.bad(node, "reg"))?;
    let needed = match kind {
        ControllerKind::Aplic => DOMAIN + DELIVERY * (u64::from(highest) + 1),
        _ => DOMAIN,
    };
    if registers.size < needed {
        return Err(unusable(node, "its registers end too early"));
    }
    if highest >> INDEX_BITS != 0 {
        return Err(unusable(node, "a hart index has more than 14 bits"));
    }
    let sources = tree
        .cell(node, "riscv,num-sources")?
        .filter(|count| SOURCES.contains(count))
        .ok_or_else(|| tree.bad(node, "riscv,num-sources"))?;
    Ok(Some(HostController {
        kind,
        registers,
        sources,
        targets,
    }))
}

/// Hart indices of a domain that interrupts by wire: `riscv,hart-indexes`, else the places in
/// `interrupts-extended`.
fn by_wire(tree: &Blob<'_>, domain: NodeId) -> Result<Vec<Target>, NoController> {
    const PROPERTY: &str = "riscv,hart-indexes";
    if tree.property(domain, "interrupts-extended").is_none() {
        return Ok(Vec::new());
    }
    let indices = tree.property(domain, PROPERTY);
    let index = |place: u32| match indices {
        None => Ok(place),
        Some(indices) => {
            word(indices, 4 * place as usize).ok_or_else(|| tree.bad(domain, PROPERTY))
        }
    };
    let parents = parents(tree, domain)?.supervisor.into_iter();
    parents
        .map(|(place, hart)| Ok(index(place).map(|index| Target { hart, index })?))
        .collect()
}

/// Hart indices of a domain that sends messages. They follow from the addresses of the interrupt files
/// (AIA, sections 3.6 and 4.9.1), which lie in `reg` in the order of `interrupts-extended`, each followed
/// by those of its hart's guests.
fn by_message(tree: &Blob<'_>, imsics: NodeId) -> Result<Option<Vec<Target>>, NoController> {
    let parents = parents(tree, imsics)?;
    if parents.supervisor.is_empty() {
        return Ok(None);
    }
    let bits = |name: &'static str, default: u32, most: u32| {
        let bits = tree.cell(imsics, name)?.unwrap_or(default);
        Some(bits)
            .filter(|&bits| bits <= most)
            .ok_or_else(|| tree.bad(imsics, name))
    };
    let guest_bits = bits("riscv,guest-index-bits", 0, 7)?;
    let enough = parents.count.next_power_of_two().trailing_zeros();
    let hart_bits = bits("riscv,hart-index-bits", enough, INDEX_BITS)?;
    let group_bits = bits("riscv,group-index-bits", 0, INDEX_BITS - hart_bits)?;
    let group_shift = bits("riscv,group-index-shift", 24, u64::BITS - 1)?;
    let hart_shift = PAGE_SHIFT + guest_bits;
    let field = |address: u64, shift: u32, bits: u32| (address >> shift) as u32 & ((1 << bits) - 1);
    let regions = registers(tree, imsics)?;
    let address = |place: u32| {
        let mut offset = u64::from(place) << hart_shift;
        for region in &regions {
            if offset < region.size {
                return region.base.0.checked_add(offset);
            }
            offset -= region.size.checked_next_multiple_of(1 << hart_shift)?;
        }
        None
    };
    let target = |(place, hart)| {
        let address = address(place).ok_or_else(|| tree.bad(imsics, "reg"))?;
        let group = field(address, group_shift, group_bits);
        Ok(Target {
            hart,
            index: group << hart_bits | field(address, hart_shift, hart_bits),
        })
    };
    let targets: Result<_, NoController> = parents.supervisor.into_iter().map(target).collect();
    targets.map(Some)
}
