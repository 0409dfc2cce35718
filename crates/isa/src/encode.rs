//! Encodes the instructions that routines are made of.
//!
//! Arguments stand as in assembly. Every function is `const` and panics when an immediate does
//! not fit its field: a truncated one would be a wrong instruction.

use crate::reg::Reg;

/// `c.ebreak`.
pub const C_EBREAK: u16 = 0x9002;

const OP_IMM: u32 = 0x13;
const OP: u32 = 0x33;
const LOAD: u32 = 0x03;
const STORE: u32 = 0x23;
const BRANCH: u32 = 0x63;
const SYSTEM: u32 = 0x73;

const fn rd_field(reg: Reg) -> u32 {
    (reg.index() as u32) << 7
}

const fn rs1_field(reg: Reg) -> u32 {
    (reg.index() as u32) << 15
}

const fn rs2_field(reg: Reg) -> u32 {
    (reg.index() as u32) << 20
}

const fn r_type(opcode: u32, funct3: u32, funct7: u32, rd: Reg, rs1: Reg, rs2: Reg) -> u32 {
    funct7 << 25 | rs2_field(rs2) | rs1_field(rs1) | funct3 << 12 | rd_field(rd) | opcode
}

const fn i_type(opcode: u32, funct3: u32, rd: Reg, rs1: Reg, imm: i32) -> u32 {
    assert!(
        -2048 <= imm && imm < 2048,
        "the immediate does not fit 12 bits"
    );
    (imm as u32) << 20 | rs1_field(rs1) | funct3 << 12 | rd_field(rd) | opcode
}

const fn s_type(funct3: u32, rs2: Reg, offset: i32, rs1: Reg) -> u32 {
    assert!(
        -2048 <= offset && offset < 2048,
        "the offset does not fit 12 bits"
    );
    let imm = offset as u32;
    (imm >> 5) << 25 | rs2_field(rs2) | rs1_field(rs1) | funct3 << 12 | (imm & 0x1f) << 7 | STORE
}

const fn b_type(funct3: u32, rs1: Reg, rs2: Reg, offset: i32) -> u32 {
    assert!(
        -4096 <= offset && offset < 4096,
        "the branch does not reach"
    );
    assert!(offset & 1 == 0, "a branch goes by an even number of bytes");
    let imm = offset as u32;
    (imm >> 12 & 1) << 31
        | (imm >> 5 & 0x3f) << 25
        | rs2_field(rs2)
        | rs1_field(rs1)
        | funct3 << 12
        | (imm >> 1 & 0xf) << 8
        | (imm >> 11 & 1) << 7
        | BRANCH
}

const fn u_type(opcode: u32, rd: Reg, imm: u32) -> u32 {
    assert!(imm < 1 << 20, "the immediate does not fit 20 bits");
    imm << 12 | rd_field(rd) | opcode
}

const fn shift(funct3: u32, funct6: u32, rd: Reg, rs1: Reg, amount: u32) -> u32 {
    assert!(amount < 64, "the shift is longer than a register");
    funct6 << 26 | amount << 20 | rs1_field(rs1) | funct3 << 12 | rd_field(rd) | OP_IMM
}

const fn csr_type(funct3: u32, rd: Reg, csr: u16, source: u32) -> u32 {
    assert!(csr < 1 << 12, "a CSR number has 12 bits");
    assert!(source < 32, "the immediate does not fit 5 bits");
    (csr as u32) << 20 | source << 15 | funct3 << 12 | rd_field(rd) | SYSTEM
}

/// `lui rd, imm`: `imm` is the 20-bit field, as in assembly.
#[must_use]
pub const fn lui(rd: Reg, imm: u32) -> u32 {
    u_type(0x37, rd, imm)
}

/// `auipc rd, imm`: `imm` is the 20-bit field, as in assembly.
#[must_use]
pub const fn auipc(rd: Reg, imm: u32) -> u32 {
    u_type(0x17, rd, imm)
}

/// `jal rd, offset`: `offset` in bytes from the instruction, even, ±1 MiB.
#[must_use]
pub const fn jal(rd: Reg, offset: i32) -> u32 {
    assert!(
        -(1 << 20) <= offset && offset < 1 << 20,
        "the jump does not reach"
    );
    assert!(offset & 1 == 0, "a jump goes by an even number of bytes");
    let imm = offset as u32;
    (imm >> 20 & 1) << 31
        | (imm >> 1 & 0x3ff) << 21
        | (imm >> 11 & 1) << 20
        | (imm >> 12 & 0xff) << 12
        | rd_field(rd)
        | 0x6f
}

/// `jalr rd, offset(rs1)`.
#[must_use]
pub const fn jalr(rd: Reg, offset: i32, rs1: Reg) -> u32 {
    i_type(0x67, 0, rd, rs1, offset)
}

