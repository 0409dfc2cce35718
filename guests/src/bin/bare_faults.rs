//! Bare mode: accesses to where neither QEMU's `virt` nor the virtual board has anything, from S and
//! from U, and reaching such holes through page tables.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::paging::{LEAF, Mode, R, Space, U, W, X};
    use guests::probe::{Access, Accessor, Outcome};
    use guests::{paging, println};

    const HOLES: [u64; 9] = [
        0x0000_0000,
        0x0000_0008,
        0x0080_0000,
        0x0180_0ffe,
        0x1110_0000,
        0x0000_0100_0000_0000,
        0x0030_0000_0000_0000,
        0xffff_ffff_ffff_fff4,
        0xffff_ffff_ffff_f000,
    ];

    fn main() {
        for (mode, accessor) in [("S", Accessor::SUPERVISOR), ("U", Accessor::BARE_USER)] {
            for hole in HOLES {
                for access in Access::ALL {
                    println!(
                        "Bare {mode} {access:?} at {hole:#x}: {}",
                        Outcome(accessor.fault(access, hole))
                    );
                }
            }
        }
        for mode in Mode::supported() {
            let space = Space::new(mode);
            let user = Accessor::user(&space);
            let holes = [
                0x0080_0000,
                0x1110_0000,
                0x0000_0100_0000_0000,
                0x00ff_ffff_ffff_f000,
            ];
            for (index, hole) in holes.into_iter().enumerate() {
                space.map(0x60_0000 + 0x1000 * index as u64, hole, LEAF | R | W | X);
                space.map(
                    0x70_0000 + 0x1000 * index as u64,
                    hole,
                    LEAF | R | W | X | U,
                );
            }
            space.activate(0);
            for (index, hole) in holes.into_iter().enumerate() {
                for access in Access::ALL {
                    let address = 0x60_0010 + 0x1000 * index as u64;
                    let outcome = Outcome(Accessor::SUPERVISOR.fault(access, address));
                    println!("{mode:?} S {access:?} of {hole:#x}: {outcome}");
                    let outcome = Outcome(user.fault(access, address + 0x10_0000));
                    println!("{mode:?} U {access:?} of {hole:#x}: {outcome}");
                }
            }
            paging::bare();
        }
    }

    guests::program!(main);
}
