//! Chapter "Performance Monitoring Unit Extension".

use super::*;

const CYCLES: u64 = 0x0_0001;
const INSTRUCTIONS: u64 = 0x0_0002;
const SET_TIMER: u64 = 0xf_0005;
const SLOW_EXIT: u64 = 0xf_0100;

const SKIP_MATCH: u64 = 1;
const CLEAR_VALUE: u64 = 2;
const AUTO_START: u64 = 4;
const SET_INITIAL_VALUE: u64 = 1;
const INITIAL_SNAPSHOT: u64 = 2;
const RESET: u64 = 1;
const TAKE_SNAPSHOT: u64 = 2;

const EVERY: u64 = (1 << COUNTERS) - 1;

fn configure(machine: &mut Mock, base: u64, mask: u64, flags: u64, event: u64) -> Outcome {
    ask(machine, PMU, 2, &[base, mask, flags, event, 0])
}

fn start(machine: &mut Mock, base: u64, mask: u64, flags: u64, value: u64) -> Outcome {
    ask(machine, PMU, 3, &[base, mask, flags, value])
}

fn stop(machine: &mut Mock, base: u64, mask: u64, flags: u64) -> Outcome {
    ask(machine, PMU, 4, &[base, mask, flags])
}

fn read(machine: &mut Mock, index: u64) -> Outcome {
    ask(machine, PMU, 5, &[index])
}

fn cycle(machine: &Mock) -> CsrView {
    machine.per_hart[0].pmu.view(CsrCounter::Cycle)
}

/// A machine on whose hart no CSR can be read.
fn without_csrs() -> Mock {
    let mut machine = Mock::new(1);
    machine.totals.remove(&Event::Cycles);
    machine.totals.remove(&Event::Instructions);
    machine
}

#[test]
fn counters_0_and_2_are_cycle_and_instret() {
    let mut machine = Mock::new(1);
    assert_eq!(ask(&mut machine, PMU, 0, &[]), ok(COUNTERS as u64));
    assert_eq!(ask(&mut machine, PMU, 1, &[0]), ok(0xc00 | 63 << 12));
    assert_eq!(ask(&mut machine, PMU, 1, &[2]), ok(0xc02 | 63 << 12));
    for index in (0..COUNTERS as u64).filter(|index| ![0, 2].contains(index)) {
        assert_eq!(ask(&mut machine, PMU, 1, &[index]), ok(1 << 63 | 63 << 12));
    }
}

#[test]
fn every_counter_is_a_firmware_counter_where_no_csr_can_be_read() {
    let mut machine = without_csrs();
    for index in 0..COUNTERS as u64 {
        assert_eq!(ask(&mut machine, PMU, 1, &[index]), ok(1 << 63 | 63 << 12));
        assert_eq!(read(&mut machine, index), ok(0));
    }
    for event in [CYCLES, INSTRUCTIONS] {
        let outcome = configure(&mut machine, 0, EVERY, 0, event);
        assert_eq!(outcome, error(NOT_SUPPORTED));
    }
    machine.happen(Event::SetTimer, 100);
    assert_eq!(configure(&mut machine, 0, 1, 0, SET_TIMER), ok(0));
    assert_eq!(read(&mut machine, 0), ok(0));
    assert_eq!(start(&mut machine, 0, 1, 0, 0), ok(0));
    machine.happen(Event::SetTimer, 1);
    assert_eq!(read(&mut machine, 0), ok(1));
}

#[test]
fn a_counter_that_does_not_exist_is_an_invalid_parameter() {
    let mut machine = Mock::new(1);
    for index in [COUNTERS as u64, 64, 1 << 32, u64::MAX] {
        for function in [1, 5, 6] {
            let outcome = ask(&mut machine, PMU, function, &[index]);
            assert_eq!(outcome, error(INVALID_PARAM));
        }
    }
    for (base, mask) in [
        (COUNTERS as u64, 1),
        (0, EVERY + 1),
        (0, u64::MAX),
        (1, EVERY),
        (u64::MAX, 1),
        (u64::MAX, 2),
        (u64::MAX - 1, 0b100),
    ] {
        for outcome in [
            configure(&mut machine, base, mask, 0, SET_TIMER),
            configure(&mut machine, base, mask, SKIP_MATCH, SET_TIMER),
            start(&mut machine, base, mask, 0, 0),
            stop(&mut machine, base, mask, 0),
        ] {
            assert_eq!(outcome, error(INVALID_PARAM), "{base:#x} {mask:#x}");
        }
    }
}

