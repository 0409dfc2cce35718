# The trap gate: the way from a guest to a routine, from VU to VS, and to the slow path.
#
# Nothing in the gate or in a routine may fault: a trap there would enter the gate again, which would
# take the guest's t0 for the block. So they touch the block, tables of the shadow and the guest's RAM
# alone, at addresses that they checked.
#
# While a guest runs, sscratch holds the address of the per-hart block's site cache. Both gates swap
# it into t0 and spill what they use into the block; neither saves a trap frame unless the slow path
# is needed.

.section .text.gate, "ax"

# ---------------------------------------------------------------------------------------------
# From VS. A patch is expected: the site cache leads from its address to its routine. What the trap
# was is not asked on this way. At an address in the cache stands a patch that can be executed, so
# that it was the break, or a stale instruction fetch of what the patch replaces, or an interrupt. Then
# the instruction is carried out first; the interrupt is still pending after it, and the next
# instruction that is no patch lets it in. A loop of patches alone ends in the `sret` routine, or in
# Rust, which both look.
.balign 64
.globl gate_vs
gate_vs:
  csrrw t0, sscratch, t0
  sd t1, {T1}(t0)
  sd t2, {T2}(t0)
  sd t3, {T3}(t0)
  csrr t1, sepc
  andi t2, t1, 0x7fc                    # 512 entries of 16 bytes, one for each 4 bytes of text
  slli t2, t2, 2
  add t2, t2, t0
  ld t3, 0(t2)
  bne t3, t1, cache_miss
  ld t2, 8(t2)
  addi t1, t1, 4
  csrw sepc, t1
  jr t2

# The site is not cached. Its payload is not readable where it is executed, and making it so (MXR)
# flushes the TLB on some machines: it is read through the shadow page table and the direct map.
# t1 = sepc.
.balign 16
cache_miss:
  csrr t2, scause
  addi t2, t2, -3                       # breakpoint?
  bnez t2, slow_trap
  sd t4, {T4}(t0)
  sd t5, {T5}(t0)
  ld t2, {root}(t0)
  ld t4, {root_shift}(t0)
  ld t5, {direct_map}(t0)
1:
  srl t3, t1, t4
  andi t3, t3, 0x1ff
  slli t3, t3, 3
  add t3, t3, t2
  ld t3, 0(t3)
  andi t2, t3, 1                        # V
  beqz t2, miss_fails
  andi t2, t3, 0xe                      # R W X: a leaf
  bnez t2, 2f
  slli t3, t3, 10
  srli t3, t3, 20
  slli t3, t3, 12
  add t2, t3, t5
  addi t4, t4, -9
  j 1b
2:
  addi t4, t4, -12                      # patches are in pages of 4 KiB alone
  bnez t4, miss_fails
  slli t3, t3, 10
  srli t3, t3, 20
  slli t3, t3, 12
  slli t4, t1, 52
  srli t4, t4, 52
  li t2, 0xffe                          # a payload in the next page: no patch, and perhaps no RAM
  beq t4, t2, miss_fails
  add t3, t3, t4                        # host-physical address of the site
  add t4, t3, t5
  lhu t4, 2(t4)                         # payload
  slli t4, t4, 4
  ld t2, {emulation_map}(t0)
  add t4, t4, t2
  ld t2, 0(t4)
  bne t2, t3, miss_fails                # a guest's own break, or a patch not yet whole
  fence r, r                            # the map's writer stores the routine first
  ld t2, 8(t4)
  ld t4, {routine_changes}(t0)          # another hart may have made the routine
  ld t4, 0(t4)
  ld t5, {routine_changes_seen}(t0)
  beq t4, t5, 3f
  fence.i
  sd t4, {routine_changes_seen}(t0)
3:
  andi t3, t1, 0x7fc
  slli t3, t3, 2
  add t3, t3, t0
  sd t1, 0(t3)
  sd t2, 8(t3)
  ld t3, {cache_misses}(t0)
  addi t3, t3, 1
  sd t3, {cache_misses}(t0)
  ld t4, {T4}(t0)
  ld t5, {T5}(t0)
  addi t1, t1, 4
  csrw sepc, t1
  jr t2
miss_fails:
  ld t4, {T4}(t0)
  ld t5, {T5}(t0)
  j slow_trap

# The same with a trap frame saved and restored around it, for measuring what patches save.
.balign 64
.globl gate_vs_frame
gate_vs_frame:
  csrrw t0, sscratch, t0
  sd t1, {T1}(t0)
  sd t2, {T2}(t0)
  sd t3, {T3}(t0)
  .irp n, 1,2,3,4,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
  sd x\n, {X0}+8*\n(t0)
  .endr
  csrr t1, sscratch
  sd t1, {X0}+8*5(t0)
  .irp n, 1,2,3,4,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,29,30,31
  ld x\n, {X0}+8*\n(t0)
  .endr
  csrr t1, sepc
  andi t2, t1, 0x7fc
  slli t2, t2, 2
  add t2, t2, t0
  ld t3, 0(t2)
  bne t3, t1, cache_miss
  ld t2, 8(t2)
  addi t1, t1, 4
  csrw sepc, t1
  jr t2

