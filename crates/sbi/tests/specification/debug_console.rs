//! Chapter "Debug Console Extension".

use super::*;

const END: u64 = MEMORY_BASE + MEMORY_SIZE as u64;

#[test]
fn memory_is_written_to_the_console() {
    for size in [0, 1, 127, 128, 129, 1000] {
        let mut machine = Mock::new(1);
        assert_eq!(
            ask(&mut machine, DBCN, 0, &[size, MEMORY_BASE + 3, 0]),
            ok(size)
        );
        assert_eq!(machine.output, machine.memory[3..3 + size as usize]);
    }
}

#[test]
fn a_full_console_takes_a_part() {
    for room in [0, 1, 200] {
        let mut machine = Mock::new(1);
        machine.room = room;
        assert_eq!(
            ask(&mut machine, DBCN, 0, &[300, MEMORY_BASE, 0]),
            ok(room as u64)
        );
        assert_eq!(machine.output, machine.memory[..room]);
    }
}

#[test]
fn one_call_does_a_bounded_amount_of_work() {
    let mut machine = Mock::new(1);
    let outcome = ask(&mut machine, DBCN, 0, &[MEMORY_SIZE as u64, MEMORY_BASE, 0]);
    assert_eq!(outcome, ok(MOST_BYTES));
    machine.input = vec![b'x'; MEMORY_SIZE];
    let outcome = ask(&mut machine, DBCN, 1, &[MEMORY_SIZE as u64, MEMORY_BASE, 0]);
    assert_eq!(outcome, ok(MOST_BYTES));
}

#[test]
fn what_was_typed_is_read_into_memory() {
    let mut machine = Mock::new(1);
    machine.input = b"hello".to_vec();
    assert_eq!(ask(&mut machine, DBCN, 1, &[3, MEMORY_BASE, 0]), ok(3));
    assert_eq!(
        ask(&mut machine, DBCN, 1, &[100, MEMORY_BASE + 3, 0]),
        ok(2)
    );
    assert_eq!(ask(&mut machine, DBCN, 1, &[100, MEMORY_BASE, 0]), ok(0));
    assert_eq!(machine.memory[..6], *b"hello\x05");
}

#[test]
fn reading_nothing_keeps_what_was_typed() {
    let mut machine = Mock::new(1);
    machine.input = b"x".to_vec();
    assert_eq!(ask(&mut machine, DBCN, 1, &[0, MEMORY_BASE, 0]), ok(0));
    assert_eq!(ask(&mut machine, DBCN, 1, &[1, 0, 0]), error(INVALID_PARAM));
    assert_eq!(machine.input, b"x");
}

#[test]
fn memory_that_is_not_there_is_an_invalid_parameter() {
    let mut machine = Mock::new(1);
    for (size, low, high) in [
        (1, 0, 0),
        (1, MEMORY_BASE - 1, 0),
        (2, END - 1, 0),
        (1, END, 0),
        (1, MEMORY_BASE, 1),
        (0, MEMORY_BASE, 1),
        (u64::MAX, MEMORY_BASE, 0),
        (u64::MAX, 1, 0),
        (1, u64::MAX, 0),
        (u64::MAX - MEMORY_BASE + 1, MEMORY_BASE, 0),
    ] {
        for function in [0, 1] {
            let outcome = ask(&mut machine, DBCN, function, &[size, low, high]);
            assert_eq!(outcome, error(INVALID_PARAM), "{size:#x} {low:#x} {high}");
        }
    }
    assert_eq!(machine.output, b"");
}

#[test]
fn single_bytes_are_written_and_a_console_that_takes_none_fails() {
    let mut machine = Mock::new(1);
    machine.room = 1;
    assert_eq!(ask(&mut machine, DBCN, 2, &[0xffff_ff41]), ok(0));
    assert_eq!(ask(&mut machine, DBCN, 2, &[0x42]), error(FAILED));
    assert_eq!(machine.output, b"A");
}