#[test]
fn reserved_flags_are_invalid_parameters() {
    let mut machine = Mock::new(1);
    assert_eq!(configure(&mut machine, 3, 1, 0, SET_TIMER), ok(3));
    for bit in 2..64 {
        let flags = 1 << bit;
        assert_eq!(start(&mut machine, 3, 1, flags, 0), error(INVALID_PARAM));
        assert_eq!(stop(&mut machine, 3, 1, flags), error(INVALID_PARAM));
        if bit >= 8 {
            let outcome = configure(&mut machine, 3, 1, flags, SET_TIMER);
            assert_eq!(outcome, error(INVALID_PARAM));
        }
    }
    let both = SET_INITIAL_VALUE | INITIAL_SNAPSHOT;
    assert_eq!(start(&mut machine, 3, 1, both, 0), error(INVALID_PARAM));
    assert_eq!(start(&mut machine, 3, 1, 0, 0), ok(0));
}

#[test]
fn hints_about_modes_are_accepted() {
    let mut machine = Mock::new(1);
    assert_eq!(configure(&mut machine, 3, 1, 0xf8, SET_TIMER), ok(3));
}

#[test]
fn each_event_finds_a_counter_that_can_monitor_it() {
    let mut machine = Mock::new(1);
    assert_eq!(configure(&mut machine, 0, EVERY, 0, CYCLES), ok(0));
    assert_eq!(configure(&mut machine, 0, EVERY, 0, INSTRUCTIONS), ok(2));
    assert_eq!(configure(&mut machine, 0, EVERY, 0, SET_TIMER), ok(1));
    assert_eq!(configure(&mut machine, 0, EVERY, 0, SLOW_EXIT), ok(3));
    assert_eq!(configure(&mut machine, 2, 0b1111, 0, SET_TIMER), ok(4));
    for (base, mask, event) in [
        (1, EVERY >> 1, CYCLES),
        (0, 0b101, SET_TIMER),
        (0, 0, CYCLES),
    ] {
        for flags in [0, SKIP_MATCH] {
            let outcome = configure(&mut machine, base, mask, flags, event);
            assert_eq!(outcome, error(NOT_SUPPORTED), "{base} {mask:#b} {event:#x}");
        }
    }
}

#[test]
fn what_is_not_counted_is_not_supported() {
    let mut machine = Mock::new(1);
    for event in [
        0,
        3,
        10,
        0x1_0000,
        0x2_0000,
        0x3_0000,
        0x4_0001,
        0xf_000e,
        0xf_0015,
        0xf_0016,
        0xf_00ff,
        0xf_0104,
        0xf_ffff,
        0x10_0001,
        u64::MAX,
    ] {
        let outcome = configure(&mut machine, 0, EVERY, 0, event);
        assert_eq!(outcome, error(NOT_SUPPORTED), "{event:#x}");
    }
    for event in Event::ALL {
        let event = u64::from(event.index());
        let outcome = ask(&mut machine, PMU, 2, &[0, EVERY, 0, event, 1]);
        assert_eq!(outcome, error(NOT_SUPPORTED), "{event:#x} with data");
    }
    machine.totals.remove(&Event::SlowExit);
    let outcome = configure(&mut machine, 0, EVERY, 0, SLOW_EXIT);
    assert_eq!(outcome, error(NOT_SUPPORTED));
}

#[test]
fn a_started_counter_is_not_found() {
    let mut machine = Mock::new(1);
    assert_eq!(configure(&mut machine, 0, 1, AUTO_START, CYCLES), ok(0));
    let outcome = configure(&mut machine, 0, EVERY, 0, CYCLES);
    assert_eq!(outcome, error(NOT_SUPPORTED));
    assert_eq!(stop(&mut machine, 0, 1, 0), ok(0));
    assert_eq!(configure(&mut machine, 0, EVERY, 0, CYCLES), ok(0));
}

