//! Decodes the instructions that the monitor emulates: the privileged ones, and those that
//! access memory (for emulated devices). Everything else is the hardware's own affair.

mod compressed;

use crate::reg::Reg;

/// An instruction that the monitor can emulate.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Instruction {
    /// A CSR access (Zicsr).
    Csr(CsrAccess),
    /// Return from a supervisor trap.
    Sret,
    /// Wait for interrupt.
    Wfi,
    /// Supervisor memory-management fence; `x0` means all addresses, or all address spaces.
    SfenceVma {
        /// Holds the virtual address.
        address: Reg,
        /// Holds the ASID.
        asid: Reg,
    },
    /// The invalidating part of a fence (Svinval), operands as for `SfenceVma`.
    SinvalVma {
        /// Holds the virtual address.
        address: Reg,
        /// Holds the ASID.
        asid: Reg,
    },
    /// Orders stores before later invalidations (Svinval).
    SfenceWInval,
    /// Orders invalidations before later accesses (Svinval).
    SfenceInvalIr,
    /// A cache-block management or zero operation (Zicbom, Zicboz).
    Cbo {
        /// Which one.
        op: CboOp,
        /// Holds an address within the block.
        base: Reg,
    },
    /// Breakpoint, 4 bytes or `c.ebreak`.
    Ebreak,
    /// Environment call.
    Ecall,
    /// A scalar integer or floating-point load.
    Load(MemoryAccess),
    /// A scalar integer or floating-point store.
    Store(MemoryAccess),
    /// An atomic read-modify-write (Zaamo).
    Amo {
        /// What is done to the value in memory.
        op: AmoOp,
        /// Bytes: 4 or 8.
        width: u8,
        /// Gets the old value, sign-extended.
        rd: Reg,
        /// Holds the address.
        base: Reg,
        /// Holds the operand.
        source: Reg,
        /// The `aq` bit.
        acquire: bool,
        /// The `rl` bit.
        release: bool,
    },
    /// Load reserved (Zalrsc).
    LoadReserved {
        /// Bytes: 4 or 8.
        width: u8,
        /// Gets the value, sign-extended.
        rd: Reg,
        /// Holds the address.
        base: Reg,
        /// The `aq` bit.
        acquire: bool,
        /// The `rl` bit.
        release: bool,
    },
    /// Store conditional (Zalrsc).
    StoreConditional {
        /// Bytes: 4 or 8.
        width: u8,
        /// Gets 0 for success.
        rd: Reg,
        /// Holds the address.
        base: Reg,
        /// Holds the value to store.
        source: Reg,
        /// The `aq` bit.
        acquire: bool,
        /// The `rl` bit.
        release: bool,
    },
}

impl Instruction {
    /// Whether it is a load or store of an integer register.
    #[must_use]
    pub fn is_integer_access(&self) -> bool {
        matches!(self, Self::Load(access) | Self::Store(access) if !access.float)
    }
}

/// A CSR instruction.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CsrAccess {
    /// What happens to the CSR.
    pub op: CsrOp,
    /// The CSR's number, 12 bits.
    pub csr: u16,
    /// Gets the old value.
    pub rd: Reg,
    /// Where the new bits come from.
    pub source: Source,
}

impl CsrAccess {
    /// Whether the CSR is read, with any side effects that has (volume I, "Zicsr", "Conditions
    /// determining whether a CSR instruction reads or writes the specified CSR").
    #[must_use]
    pub fn reads(&self) -> bool {
        self.op != CsrOp::Write || self.rd != Reg::X0
    }

    /// Whether the CSR is written. It is the operand's *name* that counts: a register other than
    /// `x0` that holds 0 still writes.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.op == CsrOp::Write
            || !matches!(
                self.source,
                Source::Register(Reg::X0) | Source::Immediate(0)
            )
    }
}

/// What a CSR instruction does with its source.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CsrOp {
    /// `csrrw`, `csrrwi`: the source replaces the CSR.
    Write,
    /// `csrrs`, `csrrsi`: bits set in the source are set in the CSR.
    Set,
    /// `csrrc`, `csrrci`: bits set in the source are cleared in the CSR.
    Clear,
}

/// The source of a CSR instruction.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Source {
    /// A register's value.
    Register(Reg),
    /// A number from 0 to 31.
    Immediate(u8),
}

/// What is done to a cache block.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CboOp {
    /// Write back.
    Clean,
    /// Write back and drop.
    Flush,
    /// Drop.
    Inval,
    /// Store zeroes.
    Zero,
}

/// What an AMO does to the value in memory.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AmoOp {
    /// Replaces it.
    Swap,
    /// Adds to it.
    Add,
    /// Exclusive or.
    Xor,
    /// And.
    And,
    /// Or.
    Or,
    /// Signed minimum.
    Min,
    /// Signed maximum.
    Max,
    /// Unsigned minimum.
    Minu,
    /// Unsigned maximum.
    Maxu,
}

