//! What the host has: read from its device tree and tried out on the processor.

use devices::GuestIsa;
use devices::guest_isa;
use devices::host_tree::{HostRange, HostTree, NoController};
use isa::address::HostPhys;
use isa::csr::{senvcfg, sstatus};
use isa::satp;
use vcpu::Features;

use super::boot::Translation;
use super::gate::{Attempt, attempt};
use super::{csr, wfi, window};

/// The host, as far as guests feel it.
#[derive(Clone, Debug)]
pub struct Host {
    /// The hart that the monitor runs on.
    pub hart: u64,
    /// What the virtual hart offers.
    pub features: Features,
    /// Counters that S-mode may read, by their bits in `scounteren`: `cycle`, `time`, `instret`.
    pub counters: u64,
    /// The ISA that a guest is offered.
    pub isa: GuestIsa,
    /// Bits of ASID in the hardware's `satp`.
    pub asid_bits: u32,
    /// Ticks of `time` a second.
    pub timebase: u32,
    /// Whether the vendor is T-Head, whose kernels use CSRs and instructions of their own.
    pub is_thead: bool,
    /// Whether `wfi` traps in U-mode.
    pub wfi_traps: bool,
    /// Bytes of a block of `cbo.clean` and the like.
    pub cbom_block: Option<u32>,
    /// Bytes of a block of a prefetch.
    pub cbop_block: Option<u32>,
    /// Bytes of a block of `cbo.zero`.
    pub cboz_block: Option<u32>,
}

/// T-Head's `mvendorid`.
const T_HEAD: usize = 0x5b7;

/// Bytes of the device tree at `at`, as its header says; 0 when there is none.
pub fn tree_size(at: HostPhys) -> u64 {
    let header = window::direct(at).cast::<[u8; 8]>();
    // SAFETY: the firmware left a device tree here; its first bytes are memory in any case.
    let header = unsafe { header.read_volatile() };
    let [a, b, c, d, size @ ..] = header;
    if u32::from_be_bytes([a, b, c, d]) == 0xd00d_feed {
        u64::from(u32::from_be_bytes(size))
    } else {
        0
    }
}

/// Takes out of the tree what lies beyond `reach`, where the monitor has no way to it. Gives the bytes of
/// memory among it.
pub fn leave_out(tree: &mut HostTree, reach: u64) -> u64 {
    let end = |range: &HostRange| range.base.0.saturating_add(range.size);
    let reached = |range: &HostRange| end(range) <= reach;
    tree.uart = tree.uart.take().filter(|uart| reached(&uart.registers));
    if let Ok(known) = &tree.controller
        && !reached(&known.registers)
    {
        tree.controller = Err(NoController::Unusable {
            node: alloc::format!("the one at {}", known.registers.base),
            why: "the monitor does not reach its registers",
        });
    }
    tree.rtc = tree.rtc.filter(reached);
    tree.finisher = tree.finisher.filter(reached);
    tree.virtio.retain(|device| reached(&device.registers));
    let mut left_out = 0;
    for memory in &mut tree.memory {
        let beyond = end(memory).saturating_sub(reach.max(memory.base.0));
        memory.size -= beyond;
        left_out += beyond;
    }
    left_out
}

impl Host {
    /// Finds out about the hart that runs this.
    pub fn probe(hart: u64, tree: &HostTree, translation: Translation) -> Self {
        let described = tree.harts.iter().find(|described| described.id == hart);
        let isa = described
            .and_then(|described| guest_isa(described.isa.as_deref(), &described.isa_extensions))
            .or_else(|| guest_isa::<&str>(Some("rv64imac"), &[]))
            .expect("the fallback is an ISA string");
        let has = |name: &str| isa.extensions.iter().any(|extension| extension == name);

        let mut writable =
            sstatus::SIE | sstatus::SPIE | sstatus::SPP | sstatus::SUM | sstatus::MXR;
        if has("f") {
            writable |= sstatus::FS;
        }
        if has("v") {
            writable |= sstatus::VS;
        }
        let environment = attempt(Attempt::Senvcfg(u64::MAX)).unwrap_or(0);
        let known = senvcfg::FIOM | senvcfg::CBIE | senvcfg::CBCFE | senvcfg::CBZE;
        // SAFETY: governs what U-mode may read; written again before a guest runs.
        unsafe { csr::write!("scounteren", u64::MAX) };
        let features = Features {
            sstatus: writable,
            senvcfg: environment & known,
            scounteren: csr::read!("scounteren"),
            satp_modes: translation.modes,
            svinval: has("svinval"),
        };
        let counters = [Attempt::Cycle, Attempt::Time, Attempt::Instret];
        let readable = |bit: usize| u64::from(attempt(counters[bit]).is_some()) << bit;
        Self {
            hart,
            features,
            counters: readable(0) | readable(1) | readable(2),
            asid_bits: translation.max_asid.count_ones(),
            timebase: tree.timebase_frequency,
            is_thead: sbi_rt::get_mvendorid() == T_HEAD,
            wfi_traps: wfi::probe(tree.timebase_frequency),
            cbom_block: described.and_then(|described| described.cbom_block_size),
            cbop_block: described.and_then(|described| described.cbop_block_size),
            cboz_block: described.and_then(|described| described.cboz_block_size),
            isa,
        }
    }

    /// The largest translation mode, by its name in a device tree.
    pub fn mmu_type(&self) -> &'static str {
        let offers = |mode: u8| self.features.satp_modes & 1 << mode != 0;
        if offers(satp::SV57) {
            "riscv,sv57"
        } else if offers(satp::SV48) {
            "riscv,sv48"
        } else {
            "riscv,sv39"
        }
    }
}
