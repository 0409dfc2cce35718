//! One memory access, to see whether and how it faults.

use crate::code::Snippet;
use crate::context::{Context, Trap};
use crate::paging::{self, Space};
use crate::{code, csr, memory};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Load,
    Store,
    Fetch,
}

impl Access {
    pub const ALL: [Self; 3] = [Self::Load, Self::Store, Self::Fetch];

    /// Accesses the address in a1 (a byte; for a fetch, jumps there with ra set). What is loaded
    /// goes to a0, what is stored is a0.
    fn code(self) -> Snippet {
        match self {
            Self::Load => code!("lbu a0, 0(a1)"),
            Self::Store => code!("sb a0, 0(a1)"),
            Self::Fetch => code!("jalr ra, 0(a1)"),
        }
    }
}

/// Who accesses.
#[derive(Clone, Copy)]
pub struct Accessor {
    /// What sstatus starts from: SPP chooses the mode, SUM and MXR may be there.
    pub status: u64,
    /// Difference between where the code runs and where it stands in the program.
    moved: u64,
}

/// Where [`Accessor::user`] maps the code.
const USER_CODE: u64 = 0x3f_0000;

impl Accessor {
    /// S-mode, in place.
    pub const SUPERVISOR: Self = Self {
        status: csr::SPP,
        moved: 0,
    };

    /// U-mode, in place: for Bare mode.
    pub const BARE_USER: Self = Self {
        status: 0,
        moved: 0,
    };

    /// U-mode, at an alias of the code that this maps into `space`.
    pub fn user(space: &Space) -> Self {
        let first = Access::Load.code().start & !4095;
        for page in 0..2 {
            let flags = paging::R | paging::X | paging::U | paging::LEAF;
            space.map(USER_CODE + page * 4096, first + page * 4096, flags);
        }
        paging::fence();
        Self {
            status: 0,
            moved: USER_CODE.wrapping_sub(first),
        }
    }

    pub const fn with_status(mut self, bits: u64) -> Self {
        self.status |= bits;
        self
    }

    /// Does the access. The context tells the rest: a0 what was loaded.
    pub fn access(&self, access: Access, address: u64) -> Context {
        let start = access.code().start.wrapping_add(self.moved);
        let mut context = Context::supervisor(start).with(10, 0x5a).with(11, address);
        context.sstatus = self.status;
        context.run();
        context
    }

    /// Does the access: `None` when it went through.
    pub fn fault(&self, access: Access, address: u64) -> Option<Trap> {
        Some(self.access(access, address).trap()).filter(|trap| trap.cause != 3)
    }
}

/// Prints what an access did.
pub struct Outcome(pub Option<Trap>);

impl core::fmt::Display for Outcome {
    fn fmt(&self, out: &mut core::fmt::Formatter) -> core::fmt::Result {
        match &self.0 {
            None => out.write_str("done"),
            Some(trap) => trap.fmt(out),
        }
    }
}

/// Fills a page with `ebreak`, so that a jump into it comes back.
pub fn breakpoints(page: u64) {
    for offset in (0..4096).step_by(2) {
        memory::write(page + offset, crate::code::C_EBREAK);
    }
    crate::code::fence_i();
}
