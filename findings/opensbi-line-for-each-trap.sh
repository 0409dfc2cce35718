#!/usr/bin/env bash
# OpenSBI prints a line for each `sret` that a program tries in U-mode.
#
# Guess: an illegal instruction of U-mode is the kernel's affair; firmware passes it on in silence, as
# OpenSBI 1.5.1 does.
# Seen: 1.6 writes a line to the console first, each time: an unprivileged program fills the console of a machine, at
# the speed of its UART and with the hart held in M-mode meanwhile. The line has no end, so that the kernel's next
# output stands in it.
set -eu
. "$(dirname "$0")/common/bare-metal.sh"
. "$(dirname "$0")/common/debian.sh"
pinned qemu-system-riscv '1:10.0.2+ds-2+deb13u1~bpo12+1'

program kernel 0x80200000 <<'ASM'
.globl _start
_start:
  li s0, 3                              # so many times
  li a0, '\n'
  call put
enter:
  la t0, trap
  csrw stvec, t0
  li t0, 0x100                          # SPP = U
  csrc sstatus, t0
  la t0, user
  csrw sepc, t0
  sret
.balign 4
trap:
  li a0, '.'
  call put
  addi s0, s0, -1
  bnez s0, enter
  li a7, 8                              # SBI: legacy shutdown
  ecall
put:
  li a7, 1                              # SBI: legacy console_putchar
  ecall
  ret
user:
  sret
ASM
printed() {
  local firmware
  firmware=$(opensbi "$1" "$2")
  serial -bios "$firmware" -kernel "$work/kernel" | tail -n 1
}
line='system_opcode_insn: Invalid opcode for CSR read/write instruction'
expect "1.5.1, three times" "$(printed 1.5.1-1~bpo12+2 bookworm-backports)" '...'
expect "1.6, three times" "$(printed 1.6-1 trixie)" "$line.$line.$line."
