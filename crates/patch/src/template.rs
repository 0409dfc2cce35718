//! The template map and the templates.
//!
//! [`Maker::make`] is the template map: it says whether an instruction can be patched, and fills
//! in its template. In every template:
//!
//! - `t0` holds the address of the per-hart block, `t1`, `t2` and `t3` are scratch; the guest's own
//!   `t0` is in the CSR `sscratch`, its `t1` to `t3` in the block. All other registers are the
//!   guest's live ones.
//! - the gate has already moved the hardware's `sepc` past the instruction;
//! - the guest is in VS, and the hardware's interrupts are off.
//!
//! A routine ends in one of three ways: it returns to the guest; it leaves for the slow path
//! because an interrupt became deliverable ([`Exit::Interrupt`](crate::block::Exit)); or, before it
//! changed anything, it leaves its instruction to the reference emulator
//! ([`Exit::Emulate`](crate::block::Exit)).

use alloc::vec::Vec;
use isa::csr::{self, sstatus};
use isa::decode::{CsrAccess, CsrOp, Instruction, Source};
use isa::encode as e;
use isa::reg::Reg;
use vcpu::Features;

use crate::assembler::{Assembler, Label};
use crate::block_offset as slot;

/// Number of [`Kind`]s.
pub const KINDS: usize = 16;

/// Kinds of privileged instructions, for counting.
#[repr(usize)]
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    Sstatus,
    Sie,
    Sip,
    Stvec,
    Sscratch,
    Sepc,
    Scause,
    Stval,
    Satp,
    Scounteren,
    Senvcfg,
    Counter,
    Sret,
    Wfi,
    SfenceVma,
    Other,
}

/// Name of each kind, in order.
pub const KIND_NAMES: [&str; KINDS] = [
    "csr sstatus",
    "csr sie",
    "csr sip",
    "csr stvec",
    "csr sscratch",
    "csr sepc",
    "csr scause",
    "csr stval",
    "csr satp",
    "csr scounteren",
    "csr senvcfg",
    "counters",
    "sret",
    "wfi",
    "sfence.vma",
    "other",
];

/// Instructions of the gate and the routine together for the form of each kind that kernels execute
/// most, when nothing unusual happens: `csrci sstatus, 2`, `csrs sie`, `csrr sip`, `csrw stvec`,
/// `csrrw tp, sscratch, tp`, reads of `sepc`, `scause` and `stval`, `csrw satp` with a known context,
/// `csrw scounteren`, `csrw senvcfg`, `rdtime`, `sret` to VU, `wfi` with an interrupt pending, and
/// `sfence.vma` of an address that neither view of an Sv39 guest maps. The trapping instruction
/// itself is not counted, nor the 3 that count executions.
pub const GATE_INSTRUCTIONS: [u32; KINDS] = [
    22, 28, 21, 24, 23, 21, 21, 21, 40, 27, 28, 21, 37, 24, 67, 0,
];

/// What saving and restoring a trap frame adds to each of [`GATE_INSTRUCTIONS`].
pub const FRAME_INSTRUCTIONS: u32 = 59;

impl Kind {
    /// The kind of an instruction.
    pub fn of(instruction: &Instruction) -> Self {
        match instruction {
            Instruction::Csr(access) => Self::of_csr(access.csr),
            Instruction::Sret => Self::Sret,
            Instruction::Wfi => Self::Wfi,
            Instruction::SfenceVma { .. } => Self::SfenceVma,
            _ => Self::Other,
        }
    }

    fn of_csr(number: u16) -> Self {
        match number {
            csr::SSTATUS => Self::Sstatus,
            csr::SIE => Self::Sie,
            csr::SIP => Self::Sip,
            csr::STVEC => Self::Stvec,
            csr::SSCRATCH => Self::Sscratch,
            csr::SEPC => Self::Sepc,
            csr::SCAUSE => Self::Scause,
            csr::STVAL => Self::Stval,
            csr::SATP => Self::Satp,
            csr::SCOUNTEREN => Self::Scounteren,
            csr::SENVCFG => Self::Senvcfg,
            csr::CYCLE | csr::TIME | csr::INSTRET => Self::Counter,
            _ => Self::Other,
        }
    }
}

