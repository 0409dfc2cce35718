//! A guest that maps every gibibyte of the Sv39 upper half, and of the lower, so that no slot is
//! left empty, and uses all of them.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::paging::{LEAF, Mode, R, Space, W, X};
    use guests::probe::{Access, Accessor, Outcome};
    use guests::{memory, paging, println};

    fn main() {
        let space = Space::new(Mode::Sv39);
        let page = memory::page();
        guests::probe::breakpoints(page);
        let offset = page - 0x8000_0000;
        for slot in 0..512u64 {
            let address = ((slot << 30) as i64) << 25 >> 25;
            if slot != 2 {
                space.map_level(address as u64, 0x8000_0000, 2, LEAF | R | W | X);
            }
        }
        space.activate(0);
        let mut sum = 0u64;
        for round in 0..3u64 {
            for slot in 0..512u64 {
                let address = (((slot << 30) as i64) << 25 >> 25) as u64 + offset;
                memory::write(address + 8 * slot, slot * (round + 1));
                sum = sum
                    .wrapping_mul(31)
                    .wrapping_add(memory::read::<u64>(page + 8 * slot));
            }
        }
        println!("every slot written and read: {sum:#x}");
        guests::probe::breakpoints(page);
        for slot in [0u64, 1, 255, 256, 257, 258, 259, 300, 384, 510, 511] {
            let address = (((slot << 30) as i64) << 25 >> 25) as u64 + offset;
            for access in Access::ALL {
                println!(
                    "slot {slot} {access:?}: {}",
                    Outcome(Accessor::SUPERVISOR.fault(access, address + 0x10))
                );
                memory::write(page + 0x10, guests::code::C_EBREAK);
            }
        }
        paging::bare();
        println!("Bare again");
    }

    guests::program!(main);
}
