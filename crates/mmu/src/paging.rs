//! The translation modes, and how a virtual address is cut up in each.

use isa::address::{GuestVirt, PAGE_SHIFT};
use isa::satp::{self, Satp};

/// Entries in a table of any level (privileged specification, "Sv39", page tables of 2^9 entries).
pub(crate) const ENTRIES: usize = 512;
const INDEX_BITS: u32 = 9;

/// A translation mode of `satp`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Paging {
    /// No translation: a virtual address is a guest-physical one.
    Bare,
    /// Three levels.
    Sv39,
    /// Four levels.
    Sv48,
    /// Five levels.
    Sv57,
}

impl Paging {
    /// The mode that `satp` selects; `None` for a reserved one, which the WARL rule of `satp`
    /// keeps a hart from ever having.
    #[must_use]
    pub const fn of(satp: Satp) -> Option<Paging> {
        match satp.mode() {
            satp::BARE => Some(Paging::Bare),
            satp::SV39 => Some(Paging::Sv39),
            satp::SV48 => Some(Paging::Sv48),
            satp::SV57 => Some(Paging::Sv57),
            _ => None,
        }
    }

    /// The MODE field of `satp` that selects it.
    #[must_use]
    pub const fn mode(self) -> u8 {
        match self {
            Paging::Bare => satp::BARE,
            Paging::Sv39 => satp::SV39,
            Paging::Sv48 => satp::SV48,
            Paging::Sv57 => satp::SV57,
        }
    }

    /// The level of the root, for the paged modes. A table of level n has entries that map
    /// 2^(12 + 9n) bytes.
    pub(crate) const fn root_level(self) -> u32 {
        match self {
            Paging::Bare | Paging::Sv39 => 2,
            Paging::Sv48 => 3,
            Paging::Sv57 => 4,
        }
    }

    /// Whether all bits above the translated ones repeat the highest of those.
    pub(crate) const fn is_canonical(self, va: GuestVirt) -> bool {
        let unused = 64 - (PAGE_SHIFT + INDEX_BITS * (self.root_level() + 1));
        ((va.0 << unused) as i64 >> unused) as u64 == va.0
    }

    /// The entry of the root that translates `va`.
    pub(crate) const fn root_slot(self, va: GuestVirt) -> usize {
        index(va, self.root_level())
    }
}

/// Bytes that an entry of a table of `level` maps.
pub(crate) const fn size(level: u32) -> u64 {
    1 << (PAGE_SHIFT + INDEX_BITS * level)
}

/// The entry of a table of `level` that translates `va`.
pub(crate) const fn index(va: GuestVirt, level: u32) -> usize {
    (va.0 >> (PAGE_SHIFT + INDEX_BITS * level)) as usize % ENTRIES
}
