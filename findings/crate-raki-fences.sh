#!/usr/bin/env bash
# The decoder crate `raki` prints each memory fence as an instruction fence, and swaps the operands of stores.
#
# Guess: `fence rw,rw` and `pause` are printed as fences of memory, `sd a0,-16(sp)` stores a0.
# Seen: both fences are printed as `fence.i`; the store as `sd sp, -16(a0)`. The `fence.i` itself is an unknown extension.
set -eu
. "$(dirname "$0")/common/crates.sh"
seen=$(prints raki 1.3.2 <<'RUST'
use raki::{Decode, Isa};
fn main() {
    let words: [(&str, u32); 4] = [
        ("fence rw,rw", 0x0330_000f),
        ("pause", 0x0100_000f),
        ("fence.i", 0x0000_100f),
        ("sd a0,-16(sp)", 0xfea1_3823),
    ];
    for (name, word) in words {
        match word.decode(Isa::Rv64) {
            Ok(instruction) => println!("{name}: {instruction}"),
            Err(error) => println!("{name}: {error:?}"),
        }
    }
}
RUST
)
same "$seen" "fence rw,rw: fence.i
pause: fence.i
fence.i: UnknownExtension
sd a0,-16(sp): sd sp, -16(a0)"
