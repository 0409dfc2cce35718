//! Superpages of every size in every mode, misaligned ones, one that is split and one that is made
//! again, and protections within.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::EBREAK;
    use guests::paging::{LEAF, Mode, R, Space, U, V, W, X, fence, fence_address};
    use guests::probe::{Access, Accessor, Outcome};
    use guests::{memory, paging, println};

    const MEGA: u64 = 0x20_0000;

    fn main() {
        let block = memory::allocate(2 * MEGA);
        for page in 0..1024 {
            memory::write(block + page * 4096, 0xabc_0000 + page);
            memory::write(block + page * 4096 + 8, EBREAK);
        }
        for mode in Mode::supported() {
            let space = Space::new(mode);
            let place = 0x4000_0000;
            space.map_level(place, block, 1, LEAF | R | W | X);
            space.map_level(place + MEGA, block + MEGA, 1, LEAF | R | U);
            space.map_level(place + 2 * MEGA, block + 4096, 1, LEAF | R | W | X);
            // Behind the root's entries where the monitor stands by default.
            let upper = (!0u64 << (mode.bits() - 1)) + (8 << (mode.bits() - 9));
            let high = upper + 0x10_0000_0000;
            space.map_level(high, 0x8000_0000, 2, LEAF | R | X);
            space.map_level(high + 0x4000_0000, 0x8000_0000 + MEGA, 2, LEAF | R | X);
            if mode != Mode::Sv39 {
                space.map_level(upper + 0x80_0000_0000, 0, 3, LEAF | R | W | X);
                space.map_level(upper + 0x100_0000_0000, 0x4000_0000, 3, LEAF | R | W | X);
            }
            let user = Accessor::user(&space);
            space.activate(0);
            for page in [0, 1, 17, 511] {
                println!(
                    "{mode:?} 2 MiB, page {page}: {:#x}",
                    memory::read::<u64>(place + page * 4096)
                );
                let offset = block - 0x8000_0000 + page * 4096;
                println!(
                    "{mode:?} 1 GiB, page {page}: {:#x}",
                    memory::read::<u64>(high + offset)
                );
                if mode != Mode::Sv39 {
                    let address = upper + 0x80_0000_0000 + block + page * 4096;
                    println!(
                        "{mode:?} 512 GiB, page {page}: {:#x}",
                        memory::read::<u64>(address)
                    );
                }
                for access in Access::ALL {
                    let supervisor = Accessor::SUPERVISOR;
                    println!(
                        "  S {access:?}: {}",
                        Outcome(supervisor.fault(access, place + page * 4096 + 8))
                    );
                    println!(
                        "  S {access:?}, 1 GiB: {}",
                        Outcome(supervisor.fault(access, high + offset + 8))
                    );
                    let address = place + MEGA + page * 4096 + 8;
                    println!("  U {access:?}: {}", Outcome(user.fault(access, address)));
                }
                memory::write(block + page * 4096 + 8, EBREAK);
            }
            for access in Access::ALL {
                for address in [
                    place + 2 * MEGA + 0x3000,
                    high + 0x4000_0000,
                    upper + 0x100_0000_1000,
                ] {
                    if mode == Mode::Sv39 && address > upper + 0x80_0000_0000 {
                        continue;
                    }
                    println!(
                        "{mode:?} misaligned, {access:?}: {}",
                        Outcome(Accessor::SUPERVISOR.fault(access, address))
                    );
                }
            }
            // Split into 4 KiB pages in reverse order, then whole again.
            let table = memory::page();
            for page in 0..512 {
                memory::write(
                    table + 8 * page,
                    (block + (511 - page) * 4096) >> 2 | LEAF | R | W,
                );
            }
            for round in 0..20 {
                memory::write(space.slot(place, 1), table >> 2 | V);
                if round & 1 == 0 {
                    fence()
                } else {
                    fence_address(place + 5 * 4096)
                }
                let split: u64 = memory::read(place + 5 * 4096);
                space.map_level(place, block, 1, LEAF | R | W | X);
                fence();
                let whole: u64 = memory::read(place + 5 * 4096);
                assert_eq!(
                    (split, whole),
                    (0xabc_0000 + 506, 0xabc_0000 + 5),
                    "round {round}"
                );
            }
            println!("{mode:?} split and whole 20 times");
            paging::bare();
        }
    }

    guests::program!(main);
}
