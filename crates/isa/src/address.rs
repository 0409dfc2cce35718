//! Addresses, a type for each address space, so that none is taken for another.
//!
//! A guest address is an allegation: it says nothing about what, if anything, lies there.

use core::fmt;

/// Base 2 logarithm of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a base page.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The first address of its 4 KiB page.
            #[must_use]
            pub const fn page(self) -> Self {
                self.align_down(PAGE_SIZE)
            }

            /// Its low 12 bits.
            #[must_use]
            pub const fn offset(self) -> u64 {
                self.0 & (PAGE_SIZE - 1)
            }

            /// The address `bytes` further on, wrapping round at 2^64.
            #[must_use]
            pub const fn add(self, bytes: u64) -> Self {
                Self(self.0.wrapping_add(bytes))
            }

            /// The number of its 4 KiB frame (or virtual page).
            #[must_use]
            pub const fn frame_number(self) -> u64 {
                self.0 >> PAGE_SHIFT
            }

            /// The nearest multiple of `alignment`, a power of two, that is not above it.
            #[must_use]
            pub const fn align_down(self, alignment: u64) -> Self {
                debug_assert!(alignment.is_power_of_two());
                Self(self.0 & !(alignment - 1))
            }

            /// Whether it is a multiple of `alignment`, a power of two.
            #[must_use]
            pub const fn is_aligned(self, alignment: u64) -> bool {
                debug_assert!(alignment.is_power_of_two());
                self.0 & (alignment - 1) == 0
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }
    };
}

address! {
    /// A guest-physical address: what the guest believes to be physical.
    GuestPhys
}
address! {
    /// A guest-virtual address: what the guest's own page tables translate.
    GuestVirt
}
address! {
    /// An address in the machine's real physical memory.
    HostPhys
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;

    #[test]
    fn an_address_is_its_page_plus_its_offset() {
        for raw in [0, 1, 0xfff, 0x1000, 0x8020_0abc, u64::MAX] {
            let address = GuestVirt(raw);
            assert_eq!(address.page().add(address.offset()), address);
            assert_eq!(address.page().0, address.frame_number() << PAGE_SHIFT);
            assert!(address.page().is_aligned(PAGE_SIZE));
            assert_eq!(address.is_aligned(8), raw % 8 == 0);
        }
    }

    #[test]
    fn adding_past_the_end_wraps() {
        assert_eq!(GuestPhys(u64::MAX).add(2), GuestPhys(1));
    }

    #[test]
    fn addresses_are_shown_in_hexadecimal() {
        let address = HostPhys(0x8000_0000);
        assert_eq!(format!("{address}"), "0x80000000");
        assert_eq!(format!("{address:x}"), "80000000");
        assert_eq!(format!("{address:?}"), "HostPhys(0x80000000)");
    }
}
