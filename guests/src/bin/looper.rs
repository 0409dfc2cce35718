//! Bad company: after `delay=` milliseconds it does what its arguments say. `reboots=1`: it resets the
//! machine, for ever; `crashes=1`: it jumps into nothing, and so does every trap from then on;
//! `fails=1`: it powers off with a failure; `patches=1`: it loops through privileged instructions alone;
//! `interrupts=1`: each of its interrupts lets the next one in before anything else is executed.
//! Without one it loops for ever, deaf to everything.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{code, console, csr, println, sbi, tree};

    fn main() {
        let (_, frequency) = tree::machine();
        let delay = tree::argument("delay").unwrap_or(0) * frequency / 1000;
        let start = csr::read!("time");
        while csr::read!("time") - start < delay {}
        println!("now");
        console::flush();
        let is_asked = |what| tree::argument(what).is_some();
        if is_asked("reboots") {
            sbi::call(sbi::SRST, 0, [1, 0, 0, 0, 0, 0]);
        } else if is_asked("crashes") {
            csr::write!("stvec", 0x80_0000u64);
            code!("li t0, 0x900000", "jr t0").run();
        } else if is_asked("fails") {
            sbi::power_off(true);
        } else if is_asked("patches") {
            code!(
                "lla t1, 1f",
                "csrw sepc, t1",
                "li t0, 0x100", // SPP
                "1: csrs sstatus, t0",
                "sret"
            )
            .run();
        } else if is_asked("interrupts") {
            code!(
                "lla t1, 1f",
                "csrw stvec, t1",
                "csrwi sie, 2",
                "csrwi sip, 2",
                "j 1f",
                ".balign 4",
                "1: csrsi sstatus, 2",
                "j 1b"
            )
            .run();
        }
        loop {
            core::hint::spin_loop();
        }
    }

    guests::program!(main);
}
