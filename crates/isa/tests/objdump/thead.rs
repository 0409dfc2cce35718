//! T-Head's cache maintenance against the disassembler, which names all that their extension has.

use isa::reg::Reg;
use isa::thead::{CacheOp, cache_op};

use crate::tool::disassemble_for;

/// What the text of an instruction stands for; U-mode may execute those that are left out.
fn expected(text: &str) -> Option<CacheOp> {
    let (mnemonic, operand) = text.split_once(' ').unwrap_or((text, ""));
    let register = || {
        let number = operand
            .strip_prefix('x')
            .and_then(|number| number.parse().ok());
        Reg::new(number.expect("a register"))
    };
    Some(match mnemonic {
        "th.dcache.cpa" | "th.dcache.ipa" | "th.dcache.cipa" | "th.dcache.cpal1" => {
            CacheOp::Line(register())
        }
        "th.dcache.call" | "th.dcache.iall" | "th.dcache.ciall" | "th.dcache.csw"
        | "th.dcache.isw" | "th.dcache.cisw" | "th.l2cache.call" | "th.l2cache.iall"
        | "th.l2cache.ciall" => CacheOp::All,
        "th.icache.iall" | "th.icache.ipa" => CacheOp::Instructions,
        "th.icache.ialls" => CacheOp::InstructionsOfAll,
        _ => return None,
    })
}

#[test]
fn every_word_of_the_opcode_is_what_the_disassembler_says() {
    let words: Vec<u32> = (0..1 << 17)
        .map(|fields: u32| fields << 15 | 0b000_1011)
        .filter(|word| word >> 26 == 0)
        .collect();
    let texts = disassemble_for("thead", "rv64gc_xtheadcmo", &words);
    let mut found = 0;
    for (&word, text) in words.iter().zip(&texts) {
        assert_eq!(cache_op(word), expected(text), "{word:#010x} {text}");
        found += usize::from(cache_op(word).is_some());
    }
    // Eight take any register, eight take none.
    assert_eq!(found, 8 * 32 + 8);
}
