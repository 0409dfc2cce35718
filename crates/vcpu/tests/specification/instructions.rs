//! What each privileged instruction does.

use isa::address::GuestVirt;
use isa::csr::{self, Exception, senvcfg};
use isa::decode::{CboOp, CsrAccess, CsrOp, Source, decode};
use isa::encode;
use isa::reg::Reg;
use proptest::prelude::*;
use vcpu::{Effect, Features, Hart, Mode, Trap};

use crate::support::{EVERYTHING, LEAST, Still, any_hart, any_value, execute, hart};

const SINVAL_VMA: u32 = 0x1600_0073;
const SFENCE_W_INVAL: u32 = 0x1800_0073;
const SFENCE_INVAL_IR: u32 = 0x1810_0073;
const MRET: u32 = 0x3020_0073;

const fn cbo(op: u32, base: Reg) -> u32 {
    op << 20 | (base.index() as u32) << 15 | 2 << 12 | 0x0f
}

fn any_register() -> impl Strategy<Value = Reg> {
    (0..32u32).prop_map(Reg::new)
}

fn any_access() -> impl Strategy<Value = CsrAccess> {
    let ops = prop::sample::select(vec![CsrOp::Write, CsrOp::Set, CsrOp::Clear]);
    let csrs: Vec<u16> = (0..0x1000)
        .filter(|csr| Hart::write_rule(*csr).is_some())
        .collect();
    let csrs =
        prop_oneof![4 => prop::sample::select(csrs), 1 => 0..0x1000u16, 1 => 0xc00..0xc20u16];
    let sources = prop_oneof![
        any_register().prop_map(Source::Register),
        (0..32u8).prop_map(Source::Immediate),
    ];
    (ops, csrs, any_register(), sources).prop_map(|(op, csr, rd, source)| CsrAccess {
        op,
        csr,
        rd,
        source,
    })
}

fn word_of(access: &CsrAccess) -> u32 {
    let CsrAccess {
        op,
        csr,
        rd,
        source,
    } = *access;
    match (op, source) {
        (CsrOp::Write, Source::Register(rs1)) => encode::csrrw(rd, csr, rs1),
        (CsrOp::Set, Source::Register(rs1)) => encode::csrrs(rd, csr, rs1),
        (CsrOp::Clear, Source::Register(rs1)) => encode::csrrc(rd, csr, rs1),
        (CsrOp::Write, Source::Immediate(imm)) => encode::csrrwi(rd, csr, imm),
        (CsrOp::Set, Source::Immediate(imm)) => encode::csrrsi(rd, csr, imm),
        (CsrOp::Clear, Source::Immediate(imm)) => encode::csrrci(rd, csr, imm),
    }
}

