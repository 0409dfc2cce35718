//! What a guest sees of the board.

use super::*;
use alloc::vec;
use proptest::prelude::*;

const UART: u64 = 0x1000_0000;
const PLIC: u64 = 0xc00_0000;
const SYSCON: u64 = 0x10_0000;
const RTC: u64 = 0x10_1000;
const UART_PRIORITY: u64 = PLIC + 4 * 10;
const ENABLE_S0: u64 = PLIC + 0x2080;
const CLAIM_S0: u64 = PLIC + 0x20_1004;

fn board() -> Board {
    Board::new(1)
}

fn write(board: &mut Board, at: u64, width: u8, value: u64) {
    assert_eq!(board.write(GuestPhys(at), width, value), Ok(Request::None));
}

fn read(board: &mut Board, at: u64, width: u8) -> u64 {
    board.read(GuestPhys(at), width).expect("a device")
}

#[test]
fn what_is_written_to_the_uart_is_output() {
    let mut board = board();
    for byte in *b"hello" {
        write(&mut board, UART, 1, byte.into());
    }
    assert_eq!(board.take_output(), b"hello");
}

#[test]
fn a_typed_byte_interrupts_the_hart_until_it_is_read_and_completed() {
    let mut board = board();
    write(&mut board, UART_PRIORITY, 4, 1);
    write(&mut board, ENABLE_S0, 4, 1 << 10);
    write(&mut board, UART + 1, 1, 1);
    assert!(!board.external_pending(0));
    assert!(board.receive(b'q'));
    assert!(board.external_pending(0));
    assert_eq!(read(&mut board, CLAIM_S0, 4), 10);
    assert!(!board.external_pending(0));
    assert_eq!(read(&mut board, UART, 1), u64::from(b'q'));
    write(&mut board, CLAIM_S0, 4, 10);
    assert!(!board.external_pending(0));
}

#[test]
fn an_interrupt_that_was_completed_without_being_served_comes_back_with_the_next_event() {
    let mut board = board();
    write(&mut board, UART_PRIORITY, 4, 1);
    write(&mut board, ENABLE_S0, 4, 1 << 10);
    write(&mut board, UART + 1, 1, 1);
    assert!(board.receive(b'q'));
    assert_eq!(read(&mut board, CLAIM_S0, 4), 10);
    write(&mut board, CLAIM_S0, 4, 10);
    assert!(!board.external_pending(0));
    assert!(board.receive_break() || read(&mut board, UART, 1) == u64::from(b'q'));
    assert!(board.receive(b'r'));
    assert!(board.external_pending(0));
}

#[test]
fn the_system_controller_ends_and_resets_the_machine() {
    let mut board = board();
    let mut finish = |value| board.write(GuestPhys(SYSCON), 4, value);
    assert_eq!(finish(0x5555), Ok(Request::PowerOff { code: 0 }));
    assert_eq!(finish(0x7777), Ok(Request::Reset));
    assert_eq!(finish(0x0001_3333), Ok(Request::PowerOff { code: 1 }));
    assert_eq!(finish(0xdead_0000_5555), Ok(Request::PowerOff { code: 0 }));
    assert_eq!(read(&mut board, SYSCON, 4), 0);
}

#[test]
fn a_narrow_store_to_the_system_controller_has_no_upper_half() {
    let mut board = board();
    assert_eq!(
        board.write(GuestPhys(SYSCON), 2, 0x0001_3333),
        Ok(Request::PowerOff { code: 0 })
    );
}

#[test]
fn holes_and_wrong_widths_are_access_faults() {
    let mut board = board();
    let faults = [
        (0, 4),
        (SYSCON - 4, 4),
        (SYSCON, 1),
        (SYSCON, 8),
        (SYSCON + 0x2000, 4),
        (RTC, 1),
        (RTC + 0x20, 8),
        (RTC + 0x24, 4),
        (PLIC, 1),
        (PLIC, 2),
        (PLIC, 8),
        (PLIC - 4, 4),
        (PLIC + 0x60_0000, 4),
        (UART - 1, 1),
        (UART + 8, 1),
        (UART + 0x100, 1),
        (0x8000_0000, 8),
        (u64::MAX, 8),
    ];
    for (at, width) in faults {
        assert_eq!(
            board.read(GuestPhys(at), width),
            Err(NoDevice),
            "{at:#x} {width}"
        );
        assert_eq!(
            board.write(GuestPhys(at), width, 0),
            Err(NoDevice),
            "{at:#x} {width}"
        );
    }
}

#[test]
fn the_uart_takes_every_width_and_gives_the_register_at_the_address() {
    let mut board = board();
    write(&mut board, UART + 7, 1, 0x5a);
    for width in [1, 2, 4, 8] {
        write(&mut board, UART, width, 0x1122_3344_5566_7741);
    }
    assert_eq!(board.take_output(), b"AAAA");
    assert_eq!(read(&mut board, UART + 4, 4), 0x08);
    assert_eq!(read(&mut board, UART + 6, 2), 0xb0);
}

#[test]
fn a_misaligned_access_is_done_in_aligned_parts() {
    let mut board = board();
    write(&mut board, UART + 7, 1, 0x5a);
    assert_eq!(read(&mut board, UART + 5, 2), 0xb060);
    assert_eq!(read(&mut board, UART + 6, 2), 0x00b0);
    // One byte of line status, then the half word at 6.
    assert_eq!(
        board.read(GuestPhys(UART + 5), 4),
        Err(NoDevice),
        "the last byte is outside"
    );
    write(&mut board, UART_PRIORITY, 4, 5);
    assert_eq!(read(&mut board, UART_PRIORITY - 4, 8), 5 << 32);
    assert_eq!(board.read(GuestPhys(UART_PRIORITY + 2), 4), Err(NoDevice));
}

