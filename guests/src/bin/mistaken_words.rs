//! `mret`, which S-mode may not execute, after privileged instructions that it may: nothing but its
//! exception happens, wherever it stands. QEMU 10.0 has the word of an older instruction in stval then,
//! so that stval is not printed.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{EBREAK, addi, csr_word, csrr, csrw, write_words};
    use guests::context::Context;
    use guests::{csr, memory, println};

    const MRET: u32 = 0x3020_0073;
    const SCAUSE: u32 = 0x142;
    const STVAL: u32 = 0x143;
    const SATP: u32 = 0x180;

    fn show(what: &str, at: u64, pc: u64) {
        for round in 0..4 {
            csr::write!("scause", 0x8u64);
            csr::write!("stval", 0x77u64);
            let mut context = Context::supervisor(pc).with(10, 0x10).with(11, 0x11);
            context.origin = at;
            let trap = context.run();
            println!(
                "{what}, round {round}: {} at {:#x}, a0 {:#x} a1 {:#x}",
                trap.name(),
                trap.pc - at,
                context.x[10],
                context.x[11]
            );
        }
    }

    fn main() {
        let before = [
            ("a read", csrr(10, SCAUSE)),
            ("a write", csrw(STVAL, 10)),
            ("an exchange", csr_word(1, STVAL, 10, 11)),
            ("setting bits", csr_word(6, SCAUSE, 11, 2)),
            ("a fence", 0x1200_0073),
            ("another address space", csr_word(2, SATP, 10, 0)),
        ];
        for (what, word) in before {
            // Not yet patched in each of these pages.
            let page = memory::page();
            write_words(page, &[word, MRET, addi(11, 11, 1), EBREAK]);
            show(what, page, page);
            let pages = memory::allocate(0x2000);
            write_words(pages + 0xffa, &[word, MRET, addi(11, 11, 1), EBREAK]);
            show("across two pages", pages, pages + 0xffa);
            let alone = memory::page();
            write_words(alone, &[MRET, word, EBREAK]);
            show("before it", alone, alone);
        }
    }

    guests::program!(main);
}
