//! Timer and software interrupts hit a loop of privileged instructions wherever they happen to; the
//! loop checks at every round that no register and no CSR but the handler's own has changed.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{code, context, csr, memory, println, sbi};

    fn main() {
        // s0: counts interrupts, s1: how many to come, s2: page for the handler, s3 to s8: patterns.
        // a0: rounds gone wrong.
        let storm = code!(
            ".option norvc",
            "la t0, 50f",
            "csrw stvec, t0",
            "csrw sscratch, s2",
            "li s3, 0x123456789abcdef",
            "not s4, s3",
            "li a0, 0",
            "csrsi sstatus, 2",
            "1:",
            "mv t0, s3",
            "mv t1, s4",
            "mv t2, s3",
            "mv sp, s4",
            "mv gp, s3",
            "mv tp, s4",
            "mv t4, s3",
            "mv t5, s4",
            "csrr a1, sstatus",
            "csrsi sstatus, 2",
            "csrr a2, sie",
            "csrci sstatus, 2",
            "csrr a3, sstatus",
            "csrsi sstatus, 2",
            "csrr a4, stvec",
            "csrs sie, zero",
            "sfence.vma",
            "csrrs a5, sie, zero",
            "csrrci a6, sstatus, 2",
            "csrw stval, a6",
            "csrr a7, stval",
            "csrsi sstatus, 2",
            "wfi",
            "csrrw t6, sscratch, s2",
            "bne t0, s3, 40f",
            "bne t1, s4, 40f",
            "bne t2, s3, 40f",
            "bne sp, s4, 40f",
            "bne gp, s3, 40f",
            "bne tp, s4, 40f",
            "bne t4, s3, 40f",
            "bne t5, s4, 40f",
            "bne a6, a7, 40f",
            "bne a2, a5, 40f",
            "bne t6, s2, 40f",
            "andi a1, a1, 2",
            "beqz a1, 40f",
            "andi a3, a3, 2",
            "bnez a3, 40f",
            "2: bltu s0, s1, 1b",
            "csrci sstatus, 2",
            "csrw stvec, s11",
            "csrw sscratch, s10",
            "j 90f",
            "40: addi a0, a0, 1",
            "j 2b",
            ".balign 4",
            "50:",
            "csrrw s2, sscratch, s2",
            "sd t0, 0(s2)",
            "sd t1, 8(s2)",
            "sd a0, 16(s2)",
            "sd a1, 24(s2)",
            "sd a6, 32(s2)",
            "sd a7, 40(s2)",
            "csrr t0, scause",
            "slli t0, t0, 1",
            "li t1, 2",
            "beq t0, t1, 51f",
            "rdtime a0",
            "add a0, a0, s9",
            "li a6, 0",
            "li a7, 0x54494d45",
            "ecall",
            "csrsi sip, 2",
            "j 52f",
            "51:",
            "csrci sip, 2",
            "52:",
            "addi s0, s0, 1",
            "ld t0, 0(s2)",
            "ld t1, 8(s2)",
            "ld a0, 16(s2)",
            "ld a1, 24(s2)",
            "ld a6, 32(s2)",
            "ld a7, 40(s2)",
            "csrrw s2, sscratch, s2",
            "sret",
            "90:",
        );
        let page = memory::page();
        for period in [1000, 2000, 4000] {
            csr::write!("sie", csr::TIMER | csr::SOFTWARE);
            sbi::set_timer(csr::read!("time") + 1000);
            let mut context = storm
                .supervisor()
                .with(9, 2000)
                .with(18, page)
                .with(25, period);
            context.x[27] = context::vector();
            context.x[26] = &raw const context as u64;
            let trap = context.run();
            csr::write!("sie", 0u64);
            csr::write!("sip", 0u64);
            sbi::set_timer(u64::MAX);
            println!(
                "{trap}: at least 2000 interrupts {}, rounds gone wrong {}",
                context.x[8] >= 2000,
                context.x[10]
            );
        }
    }

    guests::program!(main);
}
