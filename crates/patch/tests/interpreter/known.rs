//! The interpreter itself, on words that GNU as wrote and with results worked out by hand.

use super::{Csrs, Fault, Machine, Region, Stop, Writable};

const BASE: u64 = 0x4000;
const MEMORY: u64 = 0x9000;

fn machine() -> Machine {
    let region = |base, words, writable| Region {
        base,
        words,
        writable,
    };
    let first = vec![0xffee_ddcc_bbaa_9988, 0x1111_1111_1111_1111];
    let mut machine = Machine {
        x: [0; 32],
        csrs: Csrs {
            sscratch: 0x5c,
            sstatus: 1 << 18,
            time: 123,
            ..Csrs::default()
        },
        writable: Writable {
            sstatus: 0x6122,
            scounteren: 0,
            senvcfg: 0xf1,
        },
        regions: [
            region(MEMORY, first, true),
            region(MEMORY + 0x100, vec![7], false),
        ],
        executed: 0,
        switches: 0,
        fenced: false,
        fences: 0,
    };
    machine.x[5] = MEMORY + 16;
    machine
}

#[test]
fn the_interpreter_computes_what_the_manual_says() {
    let code = [
        0x8000_1537, // lui a0, 0x80001
        0xfff0_0593, // addi a1, zero, -1
        0x03f5_9613, // slli a2, a1, 63
        0x03c5_d693, // srli a3, a1, 60
        0x43e6_5713, // srai a4, a2, 62
        0x0010_3793, // sltiu a5, zero, 1
        0x0005_a833, // slt a6, a1, zero
        0x0005_b8b3, // sltu a7, a1, zero
        0x7ff5_c913, // xori s2, a1, 0x7ff
        0x8005_f993, // andi s3, a1, -2048
        0x5550_6a13, // ori s4, zero, 0x555
        0x40d0_0ab3, // sub s5, zero, a3
        0x40d6_5b33, // sra s6, a2, a3
        0x00d5_dbb3, // srl s7, a1, a3
        0x00d6_9c33, // sll s8, a3, a3
        0xfcb0_72e3, // bgeu zero, a1, the first instruction
        0xfc05_d0e3, // bge a1, zero, the first instruction
        0xfab0_4ee3, // blt zero, a1, the first instruction
        0xfa05_ece3, // bltu a1, zero, the first instruction
        0xfab5_9ae3, // bne a1, a1, the first instruction
        0xfa05_88e3, // beq a1, zero, the first instruction
        0x00b0_6463, // bltu zero, a1, the next but one
        0x04d0_0593, // addi a1, zero, 77
        0xffff_fc97, // auipc s9, 0xfffff
        0x0080_0d6f, // jal s10, the next but one
        0x04e0_0593, // addi a1, zero, 78
        0xff02_b303, // ld t1, -16(t0)
        0xff12_8383, // lb t2, -15(t0)
        0xff12_ce03, // lbu t3, -15(t0)
        0xff42_9e83, // lh t4, -12(t0)
        0xff42_ef03, // lwu t5, -12(t0)
        0xff42_af83, // lw t6, -12(t0)
        0xfeb2_9d23, // sh a1, -6(t0)
        0xfe02_8ea3, // sb zero, -3(t0)
        0x1405_94f3, // csrrw s1, sscratch, a1
        0x1001_6473, // csrrsi s0, sstatus, 2
        0x1006_b1f3, // csrrc gp, sstatus, a3
        0xc010_2273, // csrrs tp, time, zero
        0xffc2_80e7, // jalr ra, -4(t0)
    ];
    let mut machine = machine();
    assert_eq!(machine.run(&code, BASE), Ok(Stop::Jump(MEMORY + 12)));
    let sum = 1 << 18;
    let results = [
        (10, 0xffff_ffff_8000_1000),
        (11, u64::MAX),
        (12, 1 << 63),
        (13, 15),
        (14, -2i64 as u64),
        (15, 1),
        (16, 1),
        (17, 0),
        (18, -2048i64 as u64),
        (19, -2048i64 as u64),
        (20, 0x555),
        (21, -15i64 as u64),
        (22, 0xffff_0000_0000_0000),
        (23, 0x0001_ffff_ffff_ffff),
        (24, 15 << 15),
        (25, BASE + 0x5c - 0x1000),
        (26, BASE + 0x64),
        (6, 0xffee_ddcc_bbaa_9988),
        (7, 0xffff_ffff_ffff_ff99),
        (28, 0x99),
        (29, 0xffff_ffff_ffff_ddcc),
        (30, 0xffee_ddcc),
        (31, 0xffff_ffff_ffee_ddcc),
        (9, 0x5c),
        (8, sum),
        (3, sum | 2),
        (4, 123),
        (1, BASE + 0x9c),
    ];
    for (register, value) in results {
        assert_eq!(machine.x[register], value, "x{register}");
    }
    assert_eq!(machine.regions[0].words[1], 0x1111_0011_ffff_1111);
    assert_eq!(
        (machine.csrs.sscratch, machine.csrs.sstatus),
        (u64::MAX, sum)
    );
    assert_eq!(machine.executed, 37, "two of the 39 were jumped over");
}

#[test]
fn what_no_routine_may_do_is_a_fault() {
    let outside = |address| Err(Fault::Access { at: 0, address });
    let csr = |csr| Err(Fault::Csr { at: 0, csr });
    let unknown = |word| Err(Fault::Unknown { at: 0, word });
    let cases = [
        (vec![0x0002_b303], outside(MEMORY + 16)), // ld t1, 0(t0): past the end
        (vec![0xfe12_b303], outside(MEMORY - 15)), // ld t1, -31(t0): before the start
        (vec![0xff12_9303], outside(MEMORY + 1)),  // lh t1, -15(t0): misaligned
        (vec![0x0e62_b823], outside(MEMORY + 0x100)), // sd t1, 240(t0): read-only
        (vec![0x0000_2303], outside(0)),           // lw t1, 0(zero)
        (vec![0x3000_2373], csr(0x300)),           // csrr t1, mstatus
        (vec![0xc013_1073], csr(0xc01)),           // csrw time, t1
        (vec![0x0010_0073], unknown(0x0010_0073)), // ebreak
        (vec![0x0265_0533], unknown(0x0265_0533)), // mul a0, a0, t1
        (vec![0], unknown(0)),
        (vec![0x0000_0013], Err(Fault::Fetch { at: 1 })), // nop, and off the end
        (vec![0xfe00_0ee3], Err(Fault::Fetch { at: -1 })), // beq zero, zero, -4
        (vec![0x0000_006f], Err(Fault::Endless)),         // j to itself
        (vec![0x1003_6073, 0x1020_0073], Ok(Stop::Sret)),
    ];
    for (code, result) in cases {
        assert_eq!(machine().run(&code, BASE), result, "{code:08x?}");
    }
    // addi t1, zero, 0x20; csrw senvcfg, t1: CBIE = 2.
    let reserved = machine().run(&[0x0200_0313, 0x10a3_1073], BASE);
    assert_eq!(reserved, Err(Fault::Reserved { at: 1, value: 0x20 }));
    // addi t1, zero, 0x100; csrs sstatus, t1; sret: SPP is set.
    let supervisor = machine().run(&[0x1000_0313, 0x1003_2073, 0x1020_0073], BASE);
    assert_eq!(supervisor, Err(Fault::ReturnsToSupervisor { at: 2 }));
}
