//! Calls that nobody would make.

use super::*;

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
