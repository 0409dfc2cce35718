//! PTEs that are reserved or malformed: each must fault as a page fault, at every level.
//!
//! Left out: PBMT and N (bits 61 to 63), which a machine may have and say so in its device tree.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::paging::{A, D, G, LEAF, Mode, R, Space, U, V, W, X, fence};
    use guests::probe::{Access, Accessor, Outcome};
    use guests::{memory, paging, println};

    const PLACE: u64 = 0x4000_0000;

    fn main() {
        let page = memory::allocate(0x20_0000);
        guests::probe::breakpoints(page);
        let leaves = [
            ("plain", LEAF | R | W | X),
            ("W without R", LEAF | W),
            ("W and X without R", LEAF | W | X),
            ("not valid", R | W | X | A | D),
            ("bit 54", LEAF | R | W | X | 1 << 54),
            ("bit 57", LEAF | R | W | X | 1 << 57),
            ("bit 60", LEAF | R | W | X | 1 << 60),
            ("RSW", LEAF | R | W | X | 3 << 8),
            ("global", LEAF | R | W | X | G),
            ("pointer at the last level", V),
            ("pointer with A", V | A),
            ("pointer with D", V | D),
            ("pointer with U", V | U),
            ("pointer with G", V | G),
            ("pointer with bit 58", V | 1 << 58),
        ];
        for mode in Mode::supported() {
            let space = Space::new(mode);
            space.activate(0);
            for level in 0..2 {
                let place = PLACE + (level as u64) * 0x1_0000_0000;
                for (name, flags) in leaves {
                    // A pointer above the last level leads to a table of plain leaves.
                    let pointer = flags & (R | W | X) == 0 && flags & V != 0;
                    let table = memory::page();
                    memory::write(table, page >> 2 | LEAF | R | W | X);
                    let target = if pointer && level > 0 { table } else { page };
                    space.map_level(place, target, level, flags);
                    fence();
                    for access in Access::ALL {
                        let outcome = Outcome(Accessor::SUPERVISOR.fault(access, place + 0x20));
                        println!("{mode:?} level {level}, {name}, {access:?}: {outcome}");
                    }
                    memory::write(page + 0x20, guests::code::C_EBREAK);
                }
            }
            paging::bare();
        }
    }

    guests::program!(main);
}
