//! Many harts execute the same privileged instructions, first all at once where nobody has before,
//! then while one of them rewrites them. Every result is known beforehand.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use guests::code::{EBREAK, addi, csr_word, csrr, fence_i, write_words};
    use guests::context::Context;
    use guests::harts::{self, Barrier};
    use guests::paging::{LEAF, Mode, R, Space, X};
    use guests::random::Random;
    use guests::{csr, memory, paging, println, sbi};

    const COUNT: usize = 4;
    const TEXT: u64 = 0x3456_0000;
    const STVAL: u32 = 0x143;
    const SEPC: u32 = 0x141;
    const SIE: u32 = 0x104;
    const SSTATUS: u32 = 0x100;
    const RW: u32 = 1;
    const RS: u32 = 2;
    const RC: u32 = 3;
    const RWI: u32 = 5;
    const RSI: u32 = 6;
    const RCI: u32 = 7;

    const WORDS: usize = 16;

    /// s0 to s3 (x8, x9, x18, x19) go in, a0 to a7, t3 to t6 come out.
    const PIECE: [u32; WORDS] = [
        csr_word(RW, STVAL, 0, 8),
        csr_word(RW, STVAL, 10, 9),
        csr_word(RS, STVAL, 11, 18),
        csr_word(RC, STVAL, 12, 19),
        csrr(13, STVAL),
        csr_word(RWI, STVAL, 14, 21),
        csr_word(RSI, STVAL, 15, 10),
        csr_word(RCI, STVAL, 16, 3),
        csrr(17, STVAL),
        csr_word(RSI, SSTATUS, 28, 2),
        csr_word(RCI, SSTATUS, 29, 2),
        csr_word(RWI, SIE, 0, 2),
        csr_word(RWI, SIE, 30, 0),
        csr_word(RW, SEPC, 0, 18),
        csrr(31, SEPC),
        EBREAK,
    ];

    /// The same, instruction by instruction, in other words. They differ in one parcel of 16 bits each,
    /// which is all that a fetch beside a store is sure to see as a whole.
    const OTHER: [u32; WORDS] = {
        let mut words = PIECE;
        // s0 is in t1 (x6) too, s1 in t2 (x7), s2 in s4 (x20).
        words[0] = csr_word(RW, STVAL, 0, 6);
        words[1] = csr_word(RW, STVAL, 10, 7);
        words[2] = csr_word(RS, STVAL, 11, 20);
        words[4] = csr_word(RC, STVAL, 13, 0);
        words[8] = csr_word(RSI, STVAL, 17, 0);
        words[12] = csr_word(RW, SIE, 30, 0);
        words[14] = csr_word(RCI, SEPC, 31, 0);
        words
    };

    /// Runs the piece at `at` with inputs that depend on `seed`; says whether all is as it must be.
    fn is_right(at: u64, seed: u64) -> bool {
        let mut random = Random::new(seed);
        // Multiples of 4: QEMU 10.0 keeps bit 0 of sepc, against the specification.
        let [s0, s1, s2, s3] = core::array::from_fn(|_| random.next() >> 28 & !3);
        let mut context = Context::supervisor(at).with(8, s0).with(6, s0);
        context = context.with(9, s1).with(7, s1);
        context = context.with(18, s2).with(20, s2).with(19, s3);
        let trap = context.run();
        let x = &context.x;
        let cleared = (s1 | s2) & !s3;
        let expected = [
            (10, s0),
            (11, s1),
            (12, s1 | s2),
            (13, cleared),
            (14, cleared),
            (15, 21),
            (16, 31),
            (17, 28),
            (30, 2),
            (31, s2),
        ];
        trap.cause == 3
            && trap.pc == at + 4 * (WORDS as u64 - 1)
            && expected.iter().all(|&(index, value)| x[index] == value)
            && x[28] & csr::SIE == 0
            && x[29] & csr::SIE != 0
    }

    fn main() {
        harts::ready(COUNT);
        cold();
        rewritten();
        replaced();
    }

    /// All harts at once where nobody has executed before, on pages of their own and across the ends
    /// of pages.
    fn cold() {
        const PLACES: u64 = 200;
        let space = Space::new(Mode::Sv39);
        let text = memory::allocate(1 << 20);
        for page in 0..256 {
            space.map(TEXT + page * 4096, text + page * 4096, LEAF | R | X);
        }
        let place = |index: u64| index * 4096 + 4096 - 38 + index % 20 * 2;
        for index in 0..PLACES {
            write_words(text + place(index), &PIECE);
        }
        let barrier = Barrier::new(COUNT);
        let right = AtomicU64::new(0);
        harts::together(COUNT, |me| {
            space.activate(1);
            fence_i();
            for index in 0..PLACES {
                if index % 8 == 0 {
                    barrier.wait();
                }
                for round in 0..10 {
                    let seed = (me as u64) << 32 | index << 8 | round;
                    let fine = is_right(TEXT + place(index), seed);
                    right.fetch_add(fine as u64, Ordering::Relaxed);
                }
            }
            paging::bare();
        });
        println!(
            "executed by all at first: {} of {} right",
            right.into_inner(),
            PLACES * 10 * COUNT as u64
        );
    }

    /// One hart rewrites the instructions, each by one that does the same; whichever a hart executes,
    /// before or after a fence, the result is the same.
    fn rewritten() {
        const REWRITES: u64 = 2000;
        let space = Space::new(Mode::Sv39);
        let text = memory::page();
        space.map(TEXT, text, LEAF | R | X);
        write_words(text + 0x800, &PIECE);
        let ended = AtomicBool::new(false);
        let rounds = [const { AtomicU64::new(0) }; COUNT];
        harts::together(COUNT, |me| {
            space.activate(1);
            fence_i();
            let mut random = Random::new(me as u64);
            if me > 0 {
                while !ended.load(Ordering::Relaxed) {
                    assert!(is_right(TEXT + 0x800, random.next()), "hart {me}");
                    // The writing hart gets its turn.
                    if rounds[me].fetch_add(1, Ordering::Relaxed) % 50 == 49 {
                        harts::nap();
                    }
                }
            } else {
                for rewrite in 0..REWRITES {
                    let index = random.below(WORDS as u64 - 1) as usize;
                    let word = random.of(&[PIECE[index], OTHER[index]]);
                    memory::write(text + 0x800 + 4 * index as u64, word);
                    if random.once_in(3) {
                        sbi::call(sbi::RFENCE, 0, [0, u64::MAX, 0, 0, 0, 0]);
                    }
                    if random.once_in(7) {
                        assert!(is_right(TEXT + 0x800, random.next()), "the writing hart");
                    }
                    if rewrite % 400 == 0 {
                        let hart = &rounds[1 + (rewrite / 400) as usize % (COUNT - 1)];
                        let seen = hart.load(Ordering::Relaxed);
                        harts::wait_until(|| hart.load(Ordering::Relaxed) >= seen + 3);
                    }
                }
                ended.store(true, Ordering::Relaxed);
            }
            paging::bare();
        });
        println!("{REWRITES} rewrites under running harts: all results right");
    }

    /// All meet; one replaces the whole page by other privileged instructions; all run it.
    fn replaced() {
        const TIMES: u64 = 150;
        let space = Space::new(Mode::Sv39);
        let text = memory::page();
        space.map(TEXT, text, LEAF | R | X);
        let barrier = Barrier::new(COUNT);
        let right = AtomicU64::new(0);
        harts::together(COUNT, |me| {
            space.activate(1);
            for time in 0..TIMES {
                // The instructions move up and down, so that each place holds each in time.
                let offset = 0x100 + time * 4 % 64;
                if me as u64 == time % COUNT as u64 {
                    for word in 0..32 {
                        memory::write(text + 0x100 + 4 * word, addi(0, 0, 0));
                    }
                    let words = if time % 2 == 0 { &PIECE } else { &OTHER };
                    for (index, &word) in words.iter().enumerate() {
                        memory::write(text + offset + 4 * index as u64, word);
                    }
                    sbi::call(sbi::RFENCE, 0, [0, u64::MAX, 0, 0, 0, 0]);
                }
                barrier.wait();
                for round in 0..5 {
                    let fine = is_right(TEXT + offset, time << 16 | (me as u64) << 8 | round);
                    right.fetch_add(fine as u64, Ordering::Relaxed);
                }
                barrier.wait();
            }
            paging::bare();
        });
        println!(
            "pages replaced: {} of {} right",
            right.into_inner(),
            TIMES * 5 * COUNT as u64
        );
    }

    guests::program!(main);
}
