#!/usr/bin/env bash
# CVA6 chooses what `sfence.vma` does by the values of its registers, not by whether they are x0.
#
# Guess: `sfence.vma x0, rs2` with rs2 other than x0 is of the ASID that rs2 holds and spares global entries, and
# `sfence.vma rs1, x0` is of the address that rs1 holds (privileged specification, "Supervisor Memory-Management Fence
# Instruction"): both also where the register holds 0, which is an ASID and an address like others.
# Seen: an ASID register that holds 0 takes global entries and all else, and one that holds 1 spares them; an address register
# that holds 0 takes the entry of every address.
set -eu
. "$(dirname "$0")/common/rtl.sh"

core=$(cva6)
# fence FLAGS OPERANDS: the page that a load finds at 0x1000 after its PTE has been changed from the first page to the second
# and this fence, with 0 in t3, 1 in t4 and 0x2000 in t5, was executed.
fence() {
  prints "$core" 0x10000 <<ASM
main:
  li a1, 0x1000
  leaf 1, one, V | R | W | AD $1
  ld t2, 0(a1)
  leaf 1, two, V | R | W | AD $1
  li t3, 0
  li t4, 1
  li t5, 0x2000
  sfence.vma $2
  ld a0, 0(a1)
  show
  end
ASM
}
expect "global entry, ASID register holds 1" "$(fence '| G' 'x0, t4')" 1
expect "global entry, ASID register holds 0" "$(fence '| G' 'x0, t3')" 2
expect "entry of 0x1000, address register holds 0x2000" "$(fence '' 't5, x0')" 1
expect "entry of 0x1000, address register holds 0" "$(fence '' 't3, x0')" 2
