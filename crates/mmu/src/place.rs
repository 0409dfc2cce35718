//! Where the monitor's window may stand.

use crate::paging::{Paging, size};
use core::fmt;

/// Why there is no place for the window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PlaceError {
    /// The place that was asked for is none.
    Asked {
        /// That place.
        start: u64,
        /// The mode of the monitor's tables.
        paging: Paging,
    },
    /// The monitor below says that its own window ends here, and there is no place behind it.
    NoRoom {
        /// Behind the window of the monitor below.
        below: u64,
    },
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            PlaceError::Asked { start, paging } => write!(
                f,
                "the monitor's window cannot be at {start:#x}: with {paging:?}, the widest mode of this processor, it begins at a \
                 multiple of {:#x} from {:#x} up; give another `--window`, or none",
                paging.slot(),
                paging.upper_half()
            ),
            PlaceError::NoRoom { below } => write!(
                f,
                "there is no room for the monitor's window behind that of the monitor below, which ends at {below:#x}; \
                 give a place that it does not use (`--window`)"
            ),
        }
    }
}

impl core::error::Error for PlaceError {}

impl Paging {
    /// The widest of the modes whose bits are set in `modes`; `None` when there is no paging.
    #[must_use]
    pub fn widest(modes: u16) -> Option<Paging> {
        [Paging::Sv57, Paging::Sv48, Paging::Sv39]
            .into_iter()
            .find(|paging| modes >> paging.mode() & 1 != 0)
    }

    /// Bytes that an entry of the root maps, in a paged mode: what places of the window are multiples of.
    #[must_use]
    pub const fn slot(self) -> u64 {
        size(self.root_level())
    }

    /// The first address of the upper half, in a paged mode: the window's place by default.
    #[must_use]
    pub const fn upper_half(self) -> u64 {
        (self.slot() * 256).wrapping_neg()
    }

    /// Where the window begins: where it was `asked` for; else behind the window of the monitor below,
    /// if that says where it ends; else at the start of the upper half.
    ///
    /// # Errors
    /// When that is no place for it.
    pub fn window(self, asked: Option<u64>, below: Option<u64>) -> Result<u64, PlaceError> {
        let is_place = |start: u64| start >= self.upper_half() && start.is_multiple_of(self.slot());
        match (asked, below) {
            (Some(start), _) if is_place(start) => Ok(start),
            (Some(start), _) => Err(PlaceError::Asked {
                start,
                paging: self,
            }),
            (None, Some(below)) => below
                .checked_next_multiple_of(self.slot())
                .filter(|&start| is_place(start))
                .ok_or(PlaceError::NoRoom { below }),
            (None, None) => Ok(self.upper_half()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Paging, PlaceError};
    use std::string::ToString;

    const PAGED: [Paging; 3] = [Paging::Sv39, Paging::Sv48, Paging::Sv57];

    #[test]
    fn the_window_begins_with_the_upper_half() {
        let places = PAGED.map(|paging| paging.window(None, None).unwrap());
        assert_eq!(
            places,
            [
                0xffff_ffc0_0000_0000,
                0xffff_8000_0000_0000,
                0xff00_0000_0000_0000
            ]
        );
    }

    #[test]
    fn the_widest_mode_counts() {
        assert_eq!(Paging::widest(0x701), Some(Paging::Sv57));
        assert_eq!(Paging::widest(0x301), Some(Paging::Sv48));
        assert_eq!(Paging::widest(0x101), Some(Paging::Sv39));
        assert_eq!(Paging::widest(1), None);
    }

    #[test]
    fn what_was_asked_for_must_be_an_entry_of_the_upper_half() {
        for paging in PAGED {
            for slot in [0, 1, 77, 255] {
                let start = paging.upper_half() + slot * paging.slot();
                assert_eq!(paging.window(Some(start), Some(7)), Ok(start));
            }
            for start in [
                0,
                1 << 30,
                paging.upper_half() - paging.slot(),
                paging.upper_half() + 4096,
                u64::MAX,
            ] {
                let error = paging.window(Some(start), None).unwrap_err();
                assert_eq!(error, PlaceError::Asked { start, paging });
                let text = error.to_string();
                assert!(text.contains("--window") && text.contains(&std::format!("{start:#x}")));
            }
        }
    }

    #[test]
    fn a_monitor_in_a_guest_stands_behind_the_one_below() {
        for paging in PAGED {
            let (first, slot) = (paging.upper_half(), paging.slot());
            for (below, start) in [
                (first + slot, first + slot),
                (first + 1, first + slot),
                (first + 7 * slot - 1, first + 7 * slot),
                (0_u64.wrapping_sub(slot), 0_u64.wrapping_sub(slot)),
            ] {
                assert_eq!(paging.window(None, Some(below)), Ok(start));
            }
            // What the monitor below says may be anything.
            for below in [0, 1, first - slot, 0_u64.wrapping_sub(slot) + 1, u64::MAX] {
                let error = paging.window(None, Some(below));
                assert_eq!(error, Err(PlaceError::NoRoom { below }));
            }
        }
    }
}
