//! Each hart has a timer of its own and CSRs of its own: what one sets, no other sees.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::sync::atomic::{AtomicU64, Ordering};

    use guests::harts::{self, Barrier};
    use guests::paging::{LEAF, Mode, R, Space};
    use guests::random::Random;
    use guests::{code, context, csr, memory, paging, println, sbi};

    const COUNT: usize = 4;
    const PLACE: u64 = 0x1234_5000;

    fn main() {
        harts::ready(COUNT);
        timers();
        idle_timers();
        registers();
    }

    /// Timers of random lengths interrupt a loop on each hart: never early, and always by a timer.
    fn timers() {
        let barrier = Barrier::new(COUNT);
        let fine = AtomicU64::new(0);
        let spin = code!("1: addi a0, a0, 1", "bnez a0, 1b");
        harts::together(COUNT, |me| {
            let mut random = Random::new(me as u64);
            barrier.wait();
            for _ in 0..60 {
                let at = csr::read!("time") + random.below(20_000);
                sbi::set_timer(at);
                csr::write!("sie", csr::TIMER);
                let trap = spin.supervisor().with(10, 1).status(csr::SPIE).run();
                let late = csr::read!("time") >= at;
                csr::write!("sie", 0u64);
                sbi::set_timer(u64::MAX);
                let cleared = csr::read!("sip") & csr::TIMER == 0;
                let timer = trap.is_interrupt() && trap.code() == 5;
                fine.fetch_add((timer && late && cleared) as u64, Ordering::Relaxed);
            }
        });
        println!("timer interrupts as they should be: {}", fine.into_inner());
    }

    /// One hart sets its timer in the past again and again; the others, who set none, never have one.
    fn idle_timers() {
        let barrier = Barrier::new(COUNT);
        let seen = [const { AtomicU64::new(0) }; COUNT];
        harts::together(COUNT, |me| {
            for turn in 0..COUNT {
                sbi::set_timer(u64::MAX);
                // Spinning, for a nap would set the timer.
                barrier.spin();
                let end = csr::read!("time") + 20_000;
                while csr::read!("time") < end {
                    if me == turn {
                        sbi::set_timer(0);
                        while csr::read!("sip") & csr::TIMER == 0 {}
                        sbi::set_timer(u64::MAX);
                    } else if csr::read!("sip") & csr::TIMER != 0 {
                        seen[me].fetch_add(1, Ordering::Relaxed);
                    }
                }
                barrier.wait();
            }
        });
        for (index, seen) in seen.into_iter().enumerate() {
            println!(
                "hart {index}: timers that others had set: {}",
                seen.into_inner()
            );
        }
    }

    fn registers() {
        let spaces: [Space; COUNT] = core::array::from_fn(|index| {
            let space = Space::new(Mode::Sv39);
            let page = memory::page();
            memory::write(page, 0x100 + index as u64);
            space.map(PLACE, page, LEAF | R);
            space
        });
        let barrier = Barrier::new(COUNT);
        let wrong = [const { AtomicU64::new(0) }; COUNT];
        harts::together(COUNT, |me| {
            let mut random = Random::new(me as u64);
            let satp = spaces[me].satp(7);
            spaces[me].activate(7);
            barrier.wait();
            for round in 0..2000 {
                let value = random.next() >> 30 & !3;
                let counters = random.below(8);
                let sie = random.next() & (csr::SOFTWARE | csr::TIMER | csr::EXTERNAL);
                let status = random.next() & (csr::SUM | csr::MXR | csr::SPIE | csr::SPP);
                csr::write!("sscratch", value);
                csr::write!("sepc", value + 4);
                csr::write!("stval", value + 8);
                csr::write!("scause", value & 15);
                csr::write!("scounteren", counters);
                csr::write!("sie", sie);
                csr::write!("stvec", context::vector() & !0xfff | (value & 0x3fc));
                csr::write!("sstatus", status);
                if round % 100 == 0 {
                    barrier.spin();
                }
                let right = csr::read!("sscratch") == value
                    && csr::read!("sepc") == value + 4
                    && csr::read!("stval") == value + 8
                    && csr::read!("scause") == value & 15
                    && csr::read!("scounteren") == counters
                    && csr::read!("sie") == sie
                    && csr::read!("stvec") == context::vector() & !0xfff | (value & 0x3fc)
                    && csr::read!("sstatus") & (csr::SUM | csr::MXR | csr::SPIE | csr::SPP)
                        == status
                    && csr::read!("satp") == satp
                    && memory::read::<u64>(PLACE) == 0x100 + me as u64;
                wrong[me].fetch_add(!right as u64, Ordering::Relaxed);
            }
            csr::write!("scounteren", 7u64);
            context::reset();
            paging::bare();
        });
        for (index, wrong) in wrong.into_iter().enumerate() {
            println!(
                "hart {index}: rounds in which a CSR was not its own: {}",
                wrong.into_inner()
            );
        }
    }

    guests::program!(main);
}
