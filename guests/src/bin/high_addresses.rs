//! Pages at addresses that kernels use and a monitor might want: high in the upper half and at its
//! end, the topmost page, and page 0; code, data and privileged instructions there. The entries of the root
//! where the monitor stands by default are for `first_slots`.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{EBREAK, csrr, write_words};
    use guests::context::Context;
    use guests::paging::{LEAF, Mode, R, Space, U, W, X};
    use guests::{csr, memory, paging, println};

    fn main() {
        for mode in Mode::supported() {
            let upper = !0u64 << (mode.bits() - 1);
            let slot = 1u64 << (mode.bits() - 9);
            let places = [
                0,
                0x1000,
                upper + 8 * slot,
                upper + 16 * slot,
                upper + 64 * slot,
                0xffff_ffc8_0000_0000,
                0xffff_ffd0_0000_0000,
                0xffff_ffff_0000_0000,
                0xffff_ffff_8000_0000,
                0xffff_ffff_ffff_e000,
                0xffff_ffff_ffff_f000,
                !upper & !0xfff,
            ];
            // One by one, in one space, so that whatever stood there has to go.
            let space = Space::new(mode);
            space.activate(1);
            let page = memory::page();
            write_words(page, &[csrr(10, 0x142), csrr(12, 0x104), EBREAK]);
            memory::write(page + 0x800, 0u64);
            let user = memory::page();
            write_words(user, &[0x0005_b503, 0x0000_0073]); // ld a0, 0(a1); ecall
            for place in places {
                space.map(place, page, LEAF | R | W | X);
                paging::fence_address(place);
                for _ in 0..50 {
                    csr::write!("scause", 7u64);
                    let mut context = Context::supervisor(place);
                    let trap = context.run();
                    assert_eq!(
                        (trap.cause, trap.pc, context.x[10]),
                        (3, place + 8, 7),
                        "{trap}"
                    );
                    let count: u64 = memory::read(place.wrapping_add(0x800));
                    memory::write(place.wrapping_add(0x800), count + 1);
                }
                println!("{mode:?} {place:#x}: {}", memory::read::<u64>(page + 0x800));
            }
            for place in places {
                space.map(place, user, LEAF | R | X | U);
                paging::fence_address(place);
                let mut context = Context::user(place).with(11, place);
                let trap = context.run();
                println!("{mode:?} U at {place:#x}: {trap} a0 {:#x}", context.x[10]);
                space.map(place, 0, 0);
                paging::fence_address(place);
                println!("  gone: {}", Context::user(place).run());
            }
            paging::bare();
        }
    }

    guests::program!(main);
}
