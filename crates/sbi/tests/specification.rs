//! What the SBI specification says, chapter by chapter.

mod mock;

use isa::address::{GuestPhys, GuestVirt};
use isa::csr::Exception;
use mock::{Event, IDS, MEMORY_BASE, MEMORY_SIZE, Mock, VIRTUAL_BASE, call};
use proptest::prelude::*;
use sbi::{
    Call, Error, Extension, Fault, FenceRange, HartStatus, IMPLEMENTATION_ID, MOST_BYTES,
    MOST_PAGES, Outcome, ResetKind, ResetReason, Start, StartError, handle,
};

const BASE: u64 = 0x10;
const TIME: u64 = 0x5449_4d45;
const IPI: u64 = 0x73_5049;
const RFENCE: u64 = 0x5246_4e43;
const HSM: u64 = 0x48_534d;
const SRST: u64 = 0x5352_5354;
const DBCN: u64 = 0x4442_434e;
const ALL: u64 = u64::MAX;

/// Makes a call from hart 0.
fn ask(machine: &mut Mock, extension: u64, function: u64, arguments: &[u64]) -> Outcome {
    handle(&call(extension, function, arguments), 0, machine)
}

fn ok(value: u64) -> Outcome {
    Outcome::Return { error: 0, value }
}

fn error(code: i64) -> Outcome {
    Outcome::Return {
        error: code,
        value: 0,
    }
}

const FAILED: i64 = -1;
const NOT_SUPPORTED: i64 = -2;
const INVALID_PARAM: i64 = -3;
const INVALID_ADDRESS: i64 = -5;
const ALREADY_AVAILABLE: i64 = -6;

mod binary_encoding {
    use super::*;

    #[test]
    fn error_codes_are_those_of_the_table() {
        let codes = [
            (Error::Failed, FAILED),
            (Error::NotSupported, NOT_SUPPORTED),
            (Error::InvalidParameter, INVALID_PARAM),
            (Error::InvalidAddress, INVALID_ADDRESS),
            (Error::AlreadyAvailable, ALREADY_AVAILABLE),
        ];
        for (error, code) in codes {
            assert_eq!(error.code(), code);
        }
    }

    #[test]
    fn unknown_extensions_are_not_supported() {
        let mut machine = Mock::new(1);
        // PMU, STA, SUSP, CPPC, NACL, SSE, FWFT, the reserved legacy numbers, a vendor's.
        for extension in [
            0x50_4d55,
            0x53_5441,
            0x5355_5350,
            0x4350_5043,
            0x4e41_434c,
            0x53_5345,
            0x4657_4654,
            9,
            0xf,
            0x11,
            0x0900_0000,
            u64::MAX,
            0x1_0000_0010,
            1 << 32,
        ] {
            assert_eq!(
                ask(&mut machine, extension, 0, &[]),
                error(NOT_SUPPORTED),
                "{extension:#x}"
            );
        }
    }

    #[test]
    fn unknown_functions_are_not_supported() {
        let mut machine = Mock::new(2);
        for (extension, first_unknown) in [
            (BASE, 7),
            (TIME, 1),
            (IPI, 1),
            (RFENCE, 3),
            (HSM, 4),
            (SRST, 1),
            (DBCN, 3),
        ] {
            for function in [first_unknown, first_unknown + 100, 1 << 32, u64::MAX] {
                let outcome = ask(&mut machine, extension, function, &[0; 6]);
                assert_eq!(outcome, error(NOT_SUPPORTED), "{extension:#x} {function}");
            }
        }
        assert_eq!(machine.events, []);
    }

    #[test]
    fn a_hart_mask_counts_from_its_base() {
        let mut machine = Mock::new(70);
        assert_eq!(ask(&mut machine, IPI, 0, &[0b101, 66]), ok(0));
        assert_eq!(machine.take_events(), [Event::Ipi(66), Event::Ipi(68)]);
    }

    #[test]
    fn base_minus_one_means_all_harts_whatever_the_mask() {
        let mut machine = Mock::new(3);
        for mask in [0, 0b1000, u64::MAX] {
            assert_eq!(ask(&mut machine, IPI, 0, &[mask, ALL]), ok(0));
            let all: Vec<Event> = (0..3).map(Event::Ipi).collect();
            assert_eq!(machine.take_events(), all);
        }
    }

