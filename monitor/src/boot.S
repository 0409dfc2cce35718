# Entry from the firmware, in S-mode with address translation off: a0 = hart ID, a1 = device tree.
#
# The first instructions are the header of a RISC-V Linux Image, so that QEMU's -kernel and U-Boot's
# booti load the monitor. Nothing here may be compressed before the C extension was seen to work.

.option push
.option norvc
.section .text.start, "ax"

# Goes on in the window, by the boot root; s7 = virtual minus physical. Uses t0, t1, t3, t4.
.macro enter_window
  li t4, 8
  slli t1, t4, 60
  lla t3, boot_root
  srli t3, t3, 12
  or t1, t1, t3
  csrw satp, t1
  sfence.vma
  lla t0, 1f
  add t0, t0, s7
  jr t0
1:
  lla t0, monitor_trap
  csrw stvec, t0
.endm

.globl _start
_start:
  j 1f
  .word 0
  .dword 0x200000                       # load offset from the start of RAM
  .dword __image_end - __image_start                    # image size, .bss included
  .dword 0                              # flags: little-endian
  .word 2                               # header version 0.2
  .word 0
  .dword 0
  .ascii "RISCV\0\0\0"
  .ascii "RSC\x05"
  .word 0
1:
  csrw sie, zero
  mv s0, a0
  mv s1, a1

  # The C extension: a processor without it traps on c.nop.
  lla s3, no_compressed
  csrw stvec, s3
  .option rvc
  c.nop
  c.nop
  .option norvc
  lla s3, early_trap
  csrw stvec, s3

  lla t0, __bss_start
  lla t1, __bss_end
1:
  sd zero, 0(t0)
  addi t0, t0, 8
  bltu t0, t1, 1b

  # The boot root: every gigabyte of the lower half mapped to itself, so that translation can be
  # switched on here, and the window in the upper half.
  lla s2, __image_start
  lla t0, boot_root
  li t1, 0xcf                           # V R W X A D
  li t2, 256
  li t4, 0x10000000                     # 1 GiB in PPN units, shifted as in a PTE
1:
  sd t1, 0(t0)
  add t1, t1, t4
  addi t0, t0, 8
  addi t2, t2, -1
  bnez t2, 1b
  # t0 is at entry 256: the first slot of the window holds the image, the others the direct map.
  srli t1, s2, 30
  slli t1, t1, 28
  ori t1, t1, 0xef                      # V R W X G A D
  li t2, {window_slot}
  slli t2, t2, 3
  add t0, t0, t2
  sd t1, 0(t0)
  li t1, 0xe7                           # V R W G A D
  li t2, {direct_slots}
1:
  addi t0, t0, 8
  sd t1, 0(t0)
  add t1, t1, t4
  addi t2, t2, -1
  bnez t2, 1b

  # Which translation modes are there? Each gets a root that maps the lower half to itself. A mode
  # that is not there leaves satp as it was.
  lla t0, boot_root
  lla t1, probe_sv48
  lla t2, probe_sv57
  srli t3, t0, 12
  slli t4, t3, 10
  ori t4, t4, 1
  sd t4, 0(t1)
  srli t5, t1, 12
  slli t4, t5, 10
  ori t4, t4, 1
  sd t4, 0(t2)
  srli t6, t2, 12
  li s4, 1                              # modes found: bit MODE
  li t4, 8
  slli t1, t4, 60
  or t1, t1, t3
  csrw satp, t1
  csrr t2, satp
  bne t1, t2, no_sv39
  ori s4, s4, 0x100
  csrw satp, zero
  li t4, 9
  slli t1, t4, 60
  or t1, t1, t5
  csrw satp, t1
  csrr t2, satp
  csrw satp, zero
  bne t1, t2, 1f
  ori s4, s4, 0x200
1:
  li t4, 10
  slli t1, t4, 60
  or t1, t1, t6
  csrw satp, t1
  csrr t2, satp
  csrw satp, zero
  bne t1, t2, 1f
  ori s4, s4, 0x400
1:
  # ASID bits: as many as stick.
  li t1, 0x8ffff
  slli t1, t1, 44
  or t1, t1, t3
  csrw satp, t1
  csrr s5, satp
  slli s5, s5, 4
  srli s5, s5, 48                       # largest ASID
  csrw satp, zero
  sfence.vma

  # Where the image will be: in the window's first slot, at its offset within its gigabyte.
  slli s6, s2, 34
  srli s6, s6, 34
  li t1, {window}
  add s6, s6, t1                        # virtual address of __image_start
  sub s7, s6, s2                        # virtual minus physical

  # Relocate: *(image + offset) = new address of the image + addend.
  lla t0, __rela_start
  lla t1, __rela_end
1:
  bgeu t0, t1, 2f
  ld t2, 0(t0)
  lwu t3, 8(t0)
  ld t4, 16(t0)
  addi t0, t0, 24
  li t5, 3                              # R_RISCV_RELATIVE
  bne t3, t5, early_trap
  add t2, t2, s2
  add t4, t4, s6
  sd t4, 0(t2)
  j 1b
2:
  enter_window
  lla sp, boot_stack
  li t0, {boot_stack_size}
  add sp, sp, t0
  lla tp, boot_cpu                      # until there is a Cpu: its stack for faults alone
  sd sp, {fault_stack}(tp)
  mv a0, s0
  mv a1, s1
  mv a2, s2
  mv a3, s4
  mv a4, s5
  call {start}

# Another hart of the host, started by the firmware: a0 = hart ID, a1 = its Cpu.
.balign 4
.globl other_hart_start
other_hart_start:
  csrw sie, zero
  lla t0, early_trap
  csrw stvec, t0
  mv tp, a1
  lla s2, __image_start
  slli s6, s2, 34
  srli s6, s6, 34
  li t1, {window}
  add s6, s6, t1
  sub s7, s6, s2                        # virtual minus physical
  enter_window
  ld sp, 0(tp)
  mv a0, tp
  call {start_other}

# What cannot go on says so through the firmware's legacy console and shuts down.
.balign 4
no_compressed:
  lla s3, no_compressed_text
  j fail
no_sv39:
  lla s3, no_sv39_text
  j fail
.balign 4
early_trap:
  lla s3, early_trap_text
fail:
  lbu a0, 0(s3)
  beqz a0, 1f
  li a7, 1
  ecall
  addi s3, s3, 1
  j fail
1:
  li a7, 0x53525354                     # SRST: shutdown, system failure
  li a6, 0
  li a0, 0
  li a1, 1
  ecall
  li a7, 8
  ecall
1:
  wfi
  j 1b

.section .rodata.boot, "a"
no_compressed_text:
  .asciz "patchvisor: error: this processor has no C extension, which patches need; use one that has it\r\n"
no_sv39_text:
  .asciz "patchvisor: error: this processor has no Sv39 address translation; use one that has it\r\n"
early_trap_text:
  .asciz "patchvisor: error: the monitor trapped before it was up; check that firmware and machine are supported\r\n"

.local boot_root
.comm boot_root, 4096, 4096
.local boot_cpu
.comm boot_cpu, 64, 16
.local probe_sv48
.comm probe_sv48, 4096, 4096
.local probe_sv57
.comm probe_sv57, 4096, 4096
.local boot_stack
.comm boot_stack, {boot_stack_size}, 16
.option pop
