//! Trap causes (volume II, "Supervisor Cause (scause) Register").

/// Synchronous exceptions that a supervisor can see.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u64)]
pub enum Exception {
    /// Instruction address misaligned.
    InstructionMisaligned = 0,
    /// Instruction access fault.
    InstructionAccess = 1,
    /// Illegal instruction.
    IllegalInstruction = 2,
    /// Breakpoint.
    Breakpoint = 3,
    /// Load address misaligned.
    LoadMisaligned = 4,
    /// Load access fault.
    LoadAccess = 5,
    /// Store or AMO address misaligned.
    StoreMisaligned = 6,
    /// Store or AMO access fault.
    StoreAccess = 7,
    /// Environment call from U-mode.
    UserEcall = 8,
    /// Environment call from S-mode.
    SupervisorEcall = 9,
    /// Instruction page fault.
    InstructionPage = 12,
    /// Load page fault.
    LoadPage = 13,
    /// Store or AMO page fault.
    StorePage = 15,
}

impl Exception {
    /// The exception with this code in `scause`, the interrupt bit being clear.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Exception> {
        Some(match code {
            0 => Exception::InstructionMisaligned,
            1 => Exception::InstructionAccess,
            2 => Exception::IllegalInstruction,
            3 => Exception::Breakpoint,
            4 => Exception::LoadMisaligned,
            5 => Exception::LoadAccess,
            6 => Exception::StoreMisaligned,
            7 => Exception::StoreAccess,
            8 => Exception::UserEcall,
            9 => Exception::SupervisorEcall,
            12 => Exception::InstructionPage,
            13 => Exception::LoadPage,
            15 => Exception::StorePage,
            _ => return None,
        })
    }

    /// Its code in `scause`.
    #[must_use]
    pub const fn code(self) -> u64 {
        self as u64
    }
}

/// Interrupts that a supervisor can see. The code is also the bit's place in `sie` and `sip`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u64)]
pub enum Interrupt {
    /// Supervisor software interrupt.
    Software = 1,
    /// Supervisor timer interrupt.
    Timer = 5,
    /// Supervisor external interrupt.
    External = 9,
}

impl Interrupt {
    /// The interrupt with this code in `scause`, the interrupt bit being left out.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Interrupt> {
        Some(match code {
            1 => Interrupt::Software,
            5 => Interrupt::Timer,
            9 => Interrupt::External,
            _ => return None,
        })
    }

    /// Its code in `scause`.
    #[must_use]
    pub const fn code(self) -> u64 {
        self as u64
    }

    /// Its bit in `sie` and `sip`.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << self.code()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_name_the_same_cause_both_ways() {
        let known = (0..64).filter_map(Exception::from_code).count();
        assert_eq!(known, 13);
        for code in 0..64 {
            if let Some(exception) = Exception::from_code(code) {
                assert_eq!(exception.code(), code);
            }
            if let Some(interrupt) = Interrupt::from_code(code) {
                assert_eq!(interrupt.code(), code);
                assert_eq!(interrupt.bit(), 1 << code);
            }
        }
    }
}
