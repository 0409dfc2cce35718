//! External, software and timer interrupts pending together: the order in which they are taken, for
//! every set of enabled ones, from S and from U.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::board::{self, uart};
    use guests::{code, csr, println, sbi};

    fn pend_all() {
        board::enable_uart_interrupt();
        uart::write(uart::IER, uart::TRANSMITTER_EMPTY);
        csr::write!("sip", csr::SOFTWARE);
        sbi::set_timer(0);
        while csr::read!("sip") & 0x222 != 0x222 {}
    }

    fn main() {
        guests::console::flush();
        let loop_forever = code!("1: j 1b");
        let mut order = [0u64; 4];
        for (mode, status) in [("S", csr::SPP | csr::SPIE), ("U", 0)] {
            for set in 1..8u64 {
                let enabled = [csr::SOFTWARE, csr::TIMER, csr::EXTERNAL];
                let mut sie = (0..3)
                    .filter(|bit| set >> bit & 1 != 0)
                    .fold(0, |sum, bit| sum | enabled[bit]);
                pend_all();
                let pending = csr::read!("sip");
                let mut count = 0;
                while sie != 0 {
                    csr::write!("sie", sie);
                    let mut context = loop_forever.supervisor();
                    context.sstatus = status;
                    let trap = context.run();
                    csr::write!("sie", 0u64);
                    order[count] = trap.cause & 15;
                    count += 1;
                    sie &= !(1 << (trap.cause & 15));
                }
                uart::write(uart::IER, 0);
                board::drain();
                csr::write!("sip", 0u64);
                sbi::set_timer(u64::MAX);
                println!(
                    "{mode}, set {set}: sip {pending:#x}, taken {:?}",
                    &order[..count]
                );
            }
        }
        println!("all quiet: sip {:#x}", csr::read!("sip"));
    }

    guests::program!(main);
}
