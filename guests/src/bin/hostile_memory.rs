//! Hostile: loads, stores, jumps, atomics and fences all over the address space, through page tables
//! that point outside of its memory, into devices, over the ends of memory and into themselves. In the
//! end all harts but one go under with roots that are no memory.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::Snippet;
    use guests::context::Context;
    use guests::hostile::{self, Attack};
    use guests::paging::{G, LEAF, Mode, R, Space, U, V, W, X, csr_satp};
    use guests::random::Random;
    use guests::{code, csr, harts, memory, paging};

    /// Where forged entries are.
    const PLACES: [u64; 6] = [
        0x1_0000_0000,
        0x1_0020_0000,
        0x2_4000_0000,
        0x3f_c000_0000,
        0xffff_ffd0_0000_0000,
        0xffff_ffe0_0020_0000,
    ];
    const LEVELS: usize = 3;
    const USER_TEXT: u64 = 0x7654_3000;
    /// The program and what it works with, where stores must not go.
    const OWN: core::ops::Range<u64> = 0x8020_0000..0x8700_0000;
    /// The register that ends the machine.
    const POWER: u64 = 0x10_0000;

    /// An address space with entries to forge.
    struct Forge {
        space: Space,
        /// Addresses of the entries for each place, by level, and what makes them lead to the next.
        slots: [[(u64, u64); LEVELS]; PLACES.len()],
        /// Two pages that may be written.
        victim: u64,
        /// Where the pieces are for U-mode, less where they are in the program.
        moved: u64,
    }

    fn main() {
        let attack = Attack::new();
        attack.everywhere(|me| {
            let mut random = attack.random();
            let forges = Mode::ALL.map(Forge::new);
            let asid = me as u64 + 1;
            hostile::watch();
            while attack.goes_on() {
                let forge = random.of(&[0, 1, 2]);
                forges[forge].attack(&attack, &mut random, asid);
                refused_roots(&attack, &mut random, asid);
            }
        });
        harts::abandon(go_under);
        for _ in 0..2000 {
            harts::nap();
        }
        attack.survived();
    }

    /// a1: the address, a0: what is stored.
    fn pieces() -> [Snippet; 12] {
        [
            code!("ld a0, 0(a1)"),
            code!("lbu a0, 0(a1)"),
            code!("lw a0, -4(a1)"),
            code!("jr a1"),
            code!("sfence.vma a1, a0"),
            code!("sfence.vma a1, zero"),
            code!("lr.d a0, (a1)"),
            code!("sd a0, 0(a1)"),
            code!("sb a0, 7(a1)"),
            code!("sw a0, -4(a1)"),
            code!("amoadd.d a2, a0, (a1)"),
            code!("amoswap.w a2, a0, (a1)"),
        ]
    }

    /// Physical addresses that entries may point to.
    fn targets(attack: &Attack, victim: u64) -> [u64; 16] {
        let end = attack.memory_end;
        [
            victim,
            victim,
            victim + 4096,
            0,
            0x4000_0000,
            0x7fff_f000,
            0x8000_0000,
            0x8001_0000,
            end - 4096,
            end,
            end + 0x10_0000,
            end + 0x4000_0000,
            2 * end - 0x8000_0000,
            0x1_0000_0000,
            0x8_0000_0000,
            0xff_ffff_ffff_f000,
        ]
    }

    impl Forge {
        fn new(mode: Mode) -> Self {
            let space = Space::new(mode);
            let entry = |place, level| {
                let slot = space.slot(place, level);
                (slot, memory::read(slot))
            };
            // From below, so that the tables are there when their entries are noted.
            let slots = PLACES.map(|place| {
                space.slot(place, 0);
                [entry(place, 0), entry(place, 1), entry(place, 2)]
            });
            let starts = pieces().map(|piece| piece.start);
            let first = starts.into_iter().fold(u64::MAX, u64::min) & !4095;
            for page in [0, 4096] {
                space.map(USER_TEXT + page, first + page, LEAF | R | X | U);
            }
            Self {
                space,
                slots,
                victim: memory::allocate(8192),
                moved: USER_TEXT.wrapping_sub(first),
            }
        }

        fn attack(&self, attack: &Attack, random: &mut Random, asid: u64) {
            self.space.activate(asid);
            for _ in 0..300 {
                if random.once_in(4) {
                    self.forge(attack, random);
                }
                let bits = 64 - self.space.mode.bits();
                let address = match random.below(4) {
                    0 => attack.address(random),
                    1 => random.of(&PLACES) + random.below(0x4000),
                    2 => random.of(&PLACES),
                    _ => ((random.next() << bits) as i64 >> bits) as u64,
                };
                if (OWN.start - 64..OWN.end + 64).contains(&address) || address & !15 == POWER {
                    continue;
                }
                let piece = random.of(&pieces());
                let mut context = match random.below(2) {
                    0 => piece.supervisor(),
                    _ => Context::user(piece.start.wrapping_add(self.moved)),
                };
                context.sstatus |= random.next() & (csr::SUM | csr::MXR);
                hostile::run(&mut context.with(11, address).with(10, random.next()));
            }
            paging::bare();
        }

        fn forge(&self, attack: &Attack, random: &mut Random) {
            let place = random.below(PLACES.len() as u64) as usize;
            let level = random.below(LEVELS as u64) as usize;
            let (slot, table) = self.slots[place][level];
            let target = random.of(&targets(attack, self.victim));
            let pte = match random.below(8) {
                0 | 1 => target >> 2 | LEAF | R | W | X | random.of(&[0, U, G, U | G]),
                2 => target >> 2 | random.next() & 0x3ff,
                3 => self.space.root >> 2 | V,
                4 => random.next() & !0x3ff | LEAF | R,
                5 => (target >> 2 | LEAF | R | W) ^ 1 << random.below(64),
                6 => target >> 2 | V,
                _ => table,
            };
            // It must neither write itself nor jump into itself.
            let pte = match self.reaches_own(pte, level) {
                true => pte & !(W | X),
                false => pte,
            };
            memory::write(slot, pte);
            match random.below(3) {
                0 => paging::fence(),
                1 => paging::fence_address(PLACES[place]),
                _ => {}
            }
        }

        fn reaches_own(&self, pte: u64, level: usize) -> bool {
            let start = (pte >> 10 & ((1 << 44) - 1)) << 12;
            let end = start + (4096 << (9 * level));
            let victim = level == 0 && start & !4096 == self.victim;
            !victim && start < OWN.end && end > OWN.start || start <= POWER && end > POWER
        }
    }

    /// Writes of satp that must have no effect: reserved modes (privileged specification, "satp").
    fn refused_roots(attack: &Attack, random: &mut Random, asid: u64) {
        for _ in 0..20 {
            let mode: u64 = random.of(&[1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14, 15]);
            let root = random.of(&targets(attack, OWN.end)) >> 12;
            csr_satp(mode << 60 | asid << 44 | root & ((1 << 44) - 1));
            if csr::read!("satp") != 0 {
                paging::bare();
            }
        }
    }

    /// Takes a root in which nothing can be fetched, the trap vector included: the hart traps for ever.
    fn go_under(index: usize) {
        let roots = [
            0xff_ffff_ffff_f000u64,
            0x1_0000_0000,
            0x1000_0000,
            0x8000_0000,
            0,
        ];
        csr::write!("satp", 8 << 60 | roots[index % roots.len()] >> 12);
        paging::fence();
        loop {
            core::hint::spin_loop();
        }
    }

    guests::program!(main);
}
