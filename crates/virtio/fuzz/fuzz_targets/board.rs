//! Guests that do anything with the devices of the board: interrupt controller, UART, clock, power. After a reset
//! the board must do as a new one.

#![no_main]

use devices::Board;
use devices::layout::{PLIC, RTC, SYSCON, UART, Window};
use isa::address::GuestPhys;
use virtio::fuzzing::Input;

const HARTS: usize = 2;
/// Sources that the monitor raises: those of virtio devices.
const SOURCES: u32 = 8;

libfuzzer_sys::fuzz_target!(|input: &[u8]| play(&mut Input(input)));

fn play(input: &mut Input<'_>) {
    let mut board = Board::new(HARTS);
    let mut now = 0;
    while !input.0.is_empty() {
        step(&mut board, &mut now, input);
        let pending = (0..HARTS).map(|hart| board.external_pending(hart));
        let claims: Vec<_> = pending.collect();
        // A look changes nothing.
        assert!((0..HARTS).all(|hart| board.external_pending(hart) == claims[hart]));
    }
    board.reset();
    let _ = board.take_output();
    does_as_a_new_one(&mut board);
}

fn step(board: &mut Board, now: &mut u64, input: &mut Input<'_>) {
    match input.byte() % 8 {
        0 => board.raise(input.byte().into()),
        1 => drop(board.receive(input.byte())),
        2 => drop(board.take_output()),
        3 => {
            *now = now.wrapping_add(input.word().into());
            board.set_time(*now);
            let _ = board.next_alarm();
        }
        choice => {
            let Window { base, size, .. } =
                [PLIC, UART, RTC, SYSCON][usize::from(input.byte() % 4)];
            // A little before and behind too.
            let offset = u64::from(input.word()) % (size + 16);
            let at = GuestPhys(base.0 - 8 + offset);
            let width = 1 << (input.byte() % 4);
            if choice % 2 == 0 {
                let _ = board.read(at, width);
            } else {
                let value = u64::from(input.word()) << 32 | u64::from(input.word());
                let _ = board.write(at, width, value);
            }
        }
    }
}

fn does_as_a_new_one(board: &mut Board) {
    const SOURCE: u32 = 3;
    // The second hart's S-mode is the fourth context.
    let [priority, enable, threshold, claim] = [
        4 * u64::from(SOURCE),
        0x2000 + 0x80 * 3,
        0x20_0000 + 0x1000 * 3,
        0x20_0004 + 0x1000 * 3,
    ]
    .map(|offset| PLIC.base.add(offset));
    assert!((0..HARTS).all(|hart| !board.external_pending(hart)));
    board.raise(SOURCE);
    assert!(!board.external_pending(1));
    for (at, value) in [(priority, 1), (enable, 1 << SOURCE), (threshold, 0)] {
        board.write(at, 4, value).expect("a register");
    }
    assert!(board.external_pending(1) && !board.external_pending(0));
    assert_eq!(board.read(claim, 4), Ok(SOURCE.into()));
    assert!(!board.external_pending(1));
    board.write(claim, 4, SOURCE.into()).expect("a register");
    assert!(!board.external_pending(1));
}
