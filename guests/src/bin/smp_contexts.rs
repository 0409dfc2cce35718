//! Harts go from one address space to another without fences, several of them often in the same one,
//! and change entries with fences by address and ASID. Each sees the space that it is in.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::sync::atomic::{AtomicU64, Ordering};

    use guests::context::Context;
    use guests::harts::{self, Barrier};
    use guests::paging::{LEAF, Mode, R, Space, U, csr_satp};
    use guests::random::Random;
    use guests::{code, csr, memory, paging, println};

    const COUNT: usize = 4;
    const SPACES: usize = 6;
    const ROUNDS: u64 = 1500;
    /// The same for all who are in a space, and for its user.
    const PLACE: u64 = 0x1234_5000;
    const USER_PLACE: u64 = 0x2234_5000;
    const USER_CODE: u64 = 0x3234_5000;
    /// A page for each hart in each space.
    const OWN: u64 = 0x5234_5000;

    fn main() {
        harts::ready(COUNT);
        let load = code!("ld a0, 0(a1)", "csrr a2, cycle");
        for mode in Mode::supported() {
            let frames: [u64; 8] = core::array::from_fn(|index| {
                let frame = memory::page();
                memory::write(frame, 0x1000 + index as u64);
                frame
            });
            let spaces: [Space; SPACES] = core::array::from_fn(|_| Space::new(mode));
            for (index, space) in spaces.iter().enumerate() {
                space.map(PLACE, frames[index], LEAF | R);
                space.map(USER_PLACE, frames[index + 1], LEAF | R | U);
                let _ = space.user(load, USER_CODE);
                for hart in 0..COUNT as u64 {
                    space.map(OWN + hart * 0x3000, frames[0], LEAF | R);
                }
            }
            let user = Context::user(USER_CODE + load.start % 4096).with(11, USER_PLACE);
            let barrier = Barrier::new(COUNT);
            let right = AtomicU64::new(0);
            harts::together(COUNT, |me| {
                csr::write!("scounteren", 0u64);
                let own = OWN + me as u64 * 0x3000;
                // What the hart's own pages are mapped to, by space.
                let mut mapped = [0u64; SPACES];
                let mut random = Random::new(me as u64);
                spaces[me].activate(0);
                barrier.wait();
                for round in 0..ROUNDS {
                    let index = random.below(SPACES as u64) as usize;
                    let (space, asid) = (&spaces[index], index as u64 + 1);
                    csr_satp(space.satp(asid));
                    let shared = memory::read::<u64>(PLACE) == 0x1000 + index as u64;
                    let private = memory::read::<u64>(own) == 0x1000 + mapped[index];
                    let mut user = user.clone();
                    let trap = user.run();
                    let user = trap.cause == 2 && user.x[10] == 0x1001 + index as u64;
                    // Its own page of this space or of another one moves.
                    let other = random.below(SPACES as u64) as usize;
                    mapped[other] = random.below(8);
                    let frame = frames[mapped[other] as usize];
                    spaces[other].map(own, frame, LEAF | R);
                    match random.below(4) {
                        0 => paging::fence_address(own),
                        1 => paging::fence_asid(other as u64 + 1),
                        2 => paging::fence_both(own, other as u64 + 1),
                        _ => paging::fence(),
                    }
                    let moved = memory::read::<u64>(own) == 0x1000 + mapped[index];
                    let fine = shared && private && user && moved;
                    right.fetch_add(fine as u64, Ordering::Relaxed);
                    if round % 50 == 0 {
                        barrier.wait();
                    }
                }
                csr::write!("scounteren", 7u64);
                paging::bare();
            });
            println!(
                "{mode:?}: {} rounds of {} right",
                right.into_inner(),
                ROUNDS * COUNT as u64
            );
        }
    }

    guests::program!(main);
}
