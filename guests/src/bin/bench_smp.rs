//! What one hart asks of another: an interrupt, until the other's handler has answered in memory, and
//! remote fences, until the call returns.
//!
//! With `counted=1` among its arguments it has QEMU's log of executed instructions counted, in which each
//! hart has lines of its own. It does less then, since each line takes time, and says what came in which order: the
//! log is begun at `bench_begin`, and what is counted goes from `bench_ask` to `bench_rest`, where the other hart is
//! at rest again. What `bench_asked` precedes, the caller does for itself.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::arch::{asm, global_asm};
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
    /// The same while the log is written: 20 ms.
    const COUNTED_REST: u64 = 200_000;
    /// Ticks that the other hart runs before it is fenced.
    const RUN: u64 = 1000;
    /// Rounds that are counted. In the first there are patches to make, and in the last the other hart leaves.
    const COUNTED: u64 = 5;

    // Not near the start of the program: that of the monitor has run at the same physical addresses.
    global_asm!(
        ".pushsection .snippets.bench, \"ax\"",
        ".global bench_begin, bench_end, bench_ask, bench_asked, bench_rest",
        "bench_begin: ret",
        "bench_end: ret",
        "bench_ask: ecall",
        "bench_asked: ret",
        "bench_rest: ret",
        ".popsection",
    );

    unsafe extern "C" {
        safe fn bench_begin();
        safe fn bench_end();
        safe fn bench_rest();
    }

    /// A call to SBI whose `ecall` is at `bench_ask`.
    fn ask(extension: u64, function: u64, arguments: [u64; 4]) {
        let [a0, a1, a2, a3] = arguments;
        let error: u64;
        // SAFETY: the call preserves every register but a0 and a1 (SBI chapter 3), and `bench_ask` no
        // more than that of those that a function may change.
        unsafe {
            asm!("call bench_ask",
                inlateout("a0") a0 => error, inlateout("a1") a1 => _,
                in("a2") a2, in("a3") a3, in("a4") 0u64, in("a5") 0u64,
                in("a6") function, in("a7") extension, out("ra") _);
        }
        assert_eq!(error, 0);
    }

    /// How many more interrupts the handler is to answer.
    static LEFT: AtomicU64 = AtomicU64::new(0);

    fn main() {
        harts::ready(COUNT);
        let space = Space::new(Mode::Sv39);
        space.map(PLACE, memory::page(), LEAF | R);
        let counted = tree::argument("counted").is_some();
        LEFT.store(if counted { COUNTED } else { ROUNDS * BATCHES }, SeqCst);
        if counted {
            bench_begin();
        }
        let measure = |name: &str, round: &mut dyn FnMut() -> u64| match counted {
            true => count(name, round),
            false => time(name, round),
        };
        interrupts(&space, || measure("remote-ipi", &mut interrupted));
        let other = harts::mask(2);
        fences(&space, |pair| {
            let fence = || ask(sbi::RFENCE, 1, [other, 0, PLACE, 4096]);
            measure("remote-sfence.vma-page", &mut || pair.timed(fence));
            let fence = || ask(sbi::RFENCE, 0, [other, 0, 0, 0]);
            measure("remote-fence.i", &mut || pair.timed(fence));
        });
        if counted {
            bench_end();
        }
    }

    /// Does a thing a few times, for the log.
    fn count(name: &str, round: &mut dyn FnMut() -> u64) {
        for _ in 0..COUNTED {
            round();
            sleep(COUNTED_REST);
            bench_rest();
        }
        println!("counted {name} rounds {COUNTED}");
    }

    /// Prints the time of the shortest batch.
    fn time(name: &str, round: &mut dyn FnMut() -> u64) {
        let mut least = u64::MAX;
        for batch in 0..BATCHES {
            let time: u64 = (0..ROUNDS).map(|_| round()).sum();
            if batch > 0 {
                least = least.min(time);
            }
        }
        println!("bench {name} iterations {ROUNDS} time {least}");
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
        ask(sbi::IPI, 0, [harts::mask(2), 0, 0, 0]);
    }

    /// The time from the call to the answer.
    fn interrupted() -> u64 {
        spin(REST);
        let left = LEFT.load(SeqCst);
        let start = csr::read!("time");
        send();
        while LEFT.load(SeqCst) == left {}
        csr::read!("time") - start
    }

    fn sleep(ticks: u64) {
        csr::write!("sie", csr::TIMER);
        sbi::set_timer(csr::read!("time") + ticks);
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
                sleep(RUN);
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

    fn fences(space: &Space, work: impl Fn(&Pair) + Sync) {
        let pair = Pair {
            round: AtomicU64::new(0),
            running: AtomicU64::new(0),
        };
        harts::together(COUNT, |me| {
            space.activate(ASID);
            if me == 0 {
                work(&pair);
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
            let reply = sbi::call(sbi::IPI, 0, [harts::mask(2), 0, 0, 0, 0, 0]);
            assert_eq!(reply.error, 0);
        }

        /// The time of a fence that finds the other hart running.
        fn timed(&self, fence: impl Fn()) -> u64 {
            loop {
                let round = self.round.load(SeqCst) + 1;
                self.call(round);
                sleep(RUN);
                if self.running.load(SeqCst) != round {
                    continue;
                }
                let start = csr::read!("time");
                fence();
                let time = csr::read!("time") - start;
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