    #[test]
    fn a_hart_that_does_not_exist_is_an_invalid_parameter_and_nothing_happens() {
        let mut machine = Mock::new(2);
        for (mask, base) in [
            (0b100, 0),
            (0b111, 0),
            (1, 2),
            (1, ALL - 1),
            (0b1000, ALL - 2),
            (u64::MAX, 0),
        ] {
            for (extension, function) in [(IPI, 0), (RFENCE, 0), (RFENCE, 1), (RFENCE, 2)] {
                let outcome = ask(&mut machine, extension, function, &[mask, base, 0, 0, 0]);
                assert_eq!(outcome, error(INVALID_PARAM), "{mask:#x} {base:#x}");
            }
        }
        assert_eq!(machine.events, []);
    }

    #[test]
    fn the_base_of_a_mask_need_not_exist() {
        let mut machine = Mock::new(2);
        assert_eq!(ask(&mut machine, IPI, 0, &[0, 77]), ok(0));
        assert_eq!(machine.events, []);
    }
}

mod base_extension {
    use super::*;

    #[test]
    fn the_version_is_3_0() {
        assert_eq!(ask(&mut Mock::new(1), BASE, 0, &[]), ok(0x0300_0000));
    }

    /// The specification's table assigns 0 to 11.
    #[test]
    fn the_implementation_is_none_of_the_assigned_ones() {
        let mut machine = Mock::new(1);
        assert_eq!(ask(&mut machine, BASE, 1, &[]), ok(IMPLEMENTATION_ID));
        for assigned in 0..=11 {
            assert_ne!(ask(&mut machine, BASE, 1, &[]), ok(assigned));
        }
    }