/// Its user has been told that it is theirs.
#[test]
fn a_configured_counter_is_found_only_when_no_other_is_left() {
    let mut machine = Mock::new(1);
    assert_eq!(configure(&mut machine, 3, 0b11, 0, SET_TIMER), ok(3));
    assert_eq!(configure(&mut machine, 3, 0b11, 0, SET_TIMER), ok(4));
    assert_eq!(configure(&mut machine, 3, 0b11, 0, SET_TIMER), ok(3));
}

#[test]
fn a_firmware_counter_counts_from_start_to_stop() {
    let mut machine = Mock::new(1);
    machine.happen(Event::SetTimer, 1000);
    assert_eq!(configure(&mut machine, 3, 1, 0, SET_TIMER), ok(3));
    machine.happen(Event::SetTimer, 1);
    assert_eq!(read(&mut machine, 3), ok(0));
    assert_eq!(start(&mut machine, 3, 1, 0, 77), ok(0));
    machine.happen(Event::SetTimer, 5);
    machine.happen(Event::SlowExit, 3);
    assert_eq!(read(&mut machine, 3), ok(5));
    assert_eq!(stop(&mut machine, 3, 1, 0), ok(0));
    machine.happen(Event::SetTimer, 7);
    assert_eq!(read(&mut machine, 3), ok(5));
    assert_eq!(start(&mut machine, 3, 1, 0, 0), ok(0));
    machine.happen(Event::SetTimer, 2);
    assert_eq!(read(&mut machine, 3), ok(7));
    assert_eq!(ask(&mut machine, PMU, 6, &[3]), ok(0));
}

#[test]
fn an_initial_value_is_where_it_starts_and_it_wraps() {
    let mut machine = Mock::new(1);
    machine.happen(Event::SetTimer, 1000);
    assert_eq!(configure(&mut machine, 3, 1, 0, SET_TIMER), ok(3));
    assert_eq!(
        start(&mut machine, 3, 1, SET_INITIAL_VALUE, u64::MAX - 1),
        ok(0)
    );
    assert_eq!(read(&mut machine, 3), ok(u64::MAX - 1));
    machine.happen(Event::SetTimer, 3);
    assert_eq!(read(&mut machine, 3), ok(1));
    assert_eq!(ask(&mut machine, PMU, 6, &[3]), ok(0));
}

#[test]
fn clear_value_zeroes_and_auto_start_starts_from_the_present_value() {
    let mut machine = Mock::new(1);
    assert_eq!(configure(&mut machine, 3, 1, AUTO_START, SET_TIMER), ok(3));
    machine.happen(Event::SetTimer, 9);
    assert_eq!(stop(&mut machine, 3, 1, RESET), ok(0));
    assert_eq!(configure(&mut machine, 3, 1, AUTO_START, SLOW_EXIT), ok(3));
    machine.happen(Event::SlowExit, 1);
    assert_eq!(read(&mut machine, 3), ok(10));
    assert_eq!(stop(&mut machine, 3, 1, RESET), ok(0));
    let flags = AUTO_START | CLEAR_VALUE;
    assert_eq!(configure(&mut machine, 3, 1, flags, SLOW_EXIT), ok(3));
    machine.happen(Event::SlowExit, 2);
    assert_eq!(read(&mut machine, 3), ok(2));
}

#[test]
fn skip_match_takes_the_first_counter_even_a_started_one() {
    let mut machine = Mock::new(1);
    assert_eq!(configure(&mut machine, 3, 1, AUTO_START, SET_TIMER), ok(3));
    machine.happen(Event::SetTimer, 4);
    assert_eq!(
        configure(&mut machine, 3, EVERY >> 3, SKIP_MATCH, SLOW_EXIT),
        ok(3)
    );
    machine.happen(Event::SetTimer, 1);
    machine.happen(Event::SlowExit, 2);
    assert_eq!(read(&mut machine, 3), ok(6));
    assert_eq!(start(&mut machine, 3, 1, 0, 0), error(ALREADY_STARTED));
}

