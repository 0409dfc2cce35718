#!/usr/bin/env bash
# QEMU reports a `wfi` that lies across the end of a page, and is illegal in U-mode, one page too far.
#
# Guess: `mepc` of an illegal instruction is the address of that instruction, wherever it lies.
# Seen: with `mstatus.TW` set, a `wfi` whose last halfword is in the next page traps with `mepc` 4096 bytes
# behind it. An `mret` at the same place is reported where it is.
set -eu
. "$(dirname "$0")/common/bare-metal.sh"
pinned qemu-system-riscv '1:10.0.2+ds-2+deb13u1~bpo12+1'

# mepc WORD: how far behind the instruction `mepc` points, in hexadecimal, and the cause.
mepc() {
  program probe 0x80000000 <<ASM
.globl _start
_start:
  la t0, trap
  csrw mtvec, t0
  li t0, -1                             # U-mode may access everything
  csrw pmpaddr0, t0
  li t0, 0x1f
  csrw pmpcfg0, t0
  li t0, 0x1800                         # MPP = U
  csrc mstatus, t0
  li t0, 0x200000                       # TW
  csrs mstatus, t0
  la t0, user
  csrw mepc, t0
  mret
.balign 4
trap:
  csrr s0, mepc
  csrr s1, mcause
  la s2, user
  sub s0, s0, s2
  li s3, 0x10000000                     # UART
  li s4, 12
1:
  srl t0, s0, s4                        # four hexadecimal digits, all of which are 0 or 1 here
  andi t0, t0, 15
  addi t0, t0, '0'
  sb t0, 0(s3)
  addi s4, s4, -4
  bgez s4, 1b
  li t0, ' '
  sb t0, 0(s3)
  addi s1, s1, '0'
  sb s1, 0(s3)
  li t0, 0x100000                       # power off
  li t1, 0x5555
  sw t1, 0(t0)
2:
  j 2b
.balign 4096
.space 4096 - 2
user:
  .4byte $1
ASM
  serial -bios none -kernel "$work/probe"
}
expect "wfi: bytes from the instruction to mepc, and mcause" "$(mepc 0x10500073)" "1000 2"
expect "mret: the same" "$(mepc 0x30200073)" "0000 2"
