//! Every instruction word with a template, on every kind of host, each on several states.

use isa::csr::{self, senvcfg};
use isa::decode::Instruction;
use patch::template::MAX_WORDS;

use crate::check::{End, check};
use crate::state::{Random, State, Variant, variants};
use crate::words::{COUNTERS, CSRS, FORMS, Word, all_fences, all_of_csr};

/// States for each word on each of the 24 variants: 24 in all.
const STATES: usize = 1;

/// Checks `words` on all variants and returns how many runs ended in each way.
fn check_all(words: impl Fn() -> Box<dyn Iterator<Item = Word>>, states: usize) -> [u64; 4] {
    let mut ends = [0; 4];
    for (number, variant) in variants().enumerate() {
        let mut random = Random(number as u64);
        for word in words() {
            let Some(code) = variant.maker.make(&word.instruction, word.word) else {
                panic!("{} has no template ({variant:?})", word.text());
            };
            assert!(code.len() <= MAX_WORDS, "{}", word.text());
            for _ in 0..states {
                ends[run(&variant, &word, &code, &mut random) as usize] += 1;
            }
        }
    }
    ends
}

fn run(variant: &Variant, word: &Word, code: &[u32], random: &mut Random) -> End {
    let seed = random.0;
    let mut state = State::new(random, &variant.maker.features);
    if word.instruction == Instruction::Wfi && random.below(4) == 0 {
        state.unsettle();
    }
    match check(variant, word.word, &word.instruction, code, &state) {
        Ok(outcome) => outcome.end,
        Err(error) => panic!(
            "{}: {error}\nseed {seed:#x}, {variant:?}\nroutine {code:08x?}\n{:#x?}",
            word.text(),
            state.hart
        ),
    }
}

fn check_csr(csr: u16) {
    let ends = check_all(|| Box::new(all_of_csr(csr)), STATES);
    let [returns, interrupts, emulated, _] = ends;
    println!(
        "{}: {returns} return, {interrupts} interrupt, {emulated} emulate",
        name(csr)
    );
    // Each end that the CSR's instructions can have was seen, and often.
    let enables = matches!(csr, csr::SSTATUS | csr::SIE | csr::SIP);
    assert_eq!(interrupts > 1000, enables);
    let leaves = matches!(csr, csr::SATP | csr::SCOUNTEREN);
    assert_eq!(emulated > 1000, leaves);
    assert!(returns > 1000);
}

fn name(csr: u16) -> &'static str {
    csr::name(csr).unwrap_or("?")
}

/// One test for each CSR, so that they run side by side.
macro_rules! every_access_agrees {
    ($($test:ident $csr:ident;)*) => {$(
        #[test]
        fn $test() {
            check_csr(csr::$csr);
        }
    )*};
}

every_access_agrees! {
    every_access_to_sstatus_agrees_with_the_reference SSTATUS;
    every_access_to_sie_agrees_with_the_reference SIE;
    every_access_to_stvec_agrees_with_the_reference STVEC;
    every_access_to_scounteren_agrees_with_the_reference SCOUNTEREN;
    every_access_to_sscratch_agrees_with_the_reference SSCRATCH;
    every_access_to_sepc_agrees_with_the_reference SEPC;
    every_access_to_scause_agrees_with_the_reference SCAUSE;
    every_access_to_stval_agrees_with_the_reference STVAL;
    every_access_to_sip_agrees_with_the_reference SIP;
    every_access_to_satp_agrees_with_the_reference SATP;
}

#[test]
fn every_access_to_senvcfg_agrees_with_the_reference_where_the_host_has_it() {
    let mut reserved = 0;
    for (number, variant) in variants().enumerate() {
        let mut random = Random(number as u64);
        for word in all_of_csr(csr::SENVCFG) {
            let code = variant.maker.make(&word.instruction, word.word);
            assert_eq!(
                code.is_some(),
                variant.maker.features.senvcfg != 0,
                "{}",
                word.text()
            );
            let Some(code) = code else { continue };
            for _ in 0..STATES {
                run(&variant, &word, &code, &mut random);
            }
            reserved += u64::from(variant.maker.features.senvcfg & senvcfg::CBIE != 0);
        }
    }
    assert!(reserved > 1000);
}

#[test]
fn every_read_of_a_counter_agrees_with_the_reference() {
    let reads = || -> Box<dyn Iterator<Item = Word>> {
        Box::new(
            COUNTERS
                .into_iter()
                .flat_map(all_of_csr)
                .filter(|word| !writes(word)),
        )
    };
    let [returns, interrupts, emulated, fences] = check_all(reads, STATES);
    // csrrs, csrrc, csrrsi and csrrci, of x0 or 0, to each of 32 registers.
    assert_eq!(returns + emulated, 24 * STATES as u64 * 3 * 4 * 32);
    // Those of `cycle` and `instret` that are not the hardware's are emulated: an eighth of two thirds.
    assert!((1 << 9..returns / 8).contains(&emulated), "{emulated}");
    assert_eq!((interrupts, fences), (0, 0));
}

#[test]
fn sret_and_wfi_agree_with_the_reference() {
    let two =
        || -> Box<dyn Iterator<Item = Word>> { Box::new([Word::sret(), Word::wfi()].into_iter()) };
    let [returns, interrupts, emulated, _] = check_all(two, 1000);
    assert!(returns > 5000 && interrupts > 5000 && emulated > 5000);
}

#[test]
fn every_sfence_vma_is_left_to_who_knows_the_shadow_with_nothing_changed() {
    let fences = || -> Box<dyn Iterator<Item = Word>> { Box::new(all_fences()) };
    let [returns, interrupts, emulated, fenced] = check_all(fences, STATES);
    assert_eq!((returns, interrupts), (0, 0));
    // The gate knows the forms with an address.
    assert_eq!(fenced, 24 * STATES as u64 * 31 * 32);
    assert_eq!(emulated, 24 * STATES as u64 * 32);
}

/// What has no template, has none for a reason: the reference emulator raises an exception, or it is
/// one of the rare instructions that `Maker::make` names.
#[test]
fn no_other_csr_access_has_a_template() {
    let variant = variants().next().expect("there are variants");
    let mut random = Random(0);
    for csr in 0..0x1000 {
        if CSRS.contains(&csr) {
            continue;
        }
        let state = State::new(&mut random, &variant.maker.features);
        for (form, rd, source) in FORMS.into_iter().flat_map(some_operands) {
            let word = Word::csr(csr, form, rd, source);
            let made = variant.maker.make(&word.instruction, word.word).is_some();
            assert_eq!(
                made,
                COUNTERS.contains(&csr) && !writes(&word),
                "{}",
                word.text()
            );
            if made || (csr::HPMCOUNTER3..=csr::HPMCOUNTER31).contains(&csr) {
                continue;
            }
            let mut hart = state.hart.clone();
            let features = &variant.maker.features;
            let result = hart.execute(features, &state.counters(), &word.instruction, word.word);
            assert!(result.is_err(), "{csr:#x}: {}", word.text());
        }
    }
}

fn some_operands(form: u32) -> impl Iterator<Item = (u32, u32, u32)> {
    [0, 5, 10]
        .into_iter()
        .flat_map(move |rd| [0, 1, 28].map(|source| (form, rd, source)))
}

fn writes(word: &Word) -> bool {
    matches!(word.instruction, Instruction::Csr(access) if access.writes())
}
