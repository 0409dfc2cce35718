//! What the UART does, as the 16550D data sheet and its drivers' probes see it.

use super::*;
use alloc::vec;

const IER: u8 = register::INTERRUPT_ENABLE;
const IIR: u8 = register::INTERRUPT_ID;
const FCR: u8 = register::INTERRUPT_ID;
const LCR: u8 = register::LINE_CONTROL;
const MCR: u8 = register::MODEM_CONTROL;
const LSR: u8 = register::LINE_STATUS;
const MSR: u8 = register::MODEM_STATUS;
const SCR: u8 = register::SCRATCH;
const DATA: u8 = register::DATA;

fn with_fifo(trigger: u8) -> Uart {
    let mut uart = Uart::new();
    uart.write(
        FCR,
        fifo_control::ENABLE | trigger << fifo_control::TRIGGER_SHIFT,
    );
    uart
}

#[test]
fn registers_after_reset_are_those_of_qemu() {
    let mut uart = Uart::new();
    let values: Vec<u8> = (1..8).map(|offset| uart.read(offset)).collect();
    assert_eq!(values, [0x00, 0x01, 0x00, 0x08, 0x60, 0xb0, 0x00]);
}

#[test]
fn bytes_written_come_out_in_order() {
    let mut uart = Uart::new();
    for byte in *b"ok\n" {
        uart.write(DATA, byte);
    }
    assert!(uart.has_output());
    assert_eq!(uart.take_output(), b"ok\n");
    assert!(!uart.has_output());
}

#[test]
fn the_divisor_hides_data_and_interrupt_enable() {
    let mut uart = Uart::new();
    uart.write(IER, 0x05);
    uart.write(LCR, 0x83);
    uart.write(DATA, 0x34);
    uart.write(IER, 0x12);
    assert_eq!((uart.read(DATA), uart.read(IER)), (0x34, 0x12));
    uart.write(LCR, 0x03);
    assert_eq!(uart.read(IER), 0x05);
    assert_eq!(uart.take_output(), b"");
}

#[test]
fn interrupt_enable_and_modem_control_keep_their_defined_bits_only() {
    let mut uart = Uart::new();
    uart.write(IER, 0xff);
    uart.write(MCR, 0xff);
    uart.write(SCR, 0xa5);
    assert_eq!(
        (uart.read(IER), uart.read(MCR), uart.read(SCR)),
        (0x0f, 0x1f, 0xa5)
    );
}

#[test]
fn fifo_enable_shows_in_the_interrupt_identification() {
    let mut uart = Uart::new();
    assert_eq!(uart.read(IIR), 0x01);
    uart.write(FCR, fifo_control::ENABLE);
    assert_eq!(uart.read(IIR), 0xc1);
    uart.write(FCR, 0);
    assert_eq!(uart.read(IIR), 0x01);
}

#[test]
fn what_firmware_takes_the_guest_does_not_read() {
    let mut uart = with_fifo(0);
    assert!(uart.receive(b'a') && uart.receive(b'b'));
    assert_eq!(uart.take_received(), Some(b'a'));
    assert_eq!(uart.read(DATA), b'b');
    assert_eq!(uart.take_received(), None);
}

#[test]
fn without_fifo_one_byte_fits() {
    let mut uart = Uart::new();
    assert!(uart.receive(b'a'));
    assert!(!uart.receive(b'b'));
    assert_eq!(uart.read(LSR), 0x61);
    assert_eq!(uart.read(DATA), b'a');
    assert_eq!(uart.read(LSR), 0x60);
    assert!(uart.receive(b'b'));
}

#[test]
fn the_fifo_holds_sixteen_bytes_in_order_and_reads_zero_when_empty() {
    let mut uart = with_fifo(0);
    for round in 0..3_u8 {
        for n in 0..16 {
            assert!(uart.receive(round * 16 + n));
        }
        assert!(!uart.receive(0xff));
        let bytes: Vec<u8> = (0..16).map(|_| uart.read(DATA)).collect();
        assert_eq!(bytes, (round * 16..round * 16 + 16).collect::<Vec<u8>>());
        assert_eq!(uart.read(DATA), 0);
    }
}

