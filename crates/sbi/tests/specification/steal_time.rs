//! Chapter "Steal-time Accounting Extension".

use super::*;

const AREA: u64 = MEMORY_BASE + 0x40;

fn store(machine: &mut Mock, store: Store) {
    assert!(store.at.is_aligned(store.size as u64));
    let bytes = store.value.to_le_bytes();
    assert!(sbi::Machine::write_guest(
        machine,
        store.at,
        &bytes[..store.size]
    ));
}

fn steal_time(machine: &mut Mock) -> &mut StealTime {
    &mut machine.per_hart[0].steal_time
}

#[test]
fn the_area_is_zeroed() {
    let mut machine = Mock::new(1);
    let before = machine.memory.clone();
    assert_eq!(ask(&mut machine, STA, 0, &[AREA, 0, 0]), ok(0));
    assert_eq!(machine.memory[0x40..0x80], [0; 64]);
    assert_eq!(machine.memory[..0x40], before[..0x40]);
    assert_eq!(machine.memory[0x80..], before[0x80..]);
}

#[test]
fn the_area_is_64_aligned_bytes_of_memory() {
    let mut machine = Mock::new(1);
    let before = machine.memory.clone();
    let end = MEMORY_BASE + MEMORY_SIZE as u64;
    for (low, high, flags, code) in [
        (AREA, 0, 1, INVALID_PARAM),
        (ALL, ALL, 1 << 63, INVALID_PARAM),
        (AREA + 32, 0, 0, INVALID_PARAM),
        (ALL, 0, 0, INVALID_PARAM),
        (end, 0, 0, INVALID_ADDRESS),
        (AREA, 1, 0, INVALID_ADDRESS),
        (AREA, ALL, 0, INVALID_ADDRESS),
        (0, 0, 0, INVALID_ADDRESS),
        (!63, 0, 0, INVALID_ADDRESS),
    ] {
        let outcome = ask(&mut machine, STA, 0, &[low, high, flags]);
        assert_eq!(outcome, error(code), "{low:#x} {high:#x} {flags}");
    }
    assert_eq!(machine.memory, before);
    assert_eq!(steal_time(&mut machine).preempted(), None);
}

#[test]
fn nothing_is_reported_before_the_guest_asks_and_after_it_stops_asking() {
    let mut machine = Mock::new(1);
    for arguments in [None, Some([ALL, ALL, 0])] {
        if let Some(arguments) = arguments {
            assert_eq!(ask(&mut machine, STA, 0, &[AREA, 0, 0]), ok(0));
            assert!(steal_time(&mut machine).preempted().is_some());
            assert_eq!(ask(&mut machine, STA, 0, &arguments), ok(0));
        }
        assert_eq!(steal_time(&mut machine).preempted(), None);
        assert_eq!(steal_time(&mut machine).resumed(5), None);
    }
}

#[test]
fn an_update_is_bracketed_by_an_odd_and_an_even_sequence_number() {
    let mut machine = Mock::new(1);
    assert_eq!(ask(&mut machine, STA, 0, &[AREA, 0, 0]), ok(0));
    for round in 0..3 {
        let preempted = steal_time(&mut machine).preempted().expect("enabled");
        store(&mut machine, preempted);
        assert_eq!(machine.word(AREA + 16), 1);
        let stores = steal_time(&mut machine).resumed(100).expect("enabled");
        // sequence; steal; sequence; preempted
        assert_eq!(stores.map(|store| store.at.0 - AREA), [0, 8, 0, 16]);
        assert_eq!(stores.map(|store| store.size), [4, 8, 4, 1]);
        let sequence = 2 * round;
        for (done, one) in stores.into_iter().enumerate() {
            store(&mut machine, one);
            let expected = sequence + if done < 2 { 1 } else { 2 };
            // Flags, above the sequence, stay zero.
            assert_eq!(machine.word(AREA), expected);
        }
        assert_eq!(machine.word(AREA + 8), 100 * (round + 1));
        assert_eq!(machine.word(AREA + 16), 0);
    }
    assert!((24..64).step_by(8).all(|at| machine.word(AREA + at) == 0));
}

#[test]
fn what_is_reported_starts_from_zero_in_a_new_area() {
    let mut machine = Mock::new(1);
    for area in [AREA, AREA + 64] {
        assert_eq!(ask(&mut machine, STA, 0, &[area, 0, 0]), ok(0));
        let stores = steal_time(&mut machine).resumed(7).expect("enabled");
        assert_eq!(stores.map(|store| store.value), [1, 7, 2, 0]);
    }
}
