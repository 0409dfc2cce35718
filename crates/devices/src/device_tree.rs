//! The device tree that a guest is given: QEMU's `virt` as the firmware leaves it, less what the
//! board does not have.

use crate::guest_isa::GuestIsa;
use crate::layout::{self, Window};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use dtoolkit::ToPropertyValue;
use dtoolkit::fdt::Fdt;
use dtoolkit::model::overlay::OverlayApplier;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use isa::address::GuestPhys;

/// Phandles: the harts' interrupt controllers come after these.
const PLIC_PHANDLE: u32 = 1;
const SYSCON_PHANDLE: u32 = 2;
const FIRST_HART_PHANDLE: u32 = 3;

/// How OpenSBI marks the PLIC contexts that S-mode must not use.
const NO_INTERRUPT: u32 = 0xffff_ffff;
/// The S-mode external interrupt, as `riscv,cpu-intc` numbers it.
const SUPERVISOR_EXTERNAL: u32 = 9;
/// What the device tree says of the windows of which the board answers to a part.
const UART_REGION: u64 = 0x100;
const RTC_REGION: u64 = 0x1000;
const VIRTIO_REGION: u64 = 0x1000;

/// What the tree says that is not the same for all guests.
#[derive(Clone, Debug)]
pub struct TreeSpec<'a> {
    /// Harts, with ids from 0.
    pub harts: usize,
    /// First address of the guest's memory.
    pub memory_base: GuestPhys,
    /// Bytes of memory.
    pub memory_size: u64,
    /// The kernel command line.
    pub bootargs: &'a str,
    /// First address and end (exclusive) of the initial RAM disk.
    pub initrd: Option<(GuestPhys, GuestPhys)>,
    /// The ISA of every hart.
    pub isa: &'a GuestIsa,
    /// The largest paging mode: `riscv,sv39`, `riscv,sv48` or `riscv,sv57`.
    pub mmu_type: &'a str,
    /// Ticks of the `time` CSR in a second.
    pub timebase_frequency: u32,
    /// Bytes of a cache block for `cbo.clean`, `cbo.flush` and `cbo.inval`, when there is Zicbom.
    pub cbom_block_size: Option<u32>,
    /// Bytes of a cache block for prefetches, when there is Zicbop.
    pub cbop_block_size: Option<u32>,
    /// Bytes of a cache block for `cbo.zero`, when there is Zicboz.
    pub cboz_block_size: Option<u32>,
    /// Whether the board has a real-time clock.
    pub rtc: bool,
    /// How many slots for virtio devices the board has, at most [`layout::VIRTIO_SLOTS`].
    pub virtio: usize,
    /// Entropy for the guest's random number generator; empty for none.
    pub rng_seed: &'a [u8],
    /// Entropy for the placement of the guest's kernel.
    pub kaslr_seed: Option<u64>,
    /// A compiled overlay to lay over all this. It may refer to the labels `cpus`, `soc`, `plic`,
    /// `uart0`, `test` and `chosen`.
    pub overlay: Option<&'a [u8]>,
}

/// Why an overlay could not be applied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OverlayError(String);

impl fmt::Display for OverlayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the device-tree overlay does not apply: {}", self.0)
    }
}

impl core::error::Error for OverlayError {}

/// Makes the flattened device tree of a guest.
///
/// # Errors
/// Only for an overlay that is broken or does not fit.
pub fn device_tree(spec: &TreeSpec<'_>) -> Result<Vec<u8>, OverlayError> {
    let mut tree = DeviceTree::new();
    let soc = soc(spec);
    tree.root = node("")
        .cells(2, 2)
        .with("compatible", "riscv-virtio")
        .with("model", "riscv-virtio,qemu")
        .child(chosen(spec))
        .child(aliases())
        .child(cpus(spec))
        .child(memory(spec))
        .child(syscon_user("poweroff", crate::syscon::POWER_OFF))
        .child(syscon_user("reboot", crate::syscon::RESET))
        .child(soc)
        .0;
    if let Some(overlay) = spec.overlay {
        apply(&mut tree, overlay)?;
    }
    Ok(tree.to_dtb())
}

