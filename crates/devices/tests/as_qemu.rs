//! Two thousand random accesses give what they gave on QEMU.
//!
//! The PLIC's pending and claim registers are left out: when a source becomes pending is a matter of
//! moments too. `guests/src/bin/interrupt_events.rs` compares those.

use devices::{Board, Request};
use isa::address::GuestPhys;

const RECORD: &str = include_str!("data/qemu-virt-accesses.txt");

/// The board as OpenSBI leaves QEMU's to S-mode: the line set to 115200 baud and 8 bits, PLIC
/// thresholds at their highest. The recorder then turned all of the UART's interrupts off.
fn board_after_firmware() -> Board {
    let mut board = Board::new(1);
    let writes = [
        (0x1000_0003, 1, 0x83),
        (0x1000_0000, 1, 2),
        (0x1000_0001, 1, 0),
        (0x1000_0003, 1, 3),
        (0x1000_0004, 1, 0),
        (0xc20_0000, 4, 7),
        (0xc20_1000, 4, 7),
    ];
    for (at, width, value) in writes {
        let written = board.write(GuestPhys(at), width, value);
        assert_eq!(written, Ok(Request::None));
    }
    board
}

fn hexadecimal(digits: &str) -> u64 {
    u64::from_str_radix(digits, 16).expect("a hexadecimal number")
}

#[test]
fn every_recorded_access_has_the_recorded_result() {
    let mut board = board_after_firmware();
    let mut faults = 0;
    let lines = RECORD.lines().filter(|line| !line.starts_with('#'));
    for (number, line) in lines.clone().enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        let at = GuestPhys(hexadecimal(words[1]));
        let width = words[2].parse().expect("a number of bytes");
        let (result, expected) = match words[..] {
            ["load", _, _, expected] => {
                let result = board.read(at, width).map(|value| format!("{value:x}"));
                (result, expected)
            }
            ["store", _, _, value, expected] => {
                let result = board.write(at, width, hexadecimal(value));
                (result.map(|_| "ok".to_owned()), expected)
            }
            _ => panic!("what is `{line}`?"),
        };
        faults += usize::from(result.is_err());
        let result = result.unwrap_or_else(|_| "fault".to_owned());
        assert_eq!(result, expected, "access {number}: {line}");
    }
    assert_eq!(lines.count(), 2000);
    assert!(faults > 500, "{faults} faults");
}