    #[test]
    fn the_implementation_version_is_that_of_the_crate() {
        let version = ask(&mut Mock::new(1), BASE, 2, &[]);
        let Outcome::Return { error: 0, value } = version else {
            panic!("{version:?}")
        };
        let text = format!("{}.{}.{}", value >> 16, value >> 8 & 0xff, value & 0xff);
        assert_eq!(text, env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn extensions_are_probed() {
        let mut machine = Mock::new(1);
        for extension in [BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN]
            .into_iter()
            .chain(0..9)
        {
            assert_eq!(
                ask(&mut machine, BASE, 3, &[extension]),
                ok(1),
                "{extension:#x}"
            );
        }
        for extension in [9, 0xf, 0x11, 0x50_4d55, u64::MAX] {
            assert_eq!(
                ask(&mut machine, BASE, 3, &[extension]),
                ok(0),
                "{extension:#x}"
            );
        }
    }

    #[test]
    fn machine_ids_are_the_hosts() {
        let mut machine = Mock::new(1);
        assert_eq!(ask(&mut machine, BASE, 4, &[]), ok(IDS.vendor));
        assert_eq!(ask(&mut machine, BASE, 5, &[]), ok(IDS.architecture));
        assert_eq!(ask(&mut machine, BASE, 6, &[]), ok(IDS.implementation));
    }
}

mod timer_extension {
    use super::*;

    #[test]
    fn the_deadline_is_the_calling_harts() {
        let mut machine = Mock::new(4);
        for (hart, deadline) in [(0, 0), (3, 12345), (1, u64::MAX)] {
            assert_eq!(
                handle(&call(TIME, 0, &[deadline]), hart, &mut machine),
                ok(0)
            );
            assert_eq!(machine.take_events(), [Event::Timer(hart, deadline)]);
        }
    }
}

mod rfence_extension {
    use super::*;

    fn pages(first: u64, count: u64) -> FenceRange {
        FenceRange::Pages {
            first: GuestVirt(first),
            count,
        }
    }

    fn range(start: u64, size: u64) -> Result<FenceRange, Outcome> {
        let mut machine = Mock::new(2);
        let outcome = ask(&mut machine, RFENCE, 1, &[0b11, 0, start, size]);
        match machine.take_events().pop() {
            Some(Event::SfenceVma(harts, range, None)) => {
                assert_eq!((outcome, harts), (ok(0), vec![0, 1]));
                Ok(range)
            }
            None => Err(outcome),
            event => panic!("{event:?}"),
        }
    }

    #[test]
    fn fence_i_reaches_the_harts_of_the_mask() {
        let mut machine = Mock::new(4);
        assert_eq!(ask(&mut machine, RFENCE, 0, &[0b1010, 0]), ok(0));
        assert_eq!(machine.take_events(), [Event::FenceI(vec![1, 3])]);
    }

    #[test]
    fn zero_and_minus_one_mean_the_entire_address_space() {
        assert_eq!(range(0, 0), Ok(FenceRange::All));
        assert_eq!(range(0, u64::MAX), Ok(FenceRange::All));
        assert_eq!(range(0x1000, u64::MAX), Ok(FenceRange::All));
    }

    #[test]
    fn a_range_is_all_the_pages_it_touches() {
        assert_eq!(range(0x1000, 0x1000), Ok(pages(0x1000, 1)));
        assert_eq!(range(0x1fff, 1), Ok(pages(0x1000, 1)));
        assert_eq!(range(0x1fff, 2), Ok(pages(0x1000, 2)));
        assert_eq!(range(0, 1), Ok(pages(0, 1)));
        assert_eq!(
            range(0xffff_ffff_ffff_f000, 0x1000),
            Ok(pages(0xffff_ffff_ffff_f000, 1))
        );
    }

    #[test]
    fn a_large_range_becomes_the_entire_address_space() {
        assert_eq!(
            range(0x1000, MOST_PAGES * 4096),
            Ok(pages(0x1000, MOST_PAGES))
        );
        assert_eq!(range(0x1000, MOST_PAGES * 4096 + 1), Ok(FenceRange::All));
        assert_eq!(range(0, u64::MAX - 1), Ok(FenceRange::All));
    }

    #[test]
    fn a_range_past_the_end_is_an_invalid_address() {
        assert_eq!(
            range(0xffff_ffff_ffff_f000, 0x1001),
            Err(error(INVALID_ADDRESS))
        );
        assert_eq!(range(3, u64::MAX - 1), Err(error(INVALID_ADDRESS)));
    }

    #[test]
    fn an_address_space_may_be_named() {
        let mut machine = Mock::new(1);
        assert_eq!(
            ask(&mut machine, RFENCE, 2, &[1, 0, 0x2000, 0x1000, 0xffff]),
            ok(0)
        );
        let fence = Event::SfenceVma(vec![0], pages(0x2000, 1), Some(0xffff));
        assert_eq!(machine.take_events(), [fence]);
        let outcome = ask(&mut machine, RFENCE, 2, &[1, 0, 0x2000, 0x1000, 0x1_0000]);
        assert_eq!(outcome, error(INVALID_PARAM));
        assert_eq!(machine.events, []);
    }

    #[test]
    fn hypervisor_fences_are_not_supported_even_with_a_bad_mask() {
        let mut machine = Mock::new(1);
        for function in 3..=6 {
            for mask in [1, 0b10] {
                let outcome = ask(&mut machine, RFENCE, function, &[mask, 0, 0, 0, 0]);
                assert_eq!(outcome, error(NOT_SUPPORTED));
            }
        }
    }

    #[test]
    fn the_pages_of_a_range_can_be_listed() {
        let pages: Vec<u64> = pages(0x3000, 3)
            .pages()
            .expect("pages")
            .map(|page| page.0)
            .collect();
        assert_eq!(pages, [0x3000, 0x4000, 0x5000]);
        assert!(FenceRange::All.pages().is_none());
    }

    proptest! {
        #[test]
        fn every_byte_of_a_range_is_fenced(start: u64, size in 1..0x40_0000_u64, at in 0..0x40_0000_u64) {
            prop_assume!(start.checked_add(size).is_some());
            let byte = GuestVirt(start + at % size);
            let range = FenceRange::new(start, size).expect("no wrap");
            if let Some(mut pages) = range.pages() {
                prop_assert!(pages.any(|page| page == byte.page()));
            }
        }
    }
}

mod hart_state_management {
    use super::*;

    #[test]
    fn a_stopped_hart_starts() {
        let mut machine = Mock::new(2);
        assert_eq!(ask(&mut machine, HSM, 2, &[1]), ok(1));
        assert_eq!(ask(&mut machine, HSM, 0, &[1, MEMORY_BASE + 4, 77]), ok(0));
        let start = Start {
            address: GuestPhys(MEMORY_BASE + 4),
            opaque: 77,
        };
        assert_eq!(machine.take_events(), [Event::Start(1, start)]);
        assert_eq!(ask(&mut machine, HSM, 2, &[1]), ok(0));
    }

    #[test]
    fn a_hart_that_is_not_stopped_is_already_available() {
        let mut machine = Mock::new(2);
        for status in [
            HartStatus::Started,
            HartStatus::StartPending,
            HartStatus::StopPending,
            HartStatus::Suspended,
            HartStatus::SuspendPending,
            HartStatus::ResumePending,
        ] {
            machine.status[1] = status;
            assert_eq!(
                ask(&mut machine, HSM, 0, &[1, MEMORY_BASE, 0]),
                error(ALREADY_AVAILABLE)
            );
            assert_eq!(ask(&mut machine, HSM, 2, &[1]), ok(status as u64));
        }
        assert_eq!(
            ask(&mut machine, HSM, 0, &[0, 0, 0]),
            error(ALREADY_AVAILABLE)
        );
    }

    #[test]
    fn a_start_that_fails_says_why() {
        let mut machine = Mock::new(2);
        for (reason, code) in [
            (StartError::AlreadyAvailable, ALREADY_AVAILABLE),
            (StartError::Failed, FAILED),
        ] {
            machine.start_error = Some(reason);
            assert_eq!(ask(&mut machine, HSM, 0, &[1, MEMORY_BASE, 0]), error(code));
        }
    }

    #[test]
    fn a_start_address_outside_of_memory_is_an_invalid_address() {
        let mut machine = Mock::new(2);
        let end = MEMORY_BASE + MEMORY_SIZE as u64;
        for address in [
            0,
            MEMORY_BASE - 2,
            end,
            u64::MAX,
            u64::MAX - 1,
            MEMORY_BASE + 1,
        ] {
            assert_eq!(
                ask(&mut machine, HSM, 0, &[1, address, 0]),
                error(INVALID_ADDRESS)
            );
        }
        assert_eq!(machine.events, []);
        assert_eq!(ask(&mut machine, HSM, 0, &[1, end - 2, 0]), ok(0));
    }

    #[test]
    fn a_hart_id_that_does_not_exist_is_an_invalid_parameter() {
        let mut machine = Mock::new(2);
        for id in [2, 64, u64::MAX] {
            assert_eq!(
                ask(&mut machine, HSM, 0, &[id, MEMORY_BASE, 0]),
                error(INVALID_PARAM)
            );
            assert_eq!(ask(&mut machine, HSM, 2, &[id]), error(INVALID_PARAM));
        }
    }

    #[test]
    fn a_hart_that_stops_does_not_return() {
        let mut machine = Mock::new(3);
        assert_eq!(handle(&call(HSM, 1, &[]), 2, &mut machine), Outcome::Stop);
        assert_eq!(machine.take_events(), [Event::Stop(2)]);
    }

    #[test]
    fn a_retentive_suspension_ignores_the_resume_address() {
        let mut machine = Mock::new(1);
        for kind in [0, 0xffff_ffff_0000_0000] {
            assert_eq!(
                ask(&mut machine, HSM, 3, &[kind, 1, 2]),
                Outcome::Suspend { resume: None }
            );
        }
    }

    #[test]
    fn a_non_retentive_suspension_resumes_at_its_address() {
        let mut machine = Mock::new(1);
        for kind in [0x8000_0000, 0xffff_ffff_8000_0000] {
            let resume = Some(Start {
                address: GuestPhys(MEMORY_BASE),
                opaque: 5,
            });
            let outcome = ask(&mut machine, HSM, 3, &[kind, MEMORY_BASE, 5]);
            assert_eq!(outcome, Outcome::Suspend { resume });
            assert_eq!(
                ask(&mut machine, HSM, 3, &[kind, 0, 5]),
                error(INVALID_ADDRESS)
            );
        }
    }

    #[test]
    fn other_suspend_types_are_invalid_parameters() {
        let mut machine = Mock::new(1);
        for kind in [
            1,
            0x0fff_ffff,
            0x1000_0000,
            0x7fff_ffff,
            0x8000_0001,
            0x9000_0000,
            0xffff_ffff,
        ] {
            assert_eq!(
                ask(&mut machine, HSM, 3, &[kind, MEMORY_BASE, 0]),
                error(INVALID_PARAM)
            );
        }
    }
}

mod system_reset {
    use super::*;

    #[test]
    fn types_and_reasons_are_passed_on_and_the_call_does_not_return() {
        let kinds = [
            ResetKind::Shutdown,
            ResetKind::ColdReboot,
            ResetKind::WarmReboot,
        ];
        let reasons = [ResetReason::None, ResetReason::SystemFailure];
        for (kind_number, kind) in (0..).zip(kinds) {
            for (reason_number, reason) in (0..).zip(reasons) {
                let mut machine = Mock::new(1);
                let outcome = ask(&mut machine, SRST, 0, &[kind_number, reason_number]);
                assert_eq!(outcome, Outcome::Stop);
                assert_eq!(machine.events, [Event::Reset(kind, reason)]);
            }
        }
    }

    #[test]
    fn reserved_and_foreign_numbers_are_invalid_parameters() {
        let mut machine = Mock::new(1);
        for kind in [3, 0xefff_ffff, 0xf000_0000, 0xffff_ffff] {
            assert_eq!(ask(&mut machine, SRST, 0, &[kind, 0]), error(INVALID_PARAM));
        }
        for reason in [2, 0xdfff_ffff, 0xe000_0000, 0xf000_0000, 0xffff_ffff] {
            assert_eq!(
                ask(&mut machine, SRST, 0, &[0, reason]),
                error(INVALID_PARAM)
            );
        }
        assert_eq!(machine.events, []);
    }

    #[test]
    fn both_parameters_are_32_bits_wide() {
        let mut machine = Mock::new(1);
        assert_eq!(
            ask(&mut machine, SRST, 0, &[1 << 32 | 1, 7 << 32 | 1]),
            Outcome::Stop
        );
        let reset = Event::Reset(ResetKind::ColdReboot, ResetReason::SystemFailure);
        assert_eq!(machine.events, [reset]);
    }
}

mod debug_console {
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
}

mod legacy_extensions {
    use super::*;

    fn a0(value: i64) -> Outcome {
        Outcome::LegacyReturn { a0: value }
    }

    #[test]
    fn the_function_number_is_ignored() {
        let mut machine = Mock::new(1);
        for function in [0, 1, u64::MAX] {
            assert_eq!(ask(&mut machine, 0, function, &[99]), a0(0));
            assert_eq!(machine.take_events(), [Event::Timer(0, 99)]);
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
        let harts: Vec<Event> = [1, 63].into_iter().chain(64..70).map(Event::Ipi).collect();
        assert_eq!(machine.take_events(), harts);
    }

    #[test]
    fn a_null_mask_means_every_hart() {
        let mut machine = Mock::new(3);
        assert_eq!(ask(&mut machine, 5, 0, &[0]), a0(0));
        assert_eq!(machine.take_events(), [Event::FenceI(vec![0, 1, 2])]);
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
            Event::SfenceVma(vec![0], one_page, None),
            Event::SfenceVma(vec![0], one_page, Some(9)),
            Event::SfenceVma(vec![0], FenceRange::All, None),
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
            [Event::Reset(ResetKind::Shutdown, ResetReason::None)]
        );
    }
}

fn any_extension() -> impl Strategy<Value = u64> {
    let known = prop::sample::select(vec![BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN]);
    prop_oneof![4 => known, 2 => 0..0x12_u64, 1 => any::<u64>()]
}

fn any_argument() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..16_u64,
        Just(u64::MAX),
        (0..0x8000_u64).prop_map(|offset| MEMORY_BASE + offset),
        (0..0x8000_u64).prop_map(|offset| VIRTUAL_BASE + offset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    /// The mock asserts that harts it is given exist.
    #[test]
    fn random_calls_never_panic_and_unknown_ones_are_not_supported(
        extension in any_extension(),
        function in prop_oneof![0..8_u64, any::<u64>()],
        arguments in prop::array::uniform6(any_argument()),
        harts in 1..130_usize,
    ) {
        let mut machine = Mock::new(harts);
        machine.input = b"typed".to_vec();
        let call = Call { extension, function, arguments };
        let outcome = handle(&call, harts - 1, &mut machine);
        if Extension::from_id(extension).is_none() {
            prop_assert_eq!(outcome, error(NOT_SUPPORTED));
            prop_assert_eq!(machine.events, []);
        }
        if let Outcome::Return { error, .. } = outcome {
            prop_assert!((-14..=0).contains(&error));
        }
        prop_assert_eq!(matches!(outcome, Outcome::LegacyReturn { .. }),
            extension < 8 && !matches!(outcome, Outcome::Fault(_)));
    }
}
