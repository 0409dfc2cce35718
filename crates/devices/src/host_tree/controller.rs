//! The host's interrupt controller: a PLIC, or the supervisor-level domain of an APLIC, alone or in front
//! of IMSICs (RISC-V Advanced Interrupt Architecture 1.0, "AIA" below), and by what number it knows each
//! hart's S-mode.

use super::aplic;
use super::blob::{Blob, NodeId, ROOT, word};
use super::read::{hart_id, register_range};
use super::{HostRange, TreeError};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// `compatible` names of PLICs with the standard register layout.
const PLIC: [&str; 4] = [
    "riscv,plic0",
    "sifive,plic-1.0.0",
    "thead,c900-plic",
    "andestech,nceplic100",
];
/// The S-mode external interrupt (privileged specification, `scause`).
const SUPERVISOR_EXTERNAL: u32 = 9;

/// A hart as a controller numbers it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Target {
    /// The hart that is interrupted in S-mode.
    pub hart: u64,
    /// Its number: the context of a PLIC, the hart index of an APLIC.
    pub index: u32,
}

/// What the registers of a controller mean, and how its interrupts arrive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ControllerKind {
    /// A PLIC.
    Plic,
    /// An APLIC that interrupts harts by wire (direct delivery mode).
    Aplic,
    /// An APLIC that sends messages to the harts' IMSICs.
    AplicMsi {
        /// The highest interrupt identity of an IMSIC's interrupt file.
        identities: u32,
    },
}

/// The host's interrupt controller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostController {
    /// Which it is.
    pub kind: ControllerKind,
    /// Its registers.
    pub registers: HostRange,
    /// The highest source number.
    pub sources: u32,
    /// The harts that it interrupts in S-mode, in the order of the tree.
    pub targets: Vec<Target>,
}

impl HostController {
    /// By what number it knows the S-mode of the hart with id `hart`.
    #[must_use]
    pub fn index(&self, hart: u64) -> Option<u32> {
        let mut targets = self.targets.iter();
        targets.find_map(|target| (target.hart == hart).then_some(target.index))
    }
}

/// Why there is no interrupt controller that can be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NoController {
    /// The tree has none that is known.
    Absent,
    /// It cannot be used as the tree describes it.
    Unusable {
        /// The path of its node.
        node: String,
        /// What is in the way.
        why: &'static str,
    },
    /// What the tree says of it is broken.
    Broken(TreeError),
}

impl fmt::Display for NoController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(
                f,
                "the device tree has neither a PLIC nor an APLIC for S-mode"
            ),
            Self::Unusable { node, why } => write!(f, "{node}: {why}"),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for NoController {}

impl From<TreeError> for NoController {
    fn from(error: TreeError) -> Self {
        Self::Broken(error)
    }
}

/// What a device does on its wire to be served. The cell that says so has the values of Linux's
/// `dt-bindings/interrupt-controller/irq.h`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trigger {
    /// It raises the wire once.
    RisingEdge,
    /// It lowers the wire once.
    FallingEdge,
    /// It keeps the wire high.
    High,
    /// It keeps the wire low.
    Low,
}

/// An interrupt of a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HostInterrupt {
    /// Its source number at the interrupt controller.
    pub source: u32,
    /// What the device does on its wire.
    pub trigger: Trigger,
}

/// The controller that `uart`'s interrupt goes to, else the first of the tree, and its node. Domains of an
/// APLIC for M-mode are passed over.
pub(super) fn read(
    tree: &Blob<'_>,
    uart: Option<NodeId>,
) -> (Option<NodeId>, Result<HostController, NoController>) {
    let is_known = |node: NodeId| {
        let names = tree.is_compatible(node, &PLIC) || tree.is_compatible(node, &[aplic::APLIC]);
        names && tree.is_enabled(node)
    };
    let of_uart = uart.and_then(|uart| tree.interrupt_parent(uart));
    let candidates = of_uart.into_iter().chain(ROOT..tree.nodes.len());
    let found = candidates
        .filter(|&node| is_known(node))
        .find_map(|node| Some((node, describe(tree, node).transpose()?)));
    match found {
        Some((node, described)) => (Some(node), described),
        None => (None, Err(NoController::Absent)),
    }
}

/// What a node says; `None` when it is for M-mode alone.
fn describe(tree: &Blob<'_>, node: NodeId) -> Result<Option<HostController>, NoController> {
    if tree.is_compatible(node, &[aplic::APLIC]) {
        return aplic::read(tree, node);
    }
    let parents = parents(tree, node)?;
    let target = |(index, hart)| Target { hart, index };
    Ok(Some(HostController {
        kind: ControllerKind::Plic,
        registers: register_range(tree, node)?.ok_or_else(|| tree.bad(node, "reg"))?,
        sources: tree.cell(node, "riscv,ndev")?.unwrap_or(0),
        targets: parents.supervisor.into_iter().map(target).collect(),
    }))
}

/// What `interrupts-extended` of a controller says: one (interrupt controller, interrupt) pair for each
/// wire that leaves it.
pub(super) struct Parents {
    /// How many there are.
    pub count: u32,
    /// Those that are a hart's S-mode external interrupt: the place in the list, and the hart's id.
    pub supervisor: Vec<(u32, u64)>,
}

pub(super) fn parents(tree: &Blob<'_>, controller: NodeId) -> Result<Parents, TreeError> {
    const PROPERTY: &str = "interrupts-extended";
    let value = tree
        .property(controller, PROPERTY)
        .ok_or_else(|| tree.bad(controller, PROPERTY))?;
    let mut parents = Parents {
        count: 0,
        supervisor: Vec::new(),
    };
    let mut offset = 0;
    while offset < value.len() {
        let pair = word(value, offset).zip(word(value, offset + 4));
        let (phandle, interrupt) = pair.ok_or_else(|| tree.bad(controller, PROPERTY))?;
        let parent = tree.by_phandle(phandle);
        if let Some(hart) = parent.and_then(|node| hart_of(tree, node))
            && interrupt == SUPERVISOR_EXTERNAL
        {
            parents.supervisor.push((parents.count, hart));
        }
        // One that leads nowhere has one interrupt cell as well, as every
        // "riscv,cpu-intc" does.
        let cells = parent
            .map(|node| tree.cell(node, "#interrupt-cells"))
            .transpose()?
            .flatten()
            .unwrap_or(1);
        offset += 4 * (1 + (cells as usize).max(1));
        parents.count += 1;
    }
    Ok(parents)
}

/// The id of the hart whose interrupt controller `node` is.
fn hart_of(tree: &Blob<'_>, node: NodeId) -> Option<u64> {
    hart_id(tree, tree.nodes[node].parent?)
}

/// The first interrupt of a device, if it goes to `controller`. One of a device that names no controller
/// is taken to.
pub(super) fn interrupt(
    tree: &Blob<'_>,
    device: NodeId,
    controller: Option<NodeId>,
) -> Option<HostInterrupt> {
    let controller = controller?;
    let parent = tree.interrupt_parent(device);
    if parent.is_some_and(|parent| parent != controller) {
        return None;
    }
    let value = tree.property(device, "interrupts")?;
    let cells = tree.cell(controller, "#interrupt-cells").ok().flatten();
    let trigger = cells.filter(|&cells| cells > 1);
    Some(HostInterrupt {
        source: word(value, 0)?,
        trigger: match trigger.and_then(|_| word(value, 4)) {
            Some(1) => Trigger::RisingEdge,
            Some(2) => Trigger::FallingEdge,
            Some(8) => Trigger::Low,
            _ => Trigger::High,
        },
    })
}
