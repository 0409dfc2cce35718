//! Every encoder's output, disassembled.

use isa::encode::*;
use isa::reg::Reg;

use crate::tool::disassemble;

/// Words and what the disassembler must print for them.
#[derive(Default)]
struct Expected {
    words: Vec<u32>,
    texts: Vec<String>,
}

impl Expected {
    fn push(&mut self, word: u32, text: String) {
        self.words.push(word);
        self.texts.push(text);
    }

    /// Where the next word will be, `offset` bytes on, as the disassembler prints it.
    fn target(&self, offset: i32) -> String {
        let here = 4 * self.words.len() as u64;
        format!("{:#x}", here.wrapping_add_signed(offset.into()))
    }

    fn check(self, name: &str) {
        assert!(!self.words.is_empty());
        for ((word, text), line) in self
            .words
            .iter()
            .zip(&self.texts)
            .zip(disassemble(name, &self.words))
        {
            assert_eq!(&line, text, "{word:#010x}");
        }
    }
}

/// Every signed number of `bits` bits that has one bit set or one bit clear, and the limits: each
/// bit of the field is seen alone.
fn signed(bits: u32) -> impl Iterator<Item = i32> {
    (0..bits).flat_map(move |bit| {
        let lone = 1i32 << bit;
        let lone = if bit == bits - 1 { -lone } else { lone };
        [lone, !lone]
    })
}

/// Every register in each of three places, the others being fixed.
fn triples() -> impl Iterator<Item = (Reg, Reg, Reg)> {
    let all = [Reg::A0, Reg::X0, Reg::T6];
    Reg::all().flat_map(move |reg| {
        all.into_iter().flat_map(move |other| {
            [
                (reg, other, Reg::S1),
                (other, reg, Reg::SP),
                (Reg::RA, other, reg),
            ]
        })
    })
}

#[test]
fn register_operations_disassemble_to_themselves() {
    type Encoder = fn(Reg, Reg, Reg) -> u32;
    let encoders: [(&str, Encoder); 10] = [
        ("add", add),
        ("sub", sub),
        ("sll", sll),
        ("slt", slt),
        ("sltu", sltu),
        ("xor", xor),
        ("srl", srl),
        ("sra", sra),
        ("or", or),
        ("and", and),
    ];
    let mut expected = Expected::default();
    for (name, encode) in encoders {
        for (rd, rs1, rs2) in triples() {
            let operands = format!("x{},x{},x{}", rd.index(), rs1.index(), rs2.index());
            expected.push(encode(rd, rs1, rs2), format!("{name} {operands}"));
        }
    }
    expected.check("encode-register");
}

#[test]
fn immediate_operations_disassemble_to_themselves() {
    type Encoder = fn(Reg, Reg, i32) -> u32;
    let encoders: [(&str, Encoder); 6] = [
        ("addi", addi),
        ("slti", slti),
        ("sltiu", sltiu),
        ("xori", xori),
        ("ori", ori),
        ("andi", andi),
    ];
    let mut expected = Expected::default();
    for (name, encode) in encoders {
        for (rd, rs1, _) in triples() {
            for imm in signed(12) {
                let text = format!("{name} x{},x{},{imm}", rd.index(), rs1.index());
                expected.push(encode(rd, rs1, imm), text);
            }
        }
    }
    expected.check("encode-immediate");
}

#[test]
fn shifts_disassemble_to_themselves() {
    type Encoder = fn(Reg, Reg, u32) -> u32;
    let encoders: [(&str, Encoder); 3] = [("slli", slli), ("srli", srli), ("srai", srai)];
    let mut expected = Expected::default();
    for (name, encode) in encoders {
        for (rd, rs1, _) in triples() {
            for amount in 0..64 {
                let text = format!("{name} x{},x{},{amount:#x}", rd.index(), rs1.index());
                expected.push(encode(rd, rs1, amount), text);
            }
        }
    }
    expected.check("encode-shift");
}

#[test]
fn loads_and_stores_disassemble_to_themselves() {
    type Encoder = fn(Reg, i32, Reg) -> u32;
    let encoders: [(&str, Encoder); 11] = [
        ("lb", lb),
        ("lh", lh),
        ("lw", lw),
        ("ld", ld),
        ("lbu", lbu),
        ("lhu", lhu),
        ("lwu", lwu),
        ("sb", sb),
        ("sh", sh),
        ("sw", sw),
        ("sd", sd),
    ];
    let mut expected = Expected::default();
    for (name, encode) in encoders {
        for (register, base, _) in triples() {
            for offset in signed(12) {
                let text = format!("{name} x{},{offset}(x{})", register.index(), base.index());
                expected.push(encode(register, offset, base), text);
            }
        }
    }
    expected.check("encode-memory");
}

