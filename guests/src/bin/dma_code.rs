//! Code that has been executed and patched is replaced by a disk: what was read must run then, and what
//! is read back must be what was written.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{EBREAK, csrr, fence_i, write_words};
    use guests::context::Context;
    use guests::virtio::{Block, IN, OUT};
    use guests::{memory, println};

    const WORDS: usize = 1024;
    const NOP: u32 = 0x13;
    const ROUNDS: u32 = 40;

    /// A page of code that leaves `value` in a0; privileged where `is_privileged` says so.
    fn page_of(value: u32, is_privileged: impl Fn(usize) -> bool) -> [u32; WORDS] {
        let mut words = [NOP; WORDS];
        for (index, word) in words.iter_mut().enumerate() {
            if is_privileged(index) {
                *word = csrr(11, 0x100);
            }
        }
        // li a0, value
        words[WORDS - 2] = value << 20 | 10 << 7 | NOP;
        words[WORDS - 1] = EBREAK;
        words
    }

    fn main() {
        let mut disk = Block::new(0);
        let (code, buffer) = (memory::page(), memory::page());
        let pages = [
            page_of(1, |index| index % 3 == 0),
            page_of(2, |index| index % 3 == 1),
            page_of(3, |_| false),
        ];
        for (number, words) in (0..).zip(&pages) {
            write_words(buffer, words);
            disk.transfer(OUT, 8 * number, buffer, 4096);
        }
        for round in 0..ROUNDS {
            for (number, words) in (0..).zip(&pages) {
                disk.transfer(IN, 8 * number, code, 4096);
                fence_i();
                for _ in 0..4 {
                    let mut context = Context::supervisor(code);
                    let trap = context.run();
                    let end = code + 4 * (WORDS as u64 - 1);
                    assert_eq!((trap.cause, trap.pc), (3, end), "round {round}: {trap}");
                    assert_eq!(context.x[10], number + 1, "round {round}: other code ran");
                }
                for (index, &word) in (0..).zip(words) {
                    let read: u32 = memory::read(code + 4 * index);
                    assert_eq!(read, word, "word {index} of page {number}");
                }
            }
        }
        // What is patched is written to the disk as the guest wrote it.
        disk.transfer(IN, 0, code, 4096);
        fence_i();
        Context::supervisor(code).run();
        disk.transfer(OUT, 64, code, 4096);
        disk.transfer(IN, 64, buffer, 4096);
        for (index, &word) in (0..).zip(&pages[0]) {
            assert_eq!(
                memory::read::<u32>(buffer + 4 * index),
                word,
                "written back"
            );
        }
        println!("dma_code: ok, {ROUNDS} rounds");
    }

    guests::program!(main);
}
