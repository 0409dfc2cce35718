//! What the hardware's own TLB must forget.

use isa::address::GuestVirt;

/// What the monitor must fence before the guest runs on, and before it calls the shadow again.
///
/// On a machine with several harts, every hart of the guest must.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[must_use]
pub enum Flush {
    /// Nothing.
    #[default]
    None,
    /// One address in every address space: `sfence.vma va, x0`.
    Address(GuestVirt),
    /// All of one context: `sfence.vma x0, first` and the same with `first + 1`.
    Asid {
        /// The hardware ASID of the VS view; the VU view has the next one.
        first: u16,
    },
    /// Everything: `sfence.vma x0, x0`.
    All,
}

impl Flush {
    /// A request that covers both.
    pub fn and(self, other: Flush) -> Flush {
        match (self, other) {
            (one, Flush::None) | (Flush::None, one) => one,
            (one, two) if one == two => one,
            _ => Flush::All,
        }
    }
}

/// What an operation took out of the shadow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct Dropped {
    /// What the hardware must forget.
    pub flush: Flush,
    /// A VS executable leaf may be gone or lead elsewhere: whatever is remembered by the address
    /// of an instruction must be forgotten.
    pub vs_executable: bool,
}

impl Dropped {
    /// Nothing was dropped.
    pub const NONE: Dropped = Dropped {
        flush: Flush::None,
        vs_executable: false,
    };
    /// All of it was.
    pub const ALL: Dropped = Dropped {
        flush: Flush::All,
        vs_executable: true,
    };

    /// What two operations dropped.
    pub fn and(self, other: Dropped) -> Dropped {
        Dropped {
            flush: self.flush.and(other.flush),
            vs_executable: self.vs_executable || other.vs_executable,
        }
    }
}