#[test]
fn branches_disassemble_to_themselves() {
    type Encoder = fn(Reg, Reg, i32) -> u32;
    let encoders: [(&str, Encoder); 6] = [
        ("beq", beq),
        ("bne", bne),
        ("blt", blt),
        ("bge", bge),
        ("bltu", bltu),
        ("bgeu", bgeu),
    ];
    let mut expected = Expected::default();
    for (name, encode) in encoders {
        for (rs1, rs2, _) in triples() {
            for offset in signed(13).map(|offset| offset & !1) {
                let target = expected.target(offset);
                let text = format!("{name} x{},x{},{target}", rs1.index(), rs2.index());
                expected.push(encode(rs1, rs2, offset), text);
            }
        }
    }
    expected.check("encode-branch");
}

#[test]
fn jumps_disassemble_to_themselves() {
    let mut expected = Expected::default();
    for rd in Reg::all() {
        for offset in signed(21).map(|offset| offset & !1) {
            let target = expected.target(offset);
            expected.push(jal(rd, offset), format!("jal x{},{target}", rd.index()));
        }
        for rs1 in Reg::all() {
            for offset in signed(12) {
                let text = format!("jalr x{},{offset}(x{})", rd.index(), rs1.index());
                expected.push(jalr(rd, offset, rs1), text);
            }
        }
    }
    expected.check("encode-jump");
}

#[test]
fn upper_immediates_disassemble_to_themselves() {
    let mut expected = Expected::default();
    for rd in Reg::all() {
        for imm in signed(20).map(|imm| imm as u32 & 0xf_ffff) {
            expected.push(lui(rd, imm), format!("lui x{},{imm:#x}", rd.index()));
            expected.push(auipc(rd, imm), format!("auipc x{},{imm:#x}", rd.index()));
        }
    }
    expected.check("encode-upper");
}

#[test]
fn csr_instructions_disassemble_to_themselves() {
    type ByRegister = fn(Reg, u16, Reg) -> u32;
    type ByImmediate = fn(Reg, u16, u8) -> u32;
    let by_register: [(&str, ByRegister); 3] =
        [("csrrw", csrrw), ("csrrs", csrrs), ("csrrc", csrrc)];
    let by_immediate: [(&str, ByImmediate); 3] =
        [("csrrwi", csrrwi), ("csrrsi", csrrsi), ("csrrci", csrrci)];
    // Numbers that are nobody's, so that they are printed as numbers; together they have every
    // bit set and clear.
    let csrs = [0x5ff, 0x9a0, 0xa5f, 0x000];
    let mut expected = Expected::default();
    for csr in csrs {
        for rd in Reg::all() {
            for (name, encode) in by_register {
                for rs1 in Reg::all() {
                    let text = format!("{name} x{},{csr:#x},x{}", rd.index(), rs1.index());
                    expected.push(encode(rd, csr, rs1), text);
                }
            }
            for (name, encode) in by_immediate {
                for imm in 0..32 {
                    let text = format!("{name} x{},{csr:#x},{imm}", rd.index());
                    expected.push(encode(rd, csr, imm), text);
                }
            }
        }
    }
    expected.check("encode-csr");
}

#[test]
fn privileged_instructions_disassemble_to_themselves() {
    let mut expected = Expected::default();
    for (word, name) in [
        (ecall(), "ecall"),
        (ebreak(), "ebreak"),
        (sret(), "sret"),
        (wfi(), "wfi"),
        (fence_i(), "fence.i"),
        (C_EBREAK.into(), "c.ebreak"),
    ] {
        let filler = if name == "c.ebreak" {
            crate::tool::FILLER
        } else {
            0
        };
        expected.push(word | filler, name.to_owned());
    }
    for address in Reg::all() {
        for asid in Reg::all() {
            let text = format!("sfence.vma x{},x{}", address.index(), asid.index());
            expected.push(sfence_vma(address, asid), text);
        }
    }
    expected.check("encode-privileged");
}

#[test]
fn immediates_that_do_not_fit_are_refused() {
    let refused: [fn() -> u32; 14] = [
        || addi(Reg::A0, Reg::A0, 2048),
        || addi(Reg::A0, Reg::A0, -2049),
        || ld(Reg::A0, 2048, Reg::A0),
        || sd(Reg::A0, -2049, Reg::A0),
        || beq(Reg::A0, Reg::A0, 4096),
        || beq(Reg::A0, Reg::A0, -4098),
        || beq(Reg::A0, Reg::A0, 3),
        || jal(Reg::RA, 1 << 20),
        || jal(Reg::RA, -(1 << 20) - 2),
        || jal(Reg::RA, 1),
        || lui(Reg::A0, 1 << 20),
        || slli(Reg::A0, Reg::A0, 64),
        || csrrw(Reg::A0, 0x1000, Reg::A0),
        || csrrwi(Reg::A0, 0, 32),
    ];
    for (number, encode) in refused.into_iter().enumerate() {
        assert!(
            std::panic::catch_unwind(encode).is_err(),
            "number {number} was encoded"
        );
    }
}