#[test]
fn starting_and_stopping_twice_is_an_error_and_the_others_of_the_set_follow() {
    let mut machine = Mock::new(1);
    assert_eq!(configure(&mut machine, 3, 1, AUTO_START, SET_TIMER), ok(3));
    assert_eq!(configure(&mut machine, 4, 1, 0, SET_TIMER), ok(4));
    let outcome = start(&mut machine, 3, 0b11, SET_INITIAL_VALUE, 50);
    assert_eq!(outcome, error(ALREADY_STARTED));
    machine.happen(Event::SetTimer, 1);
    assert_eq!(read(&mut machine, 3), ok(1));
    assert_eq!(read(&mut machine, 4), ok(51));
    assert_eq!(stop(&mut machine, 3, 1, 0), ok(0));
    assert_eq!(stop(&mut machine, 3, 0b11, 0), error(ALREADY_STOPPED));
    machine.happen(Event::SetTimer, 1);
    assert_eq!(read(&mut machine, 4), ok(51));
}

#[test]
fn a_counter_without_an_event_cannot_be_started() {
    let mut machine = Mock::new(1);
    assert_eq!(configure(&mut machine, 3, 1, 0, SET_TIMER), ok(3));
    assert_eq!(start(&mut machine, 3, 0b11, 0, 0), error(INVALID_PARAM));
    // Not even the valid one was.
    assert_eq!(start(&mut machine, 3, 1, 0, 0), ok(0));
    assert_eq!(stop(&mut machine, 3, 1, RESET), ok(0));
    assert_eq!(start(&mut machine, 3, 1, 0, 0), error(INVALID_PARAM));
}

#[test]
fn a_counter_that_runs_since_power_on_is_stopped_once_it_is_configured() {
    let mut machine = Mock::new(1);
    assert_eq!(configure(&mut machine, 0, 1, 0, CYCLES), ok(0));
    assert_eq!(cycle(&machine), CsrView::Direct);
    machine.happen(Event::Cycles, 5);
    assert_eq!(stop(&mut machine, 0, 1, 0), ok(0));
    machine.happen(Event::Cycles, 5);
    assert_eq!(cycle(&machine), CsrView::Stopped(5));
    assert_eq!(stop(&mut machine, 0, 1, 0), error(ALREADY_STOPPED));
}

#[test]
fn stopping_everything_at_boot_is_harmless() {
    let mut machine = Mock::new(1);
    assert_eq!(stop(&mut machine, 0, EVERY, RESET), error(ALREADY_STOPPED));
    assert_eq!(cycle(&machine), CsrView::Direct);
}

#[test]
fn hardware_counters_are_read_as_csrs() {
    let mut machine = Mock::new(1);
    machine.happen(Event::Cycles, 500);
    assert_eq!(cycle(&machine), CsrView::Direct);
    assert_eq!(configure(&mut machine, 0, 1, 0, CYCLES), ok(0));
    assert_eq!(cycle(&machine), CsrView::Direct);
    assert_eq!(start(&mut machine, 0, 1, 0, 0), ok(0));
    assert_eq!(cycle(&machine), CsrView::Direct);
    assert_eq!(stop(&mut machine, 0, 1, 0), ok(0));
    assert_eq!(cycle(&machine), CsrView::Stopped(500));
    assert_eq!(start(&mut machine, 0, 1, SET_INITIAL_VALUE, 100), ok(0));
    assert_eq!(cycle(&machine).value(500), 100);
    assert_eq!(cycle(&machine).value(512), 112);
    assert!(matches!(cycle(&machine), CsrView::Offset(_)));
    let instret = machine.per_hart[0].pmu.view(CsrCounter::Instret);
    assert_eq!(instret, CsrView::Direct);
    assert_eq!(CsrCounter::Instret.csr(), 0xc02);
    for function in [5, 6] {
        assert_eq!(ask(&mut machine, PMU, function, &[0]), error(INVALID_PARAM));
    }
}

#[test]
fn clear_value_zeroes_a_csr() {
    let mut machine = Mock::new(1);
    machine.happen(Event::Cycles, 500);
    assert_eq!(configure(&mut machine, 0, 1, CLEAR_VALUE, CYCLES), ok(0));
    assert_eq!(cycle(&machine), CsrView::Stopped(0));
    assert_eq!(start(&mut machine, 0, 1, 0, 0), ok(0));
    assert_eq!(cycle(&machine).value(507), 7);
}

