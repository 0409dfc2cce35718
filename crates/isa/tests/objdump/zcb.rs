//! Zcb, which the disassembler does not know: words put together from their operands, as volume
//! I ("Zcb") draws them, must decode to those operands.

use std::collections::HashSet;

use isa::decode::{Instruction, MemoryAccess, decode};
use isa::reg::Reg;

/// Mnemonic, bits 15 to 10, bit 6 of the halfword forms, bytes, whether it stores, whether it
/// sign-extends.
const FORMS: [(&str, u32, u32, u8, bool, bool); 5] = [
    ("c.lbu", 0b10_0000, 0, 1, false, false),
    ("c.lhu", 0b10_0001, 0, 2, false, false),
    ("c.lh", 0b10_0001, 1, 2, false, true),
    ("c.sb", 0b10_0010, 0, 1, true, false),
    ("c.sh", 0b10_0011, 0, 2, true, false),
];

/// Words of Zcb with their mnemonics and what they are.
fn all() -> impl Iterator<Item = (u32, &'static str, Instruction)> {
    FORMS
        .into_iter()
        .flat_map(|(mnemonic, high, sign, width, stores, signed)| {
            let offsets = if width == 1 { 0..4u32 } else { 0..2 };
            offsets.flat_map(move |step| {
                (0..64u32).map(move |registers| {
                    let (register, base) = (registers & 7, registers >> 3);
                    // Bit 1 of a byte's offset is bit 5 of the word, and bit 0 is bit 6.
                    let offset = step * u32::from(width);
                    let fixed = high << 10 | sign << 6;
                    let word =
                        fixed | base << 7 | (offset >> 1) << 5 | (offset & 1) << 6 | register << 2;
                    let access = MemoryAccess {
                        register: Reg::new(8 + register),
                        float: false,
                        base: Reg::new(8 + base),
                        offset: offset.into(),
                        width,
                        signed,
                        length: 2,
                    };
                    let instruction = if stores {
                        Instruction::Store(access)
                    } else {
                        Instruction::Load(access)
                    };
                    (word, mnemonic, instruction)
                })
            })
        })
}

#[test]
fn words_of_zcb_decode_to_their_operands() {
    for (word, mnemonic, instruction) in all() {
        assert_eq!(decode(word), Some(instruction), "{mnemonic}, {word:#06x}");
    }
}

#[test]
fn other_words_with_the_major_function_of_zcb_are_reserved() {
    let known: HashSet<u32> = all().map(|(word, ..)| word).collect();
    assert_eq!(known.len(), 64 * (4 + 2 + 2 + 4 + 2));
    let unknown = (0x8000..0xa000).filter(|word| word & 3 == 0 && !known.contains(word));
    for word in unknown {
        assert_eq!(decode(word), None, "{word:#06x}");
    }
}
