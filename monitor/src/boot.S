# Entry from the firmware, in S-mode with address translation off: a0 = hart ID, a1 = device tree.
#
# The first instructions are the header of a RISC-V Linux Image, so that QEMU's -kernel and U-Boot's
# booti load the monitor. Nothing here may be compressed before the C extension was seen to work.

.option push
.option norvc
.section .text.start, "ax"

# Zeroes from \from to \to, symbols at multiples of 8.
.macro zero from, to
  lla t0, \from
  lla t1, \to
1:
  sd zero, 0(t0)
  addi t0, t0, 8
  bltu t0, t1, 1b
.endm

# Copies so many bytes as .data has from t0 to t1.
.macro copy_data
  lla t2, __rodata_end
  lla t3, __load_end
  sub t3, t3, t2
1:
  ld t2, 0(t0)
  sd t2, 0(t1)
  addi t0, t0, 8
  addi t1, t1, 8
  addi t3, t3, -8
  bnez t3, 1b
.endm

# Relocates the image for address s6: *(image + offset) = new address of the image + addend.
.macro relocate
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
.endm

# A stack, and what `tp` points to until there is a Cpu: its stack for faults alone.
.macro boot_registers
  lla sp, boot_stack
  li t0, {boot_stack_size}
  add sp, sp, t0
  lla tp, boot_cpu
  sd sp, {fault_stack}(tp)
.endm

# Goes on in the window, by the boot root. Uses t0, t1.
.macro enter_window
  lla t0, {boot_image}
  ld t0, 0(t0)
  lla t1, __image_start
  sub t1, t0, t1                        # virtual minus physical
  lla t0, 1f
  add t0, t0, t1
  lla t1, {boot_satp}
  ld t1, 0(t1)
  csrw satp, t1
  sfence.vma
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

  # The first pass, with translation off and the image where it is: Rust finds out what the processor
  # has, reads the firmware's device tree wherever it lies, chooses the window's place and makes the
  # boot root. Nothing of it stays but what is in .kept.
  lla s2, __image_start
  zero __kept_start, __bss_end
  lla t0, __rodata_end
  lla t1, __data_kept
  copy_data
  mv s6, s2
  relocate
  boot_registers
  mv a0, s1
  mv a1, s2
  call {prepare}

  # The second, in the window.
  lla s6, {boot_image}
  ld s6, 0(s6)
  lla t0, __data_kept
  lla t1, __rodata_end
  copy_data
  zero __bss_start, __bss_end
  relocate
  enter_window
  boot_registers
  mv a0, s0
  mv a1, s2
  call {start}

# Another hart of the host, started by the firmware: a0 = hart ID, a1 = its Cpu.
.balign 4
.globl other_hart_start
other_hart_start:
  csrw sie, zero
  lla t0, early_trap
  csrw stvec, t0
  mv tp, a1
  enter_window
  ld sp, 0(tp)
  mv a0, tp
  call {start_other}

# What cannot go on says so through the firmware's legacy console and shuts down.
.balign 4
no_compressed:
  lla s3, no_compressed_text
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
early_trap_text:
  .asciz "patchvisor: error: the monitor trapped before it was up; check that firmware and machine are supported\r\n"

.local boot_cpu
.comm boot_cpu, 64, 16
.local boot_stack
.comm boot_stack, {boot_stack_size}, 16
.option pop
