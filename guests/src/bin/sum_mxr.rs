//! sstatus.SUM and MXR: what they let S and U do with user and execute-only pages. That S may not
//! touch user pages without SUM is for `sum_strict`, as a monitor may leave it unenforced.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::csr::{MXR, SUM};
    use guests::paging::{LEAF, Mode, R, Space, U, W, X};
    use guests::probe::{Access, Accessor, Outcome, breakpoints};
    use guests::{memory, paging, println};

    const PAGES: [(&str, u64); 6] = [
        ("S --x", LEAF | X),
        ("S r-x", LEAF | R | X),
        ("U --x", LEAF | X | U),
        ("U r-x", LEAF | R | X | U),
        ("U rw-", LEAF | R | W | U),
        ("U r--", LEAF | R | U),
    ];
    const BASE: u64 = 0x80_0000;

    fn main() {
        for mode in Mode::supported() {
            let space = Space::new(mode);
            for (index, (_, flags)) in PAGES.iter().enumerate() {
                let page = memory::page();
                breakpoints(page);
                space.map(BASE + 0x1000 * index as u64, page, *flags);
            }
            let user = Accessor::user(&space);
            space.activate(3);
            for round in 0..2 {
                for bits in [0, MXR, SUM, SUM | MXR] {
                    for (mode, accessor) in [("S", Accessor::SUPERVISOR), ("U", user)] {
                        for (index, (name, flags)) in PAGES.iter().enumerate() {
                            for access in Access::ALL {
                                let user_page = flags & U != 0 && access != Access::Fetch;
                                if mode == "S" && user_page && bits & SUM == 0 {
                                    continue;
                                }
                                let address = BASE + 0x1000 * index as u64 + 0x40;
                                let context = accessor.with_status(bits).access(access, address);
                                let trap = context.trap();
                                let fault = Some(trap).filter(|trap| trap.cause != 3);
                                println!(
                                    "{round} {mode} SUM {} MXR {} {access:?} of {name}: {} a0 {:#x}",
                                    bits >> 18 & 1,
                                    bits >> 19 & 1,
                                    Outcome(fault),
                                    context.x[10]
                                );
                                if access == Access::Store {
                                    // Reads stay the same from round to round.
                                    memory::write(space.pte(address) >> 10 << 12 | 0x40, 0x02u8);
                                }
                            }
                        }
                    }
                }
            }
            paging::bare();
        }
    }

    guests::program!(main);
}
