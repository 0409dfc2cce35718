//! `wfi` that must end: with an interrupt pending that sie enables and sstatus masks, with one that
//! is taken, with a timer about to go off; what sepc holds when the interrupt ends it.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{code, csr, println, sbi};

    fn wait_for(bit: u64) {
        while csr::read!("sip") & bit == 0 {}
    }

    fn main() {
        let waits = code!(".option norvc", "nop", "wfi", "nop", "nop");
        csr::write!("sip", csr::SOFTWARE);
        csr::write!("sie", csr::SOFTWARE);
        println!("software pending, SIE off: {}", waits.run());
        println!(
            "software pending, SIE on: {}",
            waits.supervisor().status(csr::SPIE).run()
        );
        csr::write!("sip", 0u64);
        sbi::set_timer(0);
        wait_for(csr::TIMER);
        csr::write!("sie", csr::TIMER);
        println!("timer pending, SIE off: {}", waits.run());
        println!(
            "timer pending, SIE on: {}",
            waits.supervisor().status(csr::SPIE).run()
        );
        csr::write!("sie", csr::TIMER | csr::SOFTWARE);
        println!("timer pending, both enabled: {}", waits.run());

        let mut woken = 0;
        for _ in 0..100 {
            sbi::set_timer(csr::read!("time") + 2_000);
            let trap = waits.run();
            while csr::read!("sip") & csr::TIMER == 0 {}
            woken += (trap.cause == 3 && trap.pc == waits.end - 4) as u32;
        }
        println!("timer to come, SIE off: {woken} of 100 waits went on");

        // Taken at the wfi, so that it returns to the instruction after it; or, when the timer was
        // faster, before it: the loop makes both the same.
        let forever = code!(".option norvc", "1: wfi", "j 1b");
        let mut taken = 0;
        for _ in 0..100 {
            sbi::set_timer(csr::read!("time") + 2_000);
            let trap = forever.supervisor().status(csr::SPIE).run();
            taken += (trap.is_interrupt() && trap.code() == 5) as u32;
        }
        println!("timer to come, SIE on: {taken} of 100 interrupts taken");
        sbi::set_timer(u64::MAX);

        csr::write!("sie", csr::SOFTWARE);
        let mut taken = 0;
        for _ in 0..100 {
            sbi::interrupt_self();
            let trap = forever.supervisor().status(csr::SPIE).run();
            taken += (trap.is_interrupt() && trap.code() == 1) as u32;
            csr::write!("sip", 0u64);
        }
        println!("interrupt to self, SIE on: {taken} of 100 taken");

        csr::write!("sie", csr::TIMER);
        sbi::set_timer(0);
        wait_for(csr::TIMER);
        let many = code!("li a0, 1000", "1: wfi", "addi a0, a0, -1", "bnez a0, 1b");
        let mut context = many.supervisor();
        println!(
            "1000 times with the timer pending: {} a0 {}",
            context.run(),
            context.x[10]
        );
        csr::write!("sie", 0u64);
        println!("in U: {}", code!("nop", "wfi").user().run());
        println!("in U, timer enabled: {}", {
            csr::write!("sie", csr::TIMER);
            code!("1: j 1b").user().run()
        });
        csr::write!("sie", 0u64);
        sbi::set_timer(u64::MAX);
    }

    guests::program!(main);
}
