//! Hostile: what looks like a patch, with every payload, in pages with privileged instructions and in
//! others; jumps into the middle of privileged instructions; text that is rewritten while others run it.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{C_EBREAK, EBREAK, csr_word, csrr, fence_i};
    use guests::context::Context;
    use guests::hostile::{self, Attack};
    use guests::paging::{LEAF, Mode, R, Space, U, W, X};
    use guests::random::Random;
    use guests::{csr, harts, memory, paging, sbi};

    const TEXT: u64 = 0x3456_0000;
    const USER_TEXT: u64 = 0x4456_0000;
    const PAGES: u64 = 4;
    /// Here are only breaks with payloads of every kind, and S-mode executes nothing else: among the
    /// payloads are jumps, and a loop with interrupts off would not come back. It is the last page.
    const PAYLOADS: u64 = (PAGES - 1) * 4096;

    fn main() {
        let attack = Attack::new();
        harts::ready(harts::available());
        let text = memory::allocate(PAGES * 4096);
        for offset in (PAYLOADS..PAGES * 4096).step_by(2) {
            memory::write(text + offset, C_EBREAK);
        }
        let space = Space::new(Mode::Sv39);
        for page in (0..PAGES).map(|page| page * 4096) {
            space.map(TEXT + page, text + page, LEAF | R | W | X);
            space.map(USER_TEXT + page, text + page, LEAF | R | X | U);
        }
        attack.everywhere(|me| {
            let mut random = attack.random();
            space.activate(1);
            hostile::watch();
            let mut payload = (me as u16) << 12;
            while attack.goes_on() {
                for _ in 0..100 {
                    let at = random.below(PAGES * 2048) * 2;
                    // One hart rewrites more than it runs.
                    if random.once_in(if me == 0 { 2 } else { 10 }) {
                        if at < PAYLOADS {
                            rewrite(&mut random, text + at, &mut payload);
                        } else {
                            payload = payload.wrapping_add(1);
                            memory::write(text + (at & !3) + 2, payload);
                        }
                        if random.once_in(2) {
                            fence_i();
                        }
                    }
                    match random.below(8) {
                        0 => fence_i(),
                        1 if random.once_in(8) => {
                            sbi::call(sbi::RFENCE, 0, [0, u64::MAX, 0, 0, 0, 0]);
                        }
                        2 => {
                            // Read through the other alias while it runs.
                            memory::read::<u16>(text + at);
                        }
                        _ => {}
                    }
                    let at = match random.below(2) {
                        0 => at,
                        _ => random.below(PAGES * 2048) * 2,
                    };
                    execute(&mut random, at);
                }
            }
            paging::bare();
        });
        attack.survived();
    }

    /// Runs some instructions from there; what it runs into ends it.
    fn execute(random: &mut Random, at: u64) {
        let mut context = match random.below(3) {
            0 => Context::user(USER_TEXT + at),
            _ if at >= PAYLOADS => Context::supervisor(TEXT + (at & !3)),
            _ => Context::supervisor(TEXT + at),
        };
        for register in 1..32 {
            let value = random.next() >> random.below(64);
            // None leads into the program.
            context.x[register] = match value {
                0x8000_0000..0x9000_0000 => !value,
                _ => value,
            };
        }
        // On, a few times, behind what it stopped at.
        for _ in 0..4 {
            hostile::run(&mut context);
            context.pc += random.of(&[2, 4]);
            let place = match context.sstatus & csr::SPP {
                0 => USER_TEXT..USER_TEXT + PAGES * 4096,
                _ => TEXT..TEXT + PAYLOADS,
            };
            if !place.contains(&context.pc) {
                return;
            }
        }
    }

    /// Writes a privileged instruction, or something that looks like a patch, or half of one.
    fn rewrite(random: &mut Random, at: u64, payload: &mut u16) {
        // What code may write and still come back: sepc, scause, stval, sip. Of sstatus only what fits
        // into an immediate, so that a return never goes to S-mode.
        let csr = random.of(&[0x141, 0x142, 0x143, 0x144]);
        let register = |random: &mut Random| random.below(32) as usize;
        let word = match random.below(8) {
            0 => csrr(
                register(random),
                random.of(&[0x100, 0x104, 0x105, 0x140, 0x180]),
            ),
            1 => {
                let form = random.of(&[5, 6, 7]);
                csr_word(form, 0x100, register(random), register(random))
            }
            2 | 3 => {
                let form = random.of(&[1, 2, 3, 5, 6, 7]);
                csr_word(form, csr, register(random), register(random))
            }
            4 => random.of(&[0x1020_0073, 0x1200_0073, 0x1230_0073, EBREAK]),
            _ => {
                *payload = payload.wrapping_add(1);
                C_EBREAK as u32 | (*payload as u32) << 16
            }
        };
        // Words stay in their places, so that only these pairs of parcels can be met.
        let at = at & !3;
        let old: u32 = memory::read(at);
        let new = match random.below(4) {
            0 => old & 0xffff_0000 | word & 0xffff,
            1 => old & 0xffff | word & 0xffff_0000,
            _ => word,
        };
        if comes_back(new) {
            for half in [0, 1] {
                let parcel = (new >> (16 * half)) as u16;
                memory::write(at + 2 * half as u64, parcel);
            }
        }
    }

    /// Whether S-mode comes back from the word and from its second half.
    fn comes_back(word: u32) -> bool {
        let (low, high) = (word as u16, (word >> 16) as u16);
        let system = low & 0x7f == 0x73;
        let privileged = matches!(word, 0x1020_0073 | 0x1200_0073 | 0x1230_0073 | EBREAK);
        let (form, csr) = (word >> 12 & 7, word >> 20);
        let reads = matches!(form, 2 | 3 | 6 | 7) && word >> 15 & 31 == 0;
        let harmless =
            reads || matches!(csr, 0x141..=0x144) && form & 3 != 0 || csr == 0x100 && form > 4;
        !can_loop(high) && (!system || privileged || harmless)
    }

    /// Whether the parcel is a jump or branch, or the start of one, or of `wfi`'s opcode.
    fn can_loop(parcel: u16) -> bool {
        match parcel & 3 {
            1 => parcel >> 13 > 4,
            2 => parcel >> 13 == 4 && parcel >> 2 & 31 == 0 && parcel >> 7 & 31 != 0,
            3 => matches!(parcel & 0x7f, 0x63 | 0x67 | 0x6f | 0x73),
            _ => false,
        }
    }

    guests::program!(main);
}
