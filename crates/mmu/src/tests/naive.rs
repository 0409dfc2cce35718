//! The page walk once more, written from the specification with nothing of the crate's, to check
//! the crate's by.

use std::vec::Vec;

/// A leaf that an address leads to, before rights are looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Leaf {
    pub(crate) pte: u64,
    /// Where the entry is.
    pub(crate) at: u64,
    /// Bytes that it maps.
    pub(crate) bytes: u64,
    /// Guest-physical start.
    pub(crate) page: u64,
    pub(crate) global: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Exception {
    PageFault,
    AccessFault,
}

/// Which access: fetch, load or store, as the digit that its right has in a PTE.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wish {
    pub(crate) right: u64,
    pub(crate) user: bool,
    pub(crate) sum: bool,
    pub(crate) mxr: bool,
}

pub(crate) const READ: u64 = 2;
pub(crate) const WRITE: u64 = 4;
pub(crate) const EXECUTE: u64 = 8;

/// The leaf for `va` under `satp` (not Bare).
pub(crate) fn leaf(
    read: &impl Fn(u64) -> Option<u64>,
    satp: u64,
    va: u64,
) -> Result<Leaf, Exception> {
    let levels = match satp >> 60 {
        8 => 3,
        9 => 4,
        10 => 5,
        mode => panic!("mode {mode}"),
    };
    let width = 12 + 9 * levels;
    let above: Vec<u64> = (width - 1..64).map(|bit| va >> bit & 1).collect();
    if above.iter().any(|bit| *bit != above[0]) {
        return Err(Exception::PageFault);
    }
    let mut base = (satp & 0xfff_ffff_ffff) * 4096;
    let mut global = false;
    for done in 0..levels {
        let shift = 12 + 9 * (levels - 1 - done);
        let at = base + ((va >> shift) % 512) * 8;
        let pte = read(at).ok_or(Exception::AccessFault)?;
        let valid = pte & 1 == 1 && pte & 6 != 4 && pte >> 54 == 0;
        if !valid {
            return Err(Exception::PageFault);
        }
        global |= pte & 32 != 0;
        base = (pte >> 10 & 0xfff_ffff_ffff) * 4096;
        if pte & 14 != 0 {
            let bytes = 1 << shift;
            return if base & (bytes - 1) == 0 {
                Ok(Leaf {
                    pte,
                    at,
                    bytes,
                    page: base,
                    global,
                })
            } else {
                Err(Exception::PageFault)
            };
        }
        if pte & 0b1101_0000 != 0 {
            return Err(Exception::PageFault);
        }
    }
    Err(Exception::PageFault)
}

/// The address that an access to `va` reaches and the leaf as the access leaves it.
pub(crate) fn translate(
    read: &impl Fn(u64) -> Option<u64>,
    satp: u64,
    va: u64,
    wish: Wish,
) -> Result<(u64, Leaf), Exception> {
    let mut leaf = leaf(read, satp, va)?;
    let readable_by = if wish.mxr && wish.right == READ {
        READ | EXECUTE
    } else {
        wish.right
    };
    let user_page = leaf.pte & 16 != 0;
    let refused = leaf.pte & readable_by == 0
        || (wish.user && !user_page)
        || (!wish.user && user_page && (wish.right == EXECUTE || !wish.sum));
    if refused {
        return Err(Exception::PageFault);
    }
    leaf.pte |= if wish.right == WRITE { 0xc0 } else { 0x40 };
    Ok((leaf.page + va % leaf.bytes, leaf))
}
