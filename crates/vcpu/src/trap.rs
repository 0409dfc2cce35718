//! Traps into VS, the way back, and which interrupt comes first.

use isa::csr::{self, Exception, Interrupt, scause, stvec};

use crate::state::{Hart, Mode};
use crate::warl::INTERRUPTS;

/// Why a trap is taken.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Cause {
    /// Something the present instruction did.
    Exception(Exception),
    /// Something from outside.
    Interrupt(Interrupt),
}

impl Cause {
    /// The value that `scause` gets.
    #[must_use]
    pub const fn scause(self) -> u64 {
        match self {
            Cause::Exception(exception) => exception.code(),
            Cause::Interrupt(interrupt) => scause::INTERRUPT | interrupt.code(),
        }
    }
}

/// A trap to be taken into VS.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Trap {
    /// Why.
    pub cause: Cause,
    /// The value that `stval` gets: the address that faulted, or the instruction that is illegal.
    /// 0 for an interrupt or an environment call.
    pub value: u64,
}

impl Trap {
    /// A trap for an exception.
    #[must_use]
    pub const fn exception(exception: Exception, value: u64) -> Trap {
        Trap {
            cause: Cause::Exception(exception),
            value,
        }
    }

    /// A trap for an interrupt.
    #[must_use]
    pub const fn interrupt(interrupt: Interrupt) -> Trap {
        Trap {
            cause: Cause::Interrupt(interrupt),
            value: 0,
        }
    }

    /// The illegal-instruction exception of `word`, of which the low 16 bits alone count when it
    /// is compressed.
    #[must_use]
    pub const fn illegal(word: u32) -> Trap {
        let bits = if isa::decode::length(word as u16) == 2 {
            word & 0xffff
        } else {
            word
        };
        Trap::exception(Exception::IllegalInstruction, bits as u64)
    }
}

/// Interrupts that are pending and enabled at once are taken in this order ("Supervisor
/// Interrupt (sip and sie) Registers").
const PRIORITY: [Interrupt; 3] = [Interrupt::External, Interrupt::Software, Interrupt::Timer];

impl Hart {
    /// Takes a trap into VS, from either mode. `pc` must be the instruction that caused it, or
    /// for an interrupt the one to be executed next.
    pub fn take_trap(&mut self, trap: Trap) {
        let code = trap.cause.scause();
        self.sepc = self.pc & !1;
        self.scause = code;
        self.stval = trap.value;

        let enabled = self.sstatus & csr::sstatus::SIE != 0;
        self.sstatus &= !(csr::sstatus::SIE | csr::sstatus::SPIE | csr::sstatus::SPP);
        if enabled {
            self.sstatus |= csr::sstatus::SPIE;
        }
        if self.mode == Mode::Supervisor {
            self.sstatus |= csr::sstatus::SPP;
        }
        self.mode = Mode::Supervisor;

        let base = self.stvec & !stvec::MODE;
        self.pc = match trap.cause {
            Cause::Interrupt(interrupt) if self.stvec & stvec::MODE == stvec::VECTORED => {
                base.wrapping_add(4 * interrupt.code())
            }
            _ => base,
        };
    }

    /// Goes back to where the last trap came from: what `sret` does in S-mode.
    pub(crate) fn return_from_trap(&mut self) {
        let was_enabled = self.sstatus & csr::sstatus::SPIE != 0;
        let to_supervisor = self.sstatus & csr::sstatus::SPP != 0;
        self.sstatus &= !(csr::sstatus::SIE | csr::sstatus::SPP);
        self.sstatus |= csr::sstatus::SPIE;
        if was_enabled {
            self.sstatus |= csr::sstatus::SIE;
        }
        self.mode = if to_supervisor {
            Mode::Supervisor
        } else {
            Mode::User
        };
        self.pc = self.sepc;
    }

    /// The interrupt to be taken before the next instruction, if any. In VU `sstatus.SIE` does
    /// not count: supervisor interrupts are always enabled there.
    #[must_use]
    pub fn pending_interrupt(&self) -> Option<Interrupt> {
        let enabled = self.mode == Mode::User || self.sstatus & csr::sstatus::SIE != 0;
        if !enabled {
            return None;
        }
        let deliverable = self.sip & self.sie;
        PRIORITY
            .into_iter()
            .find(|interrupt| deliverable & interrupt.bit() != 0)
    }

    /// Whether a hart that waits in `wfi` has to go on: an interrupt is pending and enabled in
    /// `sie`, whatever `sstatus.SIE` is ("Wait for Interrupt").
    #[must_use]
    pub const fn ends_wait(&self) -> bool {
        self.sip & self.sie != 0
    }

    /// Raises or lowers bits of `sip`, from the side of the devices and the SBI.
    pub const fn set_pending(&mut self, bit: u64, on: bool) {
        let bits = bit & INTERRUPTS;
        if on {
            self.sip |= bits;
        } else {
            self.sip &= !bits;
        }
    }
}