/// A load or a store of one register.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct MemoryAccess {
    /// Destination of a load, source of a store: an `x` register, or an `f` register when `float`.
    pub register: Reg,
    /// Whether `register` is an `f` register.
    pub float: bool,
    /// Holds the base address.
    pub base: Reg,
    /// Is added to the base, wrapping.
    pub offset: i64,
    /// Bytes accessed: 1, 2, 4 or 8.
    pub width: u8,
    /// Whether an integer load sign-extends. Never for a float (which is NaN-boxed) or a store.
    pub signed: bool,
    /// Bytes of the instruction itself: 2 or 4.
    pub length: u8,
}

/// Bytes of the instruction whose first 16 bits are `first_parcel`: 2 or 4. The longer formats
/// that the manual sketches are not ratified and count as 4.
#[must_use]
pub const fn length(first_parcel: u16) -> u32 {
    if first_parcel & 3 == 3 { 4 } else { 2 }
}

/// Decodes `word`; of a compressed instruction only the low 16 bits count. `None` when it is not
/// one that the monitor emulates, or not an instruction at all.
#[must_use]
pub fn decode(word: u32) -> Option<Instruction> {
    if length(word as u16) == 2 {
        return compressed::decode(word as u16);
    }
    match word & 0x7f {
        LOAD => load(word, false),
        LOAD_FP => load(word, true),
        MISC_MEM => cbo(word),
        STORE => store(word, false),
        STORE_FP => store(word, true),
        AMO => amo(word),
        SYSTEM => system(word),
        _ => None,
    }
}

// Major opcodes (volume I, "RV32/64G Instruction Set Listings").
const LOAD: u32 = 0x03;
const LOAD_FP: u32 = 0x07;
const MISC_MEM: u32 = 0x0f;
const STORE: u32 = 0x23;
const STORE_FP: u32 = 0x27;
const AMO: u32 = 0x2f;
const SYSTEM: u32 = 0x73;

const fn rd(word: u32) -> Reg {
    Reg::new(word >> 7)
}

const fn rs1(word: u32) -> Reg {
    Reg::new(word >> 15)
}

const fn rs2(word: u32) -> Reg {
    Reg::new(word >> 20)
}

const fn funct3(word: u32) -> u32 {
    word >> 12 & 7
}

const fn funct7(word: u32) -> u32 {
    word >> 25
}

/// The immediate of an I-type instruction.
const fn immediate_i(word: u32) -> i64 {
    (word as i32 >> 20) as i64
}

/// The immediate of an S-type instruction.
const fn immediate_s(word: u32) -> i64 {
    ((word as i32 >> 25) << 5 | (word >> 7 & 31) as i32) as i64
}

fn load(word: u32, float: bool) -> Option<Instruction> {
    let (width, signed) = match (float, funct3(word)) {
        // Half and quad precision and the vector loads share LOAD-FP; they are not for devices.
        (true, 2 | 3) => (1 << funct3(word), false),
        (true, _) | (false, 7) => return None,
        (false, size) => (1 << (size & 3), size & 4 == 0),
    };
    Some(Instruction::Load(MemoryAccess {
        register: rd(word),
        float,
        base: rs1(word),
        offset: immediate_i(word),
        width,
        signed,
        length: 4,
    }))
}

fn store(word: u32, float: bool) -> Option<Instruction> {
    let width = match (float, funct3(word)) {
        (true, size @ 2..=3) | (false, size @ 0..=3) => 1 << size,
        _ => return None,
    };
    Some(Instruction::Store(MemoryAccess {
        register: rs2(word),
        float,
        base: rs1(word),
        offset: immediate_s(word),
        width,
        signed: false,
        length: 4,
    }))
}

/// `cbo.*` (volume I, "CMO"): MISC-MEM with funct3 2, no destination, the operation as immediate.
fn cbo(word: u32) -> Option<Instruction> {
    if funct3(word) != 2 || rd(word) != Reg::X0 {
        return None;
    }
    let op = match word >> 20 {
        0 => CboOp::Inval,
        1 => CboOp::Clean,
        2 => CboOp::Flush,
        4 => CboOp::Zero,
        _ => return None,
    };
    Some(Instruction::Cbo {
        op,
        base: rs1(word),
    })
}