#[test]
fn parts_cover_an_access_without_gaps() {
    for width in [1, 2, 4, 8] {
        for offset in 0..16 {
            let parts: Vec<_> = aligned_parts(GuestPhys(offset), width).collect();
            let mut next = offset;
            for (address, shift, part) in parts {
                assert_eq!(address.0, next);
                assert_eq!(u64::from(shift), 8 * (next - offset));
                assert!(address.is_aligned(part.into()));
                next += u64::from(part);
            }
            assert_eq!(next, offset + u64::from(width));
        }
    }
}

#[test]
fn the_clock_alarm_reaches_the_hart() {
    let mut board = board();
    board.set_time(1000);
    write(&mut board, PLIC + 4 * 11, 4, 1);
    write(&mut board, ENABLE_S0, 4, 1 << 11);
    write(&mut board, RTC + 0x10, 4, 1);
    write(&mut board, RTC + 0x08, 4, 2000);
    assert_eq!(board.next_alarm(), Some(2000));
    assert!(!board.external_pending(0));
    board.set_time(2000);
    assert!(board.external_pending(0));
    write(&mut board, RTC + 0x1c, 4, 1);
    assert_eq!(read(&mut board, CLAIM_S0, 4), 11);
    write(&mut board, CLAIM_S0, 4, 11);
    assert!(!board.external_pending(0));
}

#[test]
fn eight_bytes_of_the_clock_are_two_registers() {
    let mut board = board();
    board.set_time(0x1234_5678_9abc_def0);
    assert_eq!(read(&mut board, RTC, 8), 0x1234_5678_9abc_def0);
    write(&mut board, RTC + 8, 8, 0x0000_0005_0000_0006);
    assert_eq!(read(&mut board, RTC + 8, 8), 0x0000_0005_0000_0006);
    assert_eq!(read(&mut board, RTC + 4, 8), 0x0000_0006_1234_5678);
}

#[test]
fn places_without_a_device_read_the_same_everywhere_and_take_what_is_written() {
    let mut board = board();
    for (first, last, byte) in [
        (0x300_0000, 0x300_ffff, 0xff),
        (0x1010_0000, 0x1010_0017, 0),
        (0x2000_0000, 0x23ff_ffff, 0),
        (0x3000_0000, 0x3fff_ffff, 0xff),
    ] {
        for at in [first, last] {
            write(&mut board, at, 1, 0x5a);
            assert_eq!(read(&mut board, at, 1), byte, "{at:#x}");
        }
        write(&mut board, first, 8, 0x5a);
        assert_eq!(read(&mut board, first, 8), byte * 0x0101_0101_0101_0101);
        assert_eq!(read(&mut board, first + 2, 4), byte * 0x0101_0101);
        for at in [first - 1, last + 1] {
            assert_eq!(board.read(GuestPhys(at), 1), Err(NoDevice), "{at:#x}");
        }
    }
}

#[test]
fn reset_returns_the_board_to_power_on_but_keeps_output() {
    let mut board = board();
    write(&mut board, UART, 1, u64::from(b'x'));
    write(&mut board, UART_PRIORITY, 4, 1);
    write(&mut board, ENABLE_S0, 4, 1 << 10);
    write(&mut board, UART + 1, 1, 3);
    assert!(board.external_pending(0));
    board.reset();
    assert!(!board.external_pending(0));
    assert_eq!(read(&mut board, UART_PRIORITY, 4), 0);
    assert_eq!(read(&mut board, UART + 1, 1), 0);
    assert_eq!(board.take_output(), vec![b'x']);
}

#[test]
fn lines_of_other_devices_reach_the_plic() {
    let mut board = board();
    write(&mut board, PLIC + 4, 4, 1);
    write(&mut board, ENABLE_S0, 4, 1 << 1);
    board.raise(1);
    assert!(board.external_pending(0));
    assert_eq!(read(&mut board, CLAIM_S0, 4), 1);
    assert!(!board.external_pending(0));
}

fn near_a_device() -> impl Strategy<Value = u64> {
    let base = prop_oneof![
        Just(UART),
        Just(PLIC),
        Just(PLIC + 0x2000),
        Just(PLIC + 0x20_0000),
        Just(SYSCON),
        Just(RTC),
    ];
    prop_oneof![
        4 => (base, 0..0x3000_u64).prop_map(|(base, offset)| base + offset),
        4 => UART..UART + 8,
        1 => any::<u64>(),
    ]
}

proptest! {
    #[test]
    fn wild_accesses_never_panic_and_loads_fit_their_width(
        accesses in prop::collection::vec(
            (near_a_device(), 0..4_u32, any::<u64>(), any::<bool>(), any::<u8>()),
            1..200,
        ),
    ) {
        let mut board = Board::new(3);
        for (at, log_width, value, store, typed) in accesses {
            let width = 1 << log_width;
            let at = GuestPhys(at);
            if store {
                let _ = board.write(at, width, value);
            } else if let Ok(loaded) = board.read(at, width) {
                prop_assert_eq!(loaded & !mask(width), 0);
            }
            let _ = board.receive(typed);
            board.set_time(value);
            let _ = board.external_pending(usize::from(typed));
        }
    }
}
