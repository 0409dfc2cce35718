//! Other harts, as far as they are there, and coming back from suspensions that keep no registers.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::{harts, sbi, start};

/// HSM states.
pub const STARTED: u64 = 0;
pub const STOPPED: u64 = 1;

/// How a hart arrived at its start or resume address.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Arrival {
    hart: AtomicU64,
    opaque: AtomicU64,
    satp: AtomicU64,
    sstatus: AtomicU64,
    /// Set last.
    arrived: AtomicU64,
    /// For a worker: 0 while it has nothing to do.
    task: AtomicU64,
    argument: AtomicU64,
    /// For a hart that resumes: its stack pointer, with its callee-saved registers there.
    stack: AtomicU64,
}

global_asm!(
    r#"
    .section .text.harts, "ax"
    .option push
    .option norvc
    .macro arrival
    csrr t0, satp
    csrr t1, sstatus
    sd a0, 0(a1)
    sd a1, 8(a1)
    sd t0, 16(a1)
    sd t1, 24(a1)
    li t0, 1
    fence rw, w
    sd t0, 32(a1)
    .endm
    .macro saved instruction
    .irp n, 1, 3,4, 8,9, 18,19,20,21,22,23,24,25,26,27
    \instruction x\n, 8*\n(sp)
    .endr
    .endm

    /* Calls each task with its argument; without a stack, for there are none. Keeps a1. */
    .globl worker_entry
worker_entry:
    csrw sie, zero
    arrival
1:  ld t0, 40(a1)
    beqz t0, 1b
    fence r, rw
    ld a0, 48(a1)
    jalr t0
    sd a0, 48(a1)
    fence rw, w
    sd zero, 40(a1)
    j 1b

task_load:
    ld a0, 0(a0)
    ret
task_satp:
    csrw satp, a0
    sfence.vma
    ret
task_stop:
    li a7, 0x48534d
    li a6, 1
    ecall
    ret

    /* (extension, function, type, arrival): the error, or 0 after a resume. */
suspend_and_resume:
    addi sp, sp, -256
    saved sd
    sd sp, 56(a3)
    mv a7, a0
    mv a6, a1
    mv a0, a2
    la a1, resume_entry
    mv a2, a3
    ecall
    saved ld
    addi sp, sp, 256
    ret
    .balign 4
resume_entry:
    arrival
    ld sp, 56(a1)
    saved ld
    addi sp, sp, 256
    li a0, 0
    ret
    .option pop
"#
);

unsafe extern "C" {
    fn worker_entry();
    fn task_load();
    fn task_satp();
    fn task_stop();
    fn suspend_and_resume(extension: u64, function: u64, kind: u64, arrival: &Arrival) -> i64;
}

/// Suspends this hart so that it keeps no registers, by HSM (function 3) or the system's suspension.
/// Whether it resumed, and as it should. `sie`, `stvec` and `sscratch` are then where programs start.
pub fn suspend(extension: u64, function: u64, kind: u64) -> bool {
    let arrival = Arrival::default();
    // SAFETY: it saves what the calling convention asks for, on the stack, and comes back with it.
    let error = unsafe { suspend_and_resume(extension, function, kind, &arrival) };
    crate::context::reset();
    error == 0 && arrival.is_right(start::hart())
}

impl Arrival {
    /// Whether the hart arrived as the tables "Hart Start/Resume Register State" have it, with
    /// `opaque` naming this.
    pub fn is_right(&self, hart: u64) -> bool {
        self.arrived.load(Ordering::Acquire) == 1
            && self.hart.load(Ordering::Relaxed) == hart
            && self.opaque.load(Ordering::Relaxed) == core::ptr::from_ref(self) as u64
            && self.satp.load(Ordering::Relaxed) == 0
            && self.sstatus.load(Ordering::Relaxed) & crate::csr::SIE == 0
    }
}

/// A hart that does small tasks: another one, or, on a machine that has no other, this one.
pub struct Worker {
    pub hart: u64,
    arrival: Arrival,
}

impl Worker {
    pub const fn new() -> Self {
        Self {
            hart: 0,
            arrival: Arrival {
                hart: AtomicU64::new(0),
                opaque: AtomicU64::new(0),
                satp: AtomicU64::new(0),
                sstatus: AtomicU64::new(0),
                arrived: AtomicU64::new(0),
                task: AtomicU64::new(0),
                argument: AtomicU64::new(0),
                stack: AtomicU64::new(0),
            },
        }
    }

    /// Starts the first other hart that is stopped, if there is one. The worker must stay where it
    /// is from now on. Whether the hart arrived as it should.
    pub fn start(&mut self) -> bool {
        let me = start::hart();
        let other = harts::all().find(|&hart| hart != me && harts::status(hart).value == STOPPED);
        self.hart = other.unwrap_or(me);
        if !self.is_other() {
            return true;
        }
        let opaque = core::ptr::from_ref(&self.arrival) as u64;
        let entry = worker_entry as *const () as u64;
        let reply = sbi::call(sbi::HSM, 0, [self.hart, entry, opaque, 0, 0, 0]);
        if reply.error != 0 {
            return false;
        }
        while self.arrival.arrived.load(Ordering::Acquire) == 0 {}
        self.arrival.is_right(self.hart)
    }

    /// Whether it is another hart than this.
    pub fn is_other(&self) -> bool {
        self.hart != start::hart()
    }

    /// Has it call `function`, which may use a0 and t0 to t6 alone.
    pub fn run(&self, function: u64, argument: u64) -> u64 {
        if !self.is_other() {
            // SAFETY: the program chose the function.
            let function: extern "C" fn(u64) -> u64 = unsafe { core::mem::transmute(function) };
            return function(argument);
        }
        self.begin(function, argument);
        while self.arrival.task.load(Ordering::Acquire) != 0 {}
        self.arrival.argument.load(Ordering::Relaxed)
    }

    fn begin(&self, function: u64, argument: u64) {
        self.arrival.argument.store(argument, Ordering::Relaxed);
        self.arrival.task.store(function, Ordering::Release);
    }

    /// Has it load the 64-bit word at `address`.
    pub fn load(&self, address: u64) -> u64 {
        self.run(task_load as *const () as u64, address)
    }

    /// Has it write its satp, and fence.
    pub fn set_satp(&self, satp: u64) {
        self.run(task_satp as *const () as u64, satp);
    }

    /// Stops it, and waits until it is stopped.
    pub fn stop(&self) {
        if self.is_other() {
            self.begin(task_stop as *const () as u64, 0);
            while harts::status(self.hart).value != STOPPED {}
        }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self::new()
    }
}
