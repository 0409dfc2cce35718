//! Decode against the disassembler: it must agree on every word, whether that word is an
//! instruction of ours or not.

use std::collections::HashSet;

use isa::csr;
use isa::decode::{
    AmoOp, CboOp, CsrAccess, CsrOp, Instruction, MemoryAccess, Source, decode, length,
};
use isa::encode;
use isa::reg::Reg;

use crate::tool::{FILLER, disassemble};

const OPCODES: [u32; 7] = [0x03, 0x07, 0x0f, 0x23, 0x27, 0x2f, 0x73];

/// CSRs that binutils 2.40 prints as numbers because they are younger than it.
const YOUNGER_CSRS: [&str; 13] = [
    "ssp",
    "jvt",
    "scountinhibit",
    "siselect",
    "sireg",
    "sireg2",
    "sireg3",
    "sireg4",
    "sireg5",
    "sireg6",
    "stopei",
    "srmcfg",
    "stopi",
];

#[test]
fn all_compressed_words_decode_as_the_disassembler_has_them() {
    let parcels = (0..0x1_0000u32).filter(|parcel| parcel & 3 != 3);
    let words: Vec<u32> = parcels.map(|parcel| FILLER | parcel).collect();
    compare("compressed", &words);
}

#[test]
fn all_privileged_words_without_destination_decode_as_the_disassembler_has_them() {
    let words: Vec<u32> = (0..1 << 17).map(|high| high << 15 | 0x73).collect();
    compare("privileged", &words);
}

#[test]
fn all_functions_of_atomics_decode_as_the_disassembler_has_them() {
    let mut words = Vec::new();
    for function in 0..1 << 10 {
        let (funct7, funct3) = (function >> 3, function & 7);
        for registers in [
            0,
            0x00a5_8500,
            0x01f0_0000,
            0x0000_8080,
            0x0010_0000,
            0x01ff_8f80,
        ] {
            words.push(funct7 << 25 | registers | funct3 << 12 | 0x2f);
        }
    }
    compare("atomics", &words);
}

#[test]
fn random_words_of_our_opcodes_decode_as_the_disassembler_has_them() {
    let mut random = Random(0x5eed);
    let mut words = Vec::new();
    for opcode in OPCODES {
        words.extend((0..40_000).map(|_| random.word() & !0x7f | opcode));
    }
    compare("ours", &words);
}

#[test]
fn random_words_decode_as_the_disassembler_has_them() {
    let mut random = Random(0xbad_5eed);
    let words = (0..200_000).map(|_| random.word() | 3);
    // The disassembler takes these for the beginning of longer instructions, whose formats were
    // never ratified.
    let words: Vec<u32> = words.filter(|word| word & 0x1f != 0x1f).collect();
    compare("random", &words);
}

#[test]
fn words_of_the_longer_formats_are_not_instructions() {
    let mut random = Random(0x1049);
    for _ in 0..10_000 {
        assert_eq!(decode(random.word() | 0x1f), None);
    }
}

#[test]
fn csr_numbers_are_those_of_the_disassembler() {
    let words: Vec<u32> = (0..0x1000)
        .map(|csr| encode::csrrs(Reg::A0, csr, Reg::A1))
        .collect();
    for (number, line) in (0..0x1000u16).zip(disassemble("csrs", &words)) {
        let shown = line.split(',').nth(1).expect("three operands");
        let known = csr::name(number);
        if let Some(name) = known.filter(|name| YOUNGER_CSRS.contains(name)) {
            assert!(
                shown == name || shown == format!("{number:#x}"),
                "{name}: {line}"
            );
        } else if let Some(name) = known {
            assert!(shown == name, "{name}: {line}");
        } else if shown.starts_with("0x") {
            assert_eq!(shown, format!("{number:#x}"));
        } else {
            assert_eq!(csr::by_name(shown), None, "{number:#x}: {line}");
        }
    }
}

/// Splitmix64: the words are the same in every run.
struct Random(u64);