/// A node under construction. All names in this file are valid, so nothing here can fail.
struct Builder(DeviceTreeNode);

fn node(name: impl Into<String>) -> Builder {
    Builder(DeviceTreeNode::new_unchecked(name))
}

impl Builder {
    fn with(mut self, name: &str, value: impl ToPropertyValue) -> Self {
        self.0
            .add_property(DeviceTreeProperty::new_unchecked(name, value));
        self
    }

    fn flag(self, name: &str) -> Self {
        self.with(name, [0_u8; 0])
    }

    fn optional(self, name: &str, value: Option<impl ToPropertyValue>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// How many cells an address and a size of the children have.
    fn cells(self, address: u32, size: u32) -> Self {
        self.with("#address-cells", address)
            .with("#size-cells", size)
    }

    fn registers(self, base: GuestPhys, size: u64) -> Self {
        let [base, size] = [base.0, size].map(halves);
        self.with("reg", [base[0], base[1], size[0], size[1]])
    }

    fn interrupt(self, source: u32) -> Self {
        self.with("interrupts", source)
            .with("interrupt-parent", PLIC_PHANDLE)
    }

    fn child(mut self, child: Self) -> Self {
        self.0.add_child(child.0);
        self
    }
}

fn halves(value: u64) -> [u32; 2] {
    [(value >> 32) as u32, value as u32]
}

fn at(name: &str, address: GuestPhys) -> Builder {
    node(format!("{name}@{:x}", address.0))
}

fn chosen(spec: &TreeSpec<'_>) -> Builder {
    let (start, end) = spec.initrd.unzip();
    let mut chosen = node("chosen")
        .with("bootargs", spec.bootargs)
        .with("stdout-path", uart_path().as_str())
        .optional("linux,initrd-start", start.map(|start| start.0))
        .optional("linux,initrd-end", end.map(|end| end.0))
        .optional("kaslr-seed", spec.kaslr_seed);
    if !spec.rng_seed.is_empty() {
        chosen = chosen.with("rng-seed", spec.rng_seed);
    }
    chosen
}

fn uart_path() -> String {
    format!("/soc/serial@{:x}", layout::UART.base.0)
}

fn aliases() -> Builder {
    node("aliases").with("serial0", uart_path().as_str())
}

fn hart_phandle(hart: usize) -> u32 {
    FIRST_HART_PHANDLE + hart as u32
}

fn cpus(spec: &TreeSpec<'_>) -> Builder {
    let cpus = node("cpus")
        .cells(1, 0)
        .with("timebase-frequency", spec.timebase_frequency);
    (0..spec.harts).fold(cpus, |cpus, hart| cpus.child(cpu(spec, hart)))
}

fn cpu(spec: &TreeSpec<'_>, hart: usize) -> Builder {
    let extensions: Vec<&str> = spec.isa.extensions.iter().map(String::as_str).collect();
    let interrupt_controller = node("interrupt-controller")
        .with("#interrupt-cells", 1_u32)
        .with("#address-cells", 0_u32)
        .flag("interrupt-controller")
        .with("compatible", "riscv,cpu-intc")
        .with("phandle", hart_phandle(hart));
    node(format!("cpu@{hart:x}"))
        .with("device_type", "cpu")
        .with("reg", hart as u32)
        .with("status", "okay")
        .with("compatible", "riscv")
        .optional("riscv,cbom-block-size", spec.cbom_block_size)
        .optional("riscv,cbop-block-size", spec.cbop_block_size)
        .optional("riscv,cboz-block-size", spec.cboz_block_size)
        .with("riscv,isa-extensions", extensions)
        .with("riscv,isa-base", spec.isa.base.as_str())
        .with("riscv,isa", spec.isa.isa.as_str())
        .with("mmu-type", spec.mmu_type)
        .child(interrupt_controller)
}

fn memory(spec: &TreeSpec<'_>) -> Builder {
    at("memory", spec.memory_base)
        .with("device_type", "memory")
        .registers(spec.memory_base, spec.memory_size)
}

/// A node whose driver writes `value` to the system controller.
fn syscon_user(name: &str, value: u32) -> Builder {
    node(name)
        .with("compatible", format!("syscon-{name}"))
        .with("regmap", SYSCON_PHANDLE)
        .with("offset", 0_u32)
        .with("value", value)
}

fn soc(spec: &TreeSpec<'_>) -> Builder {
    let soc = node("soc")
        .cells(2, 2)
        .with("compatible", "simple-bus")
        .flag("ranges")
        .child(uart())
        .child(plic(spec))
        .child(syscon());
    let slots = 0..spec.virtio.min(layout::VIRTIO_SLOTS);
    let soc = slots.fold(soc, |soc, slot| soc.child(virtio(slot)));
    if spec.rtc { soc.child(rtc()) } else { soc }
}

fn device(name: &str, window: &Window, size: u64) -> Builder {
    at(name, window.base).registers(window.base, size)
}

fn uart() -> Builder {
    device("serial", &layout::UART, UART_REGION)
        .with("compatible", "ns16550a")
        .with("clock-frequency", layout::UART_CLOCK)
        .interrupt(layout::UART_INTERRUPT)
}

fn virtio(slot: usize) -> Builder {
    device("virtio_mmio", &layout::virtio(slot), VIRTIO_REGION)
        .with("compatible", "virtio,mmio")
        .interrupt(layout::virtio_interrupt(slot))
}

fn rtc() -> Builder {
    device("rtc", &layout::RTC, RTC_REGION)
        .with("compatible", "google,goldfish-rtc")
        .interrupt(layout::RTC_INTERRUPT)
}

fn syscon() -> Builder {
    device("test", &layout::SYSCON, layout::SYSCON.size)
        .with(
            "compatible",
            &["sifive,test1", "sifive,test0", "syscon"][..],
        )
        .with("phandle", SYSCON_PHANDLE)
}

fn plic(spec: &TreeSpec<'_>) -> Builder {
    let contexts: Vec<u32> = (0..spec.harts)
        .map(hart_phandle)
        .flat_map(|hart| [hart, NO_INTERRUPT, hart, SUPERVISOR_EXTERNAL])
        .collect();
    device("plic", &layout::PLIC, layout::PLIC.size)
        .with("compatible", &["sifive,plic-1.0.0", "riscv,plic0"][..])
        .with("#interrupt-cells", 1_u32)
        .with("#address-cells", 0_u32)
        .flag("interrupt-controller")
        .with("interrupts-extended", contexts)
        .with("riscv,ndev", layout::INTERRUPT_SOURCES - 1)
        .with("phandle", PLIC_PHANDLE)
}

/// Lays `overlay` over `tree`. The labels stand in the tree only as long as the overlay needs them:
/// the guest sees none, as it sees none of QEMU's.
fn apply(tree: &mut DeviceTree, overlay: &[u8]) -> Result<(), OverlayError> {
    const SYMBOLS: &str = "__symbols__";
    let error = |error: &dyn fmt::Display| OverlayError(error.to_string());
    let overlay = Fdt::new(overlay).map_err(|parse| error(&parse))?;
    let path = |name: &str, window: &Window| format!("/soc/{name}@{:x}", window.base.0);
    let symbols = node(SYMBOLS)
        .with("cpus", "/cpus")
        .with("chosen", "/chosen")
        .with("soc", "/soc")
        .with("plic", path("plic", &layout::PLIC))
        .with("test", path("test", &layout::SYSCON))
        .with("uart0", uart_path());
    tree.root.add_child(symbols.0);
    OverlayApplier::new(tree)
        .apply_overlay(&overlay)
        .map_err(|apply| error(&apply))?;
    tree.root.remove_child(SYMBOLS);
    Ok(())
}
