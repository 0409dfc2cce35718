//! Compressed instructions: the loads and stores of C and Zcb, and `c.ebreak` (volume I, "C
//! Extension for Compressed Instructions" and "Zc*").

use super::{Instruction, MemoryAccess};
use crate::reg::Reg;

/// Bits of a shuffled immediate: (lowest bit in the instruction, how many, where they go).
type Shuffle = &'static [(u32, u32, u32)];

/// `uimm[5:3]` and `uimm[7:6]` of the doubleword forms.
const DOUBLE: Shuffle = &[(10, 3, 3), (5, 2, 6)];
/// `uimm[5:3]`, `uimm[2]` and `uimm[6]` of the word forms.
const WORD: Shuffle = &[(10, 3, 3), (6, 1, 2), (5, 1, 6)];
/// `uimm[0]` and `uimm[1]` of the byte forms: in this order.
const BYTE: Shuffle = &[(6, 1, 0), (5, 1, 1)];
/// `uimm[1]` of the halfword forms.
const HALF: Shuffle = &[(5, 1, 1)];
/// The stack-relative loads' immediates.
const LOAD_DOUBLE_SP: Shuffle = &[(12, 1, 5), (5, 2, 3), (2, 3, 6)];
const LOAD_WORD_SP: Shuffle = &[(12, 1, 5), (4, 3, 2), (2, 2, 6)];
/// The stack-relative stores' immediates.
const STORE_DOUBLE_SP: Shuffle = &[(10, 3, 3), (7, 3, 6)];
const STORE_WORD_SP: Shuffle = &[(9, 4, 2), (7, 2, 6)];

const C_EBREAK: u16 = crate::encode::C_EBREAK;

pub(super) fn decode(parcel: u16) -> Option<Instruction> {
    if parcel == C_EBREAK {
        return Some(Instruction::Ebreak);
    }
    let word = u32::from(parcel);
    let funct3 = word >> 13;
    match word & 3 {
        0 => register_relative(word, funct3),
        2 => stack_relative(word, funct3),
        _ => None,
    }
}

fn register_relative(word: u32, funct3: u32) -> Option<Instruction> {
    let access = |float, width, signed, offset: Shuffle| MemoryAccess {
        register: Reg::compressed(word >> 2),
        float,
        base: Reg::compressed(word >> 7),
        offset: unshuffle(word, offset),
        width,
        signed,
        length: 2,
    };
    Some(match funct3 {
        1 => Instruction::Load(access(true, 8, false, DOUBLE)),
        2 => Instruction::Load(access(false, 4, true, WORD)),
        3 => Instruction::Load(access(false, 8, true, DOUBLE)),
        // Zcb. Bit 6 is the sign for a halfword load and reserved in a halfword store.
        4 => match (word >> 10 & 7, word >> 6 & 1) {
            (0, _) => Instruction::Load(access(false, 1, false, BYTE)),
            (1, sign) => Instruction::Load(access(false, 2, sign != 0, HALF)),
            (2, _) => Instruction::Store(access(false, 1, false, BYTE)),
            (3, 0) => Instruction::Store(access(false, 2, false, HALF)),
            _ => return None,
        },
        5 => Instruction::Store(access(true, 8, false, DOUBLE)),
        6 => Instruction::Store(access(false, 4, false, WORD)),
        7 => Instruction::Store(access(false, 8, false, DOUBLE)),
        _ => return None,
    })
}

fn stack_relative(word: u32, funct3: u32) -> Option<Instruction> {
    let access = |register, float, width, signed, offset: Shuffle| MemoryAccess {
        register: Reg::new(register),
        float,
        base: Reg::SP,
        offset: unshuffle(word, offset),
        width,
        signed,
        length: 2,
    };
    let (rd, rs2) = (word >> 7, word >> 2);
    // An integer load to x0 is reserved.
    let discards = Reg::new(rd) == Reg::X0;
    Some(match funct3 {
        1 => Instruction::Load(access(rd, true, 8, false, LOAD_DOUBLE_SP)),
        2 if !discards => Instruction::Load(access(rd, false, 4, true, LOAD_WORD_SP)),
        3 if !discards => Instruction::Load(access(rd, false, 8, true, LOAD_DOUBLE_SP)),
        5 => Instruction::Store(access(rs2, true, 8, false, STORE_DOUBLE_SP)),
        6 => Instruction::Store(access(rs2, false, 4, false, STORE_WORD_SP)),
        7 => Instruction::Store(access(rs2, false, 8, false, STORE_DOUBLE_SP)),
        _ => return None,
    })
}

fn unshuffle(word: u32, shuffle: Shuffle) -> i64 {
    let field = |&(from, count, to): &(u32, u32, u32)| (word >> from & ((1 << count) - 1)) << to;
    i64::from(shuffle.iter().map(field).fold(0, |all, bits| all | bits))
}
