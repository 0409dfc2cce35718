//! CSRs by name, and the bits that programs use.

use core::fmt;

pub const SIE: u64 = 1 << 1;
pub const SPIE: u64 = 1 << 5;
pub const SPP: u64 = 1 << 8;
pub const FS: u64 = 3 << 13;
pub const VS: u64 = 3 << 9;
pub const SUM: u64 = 1 << 18;
pub const MXR: u64 = 1 << 19;
pub const SD: u64 = 1 << 63;

/// Bits of sie and sip.
pub const SOFTWARE: u64 = 1 << 1;
pub const TIMER: u64 = 1 << 5;
pub const EXTERNAL: u64 = 1 << 9;

/// Reads the CSR named by a literal.
#[macro_export]
macro_rules! csr_read {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: a program is alone on its machine and reads the CSRs that it means to.
        unsafe { core::arch::asm!(concat!("csrr {}, ", $name), out(reg) value) };
        value
    }};
}

/// Writes the CSR named by a literal.
#[macro_export]
macro_rules! csr_write {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: a program is alone on its machine and writes the CSRs that it means to.
        unsafe { core::arch::asm!(concat!("csrw ", $name, ", {}"), in(reg) value) };
    }};
}

pub use crate::{csr_read as read, csr_write as write};

/// sstatus with what implementations may differ in evened out: FS and VS may be reported Dirty
/// whenever they are not Off (privileged specification, "Extension Context Status"), so Initial,
/// Clean and Dirty become Dirty, and SD follows.
pub const fn normal(sstatus: u64) -> u64 {
    let mut value = sstatus & !SD;
    if value & FS != 0 {
        value |= FS | SD;
    }
    if value & VS != 0 {
        value |= VS | SD;
    }
    value
}

/// Prints sstatus by the names of its bits, evened out by [`normal`].
pub struct Status(pub u64);

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        const UXL: u64 = 3 << 32;
        const NAMED: [(u64, &str); 9] = [
            (SPP, "S"),
            (SIE, "+SIE"),
            (SPIE, "+SPIE"),
            (SUM, "+SUM"),
            (MXR, "+MXR"),
            (FS, "+FS"),
            (VS, "+VS"),
            (3 << 15, "+XS"),
            (1 << 6, "+UBE"),
        ];
        let mut rest = normal(self.0) & !SD;
        out.write_str(if rest & SPP == 0 { "U" } else { "" })?;
        for (bits, name) in NAMED {
            if rest & bits != 0 {
                out.write_str(name)?;
            }
            rest &= !bits;
        }
        if rest & UXL != 2 << 32 {
            core::write!(out, "+UXL={}", (rest & UXL) >> 32)?;
        }
        if rest & !UXL != 0 {
            core::write!(out, "+{:#x}", rest & !UXL)?;
        }
        Ok(())
    }
}

/// The ABI name of register `index`.
pub fn register(index: usize) -> &'static str {
    const NAMES: [&str; 32] = [
        "x0", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
        "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
        "t5", "t6",
    ];
    NAMES[index & 31]
}
