//! Reads every CSR number from S and from U, and writes the read-only ones: which trap, and how.
//!
//! Left out, because machines differ in them and guests are told so in the device tree: stimecmp
//! (0x14d), the hardware performance counters (0xc03 to 0xc1f), scountovf (0xda0), the indirect
//! and interrupt-file registers of Smaia and Smcsrind (0x150 to 0x157, 0x15c, 0x1db to 0x1df,
//! 0xdb0), the state-enable registers (0x10c to 0x10f), seed (0x015), scontext (0x5a8) and htimedelta
//! (0x605), which OpenSBI emulates even where there is no H.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{EBREAK, addi, csr_word, csrr, write_words};
    use guests::context::{Context, Trap};
    use guests::{csr, memory, println};

    const LEFT_OUT: [(u32, u32); 11] = [
        (0x14d, 0x14d),
        (0xc03, 0xc1f),
        (0xda0, 0xda0),
        (0x150, 0x157),
        (0x15c, 0x15c),
        (0x1db, 0x1df),
        (0xdb0, 0xdb0),
        (0x10c, 0x10f),
        (0x015, 0x015),
        (0x5a8, 0x5a8),
        (0x605, 0x605),
    ];

    fn attempt(page: u64, word: u32, status: u64) -> Trap {
        write_words(page, &[addi(0, 0, 0), word, EBREAK]);
        let mut context = Context::supervisor(page);
        context.sstatus = status;
        context.run()
    }

    /// Prints the runs of CSR numbers for which `word` traps in one way.
    fn sweep(page: u64, status: u64, word: fn(u32) -> u32) {
        let mut run: Option<(u32, u64)> = None;
        for number in 0..=4096 {
            let left_out = LEFT_OUT
                .iter()
                .any(|&(first, last)| (first..=last).contains(&number));
            let outcome = if number == 4096 || left_out {
                None
            } else {
                let word = word(number);
                let trap = attempt(page, word, status);
                let expected = (2, page + 4, word as u64);
                let done = trap.cause == 3 && trap.pc == page + 8;
                if !done && (trap.cause, trap.pc, trap.value) != expected {
                    println!("  {number:#05x}: {trap}");
                }
                Some(trap.cause)
            };
            match (run, outcome) {
                (Some((_, cause)), Some(now)) if cause == now => {}
                _ => {
                    if let Some((first, cause)) = run {
                        let what = if cause == 3 { "accessible" } else { "illegal" };
                        println!("  {first:#05x} to {:#05x}: {what}", number - 1);
                    }
                    run = outcome.map(|cause| (number, cause));
                }
            }
        }
    }

    fn main() {
        let page = memory::page();
        for (name, status) in [
            ("S", csr::SPP),
            ("U", 0),
            ("S with FS and VS", csr::SPP | csr::FS | csr::VS),
        ] {
            println!("read from {name}");
            sweep(page, status, |number| csrr(10, number));
            println!("set no bits from {name}");
            sweep(page, status, |number| csr_word(6, number, 10, 0));
        }
        for (name, status) in [("S", csr::SPP), ("U", 0)] {
            for number in [
                0xc00, 0xc01, 0xc02, 0xf11, 0xf14, 0x300, 0x341, 0x600, 0x200, 0x7a0, 0x7c0, 0x5c0,
            ] {
                for form in [1, 2, 3, 5, 6, 7] {
                    let trap = attempt(page, csr_word(form, number, 10, 1), status);
                    println!("{name}: write {number:#05x} by form {form}: {trap}");
                }
            }
        }
    }

    guests::program!(main);
}
