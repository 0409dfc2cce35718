#!/usr/bin/env bash
# Rocket keeps for ever that a page was absent: after its PTE has become valid it faults on, until a fence.
#
# Guess: the specification allows it (an invalid PTE may be cached; Svvptc promises the opposite), but a core that walks its
# tables in hardware has nothing to remember of a walk that failed: the next access walks again, or the one after that.
# Seen, with Rocket as LiteX's configuration "full": a load that has faulted once faults each time after the PTE was stored,
# two hundred times with a fence of memory between them, and goes through after `sfence.vma`.
set -eu
. "$(dirname "$0")/common/rtl.sh"

seen=$(prints "$(rocket)" 0x10000000 <<'ASM'
main:
  li a1, 0x1000
  ld t2, 0(a1)                          # absent
  mv a0, s0
  show
  leaf 1, one, V | R | W | AD
  li s0, 0
  li s3, 200
1:
  fence rw, rw
  ld t2, 0(a1)
  addi s3, s3, -1
  bnez s3, 1b
  sfence.vma
  ld t2, 0(a1)                          # present
  mv a0, s0
  show
  end
ASM
)
expect "faults before the PTE is valid, and of 200 loads and one after the fence" "$seen" "1 c8"
