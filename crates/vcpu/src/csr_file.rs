//! Which CSRs there are, and reading and writing them.

use core::mem::offset_of;

use isa::csr;

use crate::state::{Features, Hart, Mode};
use crate::warl::{self, Rule};

/// The access is not permitted, or there is no such CSR: an illegal-instruction exception.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Illegal;

/// What a guest reads straight from the hardware. Whoever runs the hart knows it.
pub trait Counters {
    /// Value of `cycle`.
    fn cycle(&self) -> u64;
    /// Value of `time`, in ticks of the platform's timebase.
    fn time(&self) -> u64;
    /// Value of `instret`.
    fn instret(&self) -> u64;
    /// Value of `th.sxstatus`, which kernels read where the vendor's identification says T-Head; `None`
    /// where there is none. What it says to be on is on for guests too. It is read-only to them.
    fn th_sxstatus(&self) -> Option<u64> {
        None
    }
}

/// A supervisor CSR that is a slot of [`Hart`].
struct Register {
    number: u16,
    offset: usize,
    value: fn(&Hart) -> u64,
    slot: fn(&mut Hart) -> &mut u64,
    rule: Rule,
}

macro_rules! registers {
    ($($number:ident $name:ident),* $(,)?) => {
        [$(Register {
            number: csr::$number,
            offset: offset_of!(Hart, $name),
            value: |hart| hart.$name,
            slot: |hart| &mut hart.$name,
            rule: warl::$name,
        }),*]
    };
}

/// All that a guest sees of the supervisor CSRs. What is not here is not there, `stimecmp` among
/// it: Sstc is not offered, a guest sets its timer through the SBI.
const REGISTERS: [Register; 11] = registers![
    SSTATUS sstatus,
    SIE sie,
    STVEC stvec,
    SCOUNTEREN scounteren,
    SENVCFG senvcfg,
    SSCRATCH sscratch,
    SEPC sepc,
    SCAUSE scause,
    STVAL stval,
    SIP sip,
    SATP satp,
];

impl Register {
    fn find(number: u16) -> Result<&'static Register, Illegal> {
        REGISTERS
            .iter()
            .find(|register| register.number == number)
            .ok_or(Illegal)
    }
}

/// Numbers of the counters, `hpmcounter3` to `hpmcounter31` included.
const COUNTERS: core::ops::RangeInclusive<u16> = csr::CYCLE..=csr::HPMCOUNTER31;

impl Hart {
    /// Where the slot of a CSR lies in [`Hart`], in bytes, for code that is not Rust. The slot
    /// holds what a guest reads; a write must go by [`Hart::write_rule`].
    #[must_use]
    pub fn csr_offset(csr: u16) -> Option<usize> {
        Some(Register::find(csr).ok()?.offset)
    }

    /// The function that legalises what is written to a CSR.
    #[must_use]
    pub fn write_rule(csr: u16) -> Option<Rule> {
        Some(Register::find(csr).ok()?.rule)
    }

    /// Reads a CSR in the hart's present mode.
    ///
    /// Floating-point and vector CSRs are the hardware's, which executes accesses to them. One
    /// that comes here was refused: the unit is Off or not there.
    ///
    /// # Errors
    /// When there is no such CSR, or it is not to be read in this mode.
    pub fn read_csr(&self, csr: u16, counters: &dyn Counters) -> Result<u64, Illegal> {
        if COUNTERS.contains(&csr) {
            return self.read_counter(csr, counters);
        }
        self.check_privilege(csr)?;
        if csr == csr::TH_SXSTATUS {
            return counters.th_sxstatus().ok_or(Illegal);
        }
        Register::find(csr).map(|register| (register.value)(self))
    }

    /// Writes a CSR in the hart's present mode, by the rule of [`warl`] for it.
    ///
    /// # Errors
    /// When there is no such CSR, it is read-only, or it is not to be reached in this mode.
    pub fn write_csr(&mut self, features: &Features, csr: u16, value: u64) -> Result<(), Illegal> {
        self.check_privilege(csr)?;
        let register = Register::find(csr)?;
        let slot = (register.slot)(self);
        *slot = (register.rule)(*slot, value, features);
        Ok(())
    }

    fn check_privilege(&self, csr: u16) -> Result<(), Illegal> {
        if u64::from(csr::lowest_privilege(csr)) <= self.mode as u64 {
            Ok(())
        } else {
            Err(Illegal)
        }
    }

    /// A counter, in VU only if its bit of `scounteren` is set ("Counter-Enable (scounteren)
    /// Register"). The counters for performance events read as 0: "Hardware Performance Monitor"
    /// lets any of them be read-only 0.
    fn read_counter(&self, csr: u16, counters: &dyn Counters) -> Result<u64, Illegal> {
        let is_enabled = self.scounteren >> (csr - csr::CYCLE) & 1 != 0;
        if self.mode == Mode::User && !is_enabled {
            return Err(Illegal);
        }
        Ok(match csr {
            csr::CYCLE => counters.cycle(),
            csr::TIME => counters.time(),
            csr::INSTRET => counters.instret(),
            _ => 0,
        })
    }
}