/// Makes routines, for one host.
#[derive(Clone, Copy, Debug)]
pub struct Maker {
    /// What the virtual hart offers.
    pub features: Features,
    /// Counters that S-mode may read, by their bits in `scounteren`: `cycle`, `time`, `instret`.
    pub counters: u64,
    /// Whether each routine counts its executions (3 more instructions).
    pub count: bool,
    /// Whether a change of `satp` must be followed by `sfence.vma`, because the host has too few
    /// ASIDs to keep contexts apart.
    pub fence_on_switch: bool,
}

const SIE: i32 = sstatus::SIE as i32;
const SPIE: i32 = sstatus::SPIE as i32;
const SPP: i32 = sstatus::SPP as i32;

/// Largest routine, in words. The routine cache must be able to hold at least one.
pub const MAX_WORDS: usize = 80;

impl Maker {
    /// Whether a routine, in S-mode, can read the counter `number` without a trap.
    fn reads(&self, number: u16) -> bool {
        self.counters & 1 << (number - csr::CYCLE) != 0
    }

    /// The routine for an instruction, or `None` when it has no template.
    ///
    /// These have none, and are carried out by the reference emulator at every execution:
    /// - accesses to CSRs that the virtual hart does not have, and writes to read-only ones: they
    ///   raise an illegal-instruction exception, which no program does often;
    /// - `hpmcounter3` to `hpmcounter31`: read as zero, and natively executed where the guest
    ///   opened them in `scounteren`;
    /// - `sinval.vma` and its fences, and cache-block instructions that `senvcfg` withholds: not
    ///   offered or not frequent;
    /// - `ecall` and `ebreak`: they trap to the monitor at the same cost by themselves.
    ///
    /// Integer loads and stores are for sites that access devices: their routine leaves for the slow
    /// path with the word, which is then neither fetched nor found out by a page fault. They are not
    /// counted as privileged instructions.
    pub fn make(&self, instruction: &Instruction, word: u32) -> Option<Vec<u32>> {
        let mut template = Template {
            maker: self,
            code: Assembler::default(),
            word,
        };
        if !instruction.is_integer_access() {
            template.count(Kind::of(instruction));
        }
        match instruction {
            Instruction::Load(_) | Instruction::Store(_) if instruction.is_integer_access() => {
                template.emulate();
            }
            Instruction::Csr(access) => template.csr(access)?,
            Instruction::Sret => template.sret(),
            Instruction::Wfi => template.wfi(),
            Instruction::SfenceVma { address, .. } => template.sfence_vma(*address),
            _ => return None,
        }
        let code = template.code.finish();
        debug_assert!(code.len() <= MAX_WORDS);
        Some(code)
    }
}

/// A template being filled in for one instruction word.
struct Template<'a> {
    maker: &'a Maker,
    code: Assembler,
    word: u32,
}

const BLOCK: Reg = Reg::T0;

/// The guest's scratch registers that live in the block: `t1`, `t2`, `t3`.
fn spilled(register: Reg) -> Option<i32> {
    match register {
        Reg::T1 => Some(slot!(t1)),
        Reg::T2 => Some(slot!(t2)),
        Reg::T3 => Some(slot!(t3)),
        _ => None,
    }
}

