//! Interrupts from every hart to every hart, to masks of them and to oneself: each is received when it
//! is sent and by whom it is sent to, and sip.SSIP is clear after it was cleared.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::sync::atomic::{AtomicU64, Ordering};

    use guests::harts::{self, Barrier, MOST};
    use guests::random::Random;
    use guests::{code, csr, println, sbi};

    const COUNT: usize = MOST;

    fn is_pending() -> bool {
        csr::read!("sip") & csr::SOFTWARE != 0
    }

    fn send(mask: u64, base: u64) {
        let reply = sbi::call(sbi::IPI, 0, [mask, base, 0, 0, 0, 0]);
        assert_eq!(reply.error, 0, "IPI to {mask:#x} from {base}");
    }

    /// Waits for an interrupt, clears it, and says whether it is clear then.
    fn receive() -> bool {
        harts::wait_until(is_pending);
        csr::write!("sip", 0u64);
        !is_pending()
    }

    fn main() {
        harts::ready(COUNT);
        pairs();
        masks();
        taken();
        counted();
    }

    fn pairs() {
        let barrier = Barrier::new(COUNT);
        let received = AtomicU64::new(0);
        let strays = AtomicU64::new(0);
        harts::together(COUNT, |me| {
            for from in 0..COUNT {
                for to in 0..COUNT {
                    barrier.wait();
                    if me == from {
                        send(1, harts::id(to));
                    }
                    if me == to && receive() {
                        received.fetch_add(1, Ordering::Relaxed);
                    }
                    barrier.wait();
                    strays.fetch_add(is_pending() as u64, Ordering::Relaxed);
                }
            }
        });
        println!(
            "pairs: {} received of {}, {} strays",
            received.into_inner(),
            COUNT * COUNT,
            strays.into_inner()
        );
    }

    fn masks() {
        let barrier = Barrier::new(COUNT);
        let received = AtomicU64::new(0);
        let strays = AtomicU64::new(0);
        harts::together(COUNT, |me| {
            // All see the same numbers.
            let mut random = Random::new(1);
            for round in 0..60 {
                let chosen = match round {
                    0 => 0,
                    1 => (1 << COUNT) - 1,
                    _ => random.below(1 << COUNT),
                };
                barrier.wait();
                if me == round % COUNT {
                    match round {
                        // A base of all ones means all harts, whatever the mask.
                        1 => send(0, u64::MAX),
                        _ => send(harts::mask(chosen), 0),
                    }
                }
                if chosen >> me & 1 != 0 && receive() {
                    received.fetch_add(1, Ordering::Relaxed);
                }
                barrier.wait();
                strays.fetch_add(is_pending() as u64, Ordering::Relaxed);
            }
        });
        println!(
            "masks: {} received, {} strays",
            received.into_inner(),
            strays.into_inner()
        );
    }

    /// As interrupts that are taken, in the middle of a loop.
    fn taken() {
        let barrier = Barrier::new(COUNT);
        let taken = AtomicU64::new(0);
        let spin = code!("1: addi a0, a0, 1", "bnez a0, 1b");
        harts::together(COUNT, |me| {
            for round in 0..40 {
                csr::write!("sie", csr::SOFTWARE);
                barrier.wait();
                send(1, harts::id((me + 1 + round % (COUNT - 1)) % COUNT));
                let trap = spin.supervisor().with(10, 1).status(csr::SPIE).run();
                csr::write!("sie", 0u64);
                let right = trap.is_interrupt() && trap.code() == 1 && is_pending();
                csr::write!("sip", 0u64);
                taken.fetch_add((right && !is_pending()) as u64, Ordering::Relaxed);
                barrier.wait();
            }
        });
        println!("taken as interrupts: {}", taken.into_inner());
    }

    /// Each hart sends to its neighbour again and again, the next one when the last was answered.
    fn counted() {
        const TIMES: u64 = 100;
        let answered = [const { AtomicU64::new(0) }; COUNT];
        let sent = [const { AtomicU64::new(0) }; COUNT];
        harts::together(COUNT, |me| {
            let (next, before) = ((me + 1) % COUNT, (me + COUNT - 1) % COUNT);
            let mut got = 0;
            while got < TIMES || sent[me].load(Ordering::Relaxed) < TIMES {
                let mine = sent[me].load(Ordering::Relaxed);
                if mine < TIMES && answered[next].load(Ordering::Acquire) == mine {
                    sent[me].store(mine + 1, Ordering::Release);
                    send(harts::mask(1 << next), 0);
                }
                if is_pending() {
                    csr::write!("sip", 0u64);
                    got += 1;
                    let announced = sent[before].load(Ordering::Acquire);
                    assert_eq!(announced, got, "an interrupt that nobody sent");
                    answered[me].store(got, Ordering::Release);
                }
            }
        });
        let all: u64 = answered
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum();
        println!("answered one by one: {all}, pending {}", is_pending());
    }

    guests::program!(main);
}