# ---------------------------------------------------------------------------------------------
# From VU. A trap that belongs to the guest's kernel is reflected to it here.
.balign 64
.globl gate_vu
gate_vu:
  csrrw t0, sscratch, t0
  sd t1, {T1}(t0)
  sd t2, {T2}(t0)
  csrr t1, scause
  addi t2, t1, -8                       # environment call from U-mode?
  bnez t2, vu_other
  sd zero, {stval}(t0)
# Trap entry, privileged specification 3.1.6.1: t1 = cause, stval is set, t0 to t2 are spilled.
reflect:
  sd t1, {scause}(t0)
  csrr t1, sepc
  sd t1, {sepc}(t0)
  ld t1, {sstatus}(t0)
  andi t2, t1, 0x2                      # SPIE = SIE, SIE = 0, SPP = U
  slli t2, t2, 4
  andi t1, t1, ~0x122
  or t1, t1, t2
  sd t1, {sstatus}(t0)
  li t1, 1
  sd t1, {mode}(t0)
  ld t1, {stvec}(t0)
  andi t1, t1, -4
  csrw sepc, t1
  ld t1, {satp_vs}(t0)
  csrw satp, t1
.globl gate_fence
gate_fence:
  .option push
  .option norvc
  nop                                   # sfence.vma where the host has too few ASIDs
  .option pop
  ld t1, {gate_vs}(t0)
  csrw stvec, t1
  ld t1, {T1}(t0)
  ld t2, {T2}(t0)
  csrrw t0, sscratch, t0
  sret

vu_other:
  bltz t1, vu_slow                      # an interrupt
  li t2, 12
  bgeu t1, t2, vu_page_fault
  li t2, 0x5d                           # 0, 2, 3, 4, 6: misaligned, illegal, breakpoint
  srl t2, t2, t1
  andi t2, t2, 1
  beqz t2, vu_slow
  csrr t2, stval
  sd t2, {stval}(t0)
  j reflect

vu_slow:
  sd t3, {T3}(t0)
  j slow_trap

# A page fault belongs to the guest's kernel if the guest's own tables deny the access; if they
# grant it, the shadow lacks the page, and the slow path fills it. t1 = cause.
vu_page_fault:
  sd t3, {T3}(t0)
  sd t4, {T4}(t0)
  sd t5, {T5}(t0)
  sd t6, {T6}(t0)
  ld t2, {satp}(t0)
  srli t3, t2, 60
  addi t3, t3, -8                       # Sv39: 0, Sv48: 1, Sv57: 2
  bltz t3, vu_fill                      # Bare
  slli t4, t3, 3
  add t4, t4, t3
  addi t4, t4, 30                       # position of the root's index
  csrr t3, stval
  addi t5, t4, 8                        # the address must be sign-extended from its top bit
  sra t5, t3, t5
  addi t5, t5, 1
  sltiu t5, t5, 2
  beqz t5, vu_fault
  slli t2, t2, 20
  srli t2, t2, 8                        # guest-physical address of the root
1:
  ld t5, {ram_base}(t0)
  ld t6, {ram_size}(t0)
  sub t5, t2, t5
  bgeu t5, t6, vu_fill                  # a table outside RAM: an access fault, not made here
  ld t5, {ram_offset}(t0)
  add t2, t2, t5
  srl t5, t3, t4
  andi t5, t5, 0x1ff
  slli t5, t5, 3
  add t2, t2, t5
  ld t2, 0(t2)
  andi t5, t2, 1                        # V
  beqz t5, vu_fault
  andi t5, t2, 0xe
  bnez t5, 2f
  slli t2, t2, 10
  srli t2, t2, 20
  slli t2, t2, 12
  addi t4, t4, -9
  li t5, 12
  bge t4, t5, 1b
  j vu_fault                            # no leaf at the last level
2:
  andi t5, t2, 0x10                     # U
  beqz t5, vu_fault
  li t5, 15                             # bit wanted: cause 12 X (8), 13 R (2), 15 W (4)
  sub t5, t5, t1
  slli t5, t5, 2
  li t6, 0x8204
  srl t6, t6, t5
  and t6, t6, t2
  andi t6, t6, 0xe
  bnez t6, vu_fill
  andi t6, t2, 8                        # executable: MXR may grant the load
  bnez t6, vu_fill
