//! Runs one routine on one state and compares what it leaves with the reference emulator.

use isa::csr::{self, sstatus};
use isa::decode::{CsrOp, Instruction, Source};
use isa::reg::Reg;
use patch::Kind;
use vcpu::{Effect, Mode};

use crate::interpreter::{Csrs, Machine, Stop, with_sd};
use crate::state::{
    CACHE, CODE, Context, FENCE_ADDRESS, GATE_VS, GATE_VU, SLOW_EMULATE, SLOW_INTERRUPT, State,
    Variant, word, write_context, write_hart, write_spilled,
};

/// How a routine must end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Back in the guest.
    Returns,
    /// In the slow path, with an interrupt to deliver, or one of the host to serve.
    Interrupt,
    /// In the slow path, with nothing changed and the instruction still to be carried out.
    Emulate,
    /// In the gate's own code for a fence of one address, with nothing changed.
    Fence,
}

impl End {
    /// Whether the instruction has been carried out.
    fn is_done(self) -> bool {
        matches!(self, End::Returns | End::Interrupt)
    }
}

/// What a run that was right came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Outcome {
    pub end: End,
    /// Instructions of the routine that were executed.
    pub executed: u64,
}

/// The state that the routine must leave.
struct Expected {
    end: End,
    hart: vcpu::Hart,
    context: Context,
}

/// Compares one run of `code`, the routine made for `word`.
///
/// # Errors
/// A description of the first disagreement.
pub fn check(
    variant: &Variant,
    word: u32,
    instruction: &Instruction,
    code: &[u32],
    state: &State,
) -> Result<Outcome, String> {
    let expected = expect(variant, word, instruction, state)?;
    let before = state.machine(&variant.maker);
    let mut after = before.clone();
    let stop = after
        .run(code, CODE)
        .map_err(|fault| format!("{fault:?}"))?;
    let end = match stop {
        Stop::Sret => End::Returns,
        Stop::Jump(SLOW_INTERRUPT) => End::Interrupt,
        Stop::Jump(SLOW_EMULATE) => End::Emulate,
        Stop::Jump(FENCE_ADDRESS) => End::Fence,
        Stop::Jump(target) => return Err(format!("jumps to {target:#x}")),
    };
    equal("the end", end, expected.end)?;
    check_registers(&expected, &after)?;
    check_arguments(word, instruction, &expected, &after)?;
    check_csrs(variant, &expected, &before, &after)?;
    check_block(variant, instruction, &expected, &before, &after)?;
    check_fences(variant, &after)?;
    Ok(Outcome {
        end,
        executed: after.executed,
    })
}

/// What the reference emulator makes of the instruction, and how the routine must therefore end.
fn expect(
    variant: &Variant,
    word: u32,
    instruction: &Instruction,
    state: &State,
) -> Result<Expected, String> {
    let mut hart = state.hart.clone();
    let features = &variant.maker.features;
    let effect = hart
        .execute(features, &state.counters(), instruction, word)
        .map_err(|trap| format!("the reference emulator raises {trap:?}"))?;
    if let Some(end) = leaves(instruction, effect, state) {
        let (hart, context) = (state.hart.clone(), state.context);
        return Ok(Expected { end, hart, context });
    }
    let to_supervisor = *instruction == Instruction::Sret && hart.mode == Mode::Supervisor;
    let end = match hart.pending_interrupt() {
        None if to_supervisor && state.passed_over => End::Interrupt,
        None => End::Returns,
        Some(_) => End::Interrupt,
    };
    // A write of `satp` that a routine carries out is to a context that the table knows.
    let context = match instruction {
        Instruction::Csr(access) if access.csr == csr::SATP && access.writes() => state
            .known(hart.satp)
            .ok_or("the context table does not know satp")?,
        _ => state.context,
    };
    Ok(Expected { end, hart, context })
}

/// Where a routine leaves its instruction to, if it may. Any other must be carried out: a routine that
/// always gave up would be right, and useless.
fn leaves(instruction: &Instruction, effect: Effect, state: &State) -> Option<End> {
    let leaves = match instruction {
        Instruction::SfenceVma { address, .. } if *address != Reg::X0 => {
            return Some(End::Fence);
        }
        Instruction::SfenceVma { .. } => true,
        Instruction::Wfi => effect == Effect::Wfi && !state.hart.ends_wait(),
        Instruction::Csr(access) if access.csr == csr::SATP && access.writes() => {
            let written = match access.source {
                Source::Register(register) => state.hart.x[register.index()],
                Source::Immediate(value) => u64::from(value),
            };
            let plain = access.op == CsrOp::Write && !access.reads();
            !plain || state.unseen_fences || state.known(written).is_none()
        }
        // What VU may read depends on what the counters are.
        Instruction::Csr(access) if access.csr == csr::SCOUNTEREN => {
            state.virtual_counters && access.writes()
        }
        Instruction::Csr(access) => {
            state.virtual_counters && [csr::CYCLE, csr::INSTRET].contains(&access.csr)
        }
        _ => false,
    };
    leaves.then_some(End::Emulate)
}

