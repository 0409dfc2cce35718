//! CSR instructions, one kind each.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{bench, bench_loop, csr, paging};

    fn main() {
        let space = bench::enter_paged();
        let satp = space.satp(1);
        bench_loop!("empty", "");
        bench_loop!("nop", "nop");
        bench_loop!("csrr-sstatus", "csrr a0, sstatus");
        bench_loop!("csrci-sstatus", "csrci sstatus, 2");
        bench_loop!("csrsi-sstatus", "csrsi sstatus, 2");
        csr::write!("sstatus", 0u64);
        bench_loop!("csrrci-sstatus", "csrrci a0, sstatus, 2");
        bench_loop!("csrs-sstatus-sum", "csrs sstatus, t0", "t0" = csr::SUM);
        bench_loop!("csrc-sstatus-sum", "csrc sstatus, t0", "t0" = csr::SUM);
        bench_loop!("csrw-sstatus", "csrw sstatus, t0", "t0" = 0u64);
        bench_loop!("csrrw-sscratch", "csrrw t0, sscratch, t0", "t0" = 0u64);
        bench_loop!("csrr-sscratch", "csrr a0, sscratch");
        csr::write!("sscratch", 0u64);
        bench_loop!("csrw-sepc", "csrw sepc, t0", "t0" = 0x8020_0000u64);
        bench_loop!("csrr-sepc", "csrr a0, sepc");
        bench_loop!("csrr-scause", "csrr a0, scause");
        bench_loop!("csrr-stval", "csrr a0, stval");
        bench_loop!("csrr-sip", "csrr a0, sip");
        bench_loop!("csrs-sie", "csrs sie, t0", "t0" = csr::EXTERNAL);
        bench_loop!("csrc-sie", "csrc sie, t0", "t0" = csr::EXTERNAL);
        bench_loop!(
            "csrw-stvec",
            "csrw stvec, t0",
            "t0" = guests::context::vector()
        );
        bench_loop!("csrr-satp", "csrr a0, satp");
        bench_loop!("csrw-satp-same", "csrw satp, t0", "t0" = satp);
        bench_loop!("rdtime", "rdtime a0");
        paging::bare();
    }

    guests::program!(main);
}
