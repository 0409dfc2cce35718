//! A page that is code and data at once: a loop of privileged instructions writes next to itself,
//! on the same page, thousands of times.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::EBREAK;
    use guests::paging::{LEAF, Mode, R, Space, W, X};
    use guests::{code, memory, paging, println};

    fn main() {
        let snippet = code!(
            "1:",
            "csrr t0, sstatus",
            "andi t0, t0, 2",
            "csrsi sstatus, 0",
            "ld t1, 0(s0)",
            "addi t1, t1, 1",
            "add t1, t1, t0",
            "sd t1, 0(s0)",
            "csrr t2, sie",
            "sw t1, 8(s0)",
            "addi a0, a0, -1",
            "bnez a0, 1b",
        );
        let (page, other) = (memory::page(), memory::page());
        snippet.copy_to(page + 0x200);
        let space = Space::new(Mode::Sv39);
        space.map(0x10_0000, page, LEAF | R | W | X);
        space.map(0x20_0000, page, LEAF | R | W);
        space.map(0x30_0000, other, LEAF | R | W);
        let runs = [
            ("Bare, same page", false, page + 0x200, page + 0x800),
            ("Bare, another page", false, page + 0x200, other),
            ("paged, same page", true, 0x10_0200, 0x10_0800),
            ("paged, alias", true, 0x10_0200, 0x20_0900),
            ("paged, identity", true, page + 0x200, page + 0xa00),
            ("paged, another page", true, 0x10_0200, 0x30_0800),
        ];
        for (name, paged, at, data) in runs {
            if paged {
                space.activate(0);
            }
            for times in [1, 10, 100, 3000] {
                let mut context = snippet.supervisor().with(8, data).with(10, times);
                context.pc = at;
                context.origin = at;
                let trap = context.run();
                println!(
                    "{name}, {times} times: {} at +{:#x}, {}",
                    trap.name(),
                    trap.pc - at,
                    memory::read::<u64>(data)
                );
            }
            paging::bare();
        }
        // Each round writes the instruction that runs next, in a different place of the page.
        let mut sum = 0u64;
        for round in 0..1000u64 {
            let at = page + 0xc00 + 8 * (round % 64);
            guests::code::write_words(at, &[0x0000_0513 | ((round % 100) as u32) << 20, EBREAK]);
            let mut context = guests::context::Context::supervisor(at);
            context.run();
            sum += context.x[10];
        }
        println!("1000 small programs: {sum}");
        onto_a_device(&space, other);
    }

    /// The page of a load that was of a device, and now is of memory, is moved onto a device itself. Without
    /// a fence, either translation is right.
    fn onto_a_device(space: &Space, other: u64) {
        const PLIC: u64 = 0x0c00_0000;
        let snippet = code!("1:", "lw t1, 0(s0)", "addi a0, a0, -1", "bnez a0, 1b");
        let page = memory::page();
        snippet.copy_to(page);
        space.map(0x10_0000, page, LEAF | R | W | X);
        space.map(0x40_0000, PLIC, LEAF | R | W);
        space.activate(0);
        let run = |data, times| {
            let mut context = snippet.supervisor().with(8, data).with(10, times);
            (context.pc, context.origin) = (0x10_0000, 0x10_0000);
            (context.run(), context.x[6])
        };
        run(0x40_0000, 100);
        memory::write(other, 7u32);
        space.map(0x10_0000, PLIC, LEAF | R | W | X);
        let (trap, _) = run(0x30_0000, 1);
        assert!(["breakpoint", "instruction access fault"].contains(&trap.name()));
        space.map(0x10_0000, page, LEAF | R | W | X);
        paging::fence();
        let (trap, loaded) = run(0x30_0000, 1);
        println!("back from a device: {}, {loaded}", trap.name());
        paging::bare();
    }

    guests::program!(main);
}
