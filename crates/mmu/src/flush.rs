//! What the hardware's own TLB must forget.

use isa::address::GuestVirt;

/// What a hart must fence before it runs the guest on, and before its monitor calls the shadow again.
///
/// Which harts must is for [`Dropped::all_harts`] to say.
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
    /// Every hart of the VM must do both before the lock is given up and before the guest's
    /// instruction completes that asked for the operation. Otherwise it is enough that the hart does
    /// which asked, and for a remote fence those that the guest named.
    pub all_harts: bool,
}

impl Dropped {
    /// Nothing was dropped.
    pub const NONE: Dropped = Dropped::local(Flush::None);
    /// All of it was.
    pub const ALL: Dropped = Dropped::announced(Flush::All);

    /// What one hart forgets, while the others may remember it.
    pub(crate) const fn local(flush: Flush) -> Dropped {
        Dropped {
            flush,
            vs_executable: false,
            all_harts: false,
        }
    }

    /// What every hart forgets, with all that it knows of instructions.
    pub(crate) const fn announced(flush: Flush) -> Dropped {
        Dropped {
            flush,
            vs_executable: true,
            all_harts: true,
        }
    }

    /// The leaf of `va`.
    pub(crate) const fn leaf(va: GuestVirt, vs_executable: bool) -> Dropped {
        Dropped {
            flush: Flush::Address(va),
            vs_executable,
            all_harts: vs_executable,
        }
    }

    /// What two operations dropped.
    pub fn and(self, other: Dropped) -> Dropped {
        Dropped {
            flush: self.flush.and(other.flush),
            vs_executable: self.vs_executable || other.vs_executable,
            all_harts: self.all_harts || other.all_harts,
        }
    }
}
