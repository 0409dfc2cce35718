//! The shadow of a VM: its contexts, the tables they share, and the switch between them.

use crate::context::{Contexts, Slots};
use crate::flush::{Dropped, Flush};
use crate::log::Seen;
use crate::paging::{ENTRIES, Paging, index};
use crate::pool::{List, Page, Pool, Tables};
use crate::window::{Fixed, Window};
use alloc::boxed::Box;
use core::fmt;
use isa::address::{GuestVirt, HostPhys, PAGE_SIZE};
use isa::pte::Pte;
use isa::satp::Satp;

/// Which of a context's two address spaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(usize)]
pub enum View {
    /// What the guest's kernel sees.
    Vs = 0,
    /// What the guest's user mode sees.
    Vu = 1,
}

impl View {
    pub(crate) const ALL: [View; 2] = [View::Vs, View::Vu];
}

/// How to make a [`Shadow`].
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// Harts of the guest.
    pub harts: usize,
    /// How many contexts to remember at most. A small pool or few ASIDs lower it.
    pub contexts: usize,
    /// Bits of ASID that the hardware's `satp` has.
    pub asid_bits: u32,
    /// Bits to set in each leaf: the memory type of RAM on a processor whose PTEs have one of
    /// their own (T-Head's MAEE), else 0.
    pub leaf_bits: u64,
    /// The monitor's window.
    pub window: Window<'a>,
}

/// Why there can be no shadow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NewError {
    /// The pool could run out with nothing left to evict.
    PoolTooSmall {
        /// Its pages.
        pages: usize,
        /// What it needs.
        minimum: usize,
    },
    /// The pool is not at a physical address that is a multiple of 4 KiB.
    PoolUnaligned(HostPhys),
    /// The window is not whole entries of the root in its upper half.
    Window(GuestVirt),
}

impl fmt::Display for NewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NewError::PoolTooSmall { pages, minimum } => write!(
                f,
                "the shadow pool has {pages} pages of 4 KiB and needs at least {minimum}: give it more memory"
            ),
            NewError::PoolUnaligned(at) => {
                write!(
                    f,
                    "the shadow pool at {at:#x} does not begin on a page: align it to 4 KiB"
                )
            }
            NewError::Window(at) => write!(
                f,
                "the monitor's window at {at:#x} is not in whole entries of the root's upper half: move it"
            ),
        }
    }
}

impl core::error::Error for NewError {}

/// What the hardware's `satp` must hold to run in a context.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Context {
    /// For VS.
    pub satp_vs: u64,
    /// For VU.
    pub satp_vu: u64,
    /// VS executable leaves may be there that other contexts of the same mode do not have: what is
    /// remembered by the address of an instruction is not valid across a switch to or from here.
    pub private_execute: bool,
    /// The VS view may have entries of its own where other contexts of the mode share some: who
    /// drops a leaf by walking from the root may miss a shared one, so that no hart may do that here.
    /// It becomes set with [`Dropped::vs_executable`] for all harts, which then look again.
    pub private_upper: bool,
}

/// A switch of context.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Switched {
    /// Where the hart is now.
    pub context: Context,
    /// What was dropped to catch up. `vs_executable` is set too, for this hart alone, when an
    /// address may hold another instruction here than where the hart was.
    pub dropped: Dropped,
}

/// Why a hart stays where it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SwitchError {
    /// The mode of the guest's `satp` is reserved or wider than the shadow's, which its WARL rule keeps
    /// a hart from having.
    Reserved,
    /// There is no slot or no table for another context: [`Shadow::make_room`], then again.
    Full,
}

impl fmt::Display for SwitchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SwitchError::Reserved => "the mode of satp is one that there is not",
            SwitchError::Full => "there is no room for another context: make some",
        })
    }
}

impl core::error::Error for SwitchError {}

/// Counts since the shadow was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Statistics {
    /// Calls of [`Shadow::fill`].
    pub fills: u64,
    /// Of those, the ones that found their leaf present already.
    pub spurious: u64,
    /// Leaves installed because they lay beside one that was asked for.
    pub around: u64,
    /// Contexts created.
    pub created: u64,
    /// Contexts evicted, for their slot or their tables.
    pub evicted: u64,
    /// Times the pool was so full that everything was dropped.
    pub exhausted: u64,
    /// Fences carried out.
    pub fences: u64,
    /// Tables in use now.
    pub live_tables: usize,
    /// Tables in the pool.
    pub pool_tables: usize,
}

/// The tables that all contexts of one mode share: the guest's global pages in the upper half.
///
/// Each entry here is also in the VS root of every context of the mode that has not made that
/// entry private.
pub(crate) struct Shared {
    /// The upper half of the roots.
    tops: [Pte; UPPER],
    /// The entries that lead to more than the window.
    pub(crate) used: Slots,
    pub(crate) tables: List,
    /// A guest's leaf is or was shadowed in pieces here.
    pub(crate) pieces: bool,
}

const UPPER: usize = ENTRIES / 2;

