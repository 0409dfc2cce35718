//! "RFENCE Extension": fences on other harts.

use crate::call::{Call, Error};
use crate::hart_mask::HartMask;
use crate::machine::Machine;
use isa::address::{GuestVirt, PAGE_SHIFT, PAGE_SIZE};
use sbi_spec::rfnc;

/// A fence over more pages than this is one over everything. Linux draws the line at as many pages, for
/// `sfence.vma` as well as for these calls, and it bounds what one call does.
pub const MOST_PAGES: u64 = 64;

/// The addresses that an `sfence.vma` on another hart is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FenceRange {
    /// The entire address space.
    All,
    /// These pages, never more than [`MOST_PAGES`].
    Pages {
        /// Address of the first page.
        first: GuestVirt,
        /// Pages of 4 KiB.
        count: u64,
    },
}

impl FenceRange {
    /// The pages that `size` bytes at `start` touch.
    ///
    /// "The remote fence operation applies to the entire address space if either `start_addr` and
    /// `size` are both 0, or `size` is equal to 2^XLEN-1." A size of 0 elsewhere means nothing
    /// that a fence could be for; a fence too much is the safe reading.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`] when the range wraps round the end of the address space.
    pub fn new(start: u64, size: u64) -> Result<Self, Error> {
        if size == 0 || size == u64::MAX {
            return Ok(Self::All);
        }
        let last = start.checked_add(size - 1).ok_or(Error::InvalidAddress)?;
        let first = GuestVirt(start).page();
        let count = ((last - first.0) >> PAGE_SHIFT) + 1;
        Ok(if count > MOST_PAGES {
            Self::All
        } else {
            Self::Pages { first, count }
        })
    }

    /// The page addresses, or `None` for the entire address space.
    #[must_use]
    pub fn pages(self) -> Option<impl Iterator<Item = GuestVirt>> {
        match self {
            Self::All => None,
            Self::Pages { first, count } => {
                Some((0..count).map(move |page| first.add(page * PAGE_SIZE)))
            }
        }
    }
}

pub fn handle(call: &Call, machine: &mut impl Machine) -> Result<u64, Error> {
    let [_, _, start, size, asid, _] = call.arguments;
    let harts = HartMask::from_arguments(&call.arguments).validate(machine.hart_count());
    match usize::try_from(call.function).map_err(|_| Error::NotSupported)? {
        rfnc::REMOTE_FENCE_I => machine.remote_fence_i(harts?),
        rfnc::REMOTE_SFENCE_VMA => {
            machine.remote_sfence_vma(harts?, FenceRange::new(start, size)?, None);
        }
        rfnc::REMOTE_SFENCE_VMA_ASID => {
            // No hart has address-space identifiers wider than 16 bits (`satp.ASID`).
            let asid = u16::try_from(asid).map_err(|_| Error::InvalidParameter)?;
            machine.remote_sfence_vma(harts?, FenceRange::new(start, size)?, Some(asid));
        }
        // The HFENCE functions are "only valid for harts implementing hypervisor extension".
        _ => return Err(Error::NotSupported),
    }
    Ok(0)
}