proptest! {
    #[test]
    fn a_csr_instruction_swaps_register_and_csr(
        (before, features) in any_hart(), access in any_access(),
    ) {
        let mut after = before.clone();
        let word = word_of(&access);
        let result = execute(&mut after, &features, word);

        // The statement of Zicsr, with a hart that is asked one thing at a time.
        let operand = match access.source {
            Source::Register(rs1) => before.x[rs1.index()],
            Source::Immediate(imm) => imm.into(),
        };
        let old = before.read_csr(access.csr, &Still);
        let written = match (access.op, access.source) {
            (CsrOp::Write, _) => Some(operand),
            (_, Source::Register(Reg::X0) | Source::Immediate(0)) => None,
            (CsrOp::Set, _) => old.ok().map(|old| old | operand),
            (CsrOp::Clear, _) => old.ok().map(|old| old & !operand),
        };
        let mut expected = before.clone();
        let legal = old.is_ok()
            && written.is_none_or(|value| expected.write_csr(&features, access.csr, value).is_ok());
        if legal {
            if access.rd != Reg::X0 {
                expected.x[access.rd.index()] = old.unwrap();
            }
            expected.pc = before.pc.wrapping_add(4);
            prop_assert_eq!(result, Ok(Effect::None));
            prop_assert_eq!(after, expected);
        } else {
            let trap = Trap::exception(Exception::IllegalInstruction, word.into());
            prop_assert_eq!(result, Err(trap));
            prop_assert_eq!(after, before);
        }
    }

    #[test]
    fn an_instruction_that_traps_changes_nothing(
        (before, features) in any_hart(), word in any::<u32>(), opcode in prop::sample::select(
            vec![0x73u32, 0x0f, 0x03, 0x2f]),
    ) {
        let word = word & !0x7f | opcode;
        let Some(instruction) = decode(word) else { return Ok(()) };
        let mut after = before.clone();
        match after.execute(&features, &Still, &instruction, word) {
            Err(_) => prop_assert_eq!(after, before),
            Ok(_) => prop_assert_eq!(after.x[0], 0),
        }
    }

    #[test]
    fn a_fence_asks_for_the_address_and_the_asid_that_its_registers_hold(
        (before, features) in any_hart(), address in any_register(), asid in any_register(),
    ) {
        let before = Hart { mode: Mode::Supervisor, ..before };
        let features = Features { svinval: true, ..features };
        let sinval = SINVAL_VMA | encode::sfence_vma(address, asid) & 0x01ff_8000;
        for word in [encode::sfence_vma(address, asid), sinval] {
            let mut after = before.clone();
            let effect = execute(&mut after, &features, word);
            let value = |reg: Reg| (reg != Reg::X0).then(|| before.x[reg.index()]);
            prop_assert_eq!(effect, Ok(Effect::SfenceVma {
                address: value(address).map(GuestVirt),
                asid: value(asid).map(|value| (value & 0xffff) as u16),
            }));
            prop_assert_eq!(after, Hart { pc: before.pc.wrapping_add(4), ..before.clone() });
        }
    }

    #[test]
    fn fences_and_waits_are_illegal_in_user_mode(
        (before, features) in any_hart(), address in any_register(), asid in any_register(),
    ) {
        let before = Hart { mode: Mode::User, ..before };
        let operands = encode::sfence_vma(address, asid) & 0x01ff_8000;
        let fence = encode::sfence_vma(address, asid);
        let words =
            [fence, SINVAL_VMA | operands, SFENCE_W_INVAL, SFENCE_INVAL_IR, encode::wfi(), encode::sret()];
        for word in words {
            let mut after = before.clone();
            let trap = Trap::exception(Exception::IllegalInstruction, word.into());
            prop_assert_eq!(execute(&mut after, &features, word), Err(trap));
            prop_assert_eq!(&after, &before);
        }
    }

    #[test]
    fn set_register_leaves_x0_alone(register in any_register(), value in any_value()) {
        let mut hart = hart(Mode::Supervisor);
        let mut expected = hart.clone();
        hart.set_register(register, value);
        expected.x[register.index()] = value;
        expected.x[0] = 0;
        prop_assert_eq!(hart, expected);
    }
}

#[test]
fn reading_a_read_only_csr_with_x0_does_not_write_it() {
    let mut hart = hart(Mode::Supervisor);
    for word in [
        encode::csrrs(Reg::A0, csr::TIME, Reg::X0),
        encode::csrrc(Reg::A0, csr::TIME, Reg::X0),
        encode::csrrsi(Reg::A0, csr::TIME, 0),
        encode::csrrci(Reg::A0, csr::TIME, 0),
    ] {
        assert_eq!(execute(&mut hart, &EVERYTHING, word), Ok(Effect::None));
        assert_eq!(hart.x[Reg::A0.index()], 2002);
    }
    hart.x[Reg::A1.index()] = 0;
    for word in [
        encode::csrrs(Reg::A0, csr::TIME, Reg::A1),
        encode::csrrw(Reg::A0, csr::TIME, Reg::X0),
        encode::csrrwi(Reg::X0, csr::TIME, 0),
    ] {
        assert!(
            execute(&mut hart, &EVERYTHING, word).is_err(),
            "{word:#010x} writes"
        );
    }
}

#[test]
fn the_destination_can_be_the_source() {
    let mut hart = Hart {
        sscratch: 7,
        ..hart(Mode::Supervisor)
    };
    hart.x[Reg::SP.index()] = 9;
    let swap = encode::csrrw(Reg::SP, csr::SSCRATCH, Reg::SP);
    execute(&mut hart, &EVERYTHING, swap).unwrap();
    assert_eq!((hart.x[Reg::SP.index()], hart.sscratch), (7, 9));
}

#[test]
fn wfi_goes_on_after_itself() {
    let mut hart = hart(Mode::Supervisor);
    let pc = hart.pc;
    assert_eq!(
        execute(&mut hart, &EVERYTHING, encode::wfi()),
        Ok(Effect::Wfi)
    );
    assert_eq!(hart.pc, pc + 4);
}

