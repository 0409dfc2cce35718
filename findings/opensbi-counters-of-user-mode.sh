#!/usr/bin/env bash
# What U-mode may count depends on the version of OpenSBI that a kernel was started by.
#
# Guess: `scounteren`, which is the kernel's own register, is as the reset leaves it or 0 when the kernel starts, and
# the same under each version of one firmware.
# Seen: OpenSBI 1.5.1 and 1.6 leave 7 (cycle, time, instret), 1.9 leaves 2 (time). A kernel that never writes the
# register has user programs that read `cycle` under the one, and programs that get an illegal instruction under the other.
set -eu
. "$(dirname "$0")/common/bare-metal.sh"
. "$(dirname "$0")/common/debian.sh"
pinned qemu-system-riscv '1:10.0.2+ds-2+deb13u1~bpo12+1'

program kernel 0x80200000 <<'ASM'
.globl _start
_start:
  csrr t0, scounteren
  addi a0, t0, '0'
  li a7, 1                              # SBI: legacy console_putchar, then legacy shutdown
  ecall
  li a7, 8
  ecall
ASM
left() {
  local firmware
  firmware=$(opensbi "$1" "$2")
  serial -bios "$firmware" -kernel "$work/kernel" | tail -c 1
}
expect "scounteren after 1.5.1" "$(left 1.5.1-1~bpo12+2 bookworm-backports)" 7
expect "scounteren after 1.6" "$(left 1.6-1 trixie)" 7
expect "scounteren after 1.9" "$(left 1.9-1 sid)" 2
