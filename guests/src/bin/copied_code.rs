//! Instructions that have become patches, copied elsewhere as the program reads them, and run there;
//! copies of copies; a copy at the same offset of another page and at another one.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{EBREAK, csr_word, csrr, fence_i, write_words};
    use guests::context::Context;
    use guests::paging::{Mode, Space};
    use guests::{csr, memory, paging, println};

    const PIECE: [u32; 8] = [
        csrr(10, 0x143),
        csr_word(1, 0x142, 11, 12),
        csr_word(6, 0x104, 13, 2),
        csr_word(7, 0x104, 14, 2),
        csrr(15, 0x104),
        0x1200_0073,
        csrr(16, 0x142),
        EBREAK,
    ];

    fn run(at: u64, times: u64, what: &str) {
        for round in 0..times {
            csr::write!("stval", round ^ at);
            csr::write!("scause", 9u64);
            let mut context = Context::supervisor(at).with(12, 5 + round % 7);
            let trap = context.run();
            let seen = [
                context.x[10] ^ at,
                context.x[11],
                context.x[13],
                context.x[14],
                context.x[15],
            ];
            assert_eq!(
                (trap.cause, trap.pc),
                (3, at + 28),
                "{what}, round {round}: {trap}"
            );
            assert_eq!(seen, [round, 9, 0, 2, 0], "{what}, round {round}");
            assert_eq!(context.x[16], 5 + round % 7, "{what}, round {round}");
        }
        println!("{what}: {times} runs");
    }

    fn copy(from: u64, to: u64) {
        for offset in (0..32).step_by(8) {
            memory::write(to + offset, memory::read::<u64>(from + offset));
        }
        fence_i();
    }

    fn main() {
        let pages: [u64; 4] = core::array::from_fn(|_| memory::page());
        let space = Space::new(Mode::Sv48);
        for paged in [false, true] {
            if paged {
                space.activate(9);
            }
            write_words(pages[0] + 0x100, &PIECE);
            run(pages[0] + 0x100, 400, "first");
            copy(pages[0] + 0x100, pages[1] + 0x100);
            run(pages[1] + 0x100, 3, "same offset of another page");
            copy(pages[0] + 0x100, pages[0] + 0x200);
            run(pages[0] + 0x200, 400, "same page");
            copy(pages[0] + 0x200, pages[2] + 0xfd0);
            run(pages[2] + 0xfd0, 400, "end of a page");
            // The first goes; copies of its copies stay.
            write_words(pages[0] + 0x100, &[EBREAK; 8]);
            copy(pages[2] + 0xfd0, pages[3] + 2);
            run(pages[3] + 2, 400, "two bytes on");
            for round in 0..50 {
                let (from, to) = (pages[1 + round % 2], pages[2 - round % 2]);
                copy(pages[1] + 0x100, to + 0x400);
                copy(to + 0x400, from + 0x800);
                run_quietly(from + 0x800, 20);
            }
            println!("50 rounds of copies");
            run(pages[1] + 0x100, 400, "copy again");
        }
        paging::bare();
    }

    fn run_quietly(at: u64, times: u64) {
        for round in 0..times {
            csr::write!("stval", round);
            let mut context = Context::supervisor(at).with(12, 3);
            assert_eq!(context.run().cause, 3);
            assert_eq!((context.x[10], context.x[16]), (round, 3));
        }
    }

    guests::program!(main);
}
