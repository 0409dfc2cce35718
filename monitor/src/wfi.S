# Runs a `wfi` in U-mode, in an address space of its own, and comes back by whatever trap follows.
# a0 = satp of that address space, a1 = address there of the page with `user_wfi`; returns scause in
# a0 and sepc in a1. The code there changes no register.
.section .text.wfi, "ax"
.balign 4
.globl run_user_wfi
run_user_wfi:
  csrr t2, stvec
  csrr t3, satp
  csrr t4, sstatus
  lla t1, 1f
  csrw stvec, t1
  csrw satp, a0
  sfence.vma
  csrw sepc, a1
  li t1, 0x120                          # SPP, SPIE: to U-mode, and no interrupt in S-mode after it
  csrc sstatus, t1
  sret
.balign 4
1:
  csrw satp, t3
  sfence.vma
  csrw stvec, t2
  csrw sstatus, t4
  csrr a0, scause
  csrr a1, sepc
  ret

# Alone in its page, which U-mode may execute while it is tried.
.balign 4096
.globl user_wfi
user_wfi:
  .option push
  .option norvc
  wfi
  ecall
  .option pop
.balign 4096