#[test]
fn harts_have_counters_of_their_own() {
    let mut machine = Mock::new(2);
    let configure = call(PMU, 2, &[3, 1, AUTO_START, SET_TIMER, 0]);
    assert_eq!(handle(&configure, 1, &mut machine), ok(3));
    machine.happen(Event::SetTimer, 1);
    assert_eq!(read(&mut machine, 3), ok(0));
    assert_eq!(handle(&call(PMU, 5, &[3]), 1, &mut machine), ok(1));
}

#[test]
fn a_snapshot_needs_its_memory() {
    let mut machine = Mock::new(1);
    assert_eq!(configure(&mut machine, 3, 1, AUTO_START, SET_TIMER), ok(3));
    assert_eq!(stop(&mut machine, 3, 1, TAKE_SNAPSHOT), error(NO_SHMEM));
    assert_eq!(stop(&mut machine, 3, 1, 0), ok(0));
    assert_eq!(
        start(&mut machine, 3, 1, INITIAL_SNAPSHOT, 0),
        error(NO_SHMEM)
    );
    assert_eq!(ask(&mut machine, PMU, 7, &[MEMORY_BASE, 0, 0]), ok(0));
    assert_eq!(ask(&mut machine, PMU, 7, &[ALL, ALL, 0]), ok(0));
    assert_eq!(
        start(&mut machine, 3, 1, INITIAL_SNAPSHOT, 0),
        error(NO_SHMEM)
    );
}

#[test]
fn a_snapshot_has_the_values_of_the_set_counted_from_its_base() {
    let mut machine = Mock::new(1);
    let page = MEMORY_BASE + 0x1000;
    machine.put(page, &[9; 512]);
    assert_eq!(ask(&mut machine, PMU, 7, &[page, 0, 0]), ok(0));
    assert_eq!(machine.word(page), 9);
    machine.happen(Event::Cycles, 1000);
    assert_eq!(configure(&mut machine, 0, 1, AUTO_START, CYCLES), ok(0));
    assert_eq!(configure(&mut machine, 3, 1, AUTO_START, SET_TIMER), ok(3));
    machine.happen(Event::SetTimer, 4);
    assert_eq!(stop(&mut machine, 0, 0b1001, TAKE_SNAPSHOT), ok(0));
    let words = [0, 1, 2, 3, 4, 5].map(|word| machine.word(page + 8 * word));
    assert_eq!(words, [0, 1000, 9, 9, 4, 9]);

    machine.put(page + 8, &[70]);
    assert_eq!(start(&mut machine, 3, 1, INITIAL_SNAPSHOT, 5), ok(0));
    machine.happen(Event::SetTimer, 1);
    assert_eq!(read(&mut machine, 3), ok(71));
    let outcome = stop(&mut machine, 3, 1, TAKE_SNAPSHOT | RESET);
    assert_eq!((outcome, machine.word(page + 8)), (ok(0), 71));
}

#[test]
fn snapshot_memory_is_a_page_of_memory() {
    let mut machine = Mock::new(1);
    let last = MEMORY_BASE + MEMORY_SIZE as u64 - 0x1000;
    for (low, high, flags, code) in [
        (MEMORY_BASE, 0, 1, INVALID_PARAM),
        (ALL, ALL, 1, INVALID_PARAM),
        (MEMORY_BASE + 0x800, 0, 0, INVALID_PARAM),
        (ALL, 0, 0, INVALID_PARAM),
        (MEMORY_BASE, 1, 0, INVALID_ADDRESS),
        (MEMORY_BASE, ALL, 0, INVALID_ADDRESS),
        (last + 0x1000, 0, 0, INVALID_ADDRESS),
        (0, 0, 0, INVALID_ADDRESS),
        (!0xfff, 0, 0, INVALID_ADDRESS),
    ] {
        let outcome = ask(&mut machine, PMU, 7, &[low, high, flags]);
        assert_eq!(outcome, error(code), "{low:#x} {high:#x} {flags}");
    }
    assert_eq!(ask(&mut machine, PMU, 7, &[last, 0, 0]), ok(0));
}

