//! Code that is written after it ran often enough to be patched: directly, through an alias, in
//! halves; read back at every step.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{EBREAK, addi, csr_word, csrr, fence_i, write_words};
    use guests::context::Context;
    use guests::paging::{LEAF, Mode, R, Space, W};
    use guests::{csr, memory, paging, println};

    const ALIAS: u64 = 0x7000_0000;

    /// Runs the code 500 times, checks its words, and tells what a0 to a3 end as.
    fn run(page: u64, words: &[u32], what: &str) {
        let mut last = None;
        for round in 0..500 {
            let mut context = Context::supervisor(page).with(11, 0x55).with(12, 1 << 1);
            csr::write!("stval", 0x1234u64);
            csr::write!("scause", 7u64);
            let trap = context.run();
            let seen = (
                trap.cause,
                trap.pc,
                csr::normal(context.x[10]),
                context.x[13],
            );
            if last != Some(seen) {
                println!(
                    "{what}, round {round}: {trap} a0 {:#x} a3 {:#x}",
                    seen.2, seen.3
                );
            }
            last = Some(seen);
            for (index, &word) in words.iter().enumerate() {
                let read: u32 = memory::read(page + 4 * index as u64);
                assert_eq!(read, word, "word {index} in round {round} of {what}");
            }
        }
    }

    fn main() {
        const SSTATUS: u32 = 0x100;
        const SCAUSE: u32 = 0x142;
        const STVAL: u32 = 0x143;
        const SEPC: u32 = 0x141;
        let page = memory::page();
        let space = Space::new(Mode::Sv39);
        space.map(ALIAS, page, LEAF | R | W);

        for paged in [false, true] {
            if paged {
                space.activate(0);
            }
            let first = [csrr(10, SSTATUS), addi(13, 0, 1), EBREAK];
            write_words(page, &first);
            run(page, &first, "csrr sstatus");
            let second = [csrr(10, STVAL), addi(13, 0, 2), EBREAK];
            write_words(page, &second);
            run(page, &second, "rewritten to csrr stval");
            // One privileged instruction's upper half alone.
            let third = [csr_word(2, SCAUSE, 10, 0), addi(13, 0, 2), EBREAK];
            memory::write(page + 2, (third[0] >> 16) as u16);
            fence_i();
            run(page, &third, "upper half rewritten");
            // Its lower half alone: another rd and form.
            let fourth = [csr_word(1, SCAUSE, 13, 11), addi(10, 13, 2), EBREAK];
            memory::write(page, fourth[0] as u16);
            memory::write(page + 2, (fourth[0] >> 16) as u16);
            memory::write(page + 4, fourth[1]);
            fence_i();
            run(page, &fourth, "halves rewritten one by one");
            let plain = [addi(10, 11, 1), addi(13, 0, 9), EBREAK];
            write_words(page, &plain);
            run(page, &plain, "rewritten to plain instructions");
            let again = [csrr(10, SEPC), addi(10, 0, 3), EBREAK];
            write_words(page, &again);
            run(page, &again, "privileged again");
            if paged {
                let alias = [csrr(10, SCAUSE), addi(13, 0, 4), EBREAK];
                write_words(ALIAS, &alias);
                run(page, &alias, "rewritten through an alias");
                let bytes = alias[0].to_le_bytes();
                memory::write(ALIAS, bytes[0]);
                // scause to stval: one bit of one byte.
                memory::write(ALIAS + 2, bytes[2] | 0x30);
                fence_i();
                let mixed = [alias[0] | 0x30 << 16, alias[1], alias[2]];
                run(page, &mixed, "one byte rewritten through an alias");
            }
            // Changed back and forth: each run must see the latest.
            let mut sum = 0;
            for round in 0..2000u64 {
                let words = if round & 1 == 0 {
                    [first[0], EBREAK]
                } else {
                    [second[0], EBREAK]
                };
                write_words(page, &words);
                csr::write!("stval", round);
                let mut context = Context::supervisor(page);
                context.run();
                sum += csr::normal(context.x[10]) & 0xfff;
            }
            println!("2000 changes: {sum}");
        }
        paging::bare();
    }

    guests::program!(main);
}
