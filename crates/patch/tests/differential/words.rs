//! Instruction words, put together by hand and paired with what they mean.

use isa::csr;
use isa::decode::{CsrAccess, CsrOp, Instruction, Source, decode};
use isa::reg::Reg;

/// The CSRs that every virtual hart has and that have a template for each form.
pub const CSRS: [u16; 11] = [
    csr::SSTATUS,
    csr::SIE,
    csr::STVEC,
    csr::SCOUNTEREN,
    csr::SENVCFG,
    csr::SSCRATCH,
    csr::SEPC,
    csr::SCAUSE,
    csr::STVAL,
    csr::SIP,
    csr::SATP,
];

/// The counters with a template for each form that does not write.
pub const COUNTERS: [u16; 3] = [csr::CYCLE, csr::TIME, csr::INSTRET];

/// An instruction word and its meaning.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    pub word: u32,
    pub instruction: Instruction,
}

impl Word {
    /// Pairs a word with the meaning it was made for; the decoder must agree.
    fn new(word: u32, instruction: Instruction) -> Self {
        assert_eq!(decode(word), Some(instruction), "{word:#010x}");
        Self { word, instruction }
    }

    /// A CSR instruction: `form` is funct3, `rd` and `source` are the 5-bit fields.
    pub fn csr(csr: u16, form: u32, rd: u32, source: u32) -> Self {
        let op = match form & 3 {
            1 => CsrOp::Write,
            2 => CsrOp::Set,
            _ => CsrOp::Clear,
        };
        let operand = match form & 4 {
            0 => Source::Register(Reg::new(source)),
            _ => Source::Immediate(source as u8),
        };
        let access = CsrAccess {
            op,
            csr,
            rd: Reg::new(rd),
            source: operand,
        };
        let word = u32::from(csr) << 20 | source << 15 | form << 12 | rd << 7 | 0x73;
        Self::new(word, Instruction::Csr(access))
    }

    pub fn sret() -> Self {
        Self::new(0x1020_0073, Instruction::Sret)
    }

    pub fn wfi() -> Self {
        Self::new(0x1050_0073, Instruction::Wfi)
    }

    pub fn sfence_vma(address: u32, asid: u32) -> Self {
        let meaning = Instruction::SfenceVma {
            address: Reg::new(address),
            asid: Reg::new(asid),
        };
        Self::new(0x1200_0073 | asid << 20 | address << 15, meaning)
    }

    /// As assembly, more or less.
    pub fn text(&self) -> String {
        let Instruction::Csr(access) = self.instruction else {
            return format!("{:?}", self.instruction);
        };
        let op = match access.op {
            CsrOp::Write => "csrrw",
            CsrOp::Set => "csrrs",
            CsrOp::Clear => "csrrc",
        };
        let name = csr::name(access.csr).unwrap_or("?");
        match access.source {
            Source::Register(register) => format!("{op} {}, {name}, {register}", access.rd),
            Source::Immediate(value) => format!("{op}i {}, {name}, {value}", access.rd),
        }
    }
}

/// The six forms of CSR instructions, as funct3.
pub const FORMS: [u32; 6] = [1, 2, 3, 5, 6, 7];

/// Every form of instruction on `csr`, with every `rd` and every `rs1` or immediate.
pub fn all_of_csr(csr: u16) -> impl Iterator<Item = Word> {
    let operands = |form| (0..32).flat_map(move |rd| (0..32).map(move |source| (form, rd, source)));
    FORMS
        .into_iter()
        .flat_map(operands)
        .map(move |(form, rd, source)| Word::csr(csr, form, rd, source))
}

/// `sfence.vma` with every pair of operands.
pub fn all_fences() -> impl Iterator<Item = Word> {
    (0..32).flat_map(|address| (0..32).map(move |asid| Word::sfence_vma(address, asid)))
}
