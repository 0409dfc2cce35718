//! stvec in vectored mode: exceptions go to the base, interrupts to base + 4 * cause; and the same
//! in direct mode. The exception is one that firmware delegates: OpenSBI forgets to clear the mode
//! bits of stvec when it passes on one that is not.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{code, context, csr, println, sbi};

    fn main() {
        let table = code!(
            ".option norvc",
            "la t0, 10f",
            "or t0, t0, a1",
            "csrw stvec, t0",
            "li a0, -1",
            "beqz a2, 1f",
            "csrsi sstatus, 2",
            "nop",
            "j 90f",
            "1: ebreak",
            "j 90f",
            ".balign 256",
            "10:",
            "j 20f",
            "j 21f",
            "j 22f",
            "j 23f",
            "j 24f",
            "j 25f",
            "j 26f",
            "j 27f",
            "j 28f",
            "j 29f",
            "j 30f",
            "j 31f",
            "j 32f",
            "j 33f",
            "j 34f",
            "j 35f",
            "20: li a0, 0",
            "j 80f",
            "21: li a0, 1",
            "j 80f",
            "22: li a0, 2",
            "j 80f",
            "23: li a0, 3",
            "j 80f",
            "24: li a0, 4",
            "j 80f",
            "25: li a0, 5",
            "j 80f",
            "26: li a0, 6",
            "j 80f",
            "27: li a0, 7",
            "j 80f",
            "28: li a0, 8",
            "j 80f",
            "29: li a0, 9",
            "j 80f",
            "30: li a0, 10",
            "j 80f",
            "31: li a0, 11",
            "j 80f",
            "32: li a0, 12",
            "j 80f",
            "33: li a0, 13",
            "j 80f",
            "34: li a0, 14",
            "j 80f",
            "35: li a0, 15",
            "80: csrr a3, scause",
            "csrr a4, sepc",
            "90: csrw stvec, s11",
        );
        for mode in [0, 1] {
            for (name, pend) in [
                ("exception", 0),
                ("software", csr::SOFTWARE),
                ("timer", csr::TIMER),
            ] {
                for _ in 0..100 {
                    if pend == csr::TIMER {
                        sbi::set_timer(0);
                        while csr::read!("sip") & csr::TIMER == 0 {}
                    } else {
                        csr::write!("sip", pend);
                    }
                    csr::write!("sie", pend);
                    let mut context = table
                        .supervisor()
                        .with(11, mode)
                        .with(12, pend)
                        .with(27, context::vector());
                    let trap = context.run();
                    csr::write!("sie", 0u64);
                    csr::write!("sip", 0u64);
                    sbi::set_timer(u64::MAX);
                    let seen = (
                        context.x[10],
                        context.x[13],
                        context.x[14].wrapping_sub(table.start),
                    );
                    static LAST: core::sync::atomic::AtomicU64 =
                        core::sync::atomic::AtomicU64::new(0);
                    let key =
                        seen.0 ^ seen.1 << 8 ^ seen.2 << 16 ^ mode << 40 ^ pend << 48 ^ 1 << 60;
                    if LAST.swap(key, core::sync::atomic::Ordering::Relaxed) != key {
                        println!(
                            "mode {mode}, {name}: entry {} scause {:#x} sepc +{:#x}, then {}",
                            seen.0,
                            seen.1,
                            seen.2,
                            trap.name()
                        );
                    }
                }
            }
        }
    }

    guests::program!(main);
}
