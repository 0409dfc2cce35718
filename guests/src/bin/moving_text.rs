//! Text that moves: one frame at many addresses, many frames at one address; pages that are written,
//! made executable, run, made writable again and used as data, as module loading does.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{EBREAK, addi, csr_word, csrr, fence_i, write_words};
    use guests::context::Context;
    use guests::paging::{LEAF, Mode, R, Space, W, X, fence_address};
    use guests::{csr, memory, paging, println};

    const PLACE: u64 = 0x6000_0000;

    fn piece(value: i32) -> [u32; 6] {
        [
            csrr(10, 0x142),
            csr_word(6, 0x104, 11, 2),
            csr_word(7, 0x104, 12, 2),
            addi(13, 0, value),
            csrr(14, 0x104),
            EBREAK,
        ]
    }

    fn run(at: u64) -> [u64; 5] {
        csr::write!("scause", 13u64);
        let mut context = Context::supervisor(at);
        let trap = context.run();
        assert_eq!((trap.cause, trap.pc), (3, at + 20), "{trap}");
        [
            context.x[10],
            context.x[11],
            context.x[12],
            context.x[13],
            context.x[14],
        ]
    }

    fn main() {
        for mode in Mode::supported() {
            let space = Space::new(mode);
            let frames: [u64; 16] = core::array::from_fn(|_| memory::page());
            for (index, &frame) in frames.iter().enumerate() {
                write_words(frame + 0x100, &piece(index as i32));
            }
            space.activate(2);
            // Many frames at one address.
            let mut sum = 0;
            for round in 0..1600 {
                space.map(PLACE, frames[round * 5 % 16], LEAF | R | X);
                fence_address(PLACE);
                let seen = run(PLACE + 0x100);
                assert_eq!(
                    seen,
                    [13, 0, 2, (round * 5 % 16) as u64, 0],
                    "round {round}"
                );
                sum += seen[3];
            }
            println!("{mode:?} 16 frames at one address: {sum}");
            // One frame at many addresses.
            let mut sum = 0;
            for round in 0..1600u64 {
                let address = PLACE + 0x20_3000 * (round % 40 + 1);
                space.map(address, frames[3], LEAF | R | X);
                fence_address(address);
                sum += run(address + 0x100)[3];
                if round % 3 == 0 {
                    space.map(address, 0, 0);
                    fence_address(address);
                }
            }
            println!("{mode:?} one frame at 40 addresses: {sum}");
            // A module comes and goes.
            let mut sum = 0u64;
            for round in 0..300u64 {
                let frame = frames[8 + (round % 4) as usize];
                space.map(PLACE, frame, LEAF | R | W);
                fence_address(PLACE);
                for offset in (0..4096).step_by(8) {
                    memory::write(PLACE + offset, round.wrapping_mul(offset + 1));
                }
                for offset in (0..4096).step_by(8) {
                    sum = sum.wrapping_add(memory::read::<u64>(PLACE + offset));
                }
                for (index, word) in piece((round % 1000) as i32).into_iter().enumerate() {
                    memory::write(PLACE + 0x100 + 4 * index as u64, word);
                }
                space.map(PLACE, frame, LEAF | R | X);
                fence_address(PLACE);
                fence_i();
                for _ in 0..20 {
                    sum += run(PLACE + 0x100)[3];
                }
                for (index, word) in piece((round % 1000) as i32).into_iter().enumerate() {
                    assert_eq!(memory::read::<u32>(PLACE + 0x100 + 4 * index as u64), word);
                }
            }
            println!("{mode:?} 300 modules: {sum:#x}");
            paging::bare();
        }
    }

    guests::program!(main);
}