#[test]
fn received_data_interrupt_comes_at_the_trigger_level_and_a_timeout_below_it() {
    for (code, level) in [(0_u8, 1), (1, 4), (2, 8), (3, 14)] {
        let mut uart = with_fifo(code);
        uart.write(IER, interrupt_enable::RECEIVED);
        assert!(!uart.interrupt());
        for count in 1..=16 {
            assert!(uart.receive(0));
            let id = uart.read(IIR) & 0x0f;
            let expected = if count >= level { 0x04 } else { 0x0c };
            assert_eq!(id, expected, "{count} bytes, level {level}");
        }
        for _ in 0..16 {
            assert!(uart.interrupt());
            uart.read(DATA);
        }
        assert!(!uart.interrupt());
    }
}

#[test]
fn a_disabled_receive_interrupt_stays_down() {
    let mut uart = with_fifo(0);
    assert!(uart.receive(b'x'));
    assert!(!uart.interrupt());
    assert_eq!(uart.read(IIR), 0xc1);
}

#[test]
fn enabling_the_transmitter_interrupt_raises_it_and_reading_its_identification_clears_it() {
    let mut uart = Uart::new();
    uart.write(IER, interrupt_enable::TRANSMITTER_EMPTY);
    assert!(uart.interrupt());
    assert_eq!(uart.read(IIR), 0x02);
    assert_eq!(uart.read(IIR), 0x01);
    assert!(!uart.interrupt());
    uart.write(DATA, b'x');
    assert!(uart.interrupt());
}

/// Linux' 8250 driver tests for UARTs that lose this interrupt (`UART_BUG_THRE`).
#[test]
fn toggling_the_transmitter_interrupt_raises_it_again() {
    let mut uart = Uart::new();
    uart.write(IER, 0x02);
    assert_eq!(uart.read(IIR), 0x02);
    uart.write(IER, 0x00);
    uart.write(IER, 0x02);
    assert_eq!(uart.read(IIR), 0x02);
}

#[test]
fn enabling_what_is_enabled_raises_nothing() {
    let mut uart = Uart::new();
    uart.write(IER, 0x02);
    assert_eq!(uart.read(IIR), 0x02);
    uart.write(IER, 0x03);
    assert_eq!(uart.read(IIR), 0x01);
}

#[test]
fn clearing_the_transmit_fifo_leaves_an_empty_transmitter() {
    let mut uart = with_fifo(0);
    uart.write(IER, 0x02);
    assert_eq!(uart.read(IIR), 0xc2);
    uart.write(FCR, fifo_control::ENABLE);
    assert_eq!(uart.read(IIR), 0xc1);
    uart.write(FCR, fifo_control::ENABLE | fifo_control::CLEAR_TRANSMITTER);
    assert_eq!(uart.read(IIR), 0xc2);
}

#[test]
fn reading_a_more_urgent_identification_keeps_the_transmitter_interrupt() {
    let mut uart = Uart::new();
    uart.write(IER, 0x03);
    assert!(uart.receive(b'x'));
    assert_eq!(uart.read(IIR), 0x04);
    assert_eq!(uart.read(DATA), b'x');
    assert_eq!(uart.read(IIR), 0x02);
}

/// Linux' 8250 autoconfiguration: `MCR = LOOP | OUT2 | RTS` must read back as DCD and CTS.
#[test]
fn loopback_wires_modem_outputs_to_inputs() {
    let mut uart = Uart::new();
    assert_eq!(uart.read(MSR), 0xb0);
    uart.write(MCR, 0x1a);
    assert_eq!(uart.read(MSR), 0x90);
    uart.write(MCR, 0x15);
    assert_eq!(uart.read(MSR), 0x60);
    uart.write(MCR, 0x00);
    assert_eq!(uart.read(MSR), 0xb0);
}

#[test]
fn loopback_receives_what_it_sends_and_nothing_from_the_wire() {
    let mut uart = with_fifo(0);
    uart.write(MCR, modem_control::LOOPBACK);
    assert!(!uart.receive(b'w'));
    uart.write(DATA, b'l');
    assert_eq!(uart.read(DATA), b'l');
    assert_eq!(uart.take_output(), b"");
}

#[test]
fn an_overrun_is_a_line_status_interrupt_until_line_status_is_read() {
    let mut uart = with_fifo(0);
    uart.write(MCR, modem_control::LOOPBACK);
    uart.write(
        IER,
        interrupt_enable::LINE_STATUS | interrupt_enable::RECEIVED,
    );
    for byte in 0..17 {
        uart.write(DATA, byte);
    }
    assert_eq!(uart.read(IIR) & 0x0f, 0x06);
    assert_eq!(uart.read(LSR), 0x63);
    assert_eq!(uart.read(LSR), 0x61);
    assert_eq!(uart.read(IIR) & 0x0f, 0x04);
    let kept: Vec<u8> = (0..16).map(|_| uart.read(DATA)).collect();
    assert_eq!(kept, (0..16).collect::<Vec<u8>>());
}

