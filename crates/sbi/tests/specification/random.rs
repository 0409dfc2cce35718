//! Calls that nobody would make.

use super::*;

fn any_extension() -> impl Strategy<Value = u64> {
    let known = prop::sample::select(vec![
        BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN, PMU, SUSP, STA, FWFT,
    ]);
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

/// An `event_idx`, or an initial value.
fn any_event() -> impl Strategy<Value = u64> {
    let index = |event: Event| u64::from(event.index());
    prop_oneof![3 => prop::sample::select(Event::ALL).prop_map(index), 1 => any_argument()]
}

/// A mask, or the high half of an address.
fn any_set() -> impl Strategy<Value = u64> {
    prop_oneof![0..0x1_0000_u64, Just(0), Just(u64::MAX)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    /// The mock asserts that harts it is given exist.
    #[test]
    fn random_calls_never_panic_and_unknown_ones_are_not_supported(
        extension in any_extension(),
        function in prop_oneof![0..9_u64, any::<u64>()],
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// One hart makes one call after another, so that later ones meet what earlier ones have set.
    #[test]
    fn random_calls_of_configured_extensions_never_panic(
        calls in prop::collection::vec(
            (
                prop::sample::select(vec![PMU, PMU, PMU, STA, FWFT]),
                0..9_u64,
                (any_argument(), any_set(), 0..8_u64, any_event()),
                0..5_usize,
            ),
            1..40,
        ),
    ) {
        let mut machine = Mock::new(1);
        for (extension, function, (a0, a1, a2, a3), event) in calls {
            let arguments = [a0, a1, a2, a3, 0, 0];
            let call = Call { extension, function, arguments };
            let outcome = handle(&call, 0, &mut machine);
            let is_return = matches!(outcome, Outcome::Return { error: -14..=0, .. });
            prop_assert!(is_return, "{:?}", outcome);
            machine.happen(Event::ALL[event * 3], a0);
        }
    }
}
