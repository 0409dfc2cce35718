//! The guest page-table walk: "Virtual Address Translation Process" of the privileged
//! specification, for Bare, Sv39, Sv48 and Sv57, with A and D set as Svadu hardware sets them.

use crate::paging::{Paging, index, size};
use isa::address::{GuestPhys, GuestVirt, HostPhys};
use isa::pte::Pte;
use isa::satp::Satp;

/// The guest's physical memory, as a walk and a fill need it.
///
/// Other harts of the guest may write it at any time, so each method is one access.
pub trait GuestMemory {
    /// Reads the 8 bytes at `at`, which is a multiple of 8, in one access; `None` when they are
    /// not RAM.
    fn read_pte(&self, at: GuestPhys) -> Option<u64>;
    /// Replaces `old` by `new` at `at` in one atomic access; `Some(false)` when something other
    /// than `old` was there, `None` when the place is not RAM.
    fn compare_exchange_pte(&self, at: GuestPhys, old: u64, new: u64) -> Option<bool>;
    /// Where the byte at `gpa` lies; `None` when it is not RAM.
    fn host(&self, gpa: GuestPhys) -> Option<HostPhys>;
    /// Where `size` bytes from `gpa` (a multiple of `size`) lie, when all are RAM, contiguous in
    /// the host and start at a multiple of `size` there too.
    fn host_span(&self, gpa: GuestPhys, size: u64) -> Option<HostPhys>;
}

/// What an access does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// An instruction fetch.
    Fetch,
    /// A load, a load-reserved, or a cache-block management instruction.
    Load,
    /// A store, a store-conditional, an AMO or `cbo.zero`.
    Store,
}

/// An access to translate, with all of the hart's state that bears on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Access {
    /// What it does.
    pub kind: Kind,
    /// Made from VU; else from VS.
    pub user: bool,
    /// The guest's `sstatus.SUM`: VS may load from and store to user pages.
    pub sum: bool,
    /// The guest's `sstatus.MXR`: a load may read an executable page.
    pub mxr: bool,
}

/// Which exception a walk ends in; the access's [`Kind`] makes the cause of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// A page fault.
    Page,
    /// An access fault: a table lies outside RAM.
    Access,
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Translation {
    /// The address itself, translated. It need not be RAM.
    pub address: GuestPhys,
    /// Where the page that the leaf maps begins.
    pub page: GuestPhys,
    /// The level of the leaf: it maps 2^(12 + 9 level) bytes. A Bare translation counts as a leaf
    /// of level 2.
    pub level: u32,
    /// The leaf as it is in memory now, with A (and for a store D) set.
    pub pte: Pte,
    /// Where the leaf is.
    pub at: GuestPhys,
    /// Whether G is set in the leaf or in a pointer on the way to it.
    pub global: bool,
}

/// What the guest's processor has besides the base specification.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Options {
    /// Bits among 63 to 54 that a leaf may have set without a page fault, for a processor that
    /// gives them a memory type (T-Head's MAEE: 63 to 59). They change nothing: the guest's RAM is
    /// cacheable and coherent in every mapping, and so are the monitor's own accesses to it.
    pub memory_type: u64,
}

/// Translates `va` as a hart with `satp` would, and sets A and D in the guest's leaf.
///
/// # Errors
///
/// The exception that the hart would take instead.
pub fn walk(
    memory: &impl GuestMemory,
    satp: Satp,
    va: GuestVirt,
    access: Access,
) -> Result<Translation, Fault> {
    walk_with(memory, Options::default(), satp, va, access)
}

/// [`walk()`] for a processor with [`Options`].
///
/// # Errors
///
/// The exception that the hart would take instead.
pub fn walk_with(
    memory: &impl GuestMemory,
    options: Options,
    satp: Satp,
    va: GuestVirt,
    access: Access,
) -> Result<Translation, Fault> {
    let paging = Paging::of(satp).ok_or(Fault::Page)?;
    if paging == Paging::Bare {
        return Ok(identity(va));
    }
    if !paging.is_canonical(va) {
        return Err(Fault::Page);
    }
    let mut level = paging.root_level();
    let mut table = satp.root();
    let mut global = false;
    // Each turn reads one entry once and decides on that value alone. A turn whose update of A and
    // D lost against another hart's store begins again with the same entry, as step 9 has it.
    loop {
        let at = table.add(index(va, level) as u64 * 8);
        let pte = Pte(memory.read_pte(at).ok_or(Fault::Access)?);
        if !pte.is_valid() || (pte.is_writable() && !pte.is_readable()) {
            return Err(Fault::Page);
        }
        if !pte.is_leaf() {
            const RESERVED_IN_POINTER: u64 =
                Pte::A | Pte::D | Pte::U | Pte::RESERVED | Pte::PBMT | Pte::N;
            if pte.0 & RESERVED_IN_POINTER != 0 || level == 0 {
                return Err(Fault::Page);
            }
            global |= pte.is_global();
            table = GuestPhys(pte.address());
            level -= 1;
            continue;
        }
        let reserved = (Pte::RESERVED | Pte::PBMT | Pte::N) & !options.memory_type;
        let misaligned = pte.address() & (size(level) - 1) != 0;
        if pte.0 & reserved != 0 || misaligned || !permits(pte, access) {
            return Err(Fault::Page);
        }
        let dirty = if access.kind == Kind::Store {
            Pte::D
        } else {
            0
        };
        let used = Pte(pte.0 | Pte::A | dirty);
        if used != pte
            && !memory
                .compare_exchange_pte(at, pte.0, used.0)
                .ok_or(Fault::Access)?
        {
            continue;
        }
        let page = GuestPhys(pte.address());
        return Ok(Translation {
            address: page.add(va.0 & (size(level) - 1)),
            page,
            level,
            pte: used,
            at,
            global: global || pte.is_global(),
        });
    }
}

/// Steps 6 to 8: privilege, then rights.
fn permits(pte: Pte, access: Access) -> bool {
    let privilege = match (access.user, pte.is_user()) {
        (true, user_page) => user_page,
        (false, true) => access.sum && access.kind != Kind::Fetch,
        (false, false) => true,
    };
    let right = match access.kind {
        Kind::Fetch => pte.is_executable(),
        Kind::Load => pte.is_readable() || (access.mxr && pte.is_executable()),
        Kind::Store => pte.is_writable(),
    };
    privilege && right
}

/// Bare: no translation and no protection, shown as the largest page that shadows it.
fn identity(va: GuestVirt) -> Translation {
    const LEVEL: u32 = 2;
    const FLAGS: u64 = Pte::V | Pte::RWX | Pte::A | Pte::D;
    let address = GuestPhys(va.0);
    let page = address.align_down(size(LEVEL));
    Translation {
        address,
        page,
        level: LEVEL,
        pte: Pte::new(page.0, FLAGS),
        at: GuestPhys(0),
        global: false,
    }
}
