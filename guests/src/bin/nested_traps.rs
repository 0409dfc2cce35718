//! Traps in trap handlers, four deep, each with its own sepc, scause, stval and sstatus; a handler
//! that returns through all of them; a trap right after stvec has changed.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{code, context, csr, memory, println};

    fn main() {
        // The handler pushes scause, sepc, stval and sstatus at s0, traps again until s1 is 0, pops
        // them, steps over and returns.
        let nest = code!(
            ".option norvc",
            "la t0, 10f",
            "csrw stvec, t0",
            "csrsi sstatus, 0",
            ".word 0x10200073 & 0xffffffff | 0x80",
            "csrr s2, sstatus",
            "csrw stvec, s11",
            "j 30f",
            ".balign 4",
            "10:",
            "csrr t0, scause",
            "csrr t1, sepc",
            "csrr t2, stval",
            "csrr t3, sstatus",
            "sd t0, 0(s0)",
            "sd t1, 8(s0)",
            "sd t2, 16(s0)",
            "sd t3, 24(s0)",
            "addi s0, s0, 32",
            "addi s1, s1, -1",
            "beqz s1, 20f",
            "li t4, 3",
            "beq s1, t4, 11f",
            "li t4, 2",
            "beq s1, t4, 12f",
            "ebreak",
            "j 20f",
            "11: ld t5, -8(zero)",
            "j 20f",
            "12: csrr t5, mstatus",
            "20:",
            "addi s3, s3, -32",
            "add t6, s4, s3",
            "ld t1, 8(t6)",
            "ld t3, 24(t6)",
            "addi t1, t1, 4",
            "csrw sepc, t1",
            "csrw sstatus, t3",
            "sret",
            "30:",
        );
        let log = memory::page();
        for status in [0, csr::SPIE, csr::SUM | csr::SPIE] {
            for depth in 1..=4 {
                for _ in 0..50 {
                    let mut context = nest.supervisor().status(status);
                    context.x[8] = log;
                    context.x[9] = depth;
                    context.x[19] = 32 * depth;
                    context.x[20] = log;
                    context.x[27] = context::vector();
                    let trap = context.run();
                    assert_eq!(trap.cause, 3, "{trap}");
                }
                println!(
                    "{depth} deep with {}:",
                    csr::Status(csr::SPP | status | 2 << 32)
                );
                for level in 0..depth {
                    let at = log + 32 * level;
                    let [cause, pc, value, status]: [u64; 4] = memory::read(at);
                    let pc = pc.wrapping_sub(nest.start);
                    println!(
                        "  scause {cause:#x} sepc +{pc:#x} stval {value:#x} {}",
                        csr::Status(status)
                    );
                }
            }
        }
        let moved = code!(
            ".option norvc",
            "la t0, 1f",
            "csrw stvec, t0",
            "csrr a0, mscratch",
            "1: csrr a1, scause",
            "csrw stvec, s11",
        );
        // stvec needs four-byte alignment.
        assert_eq!(moved.start & 3, 0);
        let mut context = moved.supervisor().with(27, context::vector());
        println!(
            "handler right behind: {} a1 {}",
            context.run(),
            context.x[11]
        );
    }

    guests::program!(main);
}
