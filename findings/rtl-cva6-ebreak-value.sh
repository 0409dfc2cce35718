#!/usr/bin/env bash
# CVA6 puts the instruction's word into mtval when an `ebreak` traps.
#
# Guess: mtval is 0 or the instruction's address then (privileged specification, "Machine Trap Value Register": where a
# breakpoint writes something other than 0 there, it is the faulting virtual address).
# Seen: CVA6 writes 0x100073, which is the word of `ebreak`, and 0x9002 for `c.ebreak`. Rocket writes 0.
set -eu
. "$(dirname "$0")/common/rtl.sh"

# value SIMULATOR ROM: mtval of an `ebreak`, and of a `c.ebreak`.
value() {
  prints "$@" <<'ASM'
main:
  ebreak
  mv a0, s2
  show
  .option push
  .option rvc
  c.ebreak
  c.nop                                 # stepped over too
  .option pop
  mv a0, s2
  show
  end
ASM
}
expect "mtval of ebreak and c.ebreak on CVA6" "$(value "$(cva6)" 0x10000)" "100073 9002"
expect "on Rocket" "$(value "$(rocket)" 0x10000000)" "0 0"
