//! The host's PLIC and which of its contexts belongs to which hart's S-mode.

use super::blob::{Blob, NodeId, ROOT, word};
use super::read::register_range;
use super::{HostRange, TreeError};
use alloc::vec::Vec;

/// `compatible` names of PLICs with the standard register layout.
const COMPATIBLE: [&str; 4] = [
    "riscv,plic0",
    "sifive,plic-1.0.0",
    "thead,c900-plic",
    "andestech,nceplic100",
];
/// The T-Head PLIC hides its registers from S-mode until a bit in one of them is set by M-mode.
const THEAD: &str = "thead,c900-plic";
/// The S-mode external interrupt (privileged specification, `scause`).
const SUPERVISOR_EXTERNAL: u32 = 9;

/// An S-mode context of the PLIC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PlicContext {
    /// The hart that it interrupts.
    pub hart: u64,
    /// Its number in the register layout.
    pub context: u32,
}

/// The host's PLIC.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostPlic {
    /// Its registers.
    pub registers: HostRange,
    /// `riscv,ndev`: the highest source number.
    pub sources: u32,
    /// The S-mode contexts, in the order of the tree.
    pub contexts: Vec<PlicContext>,
    /// Whether it is T-Head's.
    pub thead: bool,
}

impl HostPlic {
    /// The number of the S-mode context of the hart with id `hart`.
    #[must_use]
    pub fn context(&self, hart: u64) -> Option<u32> {
        self.contexts
            .iter()
            .find_map(|context| (context.hart == hart).then_some(context.context))
    }
}

/// The PLIC that `uart`'s interrupt goes to, else the first of the tree that is enabled.
pub(super) fn read(tree: &Blob<'_>, uart: Option<NodeId>) -> Result<Option<HostPlic>, TreeError> {
    let usable = |node: NodeId| tree.is_compatible(node, &COMPATIBLE) && tree.is_enabled(node);
    let of_uart = uart
        .and_then(|uart| tree.interrupt_parent(uart))
        .filter(|&node| usable(node));
    let first = || (ROOT..tree.nodes.len()).find(|&node| usable(node));
    let Some(node) = of_uart.or_else(first) else {
        return Ok(None);
    };
    Ok(Some(HostPlic {
        registers: register_range(tree, node)?.ok_or_else(|| tree.bad(node, "reg"))?,
        sources: tree.cell(node, "riscv,ndev")?.unwrap_or(0),
        contexts: contexts(tree, node)?,
        thead: tree.is_compatible(node, &[THEAD]),
    }))
}

/// `interrupts-extended` lists one (interrupt controller, interrupt) pair for each context.
fn contexts(tree: &Blob<'_>, plic: NodeId) -> Result<Vec<PlicContext>, TreeError> {
    const PROPERTY: &str = "interrupts-extended";
    let value = tree
        .property(plic, PROPERTY)
        .ok_or_else(|| tree.bad(plic, PROPERTY))?;
    let mut contexts = Vec::new();
    let mut offset = 0;
    let mut context = 0;
    while offset < value.len() {
        let pair = word(value, offset).zip(word(value, offset + 4));
        let (phandle, interrupt) = pair.ok_or_else(|| tree.bad(plic, PROPERTY))?;
        let controller = tree.by_phandle(phandle);
        if let Some(hart) = controller.and_then(|node| hart_of(tree, node))
            && interrupt == SUPERVISOR_EXTERNAL
        {
            contexts.push(PlicContext { hart, context });
        }
        // A context that leads nowhere has one interrupt cell as well, as every
        // "riscv,cpu-intc" does.
        let cells = controller
            .map(|node| tree.cell(node, "#interrupt-cells"))
            .transpose()?
            .flatten()
            .unwrap_or(1);
        offset += 4 * (1 + (cells as usize).max(1));
        context += 1;
    }
    Ok(contexts)
}

/// The id of the hart whose interrupt controller `node` is.
fn hart_of(tree: &Blob<'_>, node: NodeId) -> Option<u64> {
    super::read::hart_id(tree, tree.nodes[node].parent?)
}
