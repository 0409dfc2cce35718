//! A and D bits. A machine may set them itself or fault so that software does (Svadu, Svade): the
//! program does the latter and prints only what holds in both: the bits at the end, and that no
//! access sets more than it must.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::paging::{A, D, Mode, R, Space, U, V, W, X};
    use guests::probe::{Access, Accessor, breakpoints};
    use guests::{memory, paging, println};

    const PLACE: u64 = 0x10_0000;

    /// Accesses, setting A and D by hand where the machine asks for it; gives the PTE's bits after.
    fn access(accessor: Accessor, access: Access, slot: u64) -> (u64, &'static str) {
        for _ in 0..3 {
            let fault = accessor.fault(access, PLACE + 0x10);
            let frame = memory::read::<u64>(slot) >> 10 << 12;
            memory::write(frame | (PLACE & 0x1f_0000) | 0x10, guests::code::C_EBREAK);
            memory::write(frame | 0x10, guests::code::C_EBREAK);
            guests::code::fence_i();
            let Some(trap) = fault else {
                return (memory::read::<u64>(slot) & 0xff, "done");
            };
            let expected = match access {
                Access::Fetch => 12,
                Access::Load => 13,
                Access::Store => 15,
            };
            assert_eq!((trap.cause, trap.value), (expected, PLACE + 0x10), "{trap}");
            let more = A | if access == Access::Store { D } else { 0 };
            let pte: u64 = memory::read(slot);
            let allowed = match access {
                Access::Fetch => pte & X,
                Access::Load => pte & R,
                Access::Store => pte & W,
            };
            if allowed == 0 || pte & more == more {
                return (pte & 0xff, "refused");
            }
            memory::write(slot, pte | more);
            paging::fence_address(PLACE);
        }
        (memory::read::<u64>(slot) & 0xff, "never done")
    }

    fn main() {
        for mode in Mode::supported() {
            for level in 0..2 {
                let space = Space::new(mode);
                let page = memory::allocate(0x20_0000);
                breakpoints(page);
                let user = Accessor::user(&space);
                let place = PLACE & !((1 << (12 + 9 * level)) - 1);
                space.activate(1);
                let slot = space.slot(place, level);
                for start in [0, A, D, A | D] {
                    for first in Access::ALL {
                        for then in Access::ALL {
                            for permissions in [R | W | X, R, X] {
                                for (name, owner, accessor) in
                                    [("S", 0, Accessor::SUPERVISOR), ("U", U, user)]
                                {
                                    if level == 1 && name == "U" {
                                        continue; // the accessor's own code lies there
                                    }
                                    memory::write(
                                        slot,
                                        page >> 2 | V | permissions | owner | start,
                                    );
                                    if level == 0 {
                                        paging::fence_address(place)
                                    } else {
                                        paging::fence()
                                    }
                                    let (one, how) = access(accessor, first, slot);
                                    let (two, then_how) = access(accessor, then, slot);
                                    println!(
                                        "{mode:?}/{level} {name} {permissions:x} from {start:02x}: {first:?} {how} {one:02x}, {then:?} {then_how} {two:02x}"
                                    );
                                }
                            }
                        }
                    }
                }
                paging::bare();
            }
        }
    }

    guests::program!(main);
}
