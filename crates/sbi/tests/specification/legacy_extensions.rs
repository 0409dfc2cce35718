//! Chapter "Legacy Extensions".

use super::*;

fn a0(value: i64) -> Outcome {
    Outcome::LegacyReturn { a0: value }
}

#[test]
fn the_function_number_is_ignored() {
    let mut machine = Mock::new(1);
    for function in [0, 1, u64::MAX] {
        assert_eq!(ask(&mut machine, 0, function, &[99]), a0(0));
        assert_eq!(machine.take_events(), [Happening::Timer(0, 99)]);
    }
}

#[test]
fn characters_are_written_and_read() {
    let mut machine = Mock::new(1);
    machine.input = vec![0xff];
    assert_eq!(ask(&mut machine, 1, 0, &[0x1_0041]), a0(0));
    assert_eq!(machine.output, b"A");
    assert_eq!(ask(&mut machine, 2, 0, &[]), a0(0xff));
    assert_eq!(ask(&mut machine, 2, 0, &[]), a0(-1));
    machine.room = 0;
    assert_eq!(ask(&mut machine, 1, 0, &[0x42]), a0(0));
}

#[test]
fn clearing_an_ipi_tells_whether_one_was_pending() {
    let mut machine = Mock::new(1);
    machine.ipi_pending = true;
    assert_eq!(ask(&mut machine, 3, 0, &[]), a0(1));
    assert_eq!(ask(&mut machine, 3, 0, &[]), a0(0));
}

#[test]
fn hart_masks_are_read_from_virtual_memory_and_foreign_bits_ignored() {
    let mut machine = Mock::new(70);
    machine.memory[8..16].copy_from_slice(&(1_u64 << 63 | 2).to_le_bytes());
    machine.memory[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(ask(&mut machine, 4, 0, &[VIRTUAL_BASE + 8]), a0(0));
    let harts: Vec<Happening> = [1, 63]
        .into_iter()
        .chain(64..70)
        .map(Happening::Ipi)
        .collect();
    assert_eq!(machine.take_events(), harts);
}

#[test]
fn a_null_mask_means_every_hart() {
    let mut machine = Mock::new(3);
    assert_eq!(ask(&mut machine, 5, 0, &[0]), a0(0));
    assert_eq!(machine.take_events(), [Happening::FenceI(vec![0, 1, 2])]);
}

#[test]
fn a_mask_that_cannot_be_read_faults_at_the_call_and_nothing_happens() {
    let mut machine = Mock::new(70);
    let last_word = VIRTUAL_BASE + MEMORY_SIZE as u64 - 8;
    for extension in 4..=7 {
        for (pointer, address) in [(0x10, 0x10), (last_word, last_word + 8)] {
            let fault = Fault {
                cause: Exception::LoadPage,
                address: GuestVirt(address),
            };
            let outcome = ask(&mut machine, extension, 0, &[pointer, 0, 0, 0]);
            assert_eq!(outcome, Outcome::Fault(fault));
        }
    }
    assert_eq!(machine.events, []);
}

#[test]
fn remote_fences_have_their_range_and_address_space() {
    let mut machine = Mock::new(1);
    machine.memory[..8].copy_from_slice(&1_u64.to_le_bytes());
    let one_page = FenceRange::Pages {
        first: GuestVirt(0x5000),
        count: 1,
    };
    let arguments = [VIRTUAL_BASE, 0x5000, 0x1000, 9];
    assert_eq!(ask(&mut machine, 6, 0, &arguments), a0(0));
    assert_eq!(ask(&mut machine, 7, 0, &arguments), a0(0));
    assert_eq!(ask(&mut machine, 6, 0, &[VIRTUAL_BASE, 0, 0]), a0(0));
    let expected = [
        Happening::SfenceVma(vec![0], one_page, None),
        Happening::SfenceVma(vec![0], one_page, Some(9)),
        Happening::SfenceVma(vec![0], FenceRange::All, None),
    ];
    assert_eq!(machine.take_events(), expected);
    assert_eq!(
        ask(&mut machine, 7, 0, &[0, 0, 0, 1 << 16]),
        a0(INVALID_PARAM)
    );
    assert_eq!(
        ask(&mut machine, 6, 0, &[0, 3, u64::MAX - 1]),
        a0(INVALID_ADDRESS)
    );
    assert_eq!(machine.events, []);
}

#[test]
fn shutdown_does_not_return() {
    let mut machine = Mock::new(1);
    assert_eq!(ask(&mut machine, 8, 0, &[]), Outcome::Stop);
    assert_eq!(
        machine.events,
        [Happening::Reset(ResetKind::Shutdown, ResetReason::None)]
    );
}
