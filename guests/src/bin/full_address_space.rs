//! A guest that maps all of its address space, the upper half and the lower, so that no entry of the root is
//! left empty, and uses all of them: in every mode but the widest.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::paging::{LEAF, Mode, R, Space, W, X};
    use guests::probe::{Access, Accessor, Outcome};
    use guests::{memory, paging, println};

    fn main() {
        // A mode is filled where the machine has a wider one.
        for pair in Mode::ALL.windows(2) {
            fill(pair[0]);
        }
        println!("Bare again");
    }

    fn fill(mode: Mode) {
        let space = Space::new(mode);
        let page = memory::page();
        guests::probe::breakpoints(page);
        let bits = mode.bits();
        let slot_at =
            |slot: u64| (((slot << (bits - 9)) as i64) << (64 - bits) >> (64 - bits)) as u64;
        let size = slot_at(1);
        let own = 0x8000_0000 / size;
        let offset = page % size;
        for slot in 0..512u64 {
            if slot != own {
                space.map_level(
                    slot_at(slot),
                    own * size,
                    mode.levels() - 1,
                    LEAF | R | W | X,
                );
            }
        }
        space.activate(0);
        let mut sum = 0u64;
        for round in 0..3u64 {
            for slot in 0..512u64 {
                let address = slot_at(slot) + offset;
                memory::write(address + 8 * slot, slot * (round + 1));
                sum = sum
                    .wrapping_mul(31)
                    .wrapping_add(memory::read::<u64>(page + 8 * slot));
            }
        }
        println!("{mode:?}: every slot written and read: {sum:#x}");
        guests::probe::breakpoints(page);
        for slot in [0u64, 1, 255, 256, 257, 258, 259, 300, 384, 510, 511] {
            let address = slot_at(slot) + offset;
            for access in Access::ALL {
                println!(
                    "slot {slot} {access:?}: {}",
                    Outcome(Accessor::SUPERVISOR.fault(access, address + 0x10))
                );
                memory::write(page + 0x10, guests::code::C_EBREAK);
            }
        }
        paging::bare();
    }

    guests::program!(main);
}
