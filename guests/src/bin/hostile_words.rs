//! Hostile: executes every 16-bit word and pseudo-random 32-bit words in S-mode and U-mode, with
//! pseudo-random registers of which some point to where something is.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::C_EBREAK;
    use guests::context::Context;
    use guests::hostile::{self, Attack};
    use guests::paging::{G, LEAF, Mode, R, Space, U, W, X};
    use guests::random::Random;
    use guests::{code, csr, memory, paging};

    /// Opcodes of 32-bit words (their bits 6 to 0) that are worth most of the tries.
    const OPCODES: [u32; 12] = [
        0x73, 0x73, 0x73, 0x73, 0x2f, 0x03, 0x23, 0x0f, 0x0b, 0x2b, 0x5b, 0x07,
    ];
    const USER_TEXT: u64 = 0x20_0000;

    fn main() {
        let attack = Attack::new();
        attack.everywhere(|me| words(&attack, me));
        attack.survived();
    }

    fn words(attack: &Attack, me: usize) {
        let mut random = attack.random();
        let text = memory::allocate(1 << 22) + 0x20_0000;
        fill(text);
        let space = Space::new(Mode::Sv39);
        // All that there is, so that addresses in registers find something.
        space.map_level(0, 0, 2, LEAF | G | R | W | X);
        space.map_level(0x40_0000_0000 - 0x4000_0000, 0x8000_0000, 2, LEAF | R);
        space.map_level(0xffff_ffd0_0000_0000, 0, 2, LEAF | R | W | X);
        let user = Space::new(Mode::Sv39);
        user.map(USER_TEXT, text, LEAF | R | W | X | U);
        user.map_level(0x4000_0000, 0, 2, LEAF | R | W | X | U);
        hostile::watch();
        // Each hart starts elsewhere, so that all words are tried even in a short time.
        let mut next = (me as u32) << 13;
        while attack.goes_on() {
            match random.below(4) {
                0 => paging::bare(),
                1 => user.activate(me as u64),
                _ => space.activate(me as u64),
            }
            let paged = csr::read!("satp") != 0;
            let in_user = csr::read!("satp") == user.satp(me as u64);
            for _ in 0..200 {
                let word = match random.below(2) {
                    0 => {
                        next = next.wrapping_add(1);
                        next & 0xffff | (C_EBREAK as u32) << 16
                    }
                    _ => wide(&mut random),
                };
                let as_user = in_user || !paged && random.once_in(2);
                if !as_user && !hostile::comes_back(word) {
                    continue;
                }
                try_word(
                    attack,
                    &mut random,
                    text,
                    word,
                    match as_user {
                        true if in_user => Context::user(USER_TEXT),
                        true => Context::user(text),
                        false => Context::supervisor(text),
                    },
                );
            }
        }
    }

    fn fill(text: u64) {
        for offset in (0..4096).step_by(2) {
            memory::write(text + offset, C_EBREAK);
        }
    }

    fn wide(random: &mut Random) -> u32 {
        let word = random.next() as u32 | 3;
        match random.below(3) {
            0 => word,
            1 => word & !0x7f | random.of(&OPCODES),
            // SYSTEM with what privileged instructions look like.
            _ => {
                let high = random.of(&[
                    0x102, 0x105, 0x120, 0x302, 0x000, 0x001, 0x100, 0x180, 0x144,
                ]);
                match random.below(2) {
                    0 => high << 20 | word & 0x000f_8f80 | 0x73,
                    _ => high << 20 | word & 0x000f_ff80 | 0x73,
                }
            }
        }
    }

    fn try_word(attack: &Attack, random: &mut Random, text: u64, word: u32, start: Context) {
        memory::write(text, word as u16);
        memory::write(text + 2, (word >> 16) as u16);
        code::fence_i();
        let mut context = start;
        for register in 1..32 {
            context.x[register] = match random.below(3) {
                0 => attack.address(random),
                1 => random.next() >> random.below(64),
                _ => text + random.below(4096),
            };
        }
        // A call is of a harmless kind: hostile_sbi makes the others.
        context.x[17] = 0x10;
        context.sstatus |= random.next() & (csr::SUM | csr::MXR | csr::FS | csr::VS);
        hostile::run(&mut context);
        // What it wrote there, and the word.
        if random.once_in(64) {
            fill(text);
        } else {
            memory::write(text, C_EBREAK);
            memory::write(text + 2, C_EBREAK);
        }
    }

    guests::program!(main);
}
