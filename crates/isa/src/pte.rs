//! Page table entries of Sv39, Sv48 and Sv57 (volume II, "Sv39: Page-Based 39-bit Virtual-Memory
//! System"; Svnapot and Svpbmt for bits 63 to 61). The three share one layout.

use crate::address::PAGE_SHIFT;

const PPN_SHIFT: u32 = 10;
const PPN_MASK: u64 = (1 << 44) - 1;

/// A page table entry.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[repr(transparent)]
pub struct Pte(pub u64);

impl Pte {
    /// Valid.
    pub const V: u64 = 1 << 0;
    /// Readable.
    pub const R: u64 = 1 << 1;
    /// Writable.
    pub const W: u64 = 1 << 2;
    /// Executable.
    pub const X: u64 = 1 << 3;
    /// Accessible to U-mode.
    pub const U: u64 = 1 << 4;
    /// Global: in every address space.
    pub const G: u64 = 1 << 5;
    /// Accessed.
    pub const A: u64 = 1 << 6;
    /// Dirty.
    pub const D: u64 = 1 << 7;
    /// The two bits that are the supervisor's own (RSW).
    pub const RSW: u64 = 3 << 8;
    /// Bits 60 to 54, reserved: a set one is a page fault.
    pub const RESERVED: u64 = 0x7f << 54;
    /// The memory type (Svpbmt); reserved where Svpbmt is not there.
    pub const PBMT: u64 = 3 << 61;
    /// Naturally aligned power-of-two range (Svnapot); reserved where Svnapot is not there.
    pub const N: u64 = 1 << 63;
    /// R, W and X: all clear in a pointer to the next level.
    pub const RWX: u64 = Self::R | Self::W | Self::X;

    /// An entry for physical `address` (its low 12 bits and those above bit 55 do not count)
    /// with `flags`, which are the bits outside the page number.
    #[must_use]
    pub const fn new(address: u64, flags: u64) -> Pte {
        let ppn = (address >> PAGE_SHIFT) & PPN_MASK;
        Pte(ppn << PPN_SHIFT | flags & !(PPN_MASK << PPN_SHIFT))
    }

    /// Whether V is set.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 & Self::V != 0
    }

    /// Whether it maps a page, and is not a pointer to the next level. Says nothing of V, or of
    /// the reserved combination W without R, which counts as a leaf.
    #[must_use]
    pub const fn is_leaf(self) -> bool {
        self.0 & Self::RWX != 0
    }

    /// The 44-bit physical page number.
    #[must_use]
    pub const fn ppn(self) -> u64 {
        (self.0 >> PPN_SHIFT) & PPN_MASK
    }

    /// The physical address of the page or table.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.ppn() << PAGE_SHIFT
    }

    /// All bits outside the page number.
    #[must_use]
    pub const fn flags(self) -> u64 {
        self.0 & !(PPN_MASK << PPN_SHIFT)
    }

    /// Whether R is set.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.0 & Self::R != 0
    }

    /// Whether W is set.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.0 & Self::W != 0
    }

    /// Whether X is set.
    #[must_use]
    pub const fn is_executable(self) -> bool {
        self.0 & Self::X != 0
    }

    /// Whether U is set.
    #[must_use]
    pub const fn is_user(self) -> bool {
        self.0 & Self::U != 0
    }

    /// Whether G is set.
    #[must_use]
    pub const fn is_global(self) -> bool {
        self.0 & Self::G != 0
    }

    /// Whether A is set.
    #[must_use]
    pub const fn is_accessed(self) -> bool {
        self.0 & Self::A != 0
    }

    /// Whether D is set.
    #[must_use]
    pub const fn is_dirty(self) -> bool {
        self.0 & Self::D != 0
    }

    /// The PBMT field: 0 PMA, 1 NC, 2 IO, 3 reserved.
    #[must_use]
    pub const fn memory_type(self) -> u8 {
        ((self.0 & Self::PBMT) >> 61) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_an_entry_is_page_number_or_flag() {
        for bit in 0..64 {
            let pte = Pte(1 << bit);
            assert_eq!(Pte::new(pte.address(), pte.flags()), pte);
            assert_eq!(pte.ppn() == 0, !(10..54).contains(&bit));
        }
    }

    #[test]
    fn named_bits_fill_all_that_the_page_number_leaves() {
        let named = [
            Pte::V,
            Pte::R,
            Pte::W,
            Pte::X,
            Pte::U,
            Pte::G,
            Pte::A,
            Pte::D,
            Pte::RSW,
            Pte::RESERVED,
            Pte::PBMT,
            Pte::N,
        ];
        let mut all = 0;
        for bits in named {
            assert_eq!(all & bits, 0, "{bits:#x} overlaps");
            all |= bits;
        }
        assert_eq!(all, Pte(u64::MAX).flags());
    }

    #[test]
    fn an_entry_without_rwx_points_to_the_next_level() {
        assert!(!Pte::new(0x8000_1000, Pte::V).is_leaf());
        assert!(Pte::new(0x8000_1000, Pte::V | Pte::X).is_leaf());
        assert_eq!(Pte::new(0x8000_1fff, Pte::V).address(), 0x8000_1000);
    }
}
