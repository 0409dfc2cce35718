#!/usr/bin/env bash
# The decoder crate `riscv-decode` gives immediates of loads, stores and branches without their sign.
#
# Guess: `imm()` of `ld a0,-8(a1)` is -8, as a signed number or sign-extended to the type's width.
# Seen: it is 4088, a u32 of the bits as they stand; of `beq a0,a1,-32` 8160. Added to an address as it is, an
# access that should be 8 bytes below goes 4088 above.
set -eu
. "$(dirname "$0")/common/crates.sh"
seen=$(prints riscv-decode 0.2.3 <<'RUST'
use riscv_decode::{decode, Instruction};
fn main() {
    for (name, word) in [("ld a0,-8(a1)", 0xff85_b503), ("sd a0,-16(sp)", 0xfea1_3823), ("beq a0,a1,-32", 0xfeb5_00e3)] {
        let immediate = match decode(word).unwrap() {
            Instruction::Ld(i) => i.imm(),
            Instruction::Sd(i) => i.imm(),
            Instruction::Beq(i) => i.imm(),
            other => panic!("{other:?}"),
        };
        println!("{name}: {immediate}");
    }
}
RUST
)
same "$seen" "ld a0,-8(a1): 4088
sd a0,-16(sp): 4080
beq a0,a1,-32: 8160"
