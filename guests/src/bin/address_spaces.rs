//! A dozen address spaces, switched thousands of times with and without ASIDs, with system calls
//! from each; global and private pages; a root that is reused for another space; a page that is changed and
//! fenced while another space is current.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::paging::{G, LEAF, Mode, R, Space, U, W, fence, fence_address, fence_asid};
    use guests::{code, memory, paging, println};

    const PRIVATE: u64 = 0x10_0000;
    const SHARED: u64 = 0x20_0000;
    const GLOBAL: u64 = 0x30_0000;

    fn main() {
        let shared = memory::page();
        for mode in Mode::supported() {
            let spaces: [Space; 12] = core::array::from_fn(|_| Space::new(mode));
            let work = code!(
                "1:",
                "ld t0, 0(a0)",
                "add t0, t0, a2",
                "sd t0, 0(a0)",
                "ld t1, 0(a1)",
                "addi t1, t1, 1",
                "sd t1, 0(a1)",
                "ecall",
                "j 1b"
            );
            memory::write(shared, 0u64);
            let mut contexts: [_; 12] = core::array::from_fn(|index| {
                let space = &spaces[index];
                space.map(PRIVATE, memory::page(), LEAF | R | W | U);
                space.map(SHARED, shared, LEAF | R | W | U);
                space.map(GLOBAL, shared, LEAF | R | G);
                space
                    .user(work, 0x40_0000)
                    .with(10, PRIVATE)
                    .with(11, SHARED)
                    .with(12, index as u64 + 1)
            });
            for (name, asids, fences) in [("ASIDs", 1, false), ("no ASIDs", 0, true)] {
                for round in 0..2400u64 {
                    let index = (round * 7 % 12) as usize;
                    paging::csr_satp(spaces[index].satp(asids * (index as u64 + 1)));
                    if fences {
                        fence();
                    }
                    let trap = contexts[index].run();
                    assert_eq!(trap.cause, 8, "{mode:?} {name} round {round}: {trap}");
                    contexts[index].pc += 4;
                }
                println!(
                    "{mode:?} {name}: shared {}, through a global page {}",
                    memory::read::<u64>(shared),
                    memory::read::<u64>(GLOBAL)
                );
                paging::bare();
                for space in &spaces {
                    print_private(space);
                }
            }
            // Space 0's private page becomes space 5's.
            let pte = spaces[5].pte(PRIVATE);
            memory::write(spaces[0].slot(PRIVATE, 0), pte);
            paging::csr_satp(spaces[0].satp(1));
            fence_asid(1);
            let trap = contexts[0].run();
            paging::bare();
            println!("{mode:?} page taken over: {}", trap.name());
            print_private(&spaces[0]);
            // The root of space 1 becomes a copy of the root of space 2, under the same ASID.
            for word in 0..512 {
                memory::write(
                    spaces[1].root + 8 * word,
                    memory::read::<u64>(spaces[2].root + 8 * word),
                );
            }
            paging::csr_satp(spaces[1].satp(2));
            fence_asid(2);
            contexts[1].run();
            paging::bare();
            print_private(&spaces[2]);
            for between in [0, 3, 300] {
                fenced_from_elsewhere(&spaces[3], &spaces[4], between);
            }
            println!("{mode:?}: what is fenced from elsewhere is seen");
        }
    }

    /// A fence of an address without an ASID is for all address spaces (Privileged Architecture, 12.2.1),
    /// however many others there are `between` it and the use.
    fn fenced_from_elsewhere(changed: &Space, current: &Space, between: u64) {
        const PLACE: u64 = 0x50_0000;
        let pages = [memory::page(), memory::page()];
        for round in 0..40usize {
            let page = pages[round % 2];
            memory::write(page, round as u64);
            changed.map(PLACE, page, LEAF | R);
            // What the round before used is another page.
            fence_address(PLACE);
            (0..between).for_each(|page| fence_address(PRIVATE + page * 4096));
            paging::csr_satp(changed.satp(4));
            let found = memory::read::<u64>(PLACE);
            assert_eq!(found, round as u64, "after {between} fences");
            paging::csr_satp(current.satp(5));
        }
        paging::bare();
    }

    fn print_private(space: &Space) {
        println!(
            "  private {}",
            memory::read::<u64>(space.pte(PRIVATE) >> 10 << 12)
        );
    }

    guests::program!(main);
}