#[test]
fn events_can_be_asked_about() {
    let mut machine = Mock::new(1);
    let asked: [(u64, u64, u64); 9] = [
        (CYCLES, 0, 1),
        // Their data does not matter.
        (CYCLES, 5, 1),
        (3, 0, 0),
        (0, 0, 0),
        (0x1_0000, 0, 0),
        (SET_TIMER, 0, 1),
        (SET_TIMER, 1, 0),
        (SLOW_EXIT, 0, 1),
        (0xf_ffff, 3, 0),
    ];
    for (entry, (event, data, _)) in asked.iter().enumerate() {
        let at = MEMORY_BASE + 16 * entry as u64;
        machine.put(at, &[event | 0xffff_ffff << 32, *data]);
    }
    let outcome = ask(&mut machine, PMU, 8, &[MEMORY_BASE, 0, 9, 0]);
    assert_eq!(outcome, ok(0));
    for (entry, (event, data, supported)) in asked.iter().enumerate() {
        let at = MEMORY_BASE + 16 * entry as u64;
        assert_eq!(machine.word(at), event | supported << 32, "entry {entry}");
        assert_eq!(machine.word(at + 8), *data);
    }
    assert_eq!(ask(&mut machine, PMU, 8, &[MEMORY_BASE, 0, 0, 0]), ok(0));
}

#[test]
fn wrong_questions_about_events_are_errors() {
    let mut machine = Mock::new(1);
    machine.put(MEMORY_BASE, &[0; 64]);
    let end = MEMORY_BASE + MEMORY_SIZE as u64;
    for (low, high, entries, flags, code) in [
        (MEMORY_BASE, 0, 1, 1, INVALID_PARAM),
        (MEMORY_BASE + 8, 0, 1, 0, INVALID_PARAM),
        (MEMORY_BASE, 1, 1, 0, INVALID_ADDRESS),
        (end - 16, 0, 2, 0, INVALID_ADDRESS),
        (0, 0, 1, 0, INVALID_ADDRESS),
        (MEMORY_BASE, 0, 1 << 60, 0, INVALID_ADDRESS),
        (MEMORY_BASE, 0, u64::MAX, 0, INVALID_ADDRESS),
    ] {
        let outcome = ask(&mut machine, PMU, 8, &[low, high, entries, flags]);
        assert_eq!(outcome, error(code), "{low:#x} {high} {entries:#x} {flags}");
    }
    machine.put(MEMORY_BASE, &[1 << 20, 0]);
    let outcome = ask(&mut machine, PMU, 8, &[MEMORY_BASE, 0, 1, 0]);
    assert_eq!(outcome, error(INVALID_PARAM));
}

#[test]
fn more_events_than_one_call_may_ask_about_fail() {
    let mut machine = Mock::new(1);
    machine.memory = vec![0; 0x1_0000];
    let mut ask_about = |entries| ask(&mut machine, PMU, 8, &[MEMORY_BASE, 0, entries, 0]);
    assert_eq!(ask_about(MOST_EVENT_ENTRIES), ok(0));
    assert_eq!(ask_about(MOST_EVENT_ENTRIES + 1), error(FAILED));
}

#[test]
fn events_have_the_numbers_of_the_tables() {
    for event in Event::ALL {
        assert_eq!(Event::new(event.index().into(), 0), Some(*event));
        assert_eq!(Event::new(event.index().into(), 1), None);
    }
    for (event, number) in [
        (Event::Cycles, CYCLES),
        (Event::Instructions, INSTRUCTIONS),
        (Event::MisalignedLoad, 0xf_0000),
        (Event::IllegalInstruction, 0xf_0004),
        (Event::SetTimer, SET_TIMER),
        (Event::IpiReceived, 0xf_0007),
        (Event::SfenceVmaAsidReceived, 0xf_000d),
        (Event::SlowExit, SLOW_EXIT),
        (Event::Patch, 0xf_0103),
    ] {
        assert_eq!(u64::from(event.index()), number);
    }
}
