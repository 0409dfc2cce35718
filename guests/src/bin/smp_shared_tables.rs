//! Several harts share one address space. Each maps, unmaps and protects pages of its own, whose
//! entries lie between those of the others in the same table, and reads the pages of the others. No
//! entry is lost, A and D appear only where they may, and after a fence nobody sees what was before it.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use guests::harts::{self, Barrier};
    use guests::paging::{A, D, LEAF, Mode, R, Space, V, W};
    use guests::probe::{Access, Accessor};
    use guests::random::Random;
    use guests::{memory, paging, println, sbi};

    const COUNT: usize = 4;
    /// All in one table.
    const PLACE: u64 = 0x4000_0000;
    const PAGES: usize = 64;
    const ROUNDS: u64 = 40;

    /// A page is in the state that its word tells, or on the way to another one.
    const CHANGING: u64 = u64::MAX;
    const NOTHING: u64 = 0;
    /// Added to the value in the page's first doubleword.
    const READABLE: u64 = 1 << 32;
    const WRITABLE: u64 = 2 << 32;

    const fn address(page: usize) -> u64 {
        PLACE + page as u64 * 4096
    }

    fn main() {
        harts::ready(COUNT);
        for mode in Mode::supported() {
            let space = Space::new(mode);
            edits(mode, &space);
            marks(mode, &space);
        }
    }

    fn edits(mode: Mode, space: &Space) {
        let states = [const { AtomicU64::new(NOTHING) }; PAGES];
        let frames: [u64; PAGES] = core::array::from_fn(|_| memory::page());
        let judged = [const { AtomicU64::new(0) }; COUNT];
        let barrier = Barrier::new(COUNT);
        // The table is there before anyone looks.
        space.slot(PLACE, 0);
        harts::together(COUNT, |me| {
            space.activate(3);
            barrier.wait();
            let mut random = Random::new(me as u64);
            for _ in 0..ROUNDS {
                let own = random.below(PAGES as u64 / COUNT as u64) as usize * COUNT + me;
                edit(space, &mut random, own, &states[own], frames[own]);
                for _ in 0..20 {
                    let page = random.below(PAGES as u64) as usize;
                    let fine = look(page, &states[page]);
                    judged[me].fetch_add(fine as u64, Ordering::Relaxed);
                }
                // Firmware spins while it fences; harts that share a processor must not all do so.
                harts::nap();
            }
            barrier.wait();
            paging::bare();
        });
        assert!(judged.iter().all(|count| count.load(Ordering::Relaxed) > 0));
        let kept = (0..PAGES).filter(|&page| {
            let pte = space.pte(address(page)) & !(A | D);
            let physical = frames[page] >> 2;
            let expected = match states[page].load(Ordering::Relaxed) >> 32 {
                0 => 0,
                1 => physical | V | R,
                _ => physical | V | R | W,
            };
            pte == expected
        });
        println!(
            "{mode:?}: {} of {PAGES} entries are what was last written",
            kept.count()
        );
    }

    /// Changes a page of one's own, tells it to all, and looks whether it is so here.
    fn edit(space: &Space, random: &mut Random, page: usize, state: &AtomicU64, frame: u64) {
        let slot = space.slot(address(page), 0);
        let value = random.next() & 0xffff_ffff;
        let new = random.of(&[NOTHING, READABLE | value, WRITABLE | value]);
        state.store(CHANGING, Ordering::SeqCst);
        // Not while anyone reads it: first it goes away.
        memory::write(slot, 0u64);
        remote_fence(page);
        memory::write(frame, value);
        let used = random.of(&[0, A, A | D]);
        match new & !0xffff_ffff {
            NOTHING => {}
            READABLE => memory::write(slot, frame >> 2 | V | R | used),
            _ => memory::write(slot, frame >> 2 | V | R | W | used),
        }
        // A page that appears needs no more than a fence where it faulted before.
        remote_fence(page);
        state.store(new, Ordering::Release);
        let seen = Accessor::SUPERVISOR.access(Access::Load, address(page));
        let written = Accessor::SUPERVISOR.fault(Access::Store, address(page) + 8);
        match new & !0xffff_ffff {
            NOTHING => {
                assert_eq!(
                    seen.trap().cause,
                    13,
                    "page {page} is gone: {}",
                    seen.trap()
                );
                assert_eq!(memory::read::<u64>(slot), 0, "page {page}");
            }
            kind => {
                assert_eq!(
                    seen.trap().cause,
                    3,
                    "page {page} is there: {}",
                    seen.trap()
                );
                assert_eq!(seen.x[10], value & 0xff, "page {page}");
                assert_eq!(written.is_none(), kind == WRITABLE, "page {page}");
                let marks = if kind == WRITABLE { A | D } else { A };
                assert_eq!(memory::read::<u64>(slot) & marks, marks, "page {page}");
            }
        }
    }

    /// One hart at a time, for firmware spins while it fences, and harts that share a processor and all
    /// do so take turns of milliseconds. `marks` has all do it at once.
    fn remote_fence(page: usize) {
        static BUSY: AtomicBool = AtomicBool::new(false);
        harts::wait_until(|| !BUSY.swap(true, Ordering::Acquire));
        let reply = sbi::call(sbi::RFENCE, 1, [0, u64::MAX, address(page), 4096, 0, 0]);
        BUSY.store(false, Ordering::Release);
        assert_eq!(reply.error, 0);
    }

    /// Reads a page of anyone's. Says whether it was quiet, so that what it found is known.
    fn look(page: usize, state: &AtomicU64) -> bool {
        let before = state.load(Ordering::SeqCst);
        let seen = Accessor::SUPERVISOR.access(Access::Load, address(page));
        let quiet = before != CHANGING && before == state.load(Ordering::SeqCst);
        let trap = seen.trap();
        match before {
            _ if !quiet => assert!(trap.cause == 3 || trap.cause == 13, "page {page}: {trap}"),
            NOTHING => assert_eq!(trap.cause, 13, "page {page} is nothing: {trap}"),
            value => {
                assert_eq!(trap.cause, 3, "page {page} is mapped: {trap}");
                assert_eq!(seen.x[10], value & 0xff, "page {page}");
            }
        }
        quiet
    }

    /// Pages of which A and D are clear are used by one hart, while others write the entries beside.
    fn marks(mode: Mode, space: &Space) {
        const TIMES: u64 = 20;
        let frame = memory::page();
        let slots: [u64; PAGES] = core::array::from_fn(|page| space.slot(address(page), 0));
        let barrier = Barrier::new(COUNT);
        let lost = AtomicU64::new(0);
        harts::together(COUNT, |me| {
            space.activate(3);
            for time in 0..TIMES {
                // Who uses a page changes; who owns its entry does not.
                let own = (0..PAGES).skip(me).step_by(COUNT);
                for page in own.clone() {
                    memory::write(slots[page], frame >> 2 | V | R | W);
                }
                sbi::call(sbi::RFENCE, 1, [0, u64::MAX, 0, u64::MAX, 0, 0]);
                barrier.wait();
                // A quarter of the pages is rewritten, the others are used.
                let turn = (me + time as usize) % COUNT;
                for (index, page) in own.clone().enumerate() {
                    if index % 4 == 0 {
                        memory::write(slots[page], frame >> 2 | LEAF | R | W);
                        memory::write(slots[page], frame >> 2 | V | R);
                        memory::write(slots[page], 0u64);
                    }
                }
                for page in (0..PAGES).skip(turn).step_by(COUNT) {
                    match page / COUNT % 4 {
                        0 => {}
                        1 => _ = memory::read::<u64>(address(page)),
                        2 => memory::write(address(page) + 8 * (1 + me as u64), time),
                        _ => {
                            let _ = memory::read::<u64>(address(page));
                            memory::write(address(page) + 8 * (1 + me as u64), time);
                        }
                    }
                }
                barrier.wait();
                for page in own {
                    let expected = match page / COUNT % 4 {
                        0 => 0,
                        1 => A,
                        _ => A | D,
                    };
                    let found = memory::read::<u64>(slots[page]) & (A | D);
                    lost.fetch_add((found != expected) as u64, Ordering::Relaxed);
                }
                barrier.wait();
            }
            paging::bare();
        });
        println!(
            "{mode:?}: entries whose A and D are not as they must be: {}",
            lost.into_inner()
        );
        for slot in slots {
            memory::write(slot, 0u64);
        }
    }

    guests::program!(main);
}