impl Template<'_> {
    fn emit(&mut self, word: u32) {
        self.code.emit(word);
    }

    fn load(&mut self, rd: Reg, offset: i32) {
        self.emit(e::ld(rd, offset, BLOCK));
    }

    fn store(&mut self, rs: Reg, offset: i32) {
        self.emit(e::sd(rs, offset, BLOCK));
    }

    /// Brings the guest's `register` into reach and returns where it is: `into`, or the live register.
    fn guest(&mut self, register: Reg, into: Reg) -> Reg {
        if register == Reg::T0 {
            self.emit(e::csrrs(into, csr::SSCRATCH, Reg::X0));
            into
        } else if let Some(offset) = spilled(register) {
            self.load(into, offset);
            into
        } else {
            register
        }
    }

    /// Writes `value` to the guest's `register`.
    fn set_guest(&mut self, register: Reg, value: Reg) {
        if register == Reg::X0 {
        } else if register == Reg::T0 {
            self.emit(e::csrrw(Reg::X0, csr::SSCRATCH, value));
        } else if let Some(offset) = spilled(register) {
            self.store(value, offset);
        } else {
            self.emit(e::addi(register, value, 0));
        }
    }

    /// Counts one execution.
    fn count(&mut self, kind: Kind) {
        if self.maker.count {
            let offset = slot!(served) + 8 * kind as i32;
            self.load(Reg::T1, offset);
            self.emit(e::addi(Reg::T1, Reg::T1, 1));
            self.store(Reg::T1, offset);
        }
    }

    /// Returns to the guest.
    fn leave(&mut self) {
        self.load(Reg::T1, slot!(t1));
        self.load(Reg::T2, slot!(t2));
        self.load(Reg::T3, slot!(t3));
        self.emit(e::csrrw(BLOCK, csr::SSCRATCH, BLOCK));
        self.emit(e::sret());
    }

    /// Leaves for the slow path, which finds an interrupt to deliver, or one of the host to serve.
    fn interrupt(&mut self) {
        self.load(Reg::T1, slot!(slow_interrupt));
        self.emit(e::jalr(Reg::X0, 0, Reg::T1));
    }

    /// Leaves the instruction to the reference emulator.
    fn emulate(&mut self) {
        self.code.li(Reg::T2, self.word);
        self.load(Reg::T1, slot!(slow_emulate));
        self.emit(e::jalr(Reg::X0, 0, Reg::T1));
    }

    /// Returns to the guest, unless an interrupt is pending and enabled in `sie`, and `sstatus.SIE`
    /// (in `status`, if given, else still to be loaded) lets it in. Clobbers `t3`.
    fn leave_unless_interrupted(&mut self, status: Option<Reg>) {
        let quiet = self.code.label();
        self.load(Reg::T3, slot!(pending));
        self.code.beq(Reg::T3, Reg::X0, quiet);
        self.leave_unless_enabled(status, quiet);
    }

    /// The second half: an interrupt is pending and enabled in `sie`. `quiet` is placed where the
    /// routine returns.
    fn leave_unless_enabled(&mut self, status: Option<Reg>, quiet: Label) {
        let status = status.unwrap_or_else(|| {
            self.load(Reg::T3, slot!(hart.sstatus));
            Reg::T3
        });
        self.emit(e::andi(Reg::T3, status, SIE));
        self.code.beq(Reg::T3, Reg::X0, quiet);
        self.interrupt();
        self.code.place(quiet);
        self.leave();
    }

    fn csr(&mut self, access: &CsrAccess) -> Option<()> {
        use csr::*;
        match access.csr {
            CYCLE | TIME | INSTRET if !access.writes() && self.maker.reads(access.csr) => {
                self.counter(access);
            }
            SSTATUS => self.sstatus(access),
            SIE => self.interrupt_enable(access),
            SIP => self.interrupt_pending(access),
            SATP => self.satp(access),
            STVEC => self.stvec(access),
            SSCRATCH => self.simple(access, slot!(hart.sscratch), |_, _| ()),
            SCAUSE => self.simple(access, slot!(hart.scause), |_, _| ()),
            STVAL => self.simple(access, slot!(hart.stval), |_, _| ()),
            SEPC => self.simple(access, slot!(hart.sepc), |t, new| {
                t.emit(e::andi(new, new, -2))
            }),
            SCOUNTEREN => self.scounteren(access),
            SENVCFG if self.maker.features.senvcfg != 0 => {
                self.simple(access, slot!(hart.senvcfg), Self::legalise_senvcfg);
            }
            _ => return None,
        }
        Some(())
    }

    /// The value to write, set or clear: a live register, `x0`, or a copy in `t2`.
    fn source(&mut self, access: &CsrAccess) -> Reg {
        match access.source {
            Source::Register(register) => self.guest(register, Reg::T2),
            Source::Immediate(0) => Reg::X0,
            Source::Immediate(value) => {
                self.code.li(Reg::T2, u32::from(value));
                Reg::T2
            }
        }
    }

    /// `t2` = what the instruction would write over the old value in `t1`, before WARL rules.
    fn combine(&mut self, access: &CsrAccess, source: Reg) {
        match access.op {
            CsrOp::Write if source == Reg::T2 => {}
            CsrOp::Write => self.emit(e::addi(Reg::T2, source, 0)),
            CsrOp::Set => self.emit(e::or(Reg::T2, Reg::T1, source)),
            CsrOp::Clear => {
                self.emit(e::xori(Reg::T2, source, -1));
                self.emit(e::and(Reg::T2, Reg::T1, Reg::T2));
            }
        }
    }

    /// A CSR whose slot takes any value that `legalise` (which finds the old one in `t1` and may
    /// clobber `t3`) lets through.
    fn simple(&mut self, access: &CsrAccess, offset: i32, legalise: fn(&mut Self, Reg)) {
        self.load(Reg::T1, offset);
        if access.writes() {
            let source = self.source(access);
            self.combine(access, source);
            legalise(self, Reg::T2);
            self.store(Reg::T2, offset);
        }
        self.set_guest(access.rd, Reg::T1);
        self.leave();
    }

    /// `scounteren`: VU gets what the guest grants it, unless a counter is not the hardware's.
    fn scounteren(&mut self, access: &CsrAccess) {
        let emulated = self.code.label();
        if access.writes() {
            self.load(Reg::T1, slot!(virtual_counters));
            self.code.bne(Reg::T1, Reg::X0, emulated);
        }
        self.simple(access, slot!(hart.scounteren), |t, new| {
            t.load(Reg::T3, slot!(scounteren_mask));
            t.emit(e::and(new, new, Reg::T3));
            t.emit(e::csrrw(Reg::X0, csr::SCOUNTEREN, new));
        });
        if access.writes() {
            self.code.place(emulated);
            self.emulate();
        }
    }

    /// `senvcfg`: the reserved value 2 of CBIE leaves that field as it was.
    fn legalise_senvcfg(&mut self, new: Reg) {
        const CBIE: i32 = csr::senvcfg::CBIE as i32;
        const RESERVED: i32 = 2 << csr::senvcfg::CBIE.trailing_zeros();
        let legal = self.code.label();
        self.load(Reg::T3, slot!(senvcfg_mask));
        self.emit(e::and(new, new, Reg::T3));
        self.emit(e::andi(Reg::T3, new, CBIE));
        self.emit(e::addi(Reg::T3, Reg::T3, -RESERVED));
        self.code.bne(Reg::T3, Reg::X0, legal);
        self.emit(e::xor(Reg::T3, new, Reg::T1));
        self.emit(e::andi(Reg::T3, Reg::T3, CBIE));
        self.emit(e::xor(new, new, Reg::T3));
        self.code.place(legal);
        self.emit(e::csrrw(Reg::X0, csr::SENVCFG, new));
    }

    /// `stvec`: a write of a reserved mode (2, 3) changes nothing.
    fn stvec(&mut self, access: &CsrAccess) {
        let reserved = self.code.label();
        self.load(Reg::T1, slot!(hart.stvec));
        if access.writes() {
            let source = self.source(access);
            self.combine(access, source);
            self.emit(e::andi(Reg::T3, Reg::T2, 2));
            self.code.bne(Reg::T3, Reg::X0, reserved);
            self.store(Reg::T2, slot!(hart.stvec));
        }
        self.code.place(reserved);
        self.set_guest(access.rd, Reg::T1);
        self.leave();
    }

    /// `cycle`, `time`, `instret`: VS may always read them, whatever `scounteren` says for VU. The guest
    /// may have started the first and the last at other values than the hardware's (SBI, PMU extension).
    fn counter(&mut self, access: &CsrAccess) {
        let emulated = self.code.label();
        let may_be_virtual = access.csr != csr::TIME;
        if may_be_virtual {
            self.load(Reg::T1, slot!(virtual_counters));
            self.code.bne(Reg::T1, Reg::X0, emulated);
        }
        self.emit(e::csrrs(Reg::T1, access.csr, Reg::X0));
        self.set_guest(access.rd, Reg::T1);
        self.leave();
        if may_be_virtual {
            self.code.place(emulated);
            self.emulate();
        }
    }

    /// `sie`: only the three standard interrupts can be enabled.
    fn interrupt_enable(&mut self, access: &CsrAccess) {
        self.load(Reg::T1, slot!(hart.sie));
        if !access.writes() {
            self.set_guest(access.rd, Reg::T1);
            return self.leave();
        }
        let source = self.source(access);
        self.combine(access, source);
        self.emit(e::andi(Reg::T2, Reg::T2, 0x222));
        self.store(Reg::T2, slot!(hart.sie));
        self.load(Reg::T3, slot!(hart.sip));
        self.emit(e::and(Reg::T2, Reg::T2, Reg::T3));
        self.store(Reg::T2, slot!(pending));
        self.set_guest(access.rd, Reg::T1);
        if access.op == CsrOp::Clear {
            self.leave()
        } else {
            self.leave_unless_interrupted(None)
        }
    }

    /// `sip`: SSIP alone can be written.
    fn interrupt_pending(&mut self, access: &CsrAccess) {
        self.load(Reg::T1, slot!(hart.sip));
        if !access.writes() {
            self.set_guest(access.rd, Reg::T1);
            return self.leave();
        }
        let source = self.source(access);
        self.combine(access, source);
        self.emit(e::xor(Reg::T2, Reg::T2, Reg::T1));
        self.emit(e::andi(Reg::T2, Reg::T2, csr::interrupt::SSI as i32));
        self.emit(e::xor(Reg::T2, Reg::T2, Reg::T1));
        self.store(Reg::T2, slot!(hart.sip));
        self.load(Reg::T3, slot!(hart.sie));
        self.emit(e::and(Reg::T2, Reg::T2, Reg::T3));
        self.store(Reg::T2, slot!(pending));
        self.set_guest(access.rd, Reg::T1);
        if access.op == CsrOp::Clear {
            self.leave()
        } else {
            self.leave_unless_interrupted(None)
        }
    }

    fn sstatus(&mut self, access: &CsrAccess) {
        self.load(Reg::T1, slot!(hart.sstatus));
        match (access.op, access.source) {
            _ if !access.writes() => {
                self.set_guest(access.rd, Reg::T1);
                self.leave();
            }
            // Of the bits that an immediate reaches, SIE alone can be written.
            (CsrOp::Set, Source::Immediate(bits)) => {
                self.emit(e::ori(Reg::T2, Reg::T1, i32::from(bits) & SIE));
                self.store(Reg::T2, slot!(hart.sstatus));
                self.set_guest(access.rd, Reg::T1);
                self.leave_unless_interrupted(Some(Reg::T2));
            }
            (CsrOp::Clear, Source::Immediate(bits)) => {
                let mask = !(i32::from(bits) & SIE);
                let new = if access.rd == Reg::X0 {
                    Reg::T1
                } else {
                    Reg::T2
                };
                self.emit(e::andi(new, Reg::T1, mask));
                self.store(new, slot!(hart.sstatus));
                self.set_guest(access.rd, Reg::T1);
                self.leave();
            }
            _ => self.sstatus_general(access),
        }
    }

    /// Any write of `sstatus`. A change of FS or VS must reach the hardware's `sstatus`.
    fn sstatus_general(&mut self, access: &CsrAccess) {
        let same_extensions = self.code.label();
        let source = self.source(access);
        // t2 = t1 with the writable bits replaced: t1 ^ ((t1 ^ combined) & mask).
        self.combine(access, source);
        self.emit(e::xor(Reg::T2, Reg::T2, Reg::T1));
        self.load(Reg::T3, slot!(sstatus_mask));
        self.emit(e::and(Reg::T2, Reg::T2, Reg::T3));
        self.emit(e::xor(Reg::T2, Reg::T2, Reg::T1));
        // The old value is needed no more than for rd, and the source has been read.
        self.emit(e::xor(Reg::T3, Reg::T1, Reg::T2));
        self.set_guest(access.rd, Reg::T1);
        self.load(Reg::T1, slot!(extension_mask));
        self.emit(e::and(Reg::T3, Reg::T3, Reg::T1));
        self.code.beq(Reg::T3, Reg::X0, same_extensions);
        self.change_extensions();
        self.code.place(same_extensions);
        self.store(Reg::T2, slot!(hart.sstatus));
        if access.op == CsrOp::Clear {
            self.leave();
        } else {
            self.leave_unless_interrupted(Some(Reg::T2));
        }
    }

    /// Makes FS and VS in `t2` Off or Dirty, SD agree with them, and the hardware's fields the same.
    /// `t1` is the mask of both fields. Clobbers `t1` and `t3`.
    fn change_extensions(&mut self) {
        let off = self.code.label();
        self.emit(e::csrrc(Reg::X0, csr::SSTATUS, Reg::T1));
        self.emit(e::slli(Reg::T2, Reg::T2, 1));
        self.emit(e::srli(Reg::T2, Reg::T2, 1));
        self.emit(e::and(Reg::T3, Reg::T2, Reg::T1));
        self.code.beq(Reg::T3, Reg::X0, off);
        // Both bits of a field become the OR of the two. Bits that cross into a neighbouring
        // field fall outside the mask: FS is bits 14:13, VS bits 10:9.
        self.emit(e::slli(Reg::T3, Reg::T3, 1));
        self.emit(e::and(Reg::T3, Reg::T3, Reg::T1));
        self.emit(e::or(Reg::T2, Reg::T2, Reg::T3));
        self.emit(e::and(Reg::T3, Reg::T2, Reg::T1));
        self.emit(e::srli(Reg::T3, Reg::T3, 1));
        self.emit(e::and(Reg::T3, Reg::T3, Reg::T1));
        self.emit(e::or(Reg::T2, Reg::T2, Reg::T3));
        self.emit(e::and(Reg::T3, Reg::T2, Reg::T1));
        self.emit(e::csrrs(Reg::X0, csr::SSTATUS, Reg::T3));
        // SD = 1.
        self.emit(e::addi(Reg::T3, Reg::X0, -1));
        self.emit(e::slli(Reg::T3, Reg::T3, 63));
        self.emit(e::or(Reg::T2, Reg::T2, Reg::T3));
        self.code.place(off);
    }

    /// `satp`: a context that is in the context table is switched to here.
    fn satp(&mut self, access: &CsrAccess) {
        if !access.writes() {
            self.load(Reg::T1, slot!(hart.satp));
            self.set_guest(access.rd, Reg::T1);
            return self.leave();
        }
        if access.op != CsrOp::Write || access.rd != Reg::X0 {
            return self.emulate();
        }
        let unknown = self.code.label();
        let source = self.source(access);
        self.emit(e::addi(Reg::T1, source, 0));
        self.emit(e::andi(
            Reg::T2,
            Reg::T1,
            crate::block::CONTEXT_ENTRIES as i32 - 1,
        ));
        self.emit(e::slli(Reg::T2, Reg::T2, 5));
        self.load(Reg::T3, slot!(contexts));
        self.emit(e::add(Reg::T2, Reg::T2, Reg::T3));
        self.emit(e::ld(Reg::T3, 0, Reg::T2));
        self.code.bne(Reg::T3, Reg::T1, unknown);
        self.emit(e::ld(Reg::T3, 8, Reg::T2));
        // No guest can have the `satp` of an empty entry, but any can write it: only the hardware's
        // `satp` (Bare, in an empty entry: the guest would own all memory) tells.
        self.code.beq(Reg::T3, Reg::X0, unknown);
        // A context that has not seen every fence must be brought up to date first.
        self.load(Reg::T1, slot!(fences));
        self.load(Reg::T3, slot!(fences_seen));
        self.code.bne(Reg::T3, Reg::T1, unknown);
        self.emit(e::ld(Reg::T3, 0, Reg::T2));
        self.store(Reg::T3, slot!(hart.satp));
        self.emit(e::ld(Reg::T3, 8, Reg::T2));
        self.store(Reg::T3, slot!(satp_vs));
        self.switch(Reg::T3);
        self.emit(e::ld(Reg::T3, 16, Reg::T2));
        self.store(Reg::T3, slot!(satp_vu));
        self.emit(e::ld(Reg::T3, 24, Reg::T2));
        self.store(Reg::T3, slot!(root));
        self.leave();
        self.code.place(unknown);
        self.emulate();
    }

    /// Writes the hardware's `satp`.
    fn switch(&mut self, satp: Reg) {
        self.emit(e::csrrw(Reg::X0, csr::SATP, satp));
        if self.maker.fence_on_switch {
            self.emit(e::sfence_vma(Reg::X0, Reg::X0));
        }
    }

    /// `sret`, privileged specification 3.1.6.1 and 4.1.1: SIE takes SPIE, SPIE becomes 1, SPP
    /// becomes U, the mode becomes what SPP was, and `pc` takes `sepc`.
    fn sret(&mut self) {
        let to_supervisor = self.code.label();
        let interrupted = self.code.label();
        self.load(Reg::T1, slot!(hart.sepc));
        self.emit(e::csrrw(Reg::X0, csr::SEPC, Reg::T1));
        self.load(Reg::T1, slot!(hart.sstatus));
        self.emit(e::srli(Reg::T2, Reg::T1, 4));
        self.emit(e::andi(Reg::T2, Reg::T2, SIE));
        self.emit(e::andi(Reg::T3, Reg::T1, SPP));
        self.emit(e::andi(Reg::T1, Reg::T1, !(SIE | SPP)));
        self.emit(e::ori(Reg::T1, Reg::T1, SPIE));
        self.emit(e::or(Reg::T1, Reg::T1, Reg::T2));
        self.store(Reg::T1, slot!(hart.sstatus));
        self.code.bne(Reg::T3, Reg::X0, to_supervisor);

        self.store(Reg::X0, slot!(hart.mode));
        self.load(Reg::T2, slot!(satp_vu));
        self.switch(Reg::T2);
        self.load(Reg::T2, slot!(gate_vu));
        self.emit(e::csrrw(Reg::X0, csr::STVEC, Reg::T2));
        self.load(Reg::T3, slot!(pending));
        // In VU every interrupt that sie enables is taken, whatever SIE says.
        self.code.bne(Reg::T3, Reg::X0, interrupted);
        self.leave();
        self.code.place(interrupted);
        self.interrupt();

        self.code.place(to_supervisor);
        // The gate may have let an interrupt of the host pass. An `sret` that returns to itself, or to
        // other patches that lead to it, would never let it in.
        self.emit(e::csrrs(Reg::T3, csr::SCAUSE, Reg::X0));
        self.code.blt(Reg::T3, Reg::X0, interrupted);
        self.leave_unless_interrupted(Some(Reg::T1));
    }

    /// `sfence.vma`. The forms with an address, which kernels use after every page fault, mostly find
    /// nothing to forget: the gate has code of its own for them, common to all routines, which takes
    /// the address in `t1` and the word in `t2`. It fences the address in all address spaces, which
    /// an ASID only narrows. The forms without an address forget whole address spaces: the reference
    /// emulator and the shadow do that.
    fn sfence_vma(&mut self, address: Reg) {
        if address == Reg::X0 {
            return self.emulate();
        }
        let source = self.guest(address, Reg::T1);
        if source != Reg::T1 {
            self.emit(e::addi(Reg::T1, source, 0));
        }
        self.code.li(Reg::T2, self.word);
        self.load(Reg::T3, slot!(fence_address));
        self.emit(e::jalr(Reg::X0, 0, Reg::T3));
    }

    /// `wfi`: does nothing when an interrupt is pending; else the hart is given up.
    fn wfi(&mut self) {
        let (idle, quiet) = (self.code.label(), self.code.label());
        self.load(Reg::T1, slot!(pending));
        self.code.beq(Reg::T1, Reg::X0, idle);
        self.leave_unless_enabled(None, quiet);
        self.code.place(idle);
        self.emulate();
    }
}
