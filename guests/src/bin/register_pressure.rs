//! Each privileged instruction thousands of times in a row with all 31 registers loaded: nothing
//! but what the instruction says may change.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{EBREAK, csr_word, csrr, write_words};
    use guests::context::{self, Context};
    use guests::{csr, memory, println};

    const WORDS: [(&str, u32); 34] = [
        ("csrr a0, sstatus", csrr(10, 0x100)),
        ("csrr sp, sstatus", csrr(2, 0x100)),
        ("csrr t0, sstatus", csrr(5, 0x100)),
        ("csrr t1, sie", csrr(6, 0x104)),
        ("csrr t2, stvec", csrr(7, 0x105)),
        ("csrr t3, sip", csrr(28, 0x144)),
        ("csrr ra, scause", csrr(1, 0x142)),
        ("csrr gp, stval", csrr(3, 0x143)),
        ("csrr tp, sepc", csrr(4, 0x141)),
        ("csrr t6, satp", csrr(31, 0x180)),
        ("csrr s0, senvcfg", csrr(8, 0x10a)),
        ("csrci sstatus, 2", csr_word(7, 0x100, 0, 2)),
        ("csrsi sstatus, 0", csr_word(6, 0x100, 0, 0)),
        ("csrrci t0, sstatus, 2", csr_word(7, 0x100, 5, 2)),
        ("csrs sstatus, x0", csr_word(2, 0x100, 0, 0)),
        ("csrc sstatus, sp", csr_word(3, 0x100, 0, 2)),
        ("csrrw sp, scause, sp", csr_word(1, 0x142, 2, 2)),
        ("csrrw t0, scause, t0", csr_word(1, 0x142, 5, 5)),
        ("csrrw tp, stval, tp", csr_word(1, 0x143, 4, 4)),
        ("csrrw t1, stval, t2", csr_word(1, 0x143, 6, 7)),
        ("csrrw x0, stval, t0", csr_word(1, 0x143, 0, 5)),
        ("csrrs t1, stval, t0", csr_word(2, 0x143, 6, 5)),
        ("csrrc t2, stval, t1", csr_word(3, 0x143, 7, 6)),
        ("csrrwi t3, sepc, 30", csr_word(5, 0x141, 28, 30)),
        ("csrw sepc, t3", csr_word(1, 0x141, 0, 28)),
        ("csrs sie, x0", csr_word(2, 0x104, 0, 0)),
        ("csrrs s1, sie, x0", csr_word(2, 0x104, 9, 0)),
        ("csrci sip, 0", csr_word(7, 0x144, 0, 0)),
        ("sfence.vma", 0x1200_0073),
        ("sfence.vma sp", 0x1201_0073),
        ("sfence.vma x0, t0", 0x1250_0073),
        ("sfence.vma t1, t2", 0x1273_0073),
        ("wfi, with something pending", 0x1050_0073),
        ("rdtime x0", csr_word(2, 0xc01, 0, 0)),
    ];

    fn run(page: u64, name: &str, word: u32, unrolled: usize) {
        let mut words = [EBREAK; 65];
        words[..unrolled].fill(word);
        write_words(page, &words);
        let writes = if word & 0x7f == 0x73 && word & 0x7000 != 0 {
            (word >> 7 & 31) as usize
        } else {
            0
        };
        let mut last = None;
        for round in 0..100 {
            csr::write!("scause", 0u64);
            csr::write!("stval", 0u64);
            let mut context = Context::supervisor(page);
            for index in 1..32 {
                context.x[index] =
                    0x0123_4567_89ab_cdef_u64.rotate_left(2 * index as u32) & !(3 << 32 | 6);
            }
            let before = context.clone();
            let trap = context.run();
            assert_eq!(
                (trap.cause, trap.pc),
                (3, page + 4 * unrolled as u64),
                "{name}: {trap}"
            );
            for index in 1..32 {
                assert!(
                    index == writes || context.x[index] == before.x[index],
                    "{name}, round {round}: {} changed to {:#x}",
                    csr::register(index),
                    context.x[index]
                );
            }
            let result = if word >> 20 == 0x100 {
                csr::normal(context.x[writes])
            } else {
                context.x[writes]
            };
            let seen = if writes == 0 { 0 } else { result };
            if last != Some(seen) && round < 10 {
                println!("{name}, {unrolled} in a row, round {round}: {seen:#x}");
            }
            last = Some(seen);
        }
    }

    fn main() {
        let page = memory::page();
        // For wfi: pending and enabled, but masked.
        csr::write!("sie", csr::SOFTWARE);
        csr::write!("sip", csr::SOFTWARE);
        for unrolled in [1, 2, 63, 64] {
            for (name, word) in WORDS {
                run(page, name, word, unrolled);
            }
        }
        csr::write!("sip", 0u64);
        context::reset();
    }

    guests::program!(main);
}
