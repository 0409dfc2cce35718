//! Hostile: one hart changes page tables all the time, leaves into tables and back, A and D, loops,
//! and tables that can be written through themselves, while the others access through them.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::context::Context;
    use guests::hostile::{self, Attack};
    use guests::paging::{A, D, G, LEAF, Mode, R, Space, U, V, W, X};
    use guests::random::Random;
    use guests::{code, csr, harts, memory, paging, sbi};

    /// Entries of the root that are changed: those of these addresses.
    const PLACES: [u64; 3] = [0x1_0000_0000, 0x2_4000_0000, 0xffff_ffd0_0000_0000];
    const TABLES: usize = 8;
    const PAGES: usize = 4;
    const TEXT: u64 = 0x4000_0000;
    /// Bits of an entry that are turned over. Not W: a leaf of all memory must not become writable.
    const TURNED: [u64; 9] = [V, R, X, U, G, A, D, 1 << 8, 1 << 9];

    struct Tables {
        space: Space,
        tables: [u64; TABLES],
        pages: [u64; PAGES],
    }

    fn main() {
        let attack = Attack::new();
        harts::ready(harts::available());
        let tables = Tables {
            space: Space::new(Mode::Sv39),
            tables: core::array::from_fn(|_| memory::page()),
            pages: core::array::from_fn(|_| memory::page()),
        };
        let pieces = [
            code!("ld a0, 0(a1)"),
            code!("sd a2, 0(a1)"),
            code!("amoswap.d a0, a2, (a1)"),
            code!("lr.d a0, (a1)", "sc.d a0, a2, (a1)"),
            code!("jr a1"),
            code!("sfence.vma a1"),
            code!(
                "1: ld a0, 0(a1)",
                "sd a2, 0(a3)",
                "addi a4, a4, -1",
                "bnez a4, 1b"
            ),
        ];
        let first = pieces[0].start & !4095;
        for page in [0, 4096] {
            tables
                .space
                .map(TEXT + page, first + page, LEAF | R | X | U);
        }
        attack.everywhere(|me| {
            let mut random = attack.random();
            tables.space.activate(2);
            hostile::watch();
            while attack.goes_on() {
                for _ in 0..200 {
                    if me == 0 || random.once_in(16) {
                        tables.change(&attack, &mut random);
                        continue;
                    }
                    let piece = random.of(&pieces);
                    let mut context = match random.below(2) {
                        0 => piece.supervisor(),
                        _ => Context::user(TEXT + (piece.start - first)),
                    };
                    context.sstatus |= random.next() & (csr::SUM | csr::MXR);
                    context.x[11] = address(&mut random);
                    context.x[12] = tables.entry(&attack, &mut random);
                    context.x[13] = address(&mut random);
                    context.x[14] = 100;
                    hostile::run(&mut context);
                }
            }
        });
        attack.survived();
    }

    /// An address whose indices are small, so that the entries there are met.
    fn address(random: &mut Random) -> u64 {
        let place = random.of(&PLACES);
        place | random.below(8) << 21 | random.below(8) << 12 | random.below(512) << 3
    }

    impl Tables {
        /// An entry of any kind. No writable leaf covers the program: leaves are of its own pages and
        /// tables, or outside of memory.
        fn entry(&self, attack: &Attack, random: &mut Random) -> u64 {
            let table = random.of(&self.tables) >> 2;
            let page = random.of(&self.pages) >> 2;
            let mode = random.of(&[0, R, R | W, R | W | X, X, R | X, W]);
            let used = random.of(&[A | D, A, 0, D]);
            let flags = V | mode | used | random.of(&[0, U, G, U | G]);
            let outside = [
                0,
                0x4000_0000,
                0x8000_0000,
                attack.memory_end,
                0xff_ffff_ffff_f000,
            ];
            match random.below(12) {
                0..=3 => table | V,
                4..=6 => page | flags,
                7 => table | flags,
                // Through the table of the program's own mapping, as a smaller page: firmware's memory.
                8 => self.space.root >> 2 | V,
                9 => random.of(&outside) >> 2 | flags & !W,
                10 => table | V | 1 << random.below(64),
                _ => 0,
            }
        }

        fn change(&self, attack: &Attack, random: &mut Random) {
            let entry = self.entry(attack, random);
            let place = random.of(&PLACES);
            let slot = match random.below(8) {
                // A leaf in the root would be 1 GiB: those of the program's pages are misaligned.
                0 => self.space.slot(place, 2),
                _ => random.of(&self.tables) + 8 * random.below(8),
            };
            match random.below(4) {
                0 => memory::write(slot, memory::read::<u64>(slot) & !(A | D)),
                1 => memory::write(slot, memory::read::<u64>(slot) ^ random.of(&TURNED)),
                _ => memory::write(slot, entry),
            }
            match random.below(12) {
                0 => paging::fence(),
                1 => paging::fence_address(address(random)),
                2 => _ = sbi::call(sbi::RFENCE, 1, [0, u64::MAX, address(random), 4096, 0, 0]),
                3 => _ = sbi::call(sbi::RFENCE, 2, [0, u64::MAX, 0, u64::MAX, 2, 0]),
                _ => {}
            }
        }
    }

    guests::program!(main);
}
