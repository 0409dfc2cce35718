//! One hart changes a mapping or text that the others use all the time. When its remote fence has
//! returned, or all have answered its interrupt with a fence, nobody sees the old state any more.
//!
//! Monitors that were broken on purpose fail it: one that does not interrupt the others for a remote
//! `sfence.vma`, one whose harts forget contexts and sites but not translations, and one that does not
//! pass `fence.i` on. One that interrupts them and does not wait it lets through most of the time; the
//! page tables that Linux edits (`probe tables`) do not.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use guests::code::{addi, csrr, fence_i};
    use guests::harts::{self, Barrier};
    use guests::paging::{LEAF, Mode, R, Space, X};
    use guests::{csr, memory, paging, println, sbi};

    const COUNT: usize = 4;
    /// Looked at by all.
    const PLACE: u64 = 0x1234_5000;
    /// Where the text is executed; it is written elsewhere.
    const TEXT: u64 = 0x2345_6000;
    const FRAMES: usize = 16;
    const ASID: u64 = 6;

    /// What is known of a thing that changes step by step: a look at it must find a step between
    /// `finished`, read before, and `begun`, read after.
    struct Steps {
        begun: AtomicU64,
        finished: AtomicU64,
        /// How often each other hart has looked.
        looks: [AtomicU64; COUNT],
        ended: AtomicBool,
    }

    impl Steps {
        const fn new() -> Self {
            Self {
                begun: AtomicU64::new(0),
                finished: AtomicU64::new(0),
                looks: [const { AtomicU64::new(0) }; COUNT],
                ended: AtomicBool::new(false),
            }
        }

        /// Looks until the end; `is_of(found, step)`.
        fn watch(&self, me: usize, look: impl Fn() -> u64, is_of: impl Fn(u64, u64) -> bool) {
            while !self.ended.load(Ordering::Relaxed) {
                let first = self.finished.load(Ordering::Acquire);
                let found = look();
                let last = self.begun.load(Ordering::Acquire);
                assert!(
                    (first..=last).any(|step| is_of(found, step)),
                    "hart {me} found {found:#x}, which is of none of the steps {first} to {last}"
                );
                let looks = self.looks[me].fetch_add(1, Ordering::Relaxed);
                // Fences find harts awake and asleep, and the leader gets its turn.
                if looks % 300 == 299 {
                    harts::nap();
                }
            }
        }

        /// Does `change(step)` for so many steps.
        fn lead(&self, steps: u64, change: impl Fn(u64)) {
            for step in 1..=steps {
                self.begun.store(step, Ordering::SeqCst);
                change(step);
                self.finished.store(step, Ordering::Release);
                // Now and then all get time to look.
                if step % 64 == 0 {
                    for looks in &self.looks[1..] {
                        let seen = looks.load(Ordering::Relaxed);
                        harts::wait_until(|| looks.load(Ordering::Relaxed) != seen);
                    }
                }
            }
            self.ended.store(true, Ordering::Relaxed);
        }
    }

    fn remote(function: u64, mask: (u64, u64), start: u64, size: u64) {
        let reply = sbi::call(
            sbi::RFENCE,
            function,
            [mask.0, mask.1, start, size, ASID, 0],
        );
        assert_eq!(reply.error, 0);
    }

    fn main() {
        harts::ready(COUNT);
        let all = (0, u64::MAX);
        let others = (harts::mask((1 << COUNT) - 2), 0);
        let everyone = (harts::mask((1 << COUNT) - 1), 0);
        for mode in Mode::supported() {
            println!("{mode:?}");
            mappings("everything", mode, || remote(1, all, 0, u64::MAX));
            mappings("everything, sizes of 0", mode, || remote(1, all, 0, 0));
            mappings("a page", mode, || remote(1, everyone, PLACE, 4096));
            mappings("a page, others only", mode, || {
                remote(1, others, PLACE, 4096)
            });
            mappings("a range", mode, || {
                remote(1, everyone, PLACE - 0x3000, 0x9000);
            });
            mappings("a long range", mode, || {
                remote(1, all, 0x1000_0000, 1 << 28)
            });
            mappings("an address space", mode, || remote(2, all, 0, u64::MAX));
            mappings("a page of it", mode, || remote(2, all, PLACE, 4096));
            by_interrupts(mode);
        }
        texts("fence.i, all", || remote(0, all, 0, 0));
        texts("fence.i, each by its mask", || remote(0, everyone, 0, 0));
        received(|| remote(0, others, 0, 0));
    }

    fn new_space(mode: Mode) -> (Space, [u64; FRAMES]) {
        let space = Space::new(mode);
        let frames = core::array::from_fn(|_| memory::page());
        space.map(PLACE, frames[0], LEAF | R);
        (space, frames)
    }

    /// Maps the next frame, which holds the number of the step.
    fn remap(space: &Space, frames: &[u64; FRAMES], step: u64) {
        let frame = frames[step as usize % FRAMES];
        memory::write(frame, step);
        space.map(PLACE, frame, LEAF | R);
    }

    fn mappings(name: &str, mode: Mode, fence: impl Fn() + Sync) {
        const STEPS: u64 = 200;
        let (space, frames) = new_space(mode);
        let steps = Steps::new();
        let barrier = Barrier::new(COUNT);
        harts::together(COUNT, |me| {
            space.activate(ASID);
            barrier.wait();
            match me {
                0 => steps.lead(STEPS, |step| {
                    remap(&space, &frames, step);
                    fence();
                }),
                _ => steps.watch(me, || memory::read(PLACE), |found, step| found == step),
            }
            assert!(me == 0 || memory::read::<u64>(PLACE) == STEPS);
            paging::bare();
        });
        println!("  {name}: {STEPS} changes, none seen late");
    }

    /// The fence is each hart's own, as its answer to an interrupt.
    fn by_interrupts(mode: Mode) {
        const STEPS: u64 = 200;
        let (space, frames) = new_space(mode);
        let steps = Steps::new();
        let barrier = Barrier::new(COUNT);
        let answers = [const { AtomicU64::new(0) }; COUNT];
        harts::together(COUNT, |me| {
            space.activate(ASID);
            barrier.wait();
            let answer = || {
                if csr::read!("sip") & csr::SOFTWARE != 0 {
                    csr::write!("sip", 0u64);
                    // What is read here is not older than what the interrupt was sent for.
                    let step = steps.begun.load(Ordering::SeqCst);
                    match step % 4 {
                        0 => paging::fence(),
                        1 => paging::fence_address(PLACE),
                        2 => paging::fence_asid(ASID),
                        _ => paging::fence_both(PLACE, ASID),
                    }
                    answers[me].store(step, Ordering::Release);
                }
            };
            let look = || {
                answer();
                memory::read(PLACE)
            };
            match me {
                0 => steps.lead(STEPS, |step| {
                    remap(&space, &frames, step);
                    let others = harts::mask((1 << COUNT) - 2);
                    sbi::call(sbi::IPI, 0, [others, 0, 0, 0, 0, 0]);
                    for answer in &answers[1..] {
                        harts::wait_until(|| answer.load(Ordering::Acquire) == step);
                    }
                }),
                _ => steps.watch(me, look, |found, step| found == step),
            }
            paging::bare();
        });
        println!("  fences of their own, asked for by interrupts: {STEPS} changes, none seen late");
    }

    /// One instruction is a privileged one in every other step and an `addi` in between.
    fn texts(name: &str, fence: impl Fn() + Sync) {
        const STEPS: u64 = 200;
        const KEPT: u64 = 0x1_2345;
        const CAUSE: u64 = 13;
        const SCAUSE: u32 = 0x142;
        const STVAL: u32 = 0x143;
        const RET: u32 = 0x8067;
        // Each differs from the next in one parcel of 16 bits, which is all that a fetch beside the
        // store is sure to see as a whole.
        const WORDS: [u32; 4] = [
            csrr(10, STVAL),
            addi(10, 0, STVAL as i32),
            addi(10, 0, SCAUSE as i32),
            csrr(10, SCAUSE),
        ];
        const VALUES: [u64; 4] = [KEPT, STVAL as u64, SCAUSE as u64, CAUSE];
        let space = Space::new(Mode::Sv39);
        let frame = memory::page();
        memory::write(frame + 0x10, WORDS[0]);
        memory::write(frame + 0x14, RET);
        fence_i();
        space.map(TEXT, frame, LEAF | R | X);
        let steps = Steps::new();
        let barrier = Barrier::new(COUNT);
        // SAFETY: the text there is a function without arguments, whose result is in a0.
        let call = || unsafe { core::mem::transmute::<u64, extern "C" fn() -> u64>(TEXT + 0x10)() };
        let value = |step: u64| VALUES[step as usize % 4];
        harts::together(COUNT, |me| {
            space.activate(ASID);
            fence_i();
            csr::write!("stval", KEPT);
            csr::write!("scause", CAUSE);
            barrier.wait();
            match me {
                0 => steps.lead(STEPS, |step| {
                    let word = WORDS[step as usize % 4];
                    memory::write(frame + 0x10, word);
                    fence();
                    // Once more, for QEMU: a hart that translated the old word while the first store
                    // was on its way keeps it, as that store did not find the page protected yet.
                    memory::write(frame + 0x10, word);
                    fence();
                    assert_eq!(call(), value(step), "on the hart that wrote it");
                }),
                _ => steps.watch(me, call, |found, step| found == value(step)),
            }
            paging::bare();
        });
        println!("{name}: {STEPS} changes of an instruction, none seen late");
    }

    /// QEMU keeps what it fetches coherent with what is stored, so that no text tells whether a hart
    /// executed a `fence.i` that another asked for. The firmware's count of them does.
    fn received(fence: impl Fn() + Sync) {
        const FENCES: u64 = 20;
        /// `SBI_PMU_FW_FENCE_I_RECEIVED`
        const EVENT: u64 = 0xf_0009;
        /// `SBI_PMU_CFG_FLAG_CLEAR_VALUE` and `_AUTO_START`
        const FROM_ZERO: u64 = 0b110;
        let info = |index| sbi::call(sbi::PMU, 1, [index, 0, 0, 0, 0, 0]);
        let counters = sbi::call(sbi::PMU, 0, [0; 6]).value.min(64);
        let firmware = (0..counters)
            .filter(|&index| info(index).error == 0 && info(index).value >> 63 != 0)
            .fold(0, |mask, index| mask | 1 << index);
        let barrier = Barrier::new(COUNT);
        harts::together(COUNT, |me| {
            let counter = sbi::call(sbi::PMU, 2, [0, firmware, FROM_ZERO, EVENT, 0, 0]);
            assert_eq!(counter.error, 0);
            barrier.wait();
            if me == 0 {
                (0..FENCES).for_each(|_| fence());
            }
            barrier.wait();
            let count = sbi::call(sbi::PMU, 5, [counter.value, 0, 0, 0, 0, 0]);
            // Several that find a hart asleep may be one, and there may be others that nobody here sent.
            assert!(me == 0 || count.value > 0, "hart {me}: {count}");
        });
        println!("fence.i, others only: {FENCES} sent, each has received some");
    }

    guests::program!(main);
}
