//! S-mode may not touch user pages while sstatus.SUM is clear. Needs a monitor that enforces it.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::csr::SUM;
    use guests::paging::{LEAF, Mode, R, Space, U, W, X};
    use guests::probe::{Access, Accessor, Outcome};
    use guests::{code, csr, memory, paging, println};

    const PLACE: u64 = 0x80_0000;

    fn main() {
        for mode in Mode::supported() {
            let space = Space::new(mode);
            space.map(PLACE, memory::page(), LEAF | R | W | X | U);
            space.activate(1);
            for bits in [0, SUM, 0, SUM, 0] {
                for access in [Access::Load, Access::Store] {
                    let accessor = Accessor::SUPERVISOR.with_status(bits);
                    let outcome = Outcome(accessor.fault(access, PLACE + 8));
                    println!("{mode:?} SUM {} {access:?}: {outcome}", bits >> 18);
                }
            }
            let toggles = code!(
                "li t0, 0x40000",
                "li a2, 200",
                "1: csrs sstatus, t0",
                "ld a0, 0(a1)",
                "csrc sstatus, t0",
                "addi a2, a2, -1",
                "bnez a2, 1b",
                "ld a0, 0(a1)"
            );
            let mut context = toggles.supervisor().with(11, PLACE);
            println!(
                "{mode:?} 200 toggles: {} left {}",
                context.run(),
                context.x[12]
            );
            csr::write!("sstatus", 0u64);
            paging::bare();
        }
    }

    guests::program!(main);
}
