//! SBI with harts: HSM status, start and suspend, interrupts and remote fences for this hart and for
//! harts that are not there.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{code, csr, println, sbi, start};

    fn main() {
        let hart = start::hart();
        println!(
            "status of this hart: {}",
            sbi::call(sbi::HSM, 2, [hart, 0, 0, 0, 0, 0])
        );
        for other in [1000, 0xffff_ffff, u64::MAX] {
            println!(
                "status of hart {other:#x}: error {}",
                sbi::call(sbi::HSM, 2, [other, 0, 0, 0, 0, 0]).error
            );
            let reply = sbi::call(sbi::HSM, 0, [other, 0x8020_0000, 0, 0, 0, 0]);
            println!("start of hart {other:#x}: error {}", reply.error);
        }
        println!(
            "start of this hart: error {}",
            sbi::call(sbi::HSM, 0, [hart, 0x8020_0000, 0, 0, 0, 0]).error
        );
        for kind in [1, 0x0fff_ffff, 0x8fff_ffff] {
            println!(
                "suspend of kind {kind:#x}: error {}",
                sbi::call(sbi::HSM, 3, [kind, 0x8020_0000, 0, 0, 0, 0]).error
            );
        }
        // A retentive suspend ends at an interrupt that sie enables, masked or not.
        csr::write!("sie", csr::TIMER);
        sbi::set_timer(csr::read!("time") + 5000);
        println!(
            "retentive suspend: {}",
            sbi::call(sbi::HSM, 3, [0, 0, 0, 0, 0, 0]).error
        );
        println!(
            "woken by the timer: {}",
            csr::read!("sip") & csr::TIMER != 0
        );
        sbi::set_timer(u64::MAX);
        csr::write!("sie", 0u64);

        for (name, mask, base) in [
            ("none", 0, 0),
            ("this one", 1, hart),
            ("all", 0, u64::MAX),
            ("one that is not there", 1, 1000),
        ] {
            let reply = sbi::call(sbi::IPI, 0, [mask, base, 0, 0, 0, 0]);
            let expected = reply.error == 0 && name != "none";
            while expected && csr::read!("sip") & csr::SOFTWARE == 0 {}
            println!(
                "IPI to {name}: error {} sip {:#x}",
                reply.error,
                csr::read!("sip")
            );
            csr::write!("sip", 0u64);
            for (function, fence) in [(0, "fence.i"), (1, "sfence.vma"), (2, "sfence.vma, ASID")] {
                let reply = sbi::call(sbi::RFENCE, function, [mask, base, 0x1000, 0x2000, 1, 0]);
                println!("  remote {fence}: error {}", reply.error);
            }
        }
        for (first, size) in [
            (0, 0),
            (0, u64::MAX),
            (0x1000, u64::MAX),
            (0xffff_ffff_ffff_f000, 0x1000),
            (0x123, 0x4567),
        ] {
            let reply = sbi::call(sbi::RFENCE, 1, [1, hart, first, size, 0, 0]);
            println!(
                "sfence.vma of {size:#x} at {first:#x}: error {}",
                reply.error
            );
        }
        println!(
            "reset of kind 0x55: error {}",
            sbi::call(sbi::SRST, 0, [0x55, 0, 0, 0, 0, 0]).error
        );
        println!(
            "wrong reason: error {}",
            sbi::call(sbi::SRST, 0, [0, 0x55, 0, 0, 0, 0]).error
        );
        println!("timer: {}", sbi::set_timer(u64::MAX).error);
        println!("still here: {}", code!("nop").run().name());
    }

    guests::program!(main);
}
