//! Control and status registers: their numbers, their fields, and the causes of traps.

mod cause;
mod number;

pub use cause::{Exception, Interrupt};
pub use number::*;

/// Fields of `sstatus` (volume II, "Supervisor Status (sstatus) Register").
pub mod sstatus {
    /// Interrupts are enabled in S-mode.
    pub const SIE: u64 = 1 << 1;
    /// What SIE was before the last trap.
    pub const SPIE: u64 = 1 << 5;
    /// U-mode accesses memory big-endian.
    pub const UBE: u64 = 1 << 6;
    /// The mode before the last trap: set for S.
    pub const SPP: u64 = 1 << 8;
    /// State of the vector unit.
    pub const VS: u64 = 3 << 9;
    /// State of the floating-point unit.
    pub const FS: u64 = 3 << 13;
    /// State of other units (read-only).
    pub const XS: u64 = 3 << 15;
    /// Supervisor accesses to user memory are permitted.
    pub const SUM: u64 = 1 << 18;
    /// Executable pages are readable.
    pub const MXR: u64 = 1 << 19;
    /// Supervisor previous expected-landing-pad state (Zicfilp).
    pub const SPELP: u64 = 1 << 23;
    /// Supervisor double trap (Ssdbltrp).
    pub const SDT: u64 = 1 << 24;
    /// XLEN of U-mode.
    pub const UXL: u64 = 3 << 32;
    /// [`UXL`] for 64 bits.
    pub const UXL_64: u64 = 2 << 32;
    /// FS, VS or XS is Dirty (read-only).
    pub const SD: u64 = 1 << 63;
}

/// Bits of `sie` and `sip`.
pub mod interrupt {
    /// Supervisor software interrupt.
    pub const SSI: u64 = 1 << 1;
    /// Supervisor timer interrupt.
    pub const STI: u64 = 1 << 5;
    /// Supervisor external interrupt.
    pub const SEI: u64 = 1 << 9;
}

/// Fields of `senvcfg` (volume II, "Supervisor Environment Configuration (senvcfg) Register").
pub mod senvcfg {
    /// Fence of I/O implies memory.
    pub const FIOM: u64 = 1 << 0;
    /// What `cbo.inval` does in U-mode: 0 illegal, 1 flush, 3 invalidate; 2 is reserved.
    pub const CBIE: u64 = 3 << 4;
    /// `cbo.clean` and `cbo.flush` are permitted in U-mode.
    pub const CBCFE: u64 = 1 << 6;
    /// `cbo.zero` is permitted in U-mode.
    pub const CBZE: u64 = 1 << 7;
}

/// Fields of `stvec` (volume II, "Supervisor Trap Vector Base Address (stvec) Register").
pub mod stvec {
    /// The MODE field.
    pub const MODE: u64 = 3;
    /// All traps go to BASE.
    pub const DIRECT: u64 = 0;
    /// Interrupts go to BASE + 4 × cause.
    pub const VECTORED: u64 = 1;
}

/// Fields of `scause`.
pub mod scause {
    /// The trap was an interrupt.
    pub const INTERRUPT: u64 = 1 << 63;
}
