//! A user program that grows by page faults, as one does under a kernel: demand paging, copy on
//! write, lazy mapping of code, a signal-like return elsewhere; a thousand of each.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::paging::{A, D, LEAF, Mode, R, Space, U, V, W, X};
    use guests::{code, memory, paging, println};

    const HEAP: u64 = 0x1000_0000;

    fn main() {
        for mode in Mode::supported() {
            let space = Space::new(mode);
            let touch = code!(
                "1:",
                "sd a0, 0(a1)",
                "ld a2, 0(a1)",
                "add a3, a3, a2",
                "addi a0, a0, 1",
                "add a1, a1, a4",
                "j 1b"
            );
            let mut context = space.user(touch, 0x1_0000).with(11, HEAP).with(14, 4096);
            space.activate(1);
            let frames: [u64; 32] = core::array::from_fn(|_| memory::page());
            let mut faults = 0;
            while faults < 1000 {
                let trap = context.run();
                assert_eq!((trap.cause, trap.value & 0xfff), (15, 0), "{trap}");
                space.map(trap.value, frames[faults % 32], V | R | W | U | A | D);
                faults += 1;
            }
            println!(
                "{mode:?} demand: {} a0 {} a3 {} last {:#x}",
                faults, context.x[10], context.x[13], context.x[11]
            );

            // Copy on write: read-only, then a copy that can be written.
            let mut sum = 0;
            for round in 0..500u64 {
                let page = HEAP + 4096 * (round % 16);
                space.map(page, frames[0], LEAF | R | U);
                paging::fence_address(page);
                let mut context = space.user(
                    code!("ld a0, 0(a1)", "sd a2, 8(a1)", "ld a3, 8(a1)", "ecall"),
                    0x2_0000,
                );
                context = context.with(11, page).with(12, round);
                let trap = context.run();
                assert_eq!((trap.cause, trap.value), (15, page + 8), "{trap}");
                let copy = frames[1 + (round % 16) as usize];
                memory::write(copy, memory::read::<u64>(frames[0]));
                space.map(page, copy, LEAF | R | W | U);
                paging::fence_address(page);
                let trap = context.run();
                assert_eq!(trap.cause, 8, "{trap}");
                sum += context.x[13] + context.x[10];
            }
            println!("{mode:?} copied on write: {sum}");

            // Code that is mapped when it is jumped to, then taken away again.
            let piece = code!("addi a0, a0, 5", "ecall");
            let text = memory::page();
            piece.copy_to(text);
            let mut context = space
                .user(code!("1: jalr ra, 0(a1)", "j 1b"), 0x3_0000)
                .with(11, HEAP + 0x100_0000);
            let mut calls = 0;
            for _ in 0..1000 {
                context.x[11] = HEAP + 0x100_0000;
                let trap = context.run();
                match trap.cause {
                    12 => {
                        assert_eq!(trap.value, HEAP + 0x100_0000);
                        space.map(trap.value, text, LEAF | X | U);
                        paging::fence_address(trap.value);
                    }
                    8 => {
                        calls += 1;
                        space.map(HEAP + 0x100_0000, text, 0);
                        paging::fence_address(HEAP + 0x100_0000);
                        context.pc = context.x[1];
                    }
                    _ => panic!("{trap}"),
                }
            }
            println!("{mode:?} lazy code: {calls} calls a0 {}", context.x[10]);
            paging::bare();
        }
    }

    guests::program!(main);
}
