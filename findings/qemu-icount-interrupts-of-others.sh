#!/usr/bin/env bash
# With `-icount`, an interrupt for another hart waits until the sender has executed millions of instructions.
#
# Guess: `-icount shift=0` makes time of instructions, so that a hart that spins on memory until another has
# answered its software interrupt spins a few hundred times, as in reality.
# Seen: harts take turns on one thread, and the store to the interrupt's register does not end a turn. The sender
# goes round its loop of two instructions millions of times (always as often) before the other, ready all the time, gets a turn.
# Instruction counts of work that several harts share are counts of such turns.
set -eu
. "$(dirname "$0")/common/bare-metal.sh"
pinned qemu-system-riscv '1:10.0.2+ds-2+deb13u1~bpo12+1'

program two_harts 0x80000000 <<'ASM'
.globl _start
_start:
  la s0, flag
  csrr t0, mhartid
  bnez t0, receiver
  li t1, 1
1:
  lw t0, 0(s0)                          # the other is ready
  bne t0, t1, 1b
  li t0, 0x2000004                      # its software interrupt
  sw t1, 0(t0)
  li s1, 0
2:
  addi s1, s1, 1
  lw t0, 0(s0)
  beq t0, t1, 2b
  li t0, 1000000
  sltu s1, t0, s1
  addi s1, s1, '0'
  li t0, 0x10000000                     # UART
  sb s1, 0(t0)
  li t0, 0x100000                       # power off
  li t1, 0x5555
  sw t1, 0(t0)
3:
  j 3b
receiver:
  li t0, 1
  sw t0, 0(s0)
4:
  csrr t0, mip
  andi t0, t0, 8                        # MSIP
  beqz t0, 4b
  li t0, 2
  sw t0, 0(s0)
5:
  j 5b
.balign 8
flag:
  .8byte 0
ASM
expect "more than a million rounds until the other answered (1: yes)" \
  "$(serial -smp 2 -icount shift=0,sleep=off -bios none -kernel "$work/two_harts")" 1
