//! Idle: waits for its timer, which comes every `period=` milliseconds (100), for `seconds=` or for
//! ever, on all its harts.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::arch::asm;
    use guests::{csr, harts, println, sbi, tree};

    fn main() {
        let (_, frequency) = tree::machine();
        let period = tree::argument("period").unwrap_or(100) * frequency / 1000;
        let start = csr::read!("time");
        let end = tree::argument("seconds").map_or(u64::MAX, |seconds| start + seconds * frequency);
        let count = harts::available();
        harts::ready(count);
        println!("sleeps on {count} harts");
        harts::together(count, |_| sleep_until(end, period));
    }

    fn sleep_until(end: u64, period: u64) {
        csr::write!("sie", csr::TIMER);
        loop {
            let now = csr::read!("time");
            if now >= end {
                break;
            }
            sbi::set_timer(end.min(now + period));
            // SAFETY: sleeps until the timer; with SIE off nothing is taken.
            unsafe { asm!("wfi") };
        }
        csr::write!("sie", 0u64);
    }

    guests::program!(main);
}
