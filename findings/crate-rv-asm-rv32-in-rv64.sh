#!/usr/bin/env bash
# The decoder crate `rv-asm` reads compressed RV64 code by RV32's table, though it was told Rv64.
#
# Guess: `Inst::decode(word, Xlen::Rv64)` gives what binutils' objdump gives: `c.addiw a0,-1` (0x357d)
# and `c.andi a0,-3` (0x9975) are in nearly every function of an RV64 kernel.
# Seen: the first is taken for a call (`c.jal`, which is at that place in RV32 alone), the second loses the sign
# of its immediate. Both without an error.
set -eu
. "$(dirname "$0")/common/crates.sh"
seen=$(prints rv-asm 0.2.1 <<'RUST'
use rv_asm::{Inst, Xlen};
fn main() {
    for (name, word) in [("c.addiw a0,-1", 0x357d), ("c.andi a0,-3", 0x9975)] {
        let (instruction, _) = Inst::decode(word, Xlen::Rv64).expect("an error would be no finding");
        println!("{name}: {instruction}");
    }
}
RUST
)
same "$seen" "c.addiw a0,-1: jal ra, -338
c.andi a0,-3: andi a0, a0, 61"