/// Declares instructions that differ in nothing but their function codes.
macro_rules! encoders {
    (register: $($name:ident $funct3:literal $funct7:literal;)*) => {$(
        #[doc = concat!("`", stringify!($name), " rd, rs1, rs2`.")]
        #[must_use]
        pub const fn $name(rd: Reg, rs1: Reg, rs2: Reg) -> u32 {
            r_type(OP, $funct3, $funct7, rd, rs1, rs2)
        }
    )*};
    (immediate: $($name:ident $funct3:literal;)*) => {$(
        #[doc = concat!("`", stringify!($name), " rd, rs1, imm`: `imm` is 12 bits, signed.")]
        #[must_use]
        pub const fn $name(rd: Reg, rs1: Reg, imm: i32) -> u32 {
            i_type(OP_IMM, $funct3, rd, rs1, imm)
        }
    )*};
    (shift: $($name:ident $funct3:literal $funct6:literal;)*) => {$(
        #[doc = concat!("`", stringify!($name), " rd, rs1, amount`: `amount` is 0 to 63.")]
        #[must_use]
        pub const fn $name(rd: Reg, rs1: Reg, amount: u32) -> u32 {
            shift($funct3, $funct6, rd, rs1, amount)
        }
    )*};
    (load: $($name:ident $funct3:literal;)*) => {$(
        #[doc = concat!("`", stringify!($name), " rd, offset(rs1)`: `offset` is 12 bits, signed.")]
        #[must_use]
        pub const fn $name(rd: Reg, offset: i32, rs1: Reg) -> u32 {
            i_type(LOAD, $funct3, rd, rs1, offset)
        }
    )*};
    (store: $($name:ident $funct3:literal;)*) => {$(
        #[doc = concat!("`", stringify!($name), " rs2, offset(rs1)`: `offset` is 12 bits, signed.")]
        #[must_use]
        pub const fn $name(rs2: Reg, offset: i32, rs1: Reg) -> u32 {
            s_type($funct3, rs2, offset, rs1)
        }
    )*};
    (branch: $($name:ident $funct3:literal;)*) => {$(
        #[doc = concat!("`", stringify!($name), " rs1, rs2, offset`: `offset` in bytes, even, ±4 KiB.")]
        #[must_use]
        pub const fn $name(rs1: Reg, rs2: Reg, offset: i32) -> u32 {
            b_type($funct3, rs1, rs2, offset)
        }
    )*};
    (csr: $($name:ident $funct3:literal;)*) => {$(
        #[doc = concat!("`", stringify!($name), " rd, csr, rs1`.")]
        #[must_use]
        pub const fn $name(rd: Reg, csr: u16, rs1: Reg) -> u32 {
            csr_type($funct3, rd, csr, rs1.index() as u32)
        }
    )*};
    (csr_immediate: $($name:ident $funct3:literal;)*) => {$(
        #[doc = concat!("`", stringify!($name), " rd, csr, imm`: `imm` is 0 to 31.")]
        #[must_use]
        pub const fn $name(rd: Reg, csr: u16, imm: u8) -> u32 {
            csr_type($funct3, rd, csr, imm as u32)
        }
    )*};
    (bare: $($name:ident $word:literal;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`.")]
        #[must_use]
        pub const fn $name() -> u32 {
            $word
        }
    )*};
}

encoders! { register:
    add 0 0x00;
    sub 0 0x20;
    sll 1 0x00;
    slt 2 0x00;
    sltu 3 0x00;
    xor 4 0x00;
    srl 5 0x00;
    sra 5 0x20;
    or 6 0x00;
    and 7 0x00;
}

encoders! { immediate:
    addi 0;
    slti 2;
    sltiu 3;
    xori 4;
    ori 6;
    andi 7;
}

encoders! { shift:
    slli 1 0x00;
    srli 5 0x00;
    srai 5 0x10;
}

encoders! { load:
    lb 0;
    lh 1;
    lw 2;
    ld 3;
    lbu 4;
    lhu 5;
    lwu 6;
}

encoders! { store:
    sb 0;
    sh 1;
    sw 2;
    sd 3;
}

encoders! { branch:
    beq 0;
    bne 1;
    blt 4;
    bge 5;
    bltu 6;
    bgeu 7;
}

encoders! { csr:
    csrrw 1;
    csrrs 2;
    csrrc 3;
}

encoders! { csr_immediate:
    csrrwi 5;
    csrrsi 6;
    csrrci 7;
}

encoders! { bare:
    ecall 0x0000_0073;
    ebreak 0x0010_0073;
    sret 0x1020_0073;
    wfi 0x1050_0073;
    fence_i 0x0000_100f;
}

/// `sfence.vma address, asid`.
#[must_use]
pub const fn sfence_vma(address: Reg, asid: Reg) -> u32 {
    r_type(SYSTEM, 0, 0x09, Reg::X0, address, asid)
}
