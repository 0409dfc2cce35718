//! Timed loops around one privileged instruction each.
//!
//! Every measurement runs several times, and the shortest one after the first counts: a monitor has
//! made its patches by then, and whoever runs the machine has other things to do too. A result is one
//! line, `bench NAME iterations N time T`, T in ticks of the `time` CSR. What a loop itself costs is
//! measured as `empty`.

use crate::context::Context;
use crate::paging::{Mode, Space};
use crate::{context, csr, println};

/// How often each instruction is executed.
pub const ITERATIONS: u64 = 2_000;
/// How many copies of it stand in the loop's body.
pub const UNROLLED: u64 = 100;

/// How often a measurement is repeated at most.
const REPETITIONS: u32 = 20;
/// How often at least.
const LEAST: u32 = 3;
/// A measurement that has taken this many ticks is repeated no more; one tick is 100 ns on QEMU.
const BUDGET: u64 = 200_000;

/// Times `body`, which does one thing `iterations` times.
pub fn measure(name: &str, iterations: u64, mut body: impl FnMut()) {
    // Opaque, so that all runs are of the same copy of the code.
    let body: &mut dyn FnMut() = core::hint::black_box(&mut body);
    body();
    let (mut least, mut total) = (u64::MAX, 0);
    for done in 1..=REPETITIONS {
        let start = csr::read!("time");
        body();
        let time = csr::read!("time") - start;
        least = least.min(time);
        total += time;
        if done >= LEAST && total > BUDGET {
            break;
        }
    }
    println!("bench {name} iterations {iterations} time {least}");
}

/// Turns on an address space, as a kernel would have.
pub fn enter_paged() -> Space {
    let space = Space::new(Mode::Sv39);
    space.activate(1);
    space
}

/// Runs a context whose traps are handled by `handler` (see [`skip_handler!`](crate::skip_handler))
/// until it has seen `traps` of them.
pub fn run_with(handler: u64, mut context: Context, traps: u64) {
    context.x[9] = traps;
    context.x[27] = context::vector();
    csr::write!("stvec", handler);
    context.run();
    csr::write!("stvec", context::vector());
}

/// A trap handler with nothing to it: steps over the trapping instruction of four bytes. It counts
/// s1 down; at zero it hands the trap on to the vector in s11.
#[macro_export]
macro_rules! skip_handler {
    () => {
        $crate::code!(
            ".option norvc",
            "addi s1, s1, -1",
            "beqz s1, 1f",
            "csrr t0, sepc",
            "addi t0, t0, 4",
            "csrw sepc, t0",
            "sret",
            "1:",
            "csrw stvec, s11",
            "jr s11",
        )
    };
}

/// Times [`ITERATIONS`] executions of an instruction, [`UNROLLED`] at a time. It may use t0 to t5;
/// the operands set them.
#[macro_export]
macro_rules! bench_loop {
    ($name:literal, $instruction:expr $(, $register:tt = $value:expr)* $(,)?) => {
        $crate::bench::measure($name, $crate::bench::ITERATIONS, || {
            // SAFETY: the instruction touches no memory and no register but the declared ones; a
            // program is alone on its machine.
            unsafe {
                core::arch::asm!(
                    ".option push",
                    ".option norvc",
                    ".balign 64",
                    "2:",
                    ".rept {unrolled}",
                    $instruction,
                    ".endr",
                    "addi t6, t6, -1",
                    "bnez t6, 2b",
                    ".option pop",
                    unrolled = const $crate::bench::UNROLLED,
                    inout("t6") $crate::bench::ITERATIONS / $crate::bench::UNROLLED => _,
                    $(in($register) $value,)*
                    out("a0") _, out("a1") _,
                )
            }
        })
    };
}
