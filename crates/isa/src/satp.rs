//! `satp`, the supervisor address translation and protection register (volume II, "Supervisor
//! Address Translation and Protection (satp) Register", RV64 layout).

use crate::address::{GuestPhys, PAGE_SHIFT};

/// No translation or protection.
pub const BARE: u8 = 0;
/// 39-bit virtual addresses, three levels.
pub const SV39: u8 = 8;
/// 48-bit virtual addresses, four levels.
pub const SV48: u8 = 9;
/// 57-bit virtual addresses, five levels.
pub const SV57: u8 = 10;

const MODE_SHIFT: u32 = 60;
const ASID_SHIFT: u32 = 44;
const PPN_MASK: u64 = (1 << 44) - 1;

/// Levels of the page tables of `mode`; `None` for Bare and for modes that are not defined.
#[must_use]
pub const fn levels(mode: u8) -> Option<u32> {
    match mode {
        SV39 => Some(3),
        SV48 => Some(4),
        SV57 => Some(5),
        _ => None,
    }
}

/// A value of `satp`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[repr(transparent)]
pub struct Satp(pub u64);

impl Satp {
    /// Puts the fields together. Only the low 4 bits of `mode` and the low 56 bits of `root`
    /// count, and `root` is taken down to a page boundary.
    #[must_use]
    pub const fn new(mode: u8, asid: u16, root: GuestPhys) -> Satp {
        Satp(
            (mode as u64) << MODE_SHIFT
                | (asid as u64) << ASID_SHIFT
                | ((root.0 >> PAGE_SHIFT) & PPN_MASK),
        )
    }

    /// The MODE field.
    #[must_use]
    pub const fn mode(self) -> u8 {
        (self.0 >> MODE_SHIFT) as u8
    }

    /// The ASID field.
    #[must_use]
    pub const fn asid(self) -> u16 {
        (self.0 >> ASID_SHIFT) as u16
    }

    /// Where the root page table is: the PPN field times the page size.
    #[must_use]
    pub const fn root(self) -> GuestPhys {
        GuestPhys((self.0 & PPN_MASK) << PAGE_SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn satp_is_made_of_mode_asid_and_page_number() {
        let satp = Satp::new(SV48, 0xabcd, GuestPhys(0x8020_3000));
        assert_eq!(satp.0, 0x9abc_d000_0008_0203);
        assert_eq!(satp.mode(), SV48);
        assert_eq!(satp.asid(), 0xabcd);
        assert_eq!(satp.root(), GuestPhys(0x8020_3000));
    }

    #[test]
    fn every_bit_of_satp_belongs_to_one_field() {
        for bit in 0..64 {
            let satp = Satp(1 << bit);
            assert_eq!(Satp::new(satp.mode(), satp.asid(), satp.root()), satp);
        }
    }
}
