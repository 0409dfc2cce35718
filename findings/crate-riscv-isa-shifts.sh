#!/usr/bin/env bash
# The decoder crate `riscv-isa` takes compressed shifts by 32 and more for no instruction in RV64 too.
#
# Guess: for the target RV64IMAFDC, `c.srai a0,31` and `c.srai a0,40` are both shifts; the specification
# (unprivileged, "C" extension) reserves shamt[5] = 1 in RV32 alone.
# Seen: the first is, the second is UNIMP. Where extensions are named, `mret` is known and `sret` is UNIMP.
set -eu
. "$(dirname "$0")/common/crates.sh"
seen=$(prints riscv-isa 0.3.1 <<'RUST'
use std::str::FromStr;
fn main() {
    let target = riscv_isa::Target::from_str("RV64IMAFDC_Zicsr_Zifencei").unwrap();
    let words: [(&str, u32); 4] = [
        ("c.srai a0,31", 0x857d),
        ("c.srai a0,40", 0x9521),
        ("mret", 0x3020_0073),
        ("sret", 0x1020_0073),
    ];
    for (name, word) in words {
        let (instruction, _) = riscv_isa::decode_le_bytes(&word.to_le_bytes(), &target).unwrap();
        println!("{name}: {instruction:?}");
    }
}
RUST
)
same "$seen" "c.srai a0,31: SRAI { rd: 10, rs1: 10, shamt: 31 }
c.srai a0,40: UNIMP
mret: MRET
sret: UNIMP"