fn check_registers(expected: &Expected, after: &Machine) -> Result<(), String> {
    let returns = expected.end == End::Returns;
    for register in 0..32 {
        let wanted = match register {
            5 if !returns => CACHE,
            // Scratch: outside the guest, its values are in the block.
            6 | 7 | 28 if !returns => continue,
            _ => expected.hart.x[register],
        };
        if after.x[register] != wanted {
            equal(&format!("x{register}"), after.x[register], wanted)?;
        }
    }
    Ok(())
}

/// What the code that an instruction is left to finds in the scratch registers.
fn check_arguments(
    word: u32,
    instruction: &Instruction,
    expected: &Expected,
    after: &Machine,
) -> Result<(), String> {
    if !expected.end.is_done() {
        equal("the word in t2", after.x[7] as u32, word)?;
    }
    match instruction {
        Instruction::SfenceVma { address, .. } if expected.end == End::Fence => equal(
            "the address in t1",
            after.x[6],
            expected.hart.x[address.index()],
        ),
        _ => Ok(()),
    }
}

/// The hardware's CSRs: FS, VS and the CSRs that VU code feels are the guest's, `satp` and `stvec`
/// are those of the view for its mode, and nothing else has changed.
fn check_csrs(
    variant: &Variant,
    expected: &Expected,
    before: &Machine,
    after: &Machine,
) -> Result<(), String> {
    let hart = &expected.hart;
    let units = variant.maker.features.sstatus & (sstatus::FS | sstatus::VS);
    let (satp, stvec) = match hart.mode {
        Mode::Supervisor => (expected.context.vs, GATE_VS),
        Mode::User => (expected.context.vu, GATE_VU),
    };
    let wanted = Csrs {
        sstatus: with_sd(before.csrs.sstatus & !units | hart.sstatus & units),
        stvec,
        scounteren: hart.scounteren,
        senvcfg: hart.senvcfg,
        sscratch: if expected.end == End::Returns {
            CACHE
        } else {
            hart.x[5]
        },
        // The slow path steps back to an instruction that is left to it.
        sepc: if expected.end.is_done() {
            hart.pc
        } else {
            hart.pc.wrapping_add(4)
        },
        satp,
        ..before.csrs.clone()
    };
    equal("hardware CSRs", &after.csrs, &wanted)
}

/// The block's fields, all of them.
fn check_block(
    variant: &Variant,
    instruction: &Instruction,
    expected: &Expected,
    before: &Machine,
    after: &Machine,
) -> Result<(), String> {
    let mut wanted = before.regions[0].words.clone();
    write_hart(&mut wanted, &expected.hart);
    write_context(&mut wanted, &expected.context);
    write_spilled(&mut wanted, &expected.hart);
    if variant.maker.count {
        wanted[word!(served) + Kind::of(instruction) as usize] += 1;
    }
    let actual = &after.regions[0].words;
    if *actual == wanted {
        return Ok(());
    }
    let index = (0..wanted.len())
        .find(|&index| actual[index] != wanted[index])
        .unwrap_or(0);
    equal(
        &format!("block word {index} ({})", field(index)),
        actual[index],
        wanted[index],
    )
}

fn check_fences(variant: &Variant, after: &Machine) -> Result<(), String> {
    let wanted = if variant.maker.fence_on_switch {
        after.switches
    } else {
        0
    };
    equal("fences", after.fences, wanted)?;
    equal("fenced after the last switch", after.fenced, wanted != 0)
}

/// Name of the CSR slot or other field at a word of the block.
fn field(index: usize) -> &'static str {
    let fields = [
        (word!(hart.mode), "mode"),
        (word!(hart.sstatus), "sstatus"),
        (word!(hart.sie), "sie"),
        (word!(hart.sip), "sip"),
        (word!(hart.stvec), "stvec"),
        (word!(hart.sscratch), "sscratch"),
        (word!(hart.sepc), "sepc"),
        (word!(hart.scause), "scause"),
        (word!(hart.stval), "stval"),
        (word!(hart.satp), "satp"),
        (word!(hart.scounteren), "scounteren"),
        (word!(hart.senvcfg), "senvcfg"),
        (word!(pending), "pending"),
        (word!(t1), "t1"),
        (word!(t2), "t2"),
        (word!(t3), "t3"),
        (word!(satp_vs), "satp_vs"),
        (word!(satp_vu), "satp_vu"),
        (word!(root), "root"),
    ];
    fields
        .iter()
        .find(|(at, _)| *at == index)
        .map_or("another field", |(_, name)| name)
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, actual: T, wanted: T) -> Result<(), String> {
    if actual == wanted {
        Ok(())
    } else {
        Err(format!(
            "{what}: routine {actual:#x?}, reference {wanted:#x?}"
        ))
    }
}