fn amo(word: u32) -> Option<Instruction> {
    let width = match funct3(word) {
        2 => 4,
        3 => 8,
        _ => return None,
    };
    let (rd, base, source) = (rd(word), rs1(word), rs2(word));
    let (acquire, release) = (word >> 26 & 1 != 0, word >> 25 & 1 != 0);
    let op = match word >> 27 {
        0x02 if source == Reg::X0 => {
            return Some(Instruction::LoadReserved {
                width,
                rd,
                base,
                acquire,
                release,
            });
        }
        0x03 => {
            return Some(Instruction::StoreConditional {
                width,
                rd,
                base,
                source,
                acquire,
                release,
            });
        }
        0x00 => AmoOp::Add,
        0x01 => AmoOp::Swap,
        0x04 => AmoOp::Xor,
        0x08 => AmoOp::Or,
        0x0c => AmoOp::And,
        0x10 => AmoOp::Min,
        0x14 => AmoOp::Max,
        0x18 => AmoOp::Minu,
        0x1c => AmoOp::Maxu,
        _ => return None,
    };
    Some(Instruction::Amo {
        op,
        width,
        rd,
        base,
        source,
        acquire,
        release,
    })
}

fn system(word: u32) -> Option<Instruction> {
    let source = match funct3(word) {
        0 => return privileged(word),
        1..=3 => Source::Register(rs1(word)),
        5..=7 => Source::Immediate((word >> 15 & 31) as u8),
        _ => return None,
    };
    let op = match funct3(word) & 3 {
        1 => CsrOp::Write,
        2 => CsrOp::Set,
        _ => CsrOp::Clear,
    };
    Some(Instruction::Csr(CsrAccess {
        op,
        csr: (word >> 20) as u16,
        rd: rd(word),
        source,
    }))
}

/// SYSTEM with funct3 0 (volume II, "RISC-V Privileged Instruction Set Listings").
fn privileged(word: u32) -> Option<Instruction> {
    match word {
        0x0000_0073 => return Some(Instruction::Ecall),
        0x0010_0073 => return Some(Instruction::Ebreak),
        0x1020_0073 => return Some(Instruction::Sret),
        0x1050_0073 => return Some(Instruction::Wfi),
        0x1800_0073 => return Some(Instruction::SfenceWInval),
        0x1810_0073 => return Some(Instruction::SfenceInvalIr),
        _ => {}
    }
    let (address, asid) = (rs1(word), rs2(word));
    match (funct7(word), rd(word)) {
        (0x09, Reg::X0) => Some(Instruction::SfenceVma { address, asid }),
        (0x0b, Reg::X0) => Some(Instruction::SinvalVma { address, asid }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_low_two_bits_tell_the_length() {
        assert_eq!(length(0x9002), 2);
        assert_eq!(length(0x0001), 2);
        assert_eq!(length(0x8000), 2);
        assert_eq!(length(0x0073), 4);
        assert_eq!(length(0xffff), 4);
    }

    #[test]
    fn the_high_half_of_a_compressed_word_does_not_count() {
        assert_eq!(decode(0xffff_9002), Some(Instruction::Ebreak));
        assert_eq!(decode(0x1234_4188), decode(0x4188));
        assert!(matches!(decode(0x4188), Some(Instruction::Load(_))));
    }

    #[test]
    fn instructions_without_operands_match_one_word_only() {
        let words = [
            0x0000_0073u32,
            0x0010_0073,
            0x1020_0073,
            0x1050_0073,
            0x1800_0073,
            0x1810_0073,
        ];
        for word in words {
            let instruction = decode(word);
            assert!(instruction.is_some());
            for bit in 2..32 {
                assert_ne!(
                    decode(word ^ 1 << bit),
                    instruction,
                    "{word:#010x}, bit {bit}"
                );
            }
        }
    }

    #[test]
    fn machine_mode_returns_are_not_emulated() {
        // mret, dret, mnret, uret.
        for word in [0x3020_0073, 0x7b20_0073, 0x7020_0073, 0x0020_0073] {
            assert_eq!(decode(word), None);
        }
    }

    #[test]
    fn fences_with_a_destination_are_not_fences() {
        for rd in 0..32 {
            let sfence = decode(0x1200_0073 | rd << 7);
            let sinval = decode(0x1600_0073 | rd << 7);
            assert_eq!(sfence.is_some(), rd == 0);
            assert_eq!(sinval.is_some(), rd == 0);
        }
    }

    #[test]
    fn csr_side_effects_follow_the_names_of_the_operands() {
        let access = |op, rd, source| CsrAccess {
            op,
            csr: 0x100,
            rd,
            source,
        };
        let (x0, a0) = (Source::Register(Reg::X0), Source::Register(Reg::A0));
        let (zero, one) = (Source::Immediate(0), Source::Immediate(1));
        for rd in Reg::all() {
            for source in [x0, a0, zero, one] {
                assert!(access(CsrOp::Write, rd, source).writes());
                assert_eq!(access(CsrOp::Write, rd, source).reads(), rd != Reg::X0);
                for op in [CsrOp::Set, CsrOp::Clear] {
                    assert!(access(op, rd, source).reads());
                    assert_eq!(
                        access(op, rd, source).writes(),
                        source == a0 || source == one
                    );
                }
            }
        }
    }
}