vu_fault:
  sd t3, {stval}(t0)
  ld t3, {T3}(t0)
  ld t4, {T4}(t0)
  ld t5, {T5}(t0)
  ld t6, {T6}(t0)
  j reflect
vu_fill:
  ld t4, {T4}(t0)
  ld t5, {T5}(t0)
  ld t6, {T6}(t0)
  j slow_trap

# ---------------------------------------------------------------------------------------------
# sfence.vma of one address in all address spaces: t1 = address, t2 = the instruction word. What
# the two views of the current context have for the address is dropped here, if it is a page that
# no patches are in; the other contexts learn of the fence from the log before they are used again.

# Drops the leaf of address t1 under the root at t2; leaves for fence_slow where an entry on the
# way has one of the \slow bits, or the leaf is a superpage. The window's entries are among the
# slow ones: they have G, which the guest's never have. t5 = direct map; clobbers t3, t4, t6.
.macro drop_leaf slow, shared
  ld t4, {root_shift}(t0)
1:
  srl t3, t1, t4
  andi t3, t3, 0x1ff
  slli t3, t3, 3
  add t2, t2, t3
  ld t3, 0(t2)
  andi t6, t3, 1                        # V
  beqz t6, 3f
  andi t6, t3, \slow
  bnez t6, fence_slow
  andi t6, t3, 0xe                      # R W X: a leaf
  bnez t6, 2f
  slli t3, t3, 10
  srli t3, t3, 20
  slli t3, t3, 12
  add t2, t3, t5
  addi t4, t4, -9
  j 1b
2:
  addi t4, t4, -12
  bnez t4, fence_slow
.if \shared
  .option push
  .option arch, +a
  lr.d t4, (t2)                         # another hart may put another leaf there
  bne t4, t3, fence_slow
  sc.d t4, zero, (t2)
  .option pop
  bnez t4, fence_slow
.else
  sd zero, 0(t2)
.endif
  sfence.vma t1, zero
3:
.endm

# The whole of it. \shared: other harts have the same shadow. Then a fill may be going on that has
# read the guest's tables before this hart changed them: the slow path waits for it. And another
# hart may have taken the leaf away that this hart's TLB still has.
.macro fence_body shared
  sd t2, {exit_word}(t0)
  sd t4, {T4}(t0)
  sd t5, {T5}(t0)
  sd t6, {T6}(t0)
.if \shared
  ld t4, {filling}(t0)
  fence rw, rw                          # the guest's stores before the look at the flag
  ld t4, 0(t4)
  fence r, rw                           # and that look before the walk
  bnez t4, fence_slow
.endif
  ld t4, {root_shift}(t0)               # is the address sign-extended from its top bit?
  addi t4, t4, 8
  sra t3, t1, t4
  addi t3, t3, 1
  sltiu t3, t3, 2
  beqz t3, fence_slow
  ld t5, {direct_map}(t0)
  ld t2, {root}(t0)
  drop_leaf {pieces_or_execute}, \shared
  ld t2, {satp_vu}(t0)
  slli t2, t2, 20
  srli t2, t2, 8
  add t2, t2, t5
  drop_leaf {pieces}, \shared
.if \shared
  sfence.vma t1, zero
.endif
  ld t2, {fences}(t0)
  ld t3, {fence_log}(t0)
  andi t4, t2, {fence_log_mask}
  slli t4, t4, 3
  add t3, t3, t4
  sd t1, 0(t3)
  addi t2, t2, 1
  sd t2, {fences}(t0)
  ld t1, {T1}(t0)
  ld t2, {T2}(t0)
  ld t3, {T3}(t0)
  ld t4, {T4}(t0)
  ld t5, {T5}(t0)
  ld t6, {T6}(t0)
  csrrw t0, sscratch, t0
  sret
.endm

.balign 64
.globl fence_address
fence_address:
  fence_body 0
.balign 64
.globl fence_address_shared
fence_address_shared:
  fence_body 1
fence_slow:
  ld t4, {T4}(t0)
  ld t5, {T5}(t0)
  ld t6, {T6}(t0)
  ld t2, {exit_word}(t0)
  j slow_emulate

# ---------------------------------------------------------------------------------------------
# The slow path: a trap frame, then Rust. t0 = block; t1, t2, t3 are spilled, the other registers
# are the guest's, whose t0 is in sscratch.
.globl slow_interrupt
slow_interrupt:
  li t1, 1
  j 1f
.globl slow_emulate
slow_emulate:
  sd t2, {exit_word}(t0)
  csrr t1, sepc                         # the gate had stepped past the instruction
  addi t1, t1, -4
  csrw sepc, t1
  li t1, 2
  j 1f
slow_trap:
  li t1, 0
