//! Svinval's instructions on a machine without it, in S and U: they are none.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{EBREAK, write_words};
    use guests::context::Context;
    use guests::{csr, memory, println};

    const WORDS: [(u32, &str); 5] = [
        (0x1600_0073, "sinval.vma"),
        (0x1605_0073, "sinval.vma a0"),
        (0x16b5_0073, "sinval.vma a0, a1"),
        (0x1800_0073, "sfence.w.inval"),
        (0x1810_0073, "sfence.inval.ir"),
    ];

    fn main() {
        let page = memory::page();
        for (word, name) in WORDS {
            write_words(page, &[word, EBREAK]);
            for (mode, status) in [("S", csr::SPP), ("U", 0)] {
                let mut context = Context::supervisor(page).with(10, page);
                context.sstatus = status;
                println!("{name} in {mode}: {}", context.run());
            }
        }
    }

    guests::program!(main);
}
