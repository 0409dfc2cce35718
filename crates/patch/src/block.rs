//! The per-hart block: everything the gate and the routines touch, reached from one register.
//!
//! While a guest runs, `sscratch` holds the address of [`HartBlock::cache`]; the gate swaps it
//! into `t0`. The fields before the cache are then within the reach of a negative 12-bit offset,
//! and the site cache begins at `t0` itself, so that a lookup needs no base register.

use core::mem::offset_of;
use vcpu::Hart;

use crate::template::KINDS;

/// Entries of the site cache. The index is bits 10 to 2 of the site's address: two sites of
/// 4 bytes can never share a 4-byte slot of text, so neighbours do not evict each other.
pub const CACHE_ENTRIES: usize = 512;

/// Entries of the context table, indexed by the low bits of `satp.PPN`.
pub const CONTEXT_ENTRIES: usize = 64;

/// One line of the site cache: where a patch is and the routine that serves it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CacheEntry {
    /// Guest-virtual address of the patch; [`NO_SITE`] when empty.
    pub site: u64,
    /// Address of the routine in the monitor's address space.
    pub routine: u64,
}

/// A site that no guest can have: the address is odd.
pub const NO_SITE: u64 = 1;

/// Fences that the fence log remembers.
pub const FENCE_LOG: usize = 256;

/// An address-space context that a guest's `satp` write may switch to without leaving the gate.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ContextEntry {
    /// The guest's `satp`; [`NO_SATP`] when empty.
    pub guest: u64,
    /// Hardware `satp` of its VS view.
    pub vs: u64,
    /// Hardware `satp` of its VU view.
    pub vu: u64,
    /// Address of the VS view's root table in the direct map.
    pub root: u64,
}

/// A `satp` value that no guest can have: mode 15 is not offered.
pub const NO_SATP: u64 = u64::MAX;

impl ContextEntry {
    /// The entry that matches no `satp`.
    pub const EMPTY: Self = Self {
        guest: NO_SATP,
        vs: 0,
        vu: 0,
        root: 0,
    };
}

/// The contexts that routines may switch to.
#[repr(C, align(4096))]
pub struct ContextTable(pub [ContextEntry; CONTEXT_ENTRIES]);

impl ContextTable {
    /// Slot of a guest `satp`, as the `satp` template computes it.
    pub fn slot(satp: u64) -> usize {
        satp as usize % CONTEXT_ENTRIES
    }

    /// Forgets every context.
    pub fn clear(&mut self) {
        self.0.fill(ContextEntry::EMPTY);
    }
}

/// Why the gate called the slow path.
#[repr(u64)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// A hardware trap: `scause`, `stval` and `sepc` say which.
    Trap = 0,
    /// A routine finished and an interrupt has become deliverable, or one of the host waits.
    Interrupt = 1,
    /// A routine leaves its instruction to the reference emulator; `exit_word` is the instruction.
    Emulate = 2,
}

