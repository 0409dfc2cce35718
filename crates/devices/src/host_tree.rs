//! The host's device tree, as far as the monitor needs it.

mod aplic;
pub(crate) mod blob;
mod controller;
mod error;
mod read;
mod virtio;

pub use controller::{
    ControllerKind, HostController, HostInterrupt, NoController, Target, Trigger,
};
pub use error::TreeError;

use alloc::string::String;
use alloc::vec::Vec;
use isa::address::HostPhys;

/// A range of host-physical addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HostRange {
    /// First address.
    pub base: HostPhys,
    /// Bytes.
    pub size: u64,
}

/// A reserved range of memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reserved {
    /// Where it lies.
    pub range: HostRange,
    /// Whether it must not even be mapped: an access may fault (`no-map`).
    pub no_map: bool,
}

/// One hart of the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostHart {
    /// Its hart id.
    pub id: u64,
    /// Whether its `status` lets it be used.
    pub enabled: bool,
    /// `riscv,isa`.
    pub isa: Option<String>,
    /// `riscv,isa-base`.
    pub isa_base: Option<String>,
    /// `riscv,isa-extensions`; empty when there is none.
    pub isa_extensions: Vec<String>,
    /// `mmu-type`, such as `riscv,sv48`; a hart without one has no MMU.
    pub mmu_type: Option<String>,
    /// `riscv,cbom-block-size`, in bytes.
    pub cbom_block_size: Option<u32>,
    /// `riscv,cbop-block-size`, in bytes.
    pub cbop_block_size: Option<u32>,
    /// `riscv,cboz-block-size`, in bytes.
    pub cboz_block_size: Option<u32>,
}

/// The registers of a UART.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UartModel {
    /// Those of the 16550.
    Ns16550,
    /// Those of SiFive's own (FU540-C000 manual).
    SiFive,
}

/// The host's console UART.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostUart {
    /// What its registers mean.
    pub model: UartModel,
    /// Its registers.
    pub registers: HostRange,
    /// Base 2 logarithm of the distance between registers, in bytes.
    pub register_shift: u32,
    /// Bytes of each register access: 1 or 4.
    pub access_width: u32,
    /// Its interrupt, if that goes to [`HostTree::controller`].
    pub interrupt: Option<HostInterrupt>,
    /// `clock-frequency`, in hertz.
    pub clock: Option<u32>,
    /// The most specific of its `compatible` names.
    pub compatible: String,
}

/// A virtio device of the host, or the place of one that is not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HostVirtio {
    /// Its registers.
    pub registers: HostRange,
    /// Its interrupt, if that goes to [`HostTree::controller`].
    pub interrupt: Option<HostInterrupt>,
}

/// What the firmware tells of the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostTree {
    /// `model` of the root.
    pub model: Option<String>,
    /// Main memory.
    pub memory: Vec<HostRange>,
    /// Memory that must be left alone: `/reserved-memory` and the memory reservation block.
    pub reserved: Vec<Reserved>,
    /// The initial RAM disk that the loader left.
    pub initrd: Option<HostRange>,
    /// The kernel command line.
    pub bootargs: Option<String>,
    /// Ticks of the `time` CSR in a second.
    pub timebase_frequency: u32,
    /// The harts, in the order of the tree.
    pub harts: Vec<HostHart>,
    /// The UART that `stdout-path` names, else the first that can be driven.
    pub uart: Option<HostUart>,
    /// The interrupt controller.
    pub controller: Result<HostController, NoController>,
    /// What may be virtio devices (`virtio,mmio`), in the order of their addresses.
    pub virtio: Vec<HostVirtio>,
    /// The registers of a goldfish real-time clock, from which to learn the time of day.
    pub rtc: Option<HostRange>,
    /// The registers of SiFive's test finisher, which simulators have: see [`crate::syscon`].
    pub finisher: Option<HostRange>,
}

/// Reads a flattened device tree. Bytes of `fdt` past the size in its header are not looked at.
///
/// The reader is laxer than the Devicetree Specification about the names and lengths of what it does
/// not need, because firmware is: a broken corner of the tree must not keep a machine from booting.
///
/// # Errors
/// Says what is wrong with the blob, or what is missing in the tree that the monitor cannot do
/// without.
pub fn read(fdt: &[u8]) -> Result<HostTree, TreeError> {
    read::read(&blob::Blob::parse(fdt)?)
}