#[test]
fn an_overrun_without_fifo_keeps_the_newest_byte() {
    let mut uart = Uart::new();
    uart.write(MCR, modem_control::LOOPBACK);
    uart.write(DATA, 1);
    uart.write(DATA, 2);
    assert_eq!(uart.read(LSR), 0x63);
    assert_eq!(uart.read(DATA), 2);
}

#[test]
fn clearing_or_switching_the_fifo_drops_what_was_received() {
    let mut uart = with_fifo(0);
    assert!(uart.receive(1));
    uart.write(FCR, fifo_control::ENABLE | fifo_control::CLEAR_RECEIVER);
    assert_eq!(uart.read(LSR), 0x60);
    assert!(uart.receive(1));
    uart.write(FCR, 0);
    assert_eq!(uart.read(LSR), 0x60);
}

#[test]
fn line_and_modem_status_are_read_only() {
    let mut uart = Uart::new();
    uart.write(LSR, 0xff);
    uart.write(MSR, 0xff);
    assert_eq!((uart.read(LSR), uart.read(MSR)), (0x60, 0xb0));
}

#[test]
fn reset_keeps_what_was_already_sent() {
    let mut uart = with_fifo(3);
    uart.write(DATA, b'!');
    assert!(uart.receive(1));
    uart.write(SCR, 9);
    uart.reset();
    assert_eq!(
        (uart.read(SCR), uart.read(LSR), uart.read(IIR)),
        (0, 0x60, 1)
    );
    assert_eq!(uart.take_output(), vec![b'!']);
}

#[test]
fn a_break_is_a_zero_byte_that_line_status_marks_once() {
    let mut uart = with_fifo(0);
    uart.write(IER, interrupt_enable::LINE_STATUS);
    assert!(uart.receive(b'a'));
    assert!(!uart.receive_break(), "it would be taken for the `a`");
    assert_eq!(uart.read(DATA), b'a');
    assert!(uart.receive_break());
    assert!(uart.receive(b't'));
    assert!(uart.interrupt());
    assert_eq!(uart.read(IIR) & 0xf, interrupt_id::LINE_STATUS);
    assert_eq!(uart.read(LSR), 0x71);
    assert_eq!(uart.read(LSR), 0x61);
    assert!(!uart.interrupt());
    assert_eq!((uart.read(DATA), uart.read(DATA)), (0, b't'));
}

#[test]
fn a_break_whose_byte_is_read_is_over() {
    let mut uart = Uart::new();
    assert!(uart.receive_break());
    assert!(!uart.receive(b't'));
    assert_eq!(uart.read(DATA), 0);
    assert_eq!(uart.read(LSR), 0x60);
}

#[test]
fn nothing_breaks_into_a_loopback() {
    let mut uart = Uart::new();
    uart.write(MCR, modem_control::LOOPBACK);
    assert!(!uart.receive_break());
}

#[test]
fn the_line_is_set_with_what_changes_it_and_not_with_what_looks_at_it() {
    let mut uart = with_fifo(0);
    assert!(!uart.take_raised());
    uart.write(IER, interrupt_enable::TRANSMITTER_EMPTY);
    assert!(uart.take_raised());
    uart.write(IER, interrupt_enable::TRANSMITTER_EMPTY);
    let _ = (uart.read(LSR), uart.read(MSR), uart.read(IER));
    uart.write(LCR, 3);
    uart.write(SCR, 1);
    assert!(!uart.take_raised());
    uart.write(DATA, b'x');
    assert!(uart.take_raised());
    let _ = uart.read(IIR);
    assert!(!uart.take_raised(), "it was taken back");
    uart.write(IER, interrupt_enable::RECEIVED);
    assert!(uart.receive(b'a') && uart.receive(b'b'));
    assert!(uart.take_raised());
    let _ = uart.read(IIR);
    assert!(!uart.take_raised());
    assert_eq!(uart.read(DATA), b'a');
    assert!(uart.take_raised(), "`b` waits");
    assert_eq!(uart.read(DATA), b'b');
    assert!(!uart.take_raised());
}