#[test]
fn the_outer_fences_of_svinval_leave_nothing_to_do() {
    for word in [SFENCE_W_INVAL, SFENCE_INVAL_IR] {
        let mut hart = hart(Mode::Supervisor);
        assert_eq!(execute(&mut hart, &EVERYTHING, word), Ok(Effect::None));
    }
}

#[test]
fn without_svinval_its_instructions_are_illegal() {
    let features = Features {
        svinval: false,
        ..EVERYTHING
    };
    for word in [SINVAL_VMA, SFENCE_W_INVAL, SFENCE_INVAL_IR] {
        let mut hart = hart(Mode::Supervisor);
        let before = hart.clone();
        let refused = execute(&mut hart, &features, word);
        assert_eq!(refused, Err(Trap::illegal(word)));
        assert_eq!(hart, before);
    }
}

#[test]
fn machine_mode_instructions_are_not_instructions() {
    assert_eq!(decode(MRET), None);
}

#[test]
fn ebreak_and_ecall_raise_their_exceptions() {
    for (mode, exception) in [
        (Mode::User, Exception::UserEcall),
        (Mode::Supervisor, Exception::SupervisorEcall),
    ] {
        let mut hart = hart(mode);
        let before = hart.clone();
        let call = execute(&mut hart, &EVERYTHING, encode::ecall()).unwrap_err();
        assert_eq!(call, Trap::exception(exception, 0));
        let breakpoint = Trap::exception(Exception::Breakpoint, before.pc);
        for word in [encode::ebreak(), encode::C_EBREAK.into()] {
            assert_eq!(execute(&mut hart, &EVERYTHING, word), Err(breakpoint));
        }
        assert_eq!(hart, before);
    }
}

#[test]
fn a_memory_access_that_the_hardware_refused_is_illegal() {
    // fld fa0, 0(a0); c.fld fa0, 0(a0), with rubbish in the other half; lr.w a0, (a0).
    for (word, shown) in [
        (0x0005_3507, 0x0005_3507),
        (0xffff_2108, 0x2108),
        (0x1005_252f, 0x1005_252f),
    ] {
        let mut hart = hart(Mode::Supervisor);
        let trap = execute(&mut hart, &EVERYTHING, word).unwrap_err();
        assert_eq!(trap, Trap::exception(Exception::IllegalInstruction, shown));
    }
}

#[test]
fn a_supervisor_operates_on_blocks_as_the_host_can() {
    let ops = [
        (0, CboOp::Inval),
        (1, CboOp::Clean),
        (2, CboOp::Flush),
        (4, CboOp::Zero),
    ];
    for (number, op) in ops {
        let mut hart = hart(Mode::Supervisor);
        hart.x[Reg::A3.index()] = 0x8123_4567;
        let word = cbo(number, Reg::A3);
        let refused = execute(&mut hart, &LEAST, word);
        assert_eq!(
            refused,
            Err(Trap::exception(Exception::IllegalInstruction, word.into()))
        );
        let address = GuestVirt(0x8123_4567);
        assert_eq!(
            execute(&mut hart, &EVERYTHING, word),
            Ok(Effect::Cbo { op, address })
        );
    }
}

#[test]
fn a_user_operates_on_blocks_as_senvcfg_permits() {
    let inval = cbo(0, Reg::A0);
    let permissions = [
        (inval, 1 << 4, CboOp::Flush),
        (inval, 3 << 4, CboOp::Inval),
        (cbo(1, Reg::A0), senvcfg::CBCFE, CboOp::Clean),
        (cbo(2, Reg::A0), senvcfg::CBCFE, CboOp::Flush),
        (cbo(4, Reg::A0), senvcfg::CBZE, CboOp::Zero),
    ];
    for (word, needed, op) in permissions {
        let mut permitted = Hart {
            senvcfg: needed,
            ..hart(Mode::User)
        };
        let address = GuestVirt(permitted.x[Reg::A0.index()]);
        let effect = execute(&mut permitted, &EVERYTHING, word);
        assert_eq!(effect, Ok(Effect::Cbo { op, address }));

        let others = EVERYTHING.senvcfg & !if word == inval { 3 << 4 } else { needed };
        let mut refused = Hart {
            senvcfg: others,
            ..hart(Mode::User)
        };
        assert!(
            execute(&mut refused, &EVERYTHING, word).is_err(),
            "{op:?} with {others:#x}"
        );
    }
}