/// What the Bare context is found by, whatever the guest writes to the other fields. No fence
/// applies to it: there are no tables that it could be out of step with.
pub(crate) const BARE: Satp = Satp(0);

/// The `satp` that a context is found by.
pub(crate) fn found_by(satp: Satp) -> Satp {
    match Paging::of(satp) {
        Some(Paging::Bare) => BARE,
        _ => satp,
    }
}

impl Shared {
    /// The entry of the roots in `slot` of the upper half.
    pub(crate) fn top(&self, slot: usize) -> Pte {
        self.tops[slot - UPPER]
    }

    /// Changes it; `used` when it leads to more than the window.
    pub(crate) fn set_top(&mut self, slot: usize, pte: Pte, used: bool) {
        self.tops[slot - UPPER] = pte;
        if used {
            self.used.insert(slot);
        } else {
            self.used.remove(slot);
        }
    }
}

/// A software TLB in the form of hardware page tables.
///
/// After each operation that returns a [`Dropped`], the monitor carries it out before the next
/// operation, on one hart or on all as [`Dropped::all_harts`] says.
pub struct Shadow {
    pub(crate) tables: Tables,
    pub(crate) fixed: Fixed,
    /// One for each paged mode.
    pub(crate) shared: Box<[Shared; 3]>,
    pub(crate) contexts: Contexts,
    /// The context of each hart.
    pub(crate) current: Box<[u16]>,
    pub(crate) leaf_bits: u64,
    has_asids: bool,
    clock: u64,
    /// Which of the logged fences have been carried out where.
    pub(crate) seen: Seen,
    /// The count of lost pointers up to which each hart has none of them in its TLB.
    pub(crate) pointers_known: Box<[u64]>,
    pub(crate) statistics: Statistics,
}

impl Shadow {
    /// Pages that a pool must have for `harts` harts, so that after [`Shadow::make_room`] each can
    /// complete an instruction: one for the window; and for each hart two roots and the tables for
    /// four pages at most, two that the instruction lies in and two that it accesses, where either
    /// pair has four tables below the root for its first page and three more for its second, as
    /// neighbours differ below the root.
    #[must_use]
    pub const fn minimum_pages(harts: usize) -> usize {
        1 + 16 * harts
    }

    /// A shadow with every hart in the Bare context.
    ///
    /// # Errors
    ///
    /// When the pool is too small or the window out of place.
    pub fn new(pool: Pool, config: &Config) -> Result<Shadow, NewError> {
        let pages = pool.tables.len();
        let harts = config.harts.max(1);
        let minimum = Self::minimum_pages(harts);
        if pages < minimum {
            return Err(NewError::PoolTooSmall { pages, minimum });
        }
        if !pool.physical.is_aligned(PAGE_SIZE) {
            return Err(NewError::PoolUnaligned(pool.physical));
        }
        let mut tables = Tables::new(pool);
        let window = &config.window;
        let fixed = Fixed::new(&mut tables, window).ok_or(NewError::Window(window.first_slot))?;
        let least = harts + 1;
        // Two roots and some tables each; more contexts would only evict one another.
        let most = config.contexts.min(pages / 8).clamp(least, 4096);
        let pairs = ((1_usize << config.asid_bits.min(16)) - 1) / 2;
        let has_asids = pairs >= least;
        let slots = if has_asids { most.min(pairs) } else { most };
        let mut shadow = Shadow {
            shared: Box::new([(); 3].map(|()| Shared {
                tops: core::array::from_fn(|slot| tables.read(fixed.root(), UPPER + slot)),
                used: Slots::default(),
                tables: List::EMPTY,
                pieces: false,
            })),
            tables,
            fixed,
            contexts: Contexts::new(slots),
            current: alloc::vec![0; harts].into_boxed_slice(),
            leaf_bits: config.leaf_bits,
            has_asids,
            clock: 0,
            seen: Seen::new(slots, harts),
            pointers_known: alloc::vec![0; harts].into_boxed_slice(),
            statistics: Statistics::default(),
        };
        let roots = shadow.take_roots(Paging::Bare);
        let roots = roots.ok_or(NewError::PoolTooSmall { pages, minimum })?;
        shadow.contexts.insert(0, BARE, Paging::Bare, roots);
        shadow.statistics.created = 1;
        Ok(shadow)
    }

    /// Whether the hardware has so few ASIDs that none are used: every write of its `satp`, from
    /// one view to the other too, must be followed by `sfence.vma x0, x0`.
    #[must_use]
    pub fn needs_fence_on_switch(&self) -> bool {
        !self.has_asids
    }

