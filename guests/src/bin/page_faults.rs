//! Loads, stores and fetches, from S and from U, of pages with every kind of permission, and of
//! addresses where nothing is mapped: NULL, 8, ERR_PTR, non-canonical.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::paging::{A, D, G, LEAF, Mode, R, Space, U, V, W, X};
    use guests::probe::{Access, Accessor, Outcome, breakpoints};
    use guests::{memory, paging, println};

    const PAGES: [(&str, u64); 12] = [
        ("---", LEAF & !V),
        ("S r--", LEAF | R),
        ("S rw-", LEAF | R | W),
        ("S r-x", LEAF | R | X),
        ("S --x", LEAF | X),
        ("S rwx", LEAF | R | W | X),
        ("S rwx global", LEAF | R | W | X | G),
        ("U r--", LEAF | R | U),
        ("U rw-", LEAF | R | W | U),
        ("U r-x", LEAF | R | X | U),
        ("U --x", LEAF | X | U),
        ("U rwx", LEAF | R | W | X | U),
    ];

    const BASE: u64 = 0x40_0000;

    const NOWHERE: [u64; 14] = [
        0,
        1,
        8,
        0xfff,
        0x1000,
        0xffff_ffff_ffff_ffff,
        0xffff_ffff_ffff_fff4,
        0xffff_ffff_ffff_f001,
        0xffff_ffff_ffff_effe,
        0x0000_003f_ffff_fffe,
        0x0000_0040_0000_0000,
        0x8000_0000_0000_0000,
        0xdead_beef_dead_beee,
        0xffff_ffbf_ffff_fff0,
    ];

    fn main() {
        let space = Space::new(Mode::Sv39);
        for (index, (_, flags)) in PAGES.iter().enumerate() {
            let page = memory::page();
            breakpoints(page);
            assert!(flags & (A | D) != 0);
            space.map(BASE + 0x1000 * index as u64, page, *flags);
        }
        let user = Accessor::user(&space);
        space.activate(1);
        for (mode, accessor) in [("S", Accessor::SUPERVISOR), ("U", user)] {
            for (index, (name, flags)) in PAGES.iter().enumerate() {
                let address = BASE + 0x1000 * index as u64 + 0x124;
                for access in Access::ALL {
                    if mode == "S" && flags & U != 0 && access != Access::Fetch {
                        // What SUM decides: see `sum_mxr` and `sum_strict`.
                        continue;
                    }
                    let outcome = Outcome(accessor.fault(access, address));
                    println!("{mode} {access:?} of {name}: {outcome}");
                }
            }
            for address in NOWHERE {
                for access in Access::ALL {
                    let outcome = Outcome(accessor.fault(access, address));
                    println!("{mode} {access:?} at {address:#x}: {outcome}");
                }
            }
        }
        paging::bare();
    }

    guests::program!(main);
}
