//! What to make of an instruction that the hardware refused.
//!
//! A host says which instruction it refused, and some say another than stands there. What is carried
//! out is what stands at `pc`, and nothing else. Where that is nothing that the hardware should have
//! refused, it is tried again: another hart may have changed it meanwhile. But not for ever.

use isa::decode::{Instruction, decode, length};

/// What to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// To carry out the privileged instruction that stands there.
    CarryOut(Instruction),
    /// To raise an illegal-instruction exception.
    Raise,
    /// To have the hardware try again what stands there.
    TryAgain,
}

/// Whether the reference emulator carries the instruction out when it traps as illegal.
fn is_privileged(instruction: &Instruction) -> bool {
    matches!(
        instruction,
        Instruction::Csr(_)
            | Instruction::Sret
            | Instruction::Wfi
            | Instruction::SfenceVma { .. }
            | Instruction::SinvalVma { .. }
            | Instruction::SfenceWInval
            | Instruction::SfenceInvalIr
            | Instruction::Cbo { .. }
    )
}

/// The privileged instruction that `word` is, if it is one.
#[must_use]
pub fn privileged(word: u32) -> Option<Instruction> {
    decode(word).filter(is_privileged)
}

/// An instruction in VS was refused as illegal: `word` stands at `pc`, and `reported` is what the host
/// has in `stval`, 0 where it does not say. `tries` have the tries at this `pc` so far.
pub fn judge(word: u32, reported: u64, pc: u64, tries: &mut Tries) -> Verdict {
    if let Some(instruction) = privileged(word) {
        return Verdict::CarryOut(instruction);
    }
    let word = if length(word as u16) == 2 {
        word & 0xffff
    } else {
        word
    };
    if reported == 0 || reported == u64::from(word) || tries.again(pc) > 1 {
        return Verdict::Raise;
    }
    Verdict::TryAgain
}

/// How often an instruction was tried again in succession.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tries {
    /// The latest, by its address and how many there were.
    now: (u64, u32),
    before: (u64, u32),
}

impl Tries {
    /// The hart has left the guest because of what it did there: whatever was tried before has gone well,
    /// unless it is tried again now.
    pub const fn begin(&mut self) {
        self.before = self.now;
        self.now = (0, 0);
    }

    /// The instruction at `pc` is tried again: for how many times in succession.
    pub const fn again(&mut self, pc: u64) -> u32 {
        let (at, count) = self.before;
        let count = if at == pc { count.saturating_add(1) } else { 1 };
        self.now = (pc, count);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MRET: u32 = 0x3020_0073;
    const CSRR_SCAUSE: u32 = 0x1420_2573;
    const NOP: u32 = 0x0000_0013;
    const PC: u64 = 0x8020_0000;

    fn first(word: u32, reported: u64) -> Verdict {
        let mut tries = Tries::default();
        tries.begin();
        judge(word, reported, PC, &mut tries)
    }

    #[test]
    fn what_stands_at_pc_is_carried_out_whatever_is_reported() {
        let expected = Verdict::CarryOut(decode(CSRR_SCAUSE).unwrap());
        for reported in [0, u64::from(CSRR_SCAUSE), u64::from(MRET), u64::MAX] {
            assert_eq!(first(CSRR_SCAUSE, reported), expected);
        }
    }

    #[test]
    fn what_is_reported_and_does_not_stand_there_is_never_carried_out() {
        let mut tries = Tries::default();
        for expected in [Verdict::TryAgain, Verdict::Raise] {
            tries.begin();
            let verdict = judge(MRET, CSRR_SCAUSE.into(), PC, &mut tries);
            assert_eq!(verdict, expected);
        }
    }

    #[test]
    fn what_is_illegal_raises_an_exception_at_once() {
        for reported in [0, MRET.into()] {
            assert_eq!(first(MRET, reported), Verdict::Raise);
        }
        // Of a compressed one the low half counts.
        assert_eq!(first(0x1234_8002, 0x8002), Verdict::Raise);
    }

    #[test]
    fn what_was_changed_meanwhile_is_tried_again() {
        assert_eq!(first(NOP, CSRR_SCAUSE.into()), Verdict::TryAgain);
    }

    #[test]
    fn tries_are_counted_in_succession_and_at_one_address() {
        let mut tries = Tries::default();
        let mut at = |pc| {
            tries.begin();
            tries.again(pc)
        };
        assert_eq!([at(2), at(2), at(2), at(4), at(2)], [1, 2, 3, 1, 1]);
        tries.begin();
        tries.begin();
        assert_eq!(tries.again(2), 1);
    }
}
