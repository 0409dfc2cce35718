//! Traps and returns: `sret` within S, system calls, page faults and breakpoints that the guest's own
//! handler takes, the firmware, a device's register, a `wfi` that need not wait.
//!
//! The system call is `ecall` from U, four instructions of handler, `sret`. `sret-to-s` is three
//! instructions to set sepc and SPP, and the `sret`.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::bench::{self, ITERATIONS, run_with};
    use guests::board::uart;
    use guests::context::Context;
    use guests::paging::{LEAF, R, W};
    use guests::{bench_loop, code, csr, memory, paging, sbi, skip_handler};

    /// Where the UART is mapped; its scratch register is read.
    const DEVICE: u64 = 0x4000_0000;

    fn main() {
        let space = bench::enter_paged();
        bench_loop!("empty", "");
        bench_loop!(
            "sret-to-s",
            "auipc a0, 0\naddi a0, a0, 20\ncsrw sepc, a0\ncsrs sstatus, t0\nsret",
            "t0" = csr::SPP
        );
        let handler = skip_handler!().start;
        let calls = space.user(
            code!(".option norvc", "1:", ".rept 100", "ecall", ".endr", "j 1b"),
            0x10_0000,
        );
        bench::measure("user-ecall-round-trip", ITERATIONS, || {
            run_with(handler, calls.clone(), ITERATIONS)
        });
        let loads = code!(
            ".option norvc",
            "1:",
            ".rept 100",
            "ld t1, 0(a1)",
            ".endr",
            "j 1b"
        );
        let faults = space.user(loads, 0x11_0000).with(11, 0x7000_0000);
        bench::measure("user-page-fault-round-trip", ITERATIONS, || {
            run_with(handler, faults.clone(), ITERATIONS)
        });
        let breaks = space.user(
            code!(
                ".option norvc",
                "1:",
                ".rept 100",
                "ebreak",
                ".endr",
                "j 1b"
            ),
            0x12_0000,
        );
        bench::measure("user-breakpoint-round-trip", ITERATIONS, || {
            run_with(handler, breaks.clone(), ITERATIONS)
        });
        let faults = Context::supervisor(loads.start).with(11, 0x7000_0000);
        bench::measure("supervisor-page-fault-round-trip", ITERATIONS, || {
            run_with(handler, faults.clone(), ITERATIONS)
        });
        let page = memory::page();
        let wide = space
            .user(
                code!(".option norvc", "1:", "sd a1, 0(a1)", "j 1b"),
                0x13_0000,
            )
            .with(11, page);
        bench::measure("context-run", 1000, || {
            for _ in 0..1000 {
                wide.clone().run();
            }
        });
        bench::measure("sbi-set-timer", ITERATIONS, || {
            for _ in 0..ITERATIONS {
                sbi::set_timer(u64::MAX);
            }
        });
        space.map(DEVICE, uart::BASE, LEAF | R | W);
        bench_loop!("device-load", "lbu a0, 7(t0)", "t0" = DEVICE);
        csr::write!("sie", csr::SOFTWARE);
        csr::write!("sip", csr::SOFTWARE);
        bench_loop!("wfi-pending", "wfi");
        csr::write!("sie", 0u64);
        csr::write!("sip", 0u64);
        paging::bare();
    }

    guests::program!(main);
}
