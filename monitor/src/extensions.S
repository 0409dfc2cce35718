# Saving and loading the registers of the F, D and V extensions: a0 = memory.

.section .text.extensions, "ax"
.option push
.option arch, +d
.globl save_float
save_float:
  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
  fsd f\n, 8*\n(a0)
  .endr
  csrr t0, fcsr
  sd t0, 256(a0)
  ret
.globl load_float
load_float:
  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
  fld f\n, 8*\n(a0)
  .endr
  ld t0, 256(a0)
  csrw fcsr, t0
  ret
.option pop

.option push
.option arch, +v
.globl vector_bytes
vector_bytes:
  csrr a0, vlenb
  ret
.globl save_vector
save_vector:
  csrr t0, vstart
  sd t0, 0(a0)
  csrr t0, vcsr
  sd t0, 8(a0)
  csrr t0, vl
  sd t0, 16(a0)
  csrr t0, vtype
  sd t0, 24(a0)
  csrw vstart, zero
  csrr t0, vlenb
  slli t0, t0, 3
  addi a0, a0, 32
  vs8r.v v0, (a0)
  add a0, a0, t0
  vs8r.v v8, (a0)
  add a0, a0, t0
  vs8r.v v16, (a0)
  add a0, a0, t0
  vs8r.v v24, (a0)
  ret
.globl load_vector
load_vector:
  csrr t0, vlenb
  slli t0, t0, 3
  addi t1, a0, 32
  csrw vstart, zero
  vl8re8.v v0, (t1)
  add t1, t1, t0
  vl8re8.v v8, (t1)
  add t1, t1, t0
  vl8re8.v v16, (t1)
  add t1, t1, t0
  vl8re8.v v24, (t1)
  ld t0, 16(a0)
  ld t1, 24(a0)
  vsetvl zero, t0, t1
  ld t0, 8(a0)
  csrw vcsr, t0
  ld t0, 0(a0)
  csrw vstart, t0
  ret
.option pop
