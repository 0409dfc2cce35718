//! What one hart asks of another: an interrupt, until the other's handler has answered in memory, and
//! remote fences, until the call returns.
//!
//! With `counted=1` among its arguments it counts the instructions of an interrupt, under QEMU's
//! `-icount`. All harts share a thread there and take turns of millions of instructions, so that who
//! waits by spinning spins to the end of its turn: everybody sleeps instead. `instret` counts the
//! instructions of all harts there, and leaves out the time that all sleep. A fence cannot be counted so:
//! the firmware spins in it until the other hart has done its part.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::arch::asm;
    use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use guests::context::{self, Context};
    use guests::harts::{self, Barrier};
    use guests::paging::{LEAF, Mode, R, Space};
    use guests::{code, csr, memory, paging, println, sbi, tree};

    const COUNT: usize = 2;
    /// How often a thing is done in a batch. The shortest batch counts, but never the first.
    const ROUNDS: u64 = 20;
    const BATCHES: u64 = 5;
    /// The page that is fenced.
    const PLACE: u64 = 0x1234_5000;
    const ASID: u64 = 1;

    /// Ticks of `time` (100 ns on the boards we know) after which the other hart is at rest again.
    const REST: u64 = 100;
    /// Ticks that the other hart runs before it is fenced.
    const RUN: u64 = 1000;
    /// Instructions in a tick under `-icount shift=0`: the unit of what is printed is the tick.
    const INSTRUCTIONS: u64 = 100;

    /// How many more interrupts the handler is to answer.
    static LEFT: AtomicU64 = AtomicU64::new(ROUNDS * BATCHES);

    fn main() {
        harts::ready(COUNT);
        let space = Space::new(Mode::Sv39);
        space.map(PLACE, memory::page(), LEAF | R);
        if tree::argument("counted").is_some() {
            interrupts(&space, || {
                measure("empty", INSTRUCTIONS, || counted(|| {}));
                measure("remote-ipi", INSTRUCTIONS, || counted(send));
            });
            return;
        }
        interrupts(&space, || measure("remote-ipi", 1, timed));
        let other = harts::mask(2);
        fences("remote-sfence.vma-page", &space, || {
            sbi::call(sbi::RFENCE, 1, [other, 0, PLACE, 4096, 0, 0])
        });
        fences("remote-fence.i", &space, || {
            sbi::call(sbi::RFENCE, 0, [other, 0, 0, 0, 0, 0])
        });
    }

    /// Prints the time of the shortest batch, of rounds that take so many parts of a tick.
    fn measure(name: &str, parts: u64, mut round: impl FnMut() -> u64) {
        let mut least = u64::MAX;
        for batch in 0..BATCHES {
            let time: u64 = (0..ROUNDS).map(|_| round()).sum();
            if batch > 0 {
                least = least.min(time);
            }
        }
        println!("bench {name} iterations {ROUNDS} time {}", least / parts);
    }

    fn spin(ticks: u64) {
        let start = csr::read!("time");
        while csr::read!("time") - start < ticks {}
    }

    fn wfi() {
        // SAFETY: with SIE off it does nothing but wait.
        unsafe { asm!("wfi") };
    }

    fn send() {
        let reply = sbi::call(sbi::IPI, 0, [harts::mask(2), 0, 0, 0, 0, 0]);
        assert_eq!(reply.error, 0);
    }

    /// The time from the call to the answer.
    fn timed() -> u64 {
        spin(REST);
        let left = LEFT.load(SeqCst);
        let start = csr::read!("time");
        send();
        while LEFT.load(SeqCst) == left {}
        csr::read!("time") - start
    }

    /// The instructions of `ask` and of a sleep in which the other hart does what it is asked.
    fn counted(ask: impl Fn()) -> u64 {
        let start = csr::read!("instret");
        ask();
        sleep();
        csr::read!("instret") - start
    }

    /// Sleeps for [`RUN`] ticks.
    fn sleep() {
        csr::write!("sie", csr::TIMER);
        sbi::set_timer(csr::read!("time") + RUN);
        while csr::read!("sip") & csr::TIMER == 0 {
            wfi();
        }
        csr::write!("sie", 0u64);
        sbi::set_timer(u64::MAX);
    }

    /// Does `work` beside a hart that waits for interrupts and answers all that [`LEFT`] speaks of.
    fn interrupts(space: &Space, work: impl Fn() + Sync) {
        let handler = code!(
            ".option norvc",
            "csrci sip, 2",
            "addi s1, s1, -1",
            "sd s1, 0(s2)",
            "beqz s1, 1f",
            "sret",
            "1:",
            "csrw stvec, s11",
            "jr s11",
        );
        let waits = code!("1:", "wfi", "j 1b");
        let barrier = Barrier::new(COUNT);
        harts::together(COUNT, |me| {
            space.activate(ASID);
            if me == 0 {
                barrier.wait();
                // Until the other hart waits.
                sleep();
                work();
                assert_eq!(LEFT.load(SeqCst), 0, "interrupts that were not answered");
            } else {
                let mut context = Context::supervisor(waits.start)
                    .status(csr::SPIE)
                    .with(9, LEFT.load(SeqCst))
                    .with(18, LEFT.as_ptr() as u64)
                    .with(27, context::vector());
                csr::write!("sie", csr::SOFTWARE);
                csr::write!("stvec", handler.start);
                barrier.wait();
                context.run();
            }
            context::reset();
            paging::bare();
        });
    }

    /// What the two harts of a fence know of each other.
    struct Pair {
        /// The number of the round; [`OVER`] after the last.
        round: AtomicU64,
        /// The last round for which the other hart runs.
        running: AtomicU64,
    }

    const OVER: u64 = u64::MAX;

    fn fences(name: &str, space: &Space, fence: impl Fn() -> sbi::Reply + Sync) {
        let pair = Pair {
            round: AtomicU64::new(0),
            running: AtomicU64::new(0),
        };
        harts::together(COUNT, |me| {
            space.activate(ASID);
            if me == 0 {
                measure(name, 1, || pair.timed(&fence));
                pair.call(OVER);
            } else {
                pair.run();
            }
            context::reset();
            paging::bare();
        });
    }

    impl Pair {
        fn call(&self, round: u64) {
            self.round.store(round, SeqCst);
            send();
        }

        /// The time of a fence that finds the other hart running.
        fn timed(&self, fence: impl Fn() -> sbi::Reply) -> u64 {
            loop {
                let round = self.round.load(SeqCst) + 1;
                self.call(round);
                sleep();
                if self.running.load(SeqCst) != round {
                    continue;
                }
                let start = csr::read!("time");
                let reply = fence();
                let time = csr::read!("time") - start;
                assert_eq!(reply.error, 0);
                return time;
            }
        }

        /// Runs for each round until the next one begins.
        fn run(&self) {
            csr::write!("sie", csr::SOFTWARE);
            loop {
                while csr::read!("sip") & csr::SOFTWARE == 0 {
                    wfi();
                }
                csr::write!("sip", 0u64);
                let round = self.round.load(SeqCst);
                if round == OVER {
                    return;
                }
                memory::read::<u64>(PLACE);
                self.running.store(round, SeqCst);
                while self.round.load(SeqCst) == round {
                    core::hint::spin_loop();
                }
            }
        }
    }

    guests::program!(main);
}
