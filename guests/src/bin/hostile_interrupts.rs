//! Hostile: interrupts among all harts and timers in the past at top speed, in the middle of loops of
//! privileged instructions, and pseudo-random values in the registers of PLIC and UART.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::board::{plic, uart};
    use guests::hostile::{self, Attack};
    use guests::random::Random;
    use guests::{code, csr, harts, memory, sbi};

    fn main() {
        let attack = Attack::new();
        let count = harts::available();
        harts::ready(count);
        let loops = [
            code!("1: addi a0, a0, 1", "bnez a0, 1b"),
            code!(
                "1: csrr a1, sstatus",
                "csrsi sstatus, 2",
                "csrr a2, sip",
                "wfi",
                "j 1b"
            ),
            code!(
                "1: csrci sstatus, 2",
                "csrs sip, a3",
                "csrsi sstatus, 2",
                "j 1b"
            ),
            code!("1: wfi", "csrc sip, a3", "j 1b"),
        ];
        attack.everywhere(|me| {
            let mut random = attack.random();
            hostile::watch();
            while attack.goes_on() {
                for _ in 0..50 {
                    match random.below(8) {
                        0 | 1 => {
                            let mask = random.below(1 << count);
                            sbi::call(sbi::IPI, 0, [harts::mask(mask), 0, 0, 0, 0, 0]);
                        }
                        2 => _ = sbi::call(sbi::IPI, 0, [0, u64::MAX, 0, 0, 0, 0]),
                        3 => _ = sbi::set_timer(random.of(&[0, 1, csr::read!("time")])),
                        4 => {
                            let time = csr::read!("time");
                            sbi::set_timer(time.wrapping_add(random.next() >> 44));
                        }
                        5 | 6 => device(&mut random),
                        _ => {
                            let flood = random.below(100);
                            for _ in 0..flood {
                                sbi::call(sbi::IPI, 0, [0, u64::MAX, 0, 0, 0, 0]);
                                sbi::set_timer(0);
                            }
                        }
                    }
                    // Something is always on its way, so that the loop ends.
                    hostile::watch();
                    let piece = random.of(&loops);
                    let mut context = match random.below(3) {
                        0 => loops[0].user(),
                        _ => piece.supervisor(),
                    };
                    context.x[10] = 1;
                    context.x[13] = csr::SOFTWARE;
                    hostile::run(&mut context);
                }
                if me == 0 {
                    settle();
                }
            }
            // No interrupt of the board's must stay.
            for context in 0..2 * count as u64 {
                memory::write(plic::BASE + 0x2000 + 0x80 * (2 * context + 1), 0u32);
            }
        });
        settle();
        attack.survived();
    }

    /// Brings the UART to where output works.
    fn settle() {
        uart::write(uart::LCR, 3);
        uart::write(uart::IER, 0);
        uart::write(uart::MCR, 0);
        uart::write(uart::FCR, 1);
    }

    /// One access to a register of PLIC or UART. The transmitter gets no data.
    fn device(random: &mut Random) {
        let value = random.next() >> random.below(64);
        match random.below(10) {
            0 => memory::write(plic::BASE + 4 * random.below(128), value as u32),
            1 => memory::write(plic::BASE + 0x1000 + 4 * random.below(32), value as u32),
            2 | 3 => memory::write(
                s_context(random, 0x2000, 0x80) + 4 * random.below(4),
                value as u32,
            ),
            4 => memory::write(s_context(random, 0x20_0000, 0x1000), value as u32),
            5 => memory::write(s_context(random, 0x20_0004, 0x1000), value as u32),
            6 => _ = memory::read::<u32>(s_context(random, 0x20_0004, 0x1000)),
            7 => _ = memory::read::<u32>(plic::BASE + (random.below(0x40_0000) & !3)),
            8 => {
                let register = random.of(&[uart::FCR, uart::LCR, uart::MCR, uart::SCRATCH]);
                uart::write(register, value as u8 & 0x7f);
            }
            _ => _ = uart::read(random.below(8)),
        }
    }

    /// The register of the S-mode context of some hart.
    fn s_context(random: &mut Random, offset: u64, stride: u64) -> u64 {
        plic::BASE + offset + stride * (2 * random.below(2) + 1)
    }

    guests::program!(main);
}
