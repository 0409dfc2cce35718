#!/usr/bin/env bash
# A shutdown for the reason "system failure" ends QEMU with the status of a success.
#
# Guess: SBI's `sbi_system_reset` (SRST) hands a reason over so that somebody learns of it: with
# OpenSBI on QEMU's `virt`, whose test finisher has a word for failures, QEMU ends with another status than 0.
# Seen: OpenSBI writes the word for failures without a code, QEMU takes the code for its exit status, and
# that is 0. Written by the program itself, the same word with a code gives the code.
set -eu
. "$(dirname "$0")/common/bare-metal.sh"
pinned qemu-system-riscv '1:10.0.2+ds-2+deb13u1~bpo12+1'

status() {
  local status=0
  serial -kernel "$work/$1" >"$work/out" || status=$?
  grep '^OpenSBI' "$work/out" >&2
  echo "$status"
}

program failure 0x80200000 <<'ASM'
.globl _start
_start:
  li a7, 0x53525354                     # SRST
  li a6, 0                              # sbi_system_reset
  li a0, 0                              # shutdown
  li a1, 1                              # system failure
  ecall
ASM
program finisher 0x80200000 <<'ASM'
.globl _start
_start:
  li t0, 0x100000                       # the test finisher of `virt`
  li t1, 0x13333                        # failure, code 1
  sw t1, 0(t0)
1:
  j 1b
ASM
expect "status after SRST with the reason \"system failure\"" "$(status failure)" 0
expect "status after the finisher's word for failures with code 1" "$(status finisher)" 1