impl Random {
    fn word(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as u32
    }
}

fn compare(name: &str, words: &[u32]) {
    let csrs: Vec<u32> = (0..0x1000)
        .map(|csr| encode::csrrs(Reg::X0, csr, Reg::X0))
        .collect();
    let csrs: Vec<String> = disassemble(&format!("{name}-csrs"), &csrs)
        .iter()
        .map(|line| line.split(',').nth(1).expect("three operands").to_owned())
        .collect();
    let ours = mnemonics();
    let mut decoded = 0;
    for (&word, line) in words.iter().zip(disassemble(name, words)) {
        let mnemonic = line.split(' ').next().expect("a mnemonic");
        let Some(instruction) = decode(word) else {
            assert!(
                !ours.contains(mnemonic),
                "{word:#010x} is {line} and was not decoded"
            );
            continue;
        };
        decoded += 1;
        let text = render(word, &instruction, &csrs);
        if text == "csrrw x0,cycle,x0" {
            // The disassembler's name for the word that is meant never to be an instruction.
            assert!(
                line == "unimp" || line == text,
                "{word:#010x}: {line}, not {text}"
            );
        } else if is_zcb(&text) && line.starts_with(".2byte") {
            // Unknown to binutils 2.40: `zcb` checks these.
            assert_eq!(line, format!(".2byte 0x{:x}", word & 0xffff));
        } else {
            assert_eq!(line, text, "{word:#010x}");
        }
    }
    assert!(decoded > 0, "none of the words was an instruction of ours");
}

/// The first words of all that [`render`] may give.
fn mnemonics() -> HashSet<String> {
    let mut all: HashSet<String> = [
        "csrrw",
        "csrrs",
        "csrrc",
        "csrrwi",
        "csrrsi",
        "csrrci",
        "sret",
        "wfi",
        "sfence.vma",
        "sinval.vma",
        "sfence.w.inval",
        "sfence.inval.ir",
        "cbo.clean",
        "cbo.flush",
        "cbo.inval",
        "cbo.zero",
        "ebreak",
        "ecall",
        "lb",
        "lh",
        "lw",
        "ld",
        "lbu",
        "lhu",
        "lwu",
        "sb",
        "sh",
        "sw",
        "sd",
        "flw",
        "fld",
        "fsw",
        "fsd",
        "c.lw",
        "c.ld",
        "c.sw",
        "c.sd",
        "c.lwsp",
        "c.ldsp",
        "c.swsp",
        "c.sdsp",
        "c.fld",
        "c.fsd",
        "c.fldsp",
        "c.fsdsp",
        "c.lbu",
        "c.lhu",
        "c.lh",
        "c.sb",
        "c.sh",
        "c.ebreak",
    ]
    .map(str::to_owned)
    .into();
    for operation in [
        "lr", "sc", "amoswap", "amoadd", "amoxor", "amoand", "amoor", "amomin", "amomax",
        "amominu", "amomaxu",
    ] {
        for width in [".w", ".d"] {
            for order in ["", ".aq", ".rl", ".aqrl"] {
                all.insert(format!("{operation}{width}{order}"));
            }
        }
    }
    all
}

fn is_zcb(text: &str) -> bool {
    ["c.lbu ", "c.lhu ", "c.lh ", "c.sb ", "c.sh "]
        .iter()
        .any(|mnemonic| text.starts_with(mnemonic))
}

