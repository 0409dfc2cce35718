#!/usr/bin/env bash
# QEMU's `-kernel` for RISC-V does not start an ELF executable at its entry point.
#
# Guess: the guest starts at `e_entry` of the ELF header, as it does with `-kernel` on other architectures.
# Seen: it starts at the lowest address that was loaded. A program whose entry is not its first byte runs
# whatever stands there; with the ELF header in its first segment, it runs the header.
set -eu
. "$(dirname "$0")/common/bare-metal.sh"
pinned qemu-system-riscv '1:10.0.2+ds-2+deb13u1~bpo12+1'

program kernel 0x80200000 <<'ASM'
.text
  li a0, 'L'                            # the lowest address
  j print
.balign 256
.globl _start
_start:                                 # the entry point
  li a0, 'E'
print:
  li a7, 1                              # SBI: legacy console_putchar, then legacy shutdown
  ecall
  li a7, 8
  ecall
ASM
riscv64-linux-gnu-readelf -h "$work/kernel" | grep Entry
seen=$(serial -kernel "$work/kernel" | tail -c 1)
expect "started at (E: entry point, L: lowest address)" "$seen" L
