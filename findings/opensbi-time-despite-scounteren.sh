#!/usr/bin/env bash
# Whether a kernel can withhold `time` from its user programs depends on the version of OpenSBI that started it.
#
# Guess: with bit TM of `scounteren` clear, `rdtime` in U-mode is an illegal instruction that reaches the kernel
# (Privileged specification, "Counter-Enable (scounteren) Register"), whatever the firmware is.
# Seen: under OpenSBI 1.5.1 the trap ends in the firmware, which reads the time for the program and returns to
# it: the kernel learns nothing. Under 1.6 and 1.9 the kernel gets the exception. Who has to show a program another time (a
# virtual machine monitor without the H extension, record and replay) can do so by this bit under the newer ones alone.
set -eu
. "$(dirname "$0")/common/bare-metal.sh"
. "$(dirname "$0")/common/debian.sh"
pinned qemu-system-riscv '1:10.0.2+ds-2+deb13u1~bpo12+1'

# Prints I when the first trap of the user program is an illegal instruction, T when it is the call after `rdtime`
# and the register has a time in it.
program kernel 0x80200000 <<'ASM'
.globl _start
_start:
  lla t0, trap
  csrw stvec, t0
  csrw scounteren, zero
  lla t0, user
  csrw sepc, t0
  li t0, 0x100
  csrc sstatus, t0
  sret
user:
  li a2, 0
  rdtime a2
  ecall
.balign 4
trap:
  csrr a4, scause
  li a0, 'I'
  li t0, 8
  bne a4, t0, 1f
  li a0, '?'
  beqz a2, 1f
  li a0, 'T'
1:
  li a7, 1                              # SBI: legacy console_putchar, then legacy shutdown
  ecall
  li a7, 8
  ecall
ASM
first() {
  local firmware
  firmware=$(opensbi "$1" "$2")
  serial -cpu rv64,h=false -bios "$firmware" -kernel "$work/kernel" | tail -c 1
}
expect "with OpenSBI 1.5.1" "$(first 1.5.1-1~bpo12+2 bookworm-backports)" T
expect "with OpenSBI 1.6" "$(first 1.6-1 trixie)" I
expect "with OpenSBI 1.9" "$(first 1.9-1 sid)" I
