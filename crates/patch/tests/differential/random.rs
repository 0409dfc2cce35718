//! Random words on random states, with proptest to shrink what fails.

use isa::csr::{interrupt, senvcfg, sstatus};
use proptest::collection::vec;
use proptest::prelude::*;
use vcpu::{Features, warl};

use crate::check::check;
use crate::state::{Random, State, Variant, variants};
use crate::words::{CSRS, FORMS, Word};

fn word() -> impl Strategy<Value = Word> {
    let csr = (0..CSRS.len(), 0..FORMS.len(), 0..32u32, 0..32u32)
        .prop_map(|(csr, form, rd, source)| Word::csr(CSRS[csr], FORMS[form], rd, source));
    let fence = (0..32u32, 0..32u32).prop_map(|(address, asid)| Word::sfence_vma(address, asid));
    prop_oneof![8 => csr, 1 => fence, 2 => Just(Word::sret()), 1 => Just(Word::wfi())]
}

fn variant() -> impl Strategy<Value = Variant> {
    let all: Vec<Variant> = variants().collect();
    (0..all.len()).prop_map(move |index| all[index])
}

/// A number whose set bits are few, many, or those of some CSR's fields.
fn value() -> impl Strategy<Value = u64> {
    let fields = sstatus::SIE | sstatus::SPIE | sstatus::SPP | sstatus::FS | sstatus::VS;
    let configuration = senvcfg::FIOM | senvcfg::CBIE | senvcfg::CBCFE | senvcfg::CBZE;
    prop_oneof![
        any::<u64>(),
        any::<u64>().prop_map(move |bits| bits & fields),
        any::<u64>().prop_map(move |bits| bits & configuration),
        any::<u64>().prop_map(|bits| bits & warl::INTERRUPTS),
        Just(0),
        Just(u64::MAX),
    ]
}

/// Registers, CSRs as they would be written, and a seed for contexts and noise.
type Values = (Vec<u64>, Vec<u64>, u64);

fn values() -> impl Strategy<Value = Values> {
    (vec(value(), 31), vec(value(), 11), any::<u64>())
}

fn state((registers, csrs, seed): &Values, features: &Features) -> State {
    let mut state = State::new(&mut Random(*seed), features);
    let hart = &mut state.hart;
    hart.x[1..].copy_from_slice(registers);
    let [
        status,
        sie,
        sip,
        stvec,
        sscratch,
        sepc,
        scause,
        stval,
        scounteren,
        senvcfg,
        pc,
    ] = csrs[..]
    else {
        unreachable!("there are eleven");
    };
    hart.sstatus = warl::sstatus(0, status, features);
    hart.sie = warl::sie(0, sie, features);
    hart.sip = sip & (interrupt::SSI | interrupt::STI | interrupt::SEI);
    hart.stvec = warl::stvec(0, stvec, features);
    hart.sscratch = sscratch;
    hart.sepc = warl::sepc(0, sepc, features);
    hart.scause = scause;
    hart.stval = stval;
    hart.scounteren = warl::scounteren(0, scounteren, features);
    hart.senvcfg = warl::senvcfg(0, senvcfg, features);
    hart.pc = pc & !1;
    state.settle();
    state
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_routine_on_any_state_agrees_with_the_reference(
        word in word(),
        variant in variant(),
        values in values(),
    ) {
        if let Some(code) = variant.maker.make(&word.instruction, word.word) {
            let state = state(&values, &variant.maker.features);
            let result = check(&variant, word.word, &word.instruction, &code, &state);
            prop_assert!(result.is_ok(), "{}: {}", word.text(), result.unwrap_err());
        }
    }
}