1:
  sd t1, {exit}(t0)
  .irp n, 1,2,3,4,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,29,30,31
  sd x\n, {X0}+8*\n(t0)
  .endr
  csrr t1, sscratch
  sd t1, {X0}+8*5(t0)
  ld t1, {T1}(t0)
  sd t1, {X0}+8*6(t0)
  ld t1, {T2}(t0)
  sd t1, {X0}+8*7(t0)
  ld t1, {T3}(t0)
  sd t1, {X0}+8*28(t0)
  csrr t1, sepc
  sd t1, {pc}(t0)
  csrw sscratch, t0
  lla t1, monitor_trap
  csrw stvec, t1
  ld sp, {monitor_sp}(t0)
  ld tp, {monitor_tp}(t0)
  mv a0, tp
  call {handle_exit}

# Enters the guest: a0 = address of the block's site cache.
.globl enter_guest
enter_guest:
  mv t0, a0
  csrw sscratch, t0
  ld t1, {pc}(t0)
  csrw sepc, t1
  ld t1, {mode}(t0)
  ld t2, {satp_vs}(t0)
  ld t3, {gate_vs}(t0)
  bnez t1, 1f
  ld t2, {satp_vu}(t0)
  ld t3, {gate_vu}(t0)
1:
  csrw stvec, t3
  csrr t1, satp
  beq t1, t2, 1f
  csrw satp, t2
.globl enter_fence
enter_fence:
  .option push
  .option norvc
  nop
  .option pop
1:
  .irp n, 1,2,3,4,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
  ld x\n, {X0}+8*\n(t0)
  .endr
  ld t0, {X0}+8*5(t0)
  sret

# A trap in the monitor itself: a bug. Rust says what it can on a stack of the host hart's own.
.balign 4
.globl monitor_trap
monitor_trap:
  csrr a0, scause
  csrr a1, sepc
  csrr a2, stval
  mv a3, ra
  ld sp, {fault_stack}(tp)
  call {monitor_fault}

# Goes on with a fresh stack: a0 = stack pointer, a1 = the function to call, a2 = its argument.
.globl restart
restart:
  li t0, 0x100                          # a trap may have come from S-mode; no sret returns there
  csrc sstatus, t0
  mv sp, a0
  mv a0, a2
  jr a1

# Runs instructions that may be illegal. a0 = address of the code to run, which gets a1, returns in a0 and
# leaves t2 to t4 as they are; returns 1 in a1 when it trapped, 0 otherwise.
.globl probe
.balign 4
probe:
  csrr t2, stvec
  lla t1, 1f
  csrw stvec, t1
  mv t3, ra
  mv t4, a0
  mv a0, a1
  jalr t4
  csrw stvec, t2
  li a1, 0
  jr t3
.balign 4
1:
  csrw stvec, t2
  li t0, 0x100                          # the trap came from S-mode; no sret returns there
  csrc sstatus, t0
  li a1, 1
  jr t3

# What may trap: each gets its operand in a0 and returns a value in a0.
.globl try_senvcfg
try_senvcfg:
  csrw 0x10a, a0
  csrr a0, 0x10a
  csrw 0x10a, zero
  ret
.globl try_cycle
try_cycle:
  csrr a0, cycle
  ret
.globl try_time
try_time:
  csrr a0, time
  ret
.globl try_instret
try_instret:
  csrr a0, instret
  ret
.globl try_wfi
try_wfi:
  wfi
  ret
.globl try_th_sxstatus
try_th_sxstatus:
  csrr a0, 0x5c0
  ret
.globl try_interrupt_file
try_interrupt_file:                     # AIA, chapter 3; siselect and sireg are 0x150 and 0x151
  li t0, 0x70                           # eidelivery: off
  csrw 0x150, t0
  csrw 0x151, zero
  addi t5, a0, 1
  li t0, 0x72                           # eithreshold: those above count as disabled
  csrw 0x150, t0
  csrw 0x151, t5
  li t0, 0x80                           # eip0
  csrw 0x150, t0
  csrw 0x151, zero
  li t6, 1
  sll t6, t6, t5
  addi t6, t6, -2
  li t0, 0xc0                           # eie0
  csrw 0x150, t0
  csrw 0x151, t6
  csrr a0, 0x151
  csrr t0, 0x15c                        # stopei
  li t0, 0x70
  li t5, 1
  csrw 0x150, t0
  csrw 0x151, t5
  ret
.globl try_flush_block
try_flush_block:
  .insn i 0x0f, 2, x0, a0, 2            # cbo.flush (a0)
  ret
.globl try_thead_flush_line
try_thead_flush_line:
  .insn r 0x0b, 0, 1, x0, a0, x11       # th.dcache.cipa a0
  ret
.globl try_thead_flush_all
try_thead_flush_all:
  .insn r 0x0b, 0, 0, x0, x0, x3        # th.dcache.ciall
  ret
