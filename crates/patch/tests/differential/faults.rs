//! The comparison is able to fail: a routine with one wrong instruction is found out.

use isa::csr;
use isa::decode::Instruction;
use patch::Maker;

use crate::check::check;
use crate::state::{HOSTS, Random, State, Variant};
use crate::words::{CSRS, Word};

const NOP: u32 = 0x0000_0013;
const STATES: usize = 2000;

/// Instructions that may be left out with no difference to be seen on any state. There should be none:
/// either the comparison is blind or the instruction is of no use.
fn survivors(word: &Word, variant: &Variant) -> Vec<(usize, u32)> {
    let code = variant
        .maker
        .make(&word.instruction, word.word)
        .expect("a template");
    let lives = |index: usize| {
        let mut mutant = code.clone();
        mutant[index] = NOP;
        let mut random = Random(index as u64);
        (0..STATES).all(|_| {
            let mut state = State::new(&mut random, &variant.maker.features);
            if word.instruction == Instruction::Wfi && random.below(4) == 0 {
                state.unsettle();
            }
            let run = |code: &[u32]| check(variant, word.word, &word.instruction, code, &state);
            // A branch that only saves work is found out by the work.
            run(&mutant) == run(&code)
        })
    };
    (0..code.len())
        .filter(|&index| lives(index))
        .map(|index| (index, code[index]))
        .collect()
}

#[test]
fn a_routine_without_one_of_its_instructions_is_found_out() {
    let (host, features) = HOSTS[0];
    let variant = Variant {
        host,
        maker: Maker {
            features,
            counters: 7,
            count: true,
            fence_on_switch: true,
        },
    };
    let mut words = vec![Word::sret(), Word::wfi()];
    words.extend([(0, 0), (10, 0), (5, 0), (28, 0), (10, 11)].map(|(a, b)| Word::sfence_vma(a, b)));
    // Live registers and scratch registers. Where a form cannot give what the CSR's rule forbids, as
    // csrrc with sie, the instructions for the rule do nothing: such words are left out.
    for (rd, source) in [(10, 11), (5, 6), (7, 28)] {
        words.extend(CSRS.map(|csr| Word::csr(csr, 1, rd, source)));
        words.extend([2, 3].map(|form| Word::csr(csr::SSCRATCH, form, rd, source)));
        words.extend([2, 3].map(|form| Word::csr(csr::SIP, form, rd, source)));
        words.push(Word::csr(csr::SIE, 2, rd, source));
        words.push(Word::csr(csr::SEPC, 2, rd, source));
        words.push(Word::csr(csr::TIME, 2, rd, 0));
        words.push(Word::csr(csr::SATP, 1, 0, rd));
        words.push(Word::csr(csr::SSTATUS, 7, rd, 2));
    }
    let survivors: Vec<_> = words
        .iter()
        .map(|word| (word.text(), survivors(word, &variant)))
        .filter(|(_, survivors)| !survivors.is_empty())
        .collect();
    assert!(survivors.is_empty(), "{survivors:08x?}");
}
