//! The program reads its own text, in every width and by atomics, while privileged instructions in
//! it have run often enough to be patched: it must find what it wrote there.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{EBREAK, csr_word, csrr, write_words};
    use guests::context::Context;
    use guests::digest::Digest;
    use guests::paging::{LEAF, Mode, R, Space, U, W, X};
    use guests::{code, memory, paging, println};

    const ALIAS: u64 = 0x5000_0000;

    fn words() -> [u32; 128] {
        let mut words = [0x13; 128];
        for (index, word) in words.iter_mut().enumerate().take(120) {
            *word = match index % 5 {
                0 => csrr(10 + index % 6, 0x100),
                1 => csr_word(2, 0x104, 10 + index % 6, 0),
                2 => csr_word(6, 0x100, 0, 0),
                3 => 0x1200_0073,
                _ => 0x0010_0093, // li ra, 1
            };
        }
        words[127] = EBREAK;
        words
    }

    fn text_digest() -> Digest {
        unsafe extern "C" {
            static _image_start: u8;
        }
        let mut digest = Digest::new();
        let start = &raw const _image_start as u64;
        for word in 0..0x3000 / 8 {
            digest.add(memory::read::<u64>(start + 8 * word));
        }
        digest
    }

    fn main() {
        let before = text_digest();
        let page = memory::page();
        let words = words();
        write_words(page, &words);
        let space = Space::new(Mode::Sv39);
        space.map(ALIAS, page, LEAF | R | W | X);
        space.map(ALIAS + 0x1000, page, LEAF | R | U);
        let user = space.user(code!("1:", "lwu a0, 0(a1)", "ecall", "j 1b"), 0x9_0000);
        for paged in [false, true] {
            if paged {
                space.activate(1);
            }
            for round in 0..300 {
                let trap = Context::supervisor(page).run();
                assert_eq!(
                    (trap.cause, trap.pc),
                    (3, page + 508),
                    "round {round}: {trap}"
                );
                for (index, &word) in words.iter().enumerate() {
                    let at = page + 4 * index as u64;
                    assert_eq!(memory::read::<u32>(at), word, "word {index}, round {round}");
                }
            }
            let mut digest = Digest::new();
            for offset in 0..512 {
                digest.add(memory::read::<u8>(page + offset) as u64);
                if offset % 2 == 0 {
                    digest.add(memory::read::<u16>(page + offset) as u64);
                }
                if offset % 8 == 0 {
                    digest.add(memory::read(page + offset));
                }
            }
            println!("paged {paged}: bytes, halves, doubles {digest}");
            for (name, snippet) in [
                ("lw", code!("lw a0, 0(a1)")),
                ("ld", code!("ld a0, 0(a1)")),
                ("lhu", code!("lhu a0, 2(a1)")),
                ("c.lw", code!("c.lw a0, 0(a1)")),
                ("ld, misaligned", code!("ld a0, 3(a1)")),
                ("lr.w", code!("lr.w a0, (a1)")),
                (
                    "lr.d and sc.d",
                    code!("1: lr.d a0, (a1)", "sc.d a2, a0, (a1)", "bnez a2, 1b"),
                ),
                ("amoor.w x0", code!("amoor.w a0, zero, (a1)")),
                ("amoadd.d x0", code!("amoadd.d a0, zero, (a1)")),
            ] {
                let mut digest = Digest::new();
                for offset in (0..64).step_by(8) {
                    let mut context = snippet.supervisor().with(11, page + offset);
                    let trap = context.run();
                    assert_eq!(trap.cause, 3, "{trap}");
                    digest.add(context.x[10]);
                    Context::supervisor(page).run();
                }
                println!("paged {paged}: {name} {digest}");
            }
            if paged {
                let mut digest = Digest::new();
                let mut reader = user.clone();
                for index in 0..128 {
                    digest.add(memory::read::<u32>(ALIAS + 4 * index) as u64);
                    reader.x[11] = ALIAS + 0x1000 + 4 * index;
                    let trap = reader.run();
                    assert_eq!(trap.cause, 8, "{trap}");
                    assert_eq!(reader.x[10], words[index as usize] as u64, "from U");
                    reader.pc += 4;
                }
                println!("through an alias, S and U: {digest}");
            }
        }
        paging::bare();
        println!("own text unchanged: {}", text_digest() == before);
    }

    guests::program!(main);
}
