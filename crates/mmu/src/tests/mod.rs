//! Tests: statements about the walk and the shadow, and random histories against models.

mod absent;
mod ahead;
mod contexts;
mod fences;
mod fills;
mod frames;
mod guest;
mod hardware;
mod harts;
mod history;
mod invariants;
mod machine;
mod memory;
mod naive;
mod random;
mod verdict;
mod walks;

use crate::paging::Paging;
use crate::pool::{Pool, Table};
use crate::shadow::Config;
use crate::walk::{Access, Kind};
use crate::window::Window;
use isa::address::{GuestVirt, HostPhys};
use std::boxed::Box;
use std::vec::Vec;

/// Where the pool claims to be.
pub(crate) const POOL_PHYSICAL: HostPhys = HostPhys(0x9_4000_0000);
/// The number of the root's entry that is the first of the window.
const WINDOW_SLOT: u64 = 308;
/// A leaf (supervisor, global, RWX, A, D) and a global pointer to a table that is not of the pool.
pub(crate) const WINDOW_ENTRIES: [u64; 2] = [0x2000_00ef, 0x2abc_dc21];

pub(crate) fn pool(pages: usize) -> Pool {
    let tables: Vec<Table> = (0..pages).map(|_| Table::new()).collect();
    Pool {
        tables: Box::leak(tables.into_boxed_slice()),
        physical: POOL_PHYSICAL,
    }
}

/// An address of the entry with this number, of those of the window in a shadow of `paging`; or, with others, of
/// those beside them.
pub(crate) fn window(paging: Paging, number: u64) -> GuestVirt {
    let slots = (WINDOW_SLOT - 256).wrapping_add(number);
    GuestVirt(
        paging
            .upper_half()
            .wrapping_add(slots.wrapping_mul(paging.slot())),
    )
}

/// Whether `va` is an address of that window.
pub(crate) fn is_in_window(paging: Paging, va: u64) -> bool {
    (window(paging, 0).0..window(paging, WINDOW_ENTRIES.len() as u64).0).contains(&va)
}

/// A shadow for all modes.
pub(crate) fn config(harts: usize, contexts: usize) -> Config<'static> {
    config_in(Paging::Sv57, harts, contexts)
}

/// A shadow of `paging`.
pub(crate) fn config_in(paging: Paging, harts: usize, contexts: usize) -> Config<'static> {
    let window = Window {
        paging,
        first_slot: window(paging, 0),
        entries: &WINDOW_ENTRIES,
    };
    Config {
        harts,
        contexts,
        asid_bits: 16,
        leaf_bits: 0,
        window,
    }
}

/// An access from VS without SUM and MXR.
pub(crate) fn from_vs(kind: Kind) -> Access {
    Access {
        kind,
        user: false,
        sum: false,
        mxr: false,
    }
}

/// An access from VU.
pub(crate) fn from_vu(kind: Kind) -> Access {
    Access {
        kind,
        user: true,
        sum: false,
        mxr: false,
    }
}
