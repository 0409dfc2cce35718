//! Integer register numbers.

use core::fmt;

/// One of the 32 integer registers. Also used as an index of an `f` register where a
/// [`MemoryAccess`](crate::decode::MemoryAccess) says so.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Reg(u8);

/// Names of the standard calling convention (psABI, "Integer Register Convention").
const ABI_NAMES: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
];

impl Reg {
    /// The zero register.
    pub const X0: Reg = Reg(0);
    /// `x1`, the return address.
    pub const RA: Reg = Reg(1);
    /// `x2`, the stack pointer.
    pub const SP: Reg = Reg(2);
    /// `x3`, the global pointer.
    pub const GP: Reg = Reg(3);
    /// `x4`, the thread pointer.
    pub const TP: Reg = Reg(4);
    /// `x5`.
    pub const T0: Reg = Reg(5);
    /// `x6`.
    pub const T1: Reg = Reg(6);
    /// `x7`.
    pub const T2: Reg = Reg(7);
    /// `x8`.
    pub const S0: Reg = Reg(8);
    /// `x9`.
    pub const S1: Reg = Reg(9);
    /// `x10`.
    pub const A0: Reg = Reg(10);
    /// `x11`.
    pub const A1: Reg = Reg(11);
    /// `x12`.
    pub const A2: Reg = Reg(12);
    /// `x13`.
    pub const A3: Reg = Reg(13);
    /// `x14`.
    pub const A4: Reg = Reg(14);
    /// `x15`.
    pub const A5: Reg = Reg(15);
    /// `x16`.
    pub const A6: Reg = Reg(16);
    /// `x17`.
    pub const A7: Reg = Reg(17);
    /// `x18`.
    pub const S2: Reg = Reg(18);
    /// `x19`.
    pub const S3: Reg = Reg(19);
    /// `x20`.
    pub const S4: Reg = Reg(20);
    /// `x21`.
    pub const S5: Reg = Reg(21);
    /// `x22`.
    pub const S6: Reg = Reg(22);
    /// `x23`.
    pub const S7: Reg = Reg(23);
    /// `x24`.
    pub const S8: Reg = Reg(24);
    /// `x25`.
    pub const S9: Reg = Reg(25);
    /// `x26`.
    pub const S10: Reg = Reg(26);
    /// `x27`.
    pub const S11: Reg = Reg(27);
    /// `x28`.
    pub const T3: Reg = Reg(28);
    /// `x29`.
    pub const T4: Reg = Reg(29);
    /// `x30`.
    pub const T5: Reg = Reg(30);
    /// `x31`.
    pub const T6: Reg = Reg(31);

    /// The register that the low five bits of `n` name.
    #[must_use]
    pub const fn new(n: u32) -> Reg {
        Reg((n & 31) as u8)
    }

    /// The register that a three-bit field of a compressed instruction names: `x8` to `x15`.
    #[must_use]
    pub const fn compressed(n: u32) -> Reg {
        Reg(8 | (n & 7) as u8)
    }

    /// Its number, 0 to 31.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All registers in order, `x0` first.
    pub fn all() -> impl Iterator<Item = Reg> {
        (0..32).map(Reg)
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(ABI_NAMES[self.index()])
    }
}

impl fmt::Debug for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
