//! Running a piece of code until its next trap.

use core::arch::global_asm;
use core::fmt;

use crate::{csr, println, sbi};

/// All that a piece of code is entered with, and all that its trap left.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Context {
    /// x1 to x31; the place of x0 holds the stack pointer of the caller of `run`.
    pub x: [u64; 32],
    /// Where to enter; after a trap, its sepc.
    pub pc: u64,
    /// sstatus before the entering `sret`; after a trap, sstatus as the trap left it.
    pub sstatus: u64,
    pub scause: u64,
    pub stval: u64,
    /// Where the code starts: addresses near it are printed relative to it.
    pub origin: u64,
}

global_asm!(
    r#"
    .section .text.context, "ax"
    .option push
    .option norvc
    .option arch, +a
    .macro registers instruction, base
    .irp n, 1, 3,4,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    \instruction x\n, 8*\n(\base)
    .endr
    .endm
    .macro callee_saved instruction
    \instruction ra, 0(sp)
    \instruction s0, 8(sp)
    \instruction s1, 16(sp)
    \instruction s2, 24(sp)
    \instruction s3, 32(sp)
    \instruction s4, 40(sp)
    \instruction s5, 48(sp)
    \instruction s6, 56(sp)
    \instruction s7, 64(sp)
    \instruction s8, 72(sp)
    \instruction s9, 80(sp)
    \instruction s10, 88(sp)
    \instruction s11, 96(sp)
    \instruction gp, 104(sp)
    \instruction tp, 112(sp)
    .endm

enter_context:
    addi sp, sp, -128
    callee_saved sd
    sd sp, 0(a0)
    ld t0, 256(a0)
    csrw sepc, t0
    ld t0, 264(a0)
    csrw sstatus, t0
    csrw sscratch, a0
    registers ld, a0
    ld sp, 16(a0)
    ld a0, 80(a0)
    sret

    .globl trap_entry
    .balign 256
trap_entry:
    csrrw sp, sscratch, sp
    beqz sp, 1f
    registers sd, sp
    sd a0, 80(sp)
    csrrw t0, sscratch, zero
    sd t0, 16(sp)
    csrr t0, sepc
    csrr t1, sstatus
    csrr t2, scause
    csrr t3, stval
    sd t0, 256(sp)
    sd t1, 264(sp)
    sd t2, 272(sp)
    sd t3, 280(sp)
    ld sp, 0(sp)
    callee_saved ld
    addi sp, sp, 128
    ret
1:  /* no context is running: the library or the program itself went wrong. The first hart to which
       this happens has a stack to say so; the others wait for the end. */
    la sp, lost_stack
    li t0, 1
    amoadd.d t0, t0, (sp)
    bnez t0, 2f
    li t0, 8192
    add sp, sp, t0
    call {lost}
2:  j 2b

    .pushsection .bss.lost_stack, "aw", @nobits
    .balign 16
lost_stack:
    .zero 8192
    .popsection
    .option pop
"#,
    lost = sym lost,
);

unsafe extern "C" {
    fn enter_context(context: *mut Context);
    /// The trap vector behind [`Context::run`].
    pub fn trap_entry();
}

extern "C" fn lost() -> ! {
    let trap = Trap {
        cause: csr::read!("scause"),
        pc: csr::read!("sepc"),
        value: csr::read!("stval"),
        status: csr::read!("sstatus"),
        origin: 0,
    };
    println!(
        "guest: lost by a trap outside any context, on hart {}: {trap}",
        crate::harts::index()
    );
    sbi::power_off(true)
}

/// Brings the trap state to where every program starts: no interrupt enabled, `run`'s vector,
/// floating point and vectors off, no SUM, no MXR.
pub fn reset() {
    csr::write!("sstatus", 0u64);
    csr::write!("sie", 0u64);
    csr::write!("sscratch", 0u64);
    csr::write!("stvec", vector());
}

/// Address of the trap vector behind [`Context::run`], for code that moves stvec and puts it back.
pub fn vector() -> u64 {
    trap_entry as *const () as u64
}

impl Context {
    /// Code that runs in S-mode, interrupts off, every register zero.
    pub const fn supervisor(pc: u64) -> Self {
        Self {
            x: [0; 32],
            pc,
            sstatus: csr::SPP,
            scause: 0,
            stval: 0,
            origin: pc,
        }
    }

    /// Code that runs in U-mode, every register zero.
    pub const fn user(pc: u64) -> Self {
        Self {
            x: [0; 32],
            pc,
            sstatus: 0,
            scause: 0,
            stval: 0,
            origin: pc,
        }
    }

    /// With register `x[index]` set.
    pub const fn with(mut self, index: usize, value: u64) -> Self {
        self.x[index] = value;
        self
    }

    /// With the bits of sstatus set too.
    pub const fn status(mut self, bits: u64) -> Self {
        self.sstatus |= bits;
        self
    }

    /// Enters the code by `sret` and returns at its next trap. Can be called again to go on.
    ///
    /// The code owns every register, but must leave stvec and sscratch as it finds them when it
    /// traps, and the current address space must identity-map the program.
    pub fn run(&mut self) -> Trap {
        self.sstatus &= !csr::SIE;
        // SAFETY: the context is exclusively ours; the code's own effects are what the program is
        // there to observe.
        unsafe { enter_context(self) };
        self.trap()
    }

    /// The trap that ended the last run.
    pub fn trap(&self) -> Trap {
        Trap {
            cause: self.scause,
            pc: self.pc,
            value: self.stval,
            status: self.sstatus,
            origin: self.origin,
        }
    }

    /// Steps over the instruction at `pc`, which must be readable.
    pub fn skip(&mut self) {
        let parcel = crate::memory::read::<u16>(self.pc);
        self.pc += if parcel & 3 == 3 { 4 } else { 2 };
    }
}

/// What a trap tells.
#[derive(Clone, Copy, Debug)]
pub struct Trap {
    pub cause: u64,
    pub pc: u64,
    pub value: u64,
    pub status: u64,
    pub origin: u64,
}

const EXCEPTIONS: [&str; 16] = [
    "instruction misaligned",
    "instruction access fault",
    "illegal instruction",
    "breakpoint",
    "load misaligned",
    "load access fault",
    "store misaligned",
    "store access fault",
    "ecall from U",
    "ecall from S",
    "cause 10",
    "cause 11",
    "instruction page fault",
    "load page fault",
    "cause 14",
    "store page fault",
];

impl Trap {
    pub const fn is_interrupt(&self) -> bool {
        self.cause >> 63 != 0
    }

    /// The cause without the interrupt bit.
    pub const fn code(&self) -> u64 {
        self.cause & !(1 << 63)
    }

    /// The cause in words.
    pub fn name(&self) -> &'static str {
        match (self.is_interrupt(), self.code()) {
            (true, 1) => "software interrupt",
            (true, 5) => "timer interrupt",
            (true, 9) => "external interrupt",
            (true, _) => "unknown interrupt",
            (false, code) => EXCEPTIONS.get(code as usize).unwrap_or(&"unknown cause"),
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{} at ", self.name())?;
        let offset = self.pc.wrapping_sub(self.origin);
        if self.origin != 0 && offset < 0x2000 {
            write!(out, "+{offset:#x}")?;
        } else {
            write!(out, "{:#x}", self.pc)?;
        }
        write!(
            out,
            " stval {:#x} from {}",
            self.value,
            csr::Status(self.status)
        )
    }
}