/// The per-hart block.
#[repr(C, align(4096))]
pub struct HartBlock {
    /// Fills the page, so that the cache is page-aligned and the fields lie just before it.
    _low: [u8; FIELDS_AT],
    /// The virtual hart.
    pub hart: Hart,
    /// Guest's `t1` while the gate or a routine runs; the others below likewise.
    pub t1: u64,
    /// Guest's `t2`.
    pub t2: u64,
    /// Guest's `t3`.
    pub t3: u64,
    /// Guest's `t4`.
    pub t4: u64,
    /// Guest's `t5`.
    pub t5: u64,
    /// Guest's `t6`.
    pub t6: u64,
    /// `sip & sie`, kept by whoever changes either.
    pub pending: u64,
    /// Hardware `satp` of the current context's VS view.
    pub satp_vs: u64,
    /// Hardware `satp` of the current context's VU view.
    pub satp_vu: u64,
    /// Direct-map address of the current context's VS root table.
    pub root: u64,
    /// Position of the lowest bit of the root's index: 30, 39 or 48.
    pub root_shift: u64,
    /// `stvec` while the guest is in VS.
    pub gate_vs: u64,
    /// `stvec` while the guest is in VU.
    pub gate_vu: u64,
    /// Slow-path entry for [`Exit::Interrupt`].
    pub slow_interrupt: u64,
    /// Slow-path entry for [`Exit::Emulate`], the instruction word in `t2`.
    pub slow_emulate: u64,
    /// Where the routine of `sfence.vma` with an address and no ASID goes on.
    pub fence_address: u64,
    /// Fences that the gate carried out, in all address spaces, since the start. The address of
    /// each is in the fence log, at the count modulo its length.
    pub fences: u64,
    /// Value of `fences` up to which all contexts in the context table have seen every fence.
    pub fences_seen: u64,
    /// Address of a doubleword that is not 0 while a hart fills the shadow that it shares with others.
    pub filling: u64,
    /// Address of the fence log: [`FENCE_LOG`] guest-virtual addresses.
    pub fence_log: u64,
    /// What to add to a host-physical address to reach it in the direct map.
    pub direct_map: u64,
    /// Address of the emulation map.
    pub emulation_map: u64,
    /// Address of the count of changes of the routine cache.
    pub routine_changes: u64,
    /// The last of these that this hart's instruction fetch is known to see.
    pub routine_changes_seen: u64,
    /// Address of the context table.
    pub contexts: u64,
    /// First guest-physical address of the guest's RAM.
    pub ram_base: u64,
    /// Bytes of guest RAM.
    pub ram_size: u64,
    /// What to add to a guest-physical address of RAM to reach it in the direct map.
    pub ram_offset: u64,
    /// Writable bits of `sstatus` ([`vcpu::Features`]).
    pub sstatus_mask: u64,
    /// The FS and VS fields of `sstatus`, those that the host has.
    pub extension_mask: u64,
    /// Writable bits of `scounteren`.
    pub scounteren_mask: u64,
    /// Writable bits of `senvcfg`.
    pub senvcfg_mask: u64,
    /// Not 0 when `cycle` or `instret` is not to be read from the hardware.
    pub virtual_counters: u64,
    /// Why the slow path was entered: an [`Exit`].
    pub exit: u64,
    /// The instruction word for [`Exit::Emulate`].
    pub exit_word: u64,
    /// The monitor's stack pointer.
    pub monitor_sp: u64,
    /// The monitor's thread pointer.
    pub monitor_tp: u64,
    /// Lookups that missed the site cache and were served by the emulation map.
    pub cache_misses: u64,
    /// Executions served by routines, by [`Kind`](crate::Kind); counted when the maker was told to.
    pub served: [u64; KINDS],
    /// The site cache.
    pub cache: [CacheEntry; CACHE_ENTRIES],
}

/// Bytes of the fields between the padding and the cache.
const FIELDS: usize = size_of::<Hart>() + 8 * (6 + 32 + KINDS);
const FIELDS_AT: usize = 4096 - FIELDS;

const _: () = {
    assert!(
        offset_of!(HartBlock, cache) == 4096,
        "FIELDS disagrees with the fields"
    );
    assert!(FIELDS <= 2048, "a field is out of reach of a 12-bit offset");
};

/// Offset of a field from `t0`, which holds the address of the cache.
#[macro_export]
macro_rules! block_offset {
    ($($field:tt)+) => {
        core::mem::offset_of!($crate::HartBlock, $($field)+) as i32
            - core::mem::offset_of!($crate::HartBlock, cache) as i32
    };
}

impl HartBlock {
    /// Empties the site cache.
    pub fn clear_cache(&mut self) {
        self.cache.fill(CacheEntry {
            site: NO_SITE,
            routine: 0,
        });
    }

    /// Enters a patch in the site cache: the VS view maps its copy there.
    pub fn remember(&mut self, site: u64, routine: u64) {
        self.cache[site as usize / 4 % CACHE_ENTRIES] = CacheEntry { site, routine };
    }

    /// Brings `pending` in line with `sip` and `sie`.
    pub fn update_pending(&mut self) {
        self.pending = self.hart.sip & self.hart.sie;
    }
}
