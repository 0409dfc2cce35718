#!/usr/bin/env bash
# CVA6 takes a leaf PTE whose bits 54 to 63 are not zero.
#
# Guess: where neither Svpbmt nor Svnapot nor a later extension is there, these bits are reserved, and a PTE that has one set
# raises a page fault (privileged specification, "Sv39: Page-Based 39-bit Virtual-Memory System").
# Seen: a load through such a PTE works with each of the ten bits, as if they were not there. Rocket faults with each.
set -eu
. "$(dirname "$0")/common/rtl.sh"

# faults SIMULATOR ROM: which of the bits lead to a fault.
faults() {
  prints "$@" <<'ASM'
main:
  li s3, 54
  li s4, 0
1:
  leaf 1, one, V | R | W | AD
  la t1, level0
  ld t0, 8(t1)
  li t2, 1
  sll t2, t2, s3
  or t0, t0, t2
  sd t0, 8(t1)
  sfence.vma
  li s0, 0
  li a1, 0x1000
  ld t2, 0(a1)
  beqz s0, 2f
  li t2, 1
  sll t2, t2, s3
  or s4, s4, t2
2:
  addi s3, s3, 1
  li t0, 64
  bne s3, t0, 1b
  srli a0, s4, 54
  show
  end
ASM
}
expect "bits that fault on CVA6, from 54" "$(faults "$(cva6)" 0x10000)" 0
expect "bits that fault on Rocket" "$(faults "$(rocket)" 0x10000000)" 3ff