/// What the disassembler ought to print.
fn render(word: u32, instruction: &Instruction, csrs: &[String]) -> String {
    let compressed = length(word as u16) == 2;
    match *instruction {
        Instruction::Csr(access) => render_csr(&access, csrs),
        Instruction::Sret => "sret".to_owned(),
        Instruction::Wfi => "wfi".to_owned(),
        Instruction::SfenceVma { address, asid } => {
            format!("sfence.vma x{},x{}", address.index(), asid.index())
        }
        Instruction::SinvalVma { address, asid } => {
            format!("sinval.vma x{},x{}", address.index(), asid.index())
        }
        Instruction::SfenceWInval => "sfence.w.inval".to_owned(),
        Instruction::SfenceInvalIr => "sfence.inval.ir".to_owned(),
        Instruction::Cbo { op, base } => {
            let op = match op {
                CboOp::Clean => "clean",
                CboOp::Flush => "flush",
                CboOp::Inval => "inval",
                CboOp::Zero => "zero",
            };
            format!("cbo.{op} (x{})", base.index())
        }
        Instruction::Ebreak => if compressed { "c.ebreak" } else { "ebreak" }.to_owned(),
        Instruction::Ecall => "ecall".to_owned(),
        Instruction::Load(access) => render_access("l", compressed, &access),
        Instruction::Store(access) => render_access("s", compressed, &access),
        Instruction::Amo {
            op,
            width,
            rd,
            base,
            source,
            acquire,
            release,
        } => {
            let op = match op {
                AmoOp::Swap => "amoswap",
                AmoOp::Add => "amoadd",
                AmoOp::Xor => "amoxor",
                AmoOp::And => "amoand",
                AmoOp::Or => "amoor",
                AmoOp::Min => "amomin",
                AmoOp::Max => "amomax",
                AmoOp::Minu => "amominu",
                AmoOp::Maxu => "amomaxu",
            };
            let suffix = suffix(width, acquire, release);
            format!(
                "{op}{suffix} x{},x{},(x{})",
                rd.index(),
                source.index(),
                base.index()
            )
        }
        Instruction::LoadReserved {
            width,
            rd,
            base,
            acquire,
            release,
        } => {
            format!(
                "lr{} x{},(x{})",
                suffix(width, acquire, release),
                rd.index(),
                base.index()
            )
        }
        Instruction::StoreConditional {
            width,
            rd,
            base,
            source,
            acquire,
            release,
        } => {
            let suffix = suffix(width, acquire, release);
            format!(
                "sc{suffix} x{},x{},(x{})",
                rd.index(),
                source.index(),
                base.index()
            )
        }
    }
}

fn render_csr(access: &CsrAccess, csrs: &[String]) -> String {
    let op = match access.op {
        CsrOp::Write => "csrrw",
        CsrOp::Set => "csrrs",
        CsrOp::Clear => "csrrc",
    };
    let (rd, csr) = (access.rd.index(), &csrs[usize::from(access.csr)]);
    match access.source {
        Source::Register(register) => format!("{op} x{rd},{csr},x{}", register.index()),
        Source::Immediate(immediate) => format!("{op}i x{rd},{csr},{immediate}"),
    }
}

fn render_access(direction: &str, compressed: bool, access: &MemoryAccess) -> String {
    assert_eq!(access.length, if compressed { 2 } else { 4 });
    let prefix = if compressed { "c." } else { "" };
    let (unit, file) = if access.float { ("f", "f") } else { ("", "x") };
    let width = match access.width {
        1 => "b",
        2 => "h",
        4 => "w",
        8 => "d",
        other => panic!("a width of {other}"),
    };
    let is_integer_load = direction == "l" && !access.float;
    assert!(is_integer_load || !access.signed);
    let unsigned = if is_integer_load && !access.signed {
        "u"
    } else {
        ""
    };
    // Compressed accesses by the stack pointer are instructions of their own.
    let stack = if compressed && access.base == Reg::SP {
        "sp"
    } else {
        ""
    };
    format!(
        "{prefix}{unit}{direction}{width}{unsigned}{stack} {file}{},{}(x{})",
        access.register.index(),
        access.offset,
        access.base.index()
    )
}

fn suffix(width: u8, acquire: bool, release: bool) -> String {
    let width = if width == 4 { "w" } else { "d" };
    let order = match (acquire, release) {
        (false, false) => "",
        (true, false) => ".aq",
        (false, true) => ".rl",
        (true, true) => ".aqrl",
    };
    format!(".{width}{order}")
}
