#!/usr/bin/env bash
# CVA6 translated by Verilator writes every instruction that it commits into a file in the current folder.
#
# Guess: the tracer is for debugging, within `pragma translate_off`, and a define or an argument turns it on; with `SYNTHESIS`
# defined it is gone.
# Seen: Verilator does not know that pragma, and the code is there whenever `VERILATOR` is defined, which it always is:
# a hundred bytes or so for each instruction, gigabytes in an hour.
set -eu
. "$(dirname "$0")/common/rtl.sh"

seen=$(prints "$(cva6)" 0x10000 <<'ASM'
main:
  li t0, 1000
1:
  addi t0, t0, -1
  bnez t0, 1b
  li a0, 0
  show
  end
ASM
)
lines=$(wc -l <"$work/trace_hart_00.dasm")
echo "instructions in trace_hart_00.dasm: $lines"
expect "the program's end, and whether its 2000 instructions are there" "$seen $((lines >= 2000))" "0 1"
