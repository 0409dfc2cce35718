//! Remote fences on this very hart do what `fence.i` and `sfence.vma` do, by address, range and ASID.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{EBREAK, addi};
    use guests::context::Context;
    use guests::paging::{LEAF, Mode, R, Space, W};
    use guests::{memory, paging, println, sbi, start};

    const PLACE: u64 = 0x1234_5000;

    fn main() {
        let hart = start::hart();
        let pages = [memory::page(), memory::page(), memory::page()];
        for (index, &page) in pages.iter().enumerate() {
            memory::write(page, 0x100 + index as u64);
        }
        let space = Space::new(Mode::Sv39);
        let ways: [(&str, u64, [u64; 6]); 6] = [
            ("everything", 1, [1, hart, 0, 0, 0, 0]),
            ("everything, by size", 1, [1, hart, 0, u64::MAX, 0, 0]),
            ("one page", 1, [1, hart, PLACE, 0x1000, 0, 0]),
            ("a range", 1, [1, hart, PLACE - 0x8000, 0x10000, 0, 0]),
            ("one page, ASID", 2, [1, hart, PLACE, 0x1000, 6, 0]),
            (
                "all of an ASID, all harts",
                2,
                [0, u64::MAX, 0, u64::MAX, 6, 0],
            ),
        ];
        space.activate(6);
        for (name, function, arguments) in ways {
            for round in 0..60 {
                let page = pages[round % 3];
                space.map(PLACE, page, LEAF | R | W);
                let reply = sbi::call(sbi::RFENCE, function, arguments);
                assert_eq!(reply.error, 0);
                assert_eq!(
                    memory::read::<u64>(PLACE),
                    memory::read::<u64>(page),
                    "{name}, round {round}"
                );
            }
            println!("{name}: {:#x}", memory::read::<u64>(PLACE));
        }
        paging::bare();
        let mut sum = 0;
        let page = memory::page();
        for round in 0..200 {
            memory::write(page, addi(10, 0, round));
            memory::write(page + 4, EBREAK);
            sbi::call(sbi::RFENCE, 0, [1, hart, 0, 0, 0, 0]);
            let mut context = Context::supervisor(page);
            context.run();
            sum += context.x[10];
        }
        println!("200 programs after remote fence.i: {sum}");
    }

    guests::program!(main);
}
