//! Carries out the privileged instructions.

use isa::address::GuestVirt;
use isa::csr::{Exception, senvcfg};
use isa::decode::{CboOp, CsrAccess, CsrOp, Instruction, Source};
use isa::reg::Reg;

use crate::csr_file::{Counters, Illegal};
use crate::state::{Features, Hart, Mode};
use crate::trap::Trap;

/// What is left to do, outside the hart, for an instruction that has been carried out.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Effect {
    /// Nothing. (A write of `satp` or a change of mode shows in the hart.)
    None,
    /// Translations are to be forgotten.
    SfenceVma {
        /// Those of this address only.
        address: Option<GuestVirt>,
        /// Those of this address space only, and none that is global.
        asid: Option<u16>,
    },
    /// The hart may wait until [`Hart::ends_wait`].
    Wfi,
    /// A cache block is to be operated on. For permissions and faults [`CboOp::Zero`] counts as a
    /// store; the others need that either a load or a store is permitted, and fault as a store.
    Cbo {
        /// How. [`CboOp::Inval`] may always be carried out as a flush.
        op: CboOp,
        /// An address within the block.
        address: GuestVirt,
    },
}

impl Hart {
    /// Carries out an instruction that the hardware did not: `instruction` is what `word` decodes
    /// to, and it is at `pc`. On success `pc` is at the instruction to be executed next.
    ///
    /// Only the privileged instructions are carried out. A memory access is not one: if
    /// the hardware refused it as illegal, it is illegal (a floating-point load with FS Off).
    ///
    /// # Errors
    /// The exception to raise; nothing has changed then. It is an illegal instruction, with `word`
    /// in `stval`, except for `ebreak` and `ecall`, whose purpose is their exception.
    pub fn execute(
        &mut self,
        features: &Features,
        counters: &dyn Counters,
        instruction: &Instruction,
        word: u32,
    ) -> Result<Effect, Trap> {
        match *instruction {
            Instruction::Ebreak => Err(Trap::exception(Exception::Breakpoint, self.pc)),
            Instruction::Ecall => Err(Trap::exception(self.ecall(), 0)),
            _ => self
                .execute_privileged(features, counters, instruction)
                .map_err(|Illegal| Trap::illegal(word)),
        }
    }

    const fn ecall(&self) -> Exception {
        match self.mode {
            Mode::User => Exception::UserEcall,
            Mode::Supervisor => Exception::SupervisorEcall,
        }
    }

    fn execute_privileged(
        &mut self,
        features: &Features,
        counters: &dyn Counters,
        instruction: &Instruction,
    ) -> Result<Effect, Illegal> {
        let effect = match *instruction {
            // The two that VU can execute check for themselves.
            Instruction::Csr(access) => self.access_csr(features, counters, access)?,
            Instruction::Cbo { op, base } => self.operate_on_block(features, op, base)?,
            _ if self.mode == Mode::User => return Err(Illegal),
            Instruction::Sret => {
                self.return_from_trap();
                return Ok(Effect::None);
            }
            Instruction::Wfi => Effect::Wfi,
            Instruction::SinvalVma { .. }
            | Instruction::SfenceWInval
            | Instruction::SfenceInvalIr
                if !features.svinval =>
            {
                return Err(Illegal);
            }
            // Svinval's three instructions together are one fence, and its middle one may do the
            // whole of it ("Svinval").
            Instruction::SfenceVma { address, asid } | Instruction::SinvalVma { address, asid } => {
                self.fence(address, asid)
            }
            Instruction::SfenceWInval | Instruction::SfenceInvalIr => Effect::None,
            Instruction::Ebreak
            | Instruction::Ecall
            | Instruction::Load(_)
            | Instruction::Store(_)
            | Instruction::Amo { .. }
            | Instruction::LoadReserved { .. }
            | Instruction::StoreConditional { .. } => return Err(Illegal),
        };
        self.pc = self.pc.wrapping_add(4);
        Ok(effect)
    }

    fn access_csr(
        &mut self,
        features: &Features,
        counters: &dyn Counters,
        access: CsrAccess,
    ) -> Result<Effect, Illegal> {
        let source = match access.source {
            Source::Register(register) => self.x[register.index()],
            Source::Immediate(immediate) => u64::from(immediate),
        };
        let old = if access.reads() {
            self.read_csr(access.csr, counters)?
        } else {
            0
        };
        if access.writes() {
            let written = match access.op {
                CsrOp::Write => source,
                CsrOp::Set => old | source,
                CsrOp::Clear => old & !source,
            };
            self.write_csr(features, access.csr, written)?;
        }
        self.set_register(access.rd, old);
        Ok(Effect::None)
    }

    /// `cbo.*` is permitted in VS whenever the hart has it, and in VU as `senvcfg` says (volume I,
    /// "CMO", "CSR controls").
    fn operate_on_block(
        &self,
        features: &Features,
        op: CboOp,
        base: Reg,
    ) -> Result<Effect, Illegal> {
        let (offered_by, permitted_by) = match op {
            CboOp::Clean | CboOp::Flush => (senvcfg::CBCFE, senvcfg::CBCFE),
            CboOp::Inval => (senvcfg::CBCFE, senvcfg::CBIE),
            CboOp::Zero => (senvcfg::CBZE, senvcfg::CBZE),
        };
        let offered = features.senvcfg & offered_by != 0;
        let permitted = self.mode == Mode::Supervisor || self.senvcfg & permitted_by != 0;
        if !offered || !permitted {
            return Err(Illegal);
        }
        // CBIE = 1 in VU asks for a flush.
        let only_flush = self.mode == Mode::User && self.senvcfg & senvcfg::CBIE != senvcfg::CBIE;
        let op = if op == CboOp::Inval && only_flush {
            CboOp::Flush
        } else {
            op
        };
        Ok(Effect::Cbo {
            op,
            address: GuestVirt(self.x[base.index()]),
        })
    }

    /// The fence that two operands ask for: `x0` asks for all, and of an ASID 16 bits count
    /// ("Supervisor Memory-Management Fence Instruction").
    fn fence(&self, address: Reg, asid: Reg) -> Effect {
        let operand = |register: Reg| (register != Reg::X0).then(|| self.x[register.index()]);
        Effect::SfenceVma {
            address: operand(address).map(GuestVirt),
            asid: operand(asid).map(|value| value as u16),
        }
    }

    /// Sets an integer register; `x0` stays 0.
    pub fn set_register(&mut self, register: Reg, value: u64) {
        if register != Reg::X0 {
            self.x[register.index()] = value;
        }
    }
}
