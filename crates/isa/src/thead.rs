//! T-Head's cache maintenance (XTheadCmo), as far as U-mode may not execute it: kernels use it
//! on their processors without Zicbom (T-Head extension specification, "XTheadCmo").

use crate::reg::Reg;

/// What one of these instructions is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CacheOp {
    /// The line of the data caches that holds the physical address in this register.
    Line(Reg),
    /// The data caches as a whole, or a line of them by set and way.
    All,
    /// The instruction cache of this hart, or a line of it.
    Instructions,
    /// Those of all harts.
    InstructionsOfAll,
}

/// The operation that `word` is, if it is one.
#[must_use]
pub const fn cache_op(word: u32) -> Option<CacheOp> {
    const CUSTOM_0: u32 = 0b000_1011;
    // rd, funct3 and opcode.
    if word & 0x7fff != CUSTOM_0 {
        return None;
    }
    let register = Reg::new(word >> 15 & 31);
    Some(match (word >> 25, word >> 20 & 31, word >> 15 & 31) {
        // th.dcache.cpa, .ipa, .cipa, .cpal1
        (1, 0b01000..=0b01011, _) => CacheOp::Line(register),
        // th.dcache.call, .iall, .ciall, th.l2cache.call, .iall, .ciall
        (0, 0b00001..=0b00011 | 0b10101..=0b10111, 0) => CacheOp::All,
        // th.dcache.csw, .isw, .cisw
        (1, 0b00001..=0b00011, _) => CacheOp::All,
        // th.icache.iall, .ipa
        (0, 0b10000, 0) | (1, 0b11000, _) => CacheOp::Instructions,
        // th.icache.ialls
        (0, 0b10001, 0) => CacheOp::InstructionsOfAll,
        _ => return None,
    })
}