    /// Counts.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics {
            live_tables: self.tables.live(),
            pool_tables: self.tables.total(),
            ..self.statistics
        }
    }

    /// Where `hart` is.
    ///
    /// # Panics
    ///
    /// When there is no such hart.
    #[must_use]
    pub fn context(&self, hart: usize) -> Context {
        let slot = self.current[hart];
        let record = self.contexts.get(slot);
        let asid = self.first_asid(slot);
        let satp = |view: View, asid| {
            let root = self.tables.physical(record.roots[view as usize]);
            let mode = self.fixed.paging.mode();
            Satp::new(mode, asid, isa::address::GuestPhys(root.0)).0
        };
        Context {
            satp_vs: satp(View::Vs, asid),
            satp_vu: satp(View::Vu, if self.has_asids { asid + 1 } else { 0 }),
            private_execute: record.private_execute,
            private_upper: record.private_upper,
        }
    }

    /// Takes `hart` to the context of the guest's `satp`, as it was left if it is remembered. The
    /// hart carries out what it dropped.
    ///
    /// # Errors
    ///
    /// See [`SwitchError`]; the hart stays in its context then.
    ///
    /// # Panics
    ///
    /// When there is no such hart.
    pub fn switch(&mut self, hart: usize, satp: Satp) -> Result<Switched, SwitchError> {
        let paging = Paging::of(satp).ok_or(SwitchError::Reserved)?;
        if paging.mode() > self.fixed.paging.mode() {
            return Err(SwitchError::Reserved);
        }
        let satp = found_by(satp);
        let from = self.current[hart];
        let to = match self.contexts.find(satp) {
            Some(slot) => slot,
            None => self.create(satp, paging).ok_or(SwitchError::Full)?,
        };
        let mut dropped = Dropped::NONE;
        if to != from {
            let [one, two] = [self.contexts.get(from), self.contexts.get(to)];
            dropped.vs_executable =
                one.private_execute || two.private_execute || one.paging != two.paging;
        }
        self.enter(hart, to);
        Ok(Switched {
            context: self.context(hart),
            dropped,
        })
    }

    /// Makes the context in `slot` that of `hart`.
    pub(crate) fn enter(&mut self, hart: usize, slot: u16) {
        self.clock += 1;
        self.contexts.get_mut(slot).used = self.clock;
        self.current[hart] = slot;
    }

    /// A new context; `None` when there is no room for it. There are more slots than harts, so
    /// that [`Shadow::make_room`] always finds one in which no hart is.
    fn create(&mut self, satp: Satp, paging: Paging) -> Option<u16> {
        let slot = self.contexts.vacant()?;
        let roots = self.take_roots(paging)?;
        self.contexts.insert(slot, satp, paging, roots);
        self.seen.begin(slot);
        self.statistics.created += 1;
        Some(slot)
    }

    /// The two roots of a context that has nothing of its own yet.
    fn take_roots(&mut self, paging: Paging) -> Option<[Page; 2]> {
        let template = Some(self.fixed.root());
        let vs = self.tables.take(template)?;
        let Some(vu) = self.tables.take(template) else {
            self.tables.give(vs);
            return None;
        };
        if let Some(index) = shared_index(paging) {
            let shared = &self.shared[index];
            for slot in shared.used.iter() {
                self.tables.write(vs, slot, shared.top(slot));
            }
        }
        Some([vs, vu])
    }

    /// What the contexts of `paging` share; a Bare one shares nothing.
    pub(crate) fn shared(&self, paging: Paging) -> Option<&Shared> {
        shared_index(paging).map(|index| &self.shared[index])
    }

    /// As [`Shadow::shared`], to change.
    pub(crate) fn shared_mut(&mut self, paging: Paging) -> Option<&mut Shared> {
        shared_index(paging).map(|index| &mut self.shared[index])
    }

    /// The hardware ASID of the VS view of the context in `slot`; the VU view has the next.
    fn first_asid(&self, slot: u16) -> u16 {
        if self.has_asids { 2 * slot + 1 } else { 0 }
    }

    /// The flush of all of the context in `slot`.
    pub(crate) fn flush_of(&self, slot: u16) -> Flush {
        match self.first_asid(slot) {
            0 => Flush::All,
            first => Flush::Asid { first },
        }
    }

    /// The entry that translates `va` in the shadow, and its level, in the current context of
    /// `hart`: what the hardware would find there. An address of the window gives the window's
    /// entry, which may be a pointer to a table of the monitor's own.
    ///
    /// # Panics
    ///
    /// When there is no such hart.
    #[must_use]
    pub fn lookup(&self, hart: usize, view: View, va: GuestVirt) -> Option<(Pte, u32)> {
        let record = self.contexts.get(self.current[hart]);
        if !self.fixed.paging.is_canonical(va) {
            return None;
        }
        let mut level = self.fixed.paging.root_level();
        let mut page = record.roots[view as usize];
        loop {
            let entry = self.tables.read(page, index(va, level));
            match self.tables.child(entry) {
                Some(child) => page = child,
                None => return entry.is_valid().then_some((entry, level)),
            }
            level -= 1;
        }
    }
}

/// The number of the mode among those that share.
pub(crate) fn shared_index(paging: Paging) -> Option<usize> {
    match paging {
        Paging::Bare => None,
        Paging::Sv39 => Some(0),
        Paging::Sv48 => Some(1),
        Paging::Sv57 => Some(2),
    }
}
