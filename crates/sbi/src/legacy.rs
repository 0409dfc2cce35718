//! "Legacy Extensions": the calls of SBI 0.1, each an extension of its own, which return in `a0`
//! alone.

use crate::call::{Call, Error, Outcome};
use crate::fence::FenceRange;
use crate::hart_mask::{HartMask, Harts};
use crate::machine::{Fault, Machine};
use crate::reset::{ResetKind, ResetReason};
use isa::address::GuestVirt;
use sbi_spec::legacy;

/// A legacy function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Legacy {
    /// `sbi_set_timer`.
    SetTimer,
    /// `sbi_console_putchar`.
    ConsolePutchar,
    /// `sbi_console_getchar`.
    ConsoleGetchar,
    /// `sbi_clear_ipi`.
    ClearIpi,
    /// `sbi_send_ipi`.
    SendIpi,
    /// `sbi_remote_fence_i`.
    RemoteFenceI,
    /// `sbi_remote_sfence_vma`.
    RemoteSfenceVma,
    /// `sbi_remote_sfence_vma_asid`.
    RemoteSfenceVmaAsid,
    /// `sbi_shutdown`.
    Shutdown,
}

impl Legacy {
    /// The function with this EID.
    pub(crate) const fn from_id(id: usize) -> Option<Self> {
        Some(match id {
            legacy::LEGACY_SET_TIMER => Self::SetTimer,
            legacy::LEGACY_CONSOLE_PUTCHAR => Self::ConsolePutchar,
            legacy::LEGACY_CONSOLE_GETCHAR => Self::ConsoleGetchar,
            legacy::LEGACY_CLEAR_IPI => Self::ClearIpi,
            legacy::LEGACY_SEND_IPI => Self::SendIpi,
            legacy::LEGACY_REMOTE_FENCE_I => Self::RemoteFenceI,
            legacy::LEGACY_REMOTE_SFENCE_VMA => Self::RemoteSfenceVma,
            legacy::LEGACY_REMOTE_SFENCE_VMA_ASID => Self::RemoteSfenceVmaAsid,
            legacy::LEGACY_SHUTDOWN => Self::Shutdown,
            _ => return None,
        })
    }
}

pub fn handle(function: Legacy, call: &Call, hart: usize, machine: &mut impl Machine) -> Outcome {
    let argument = call.arguments[0];
    let a0 = match function {
        Legacy::SetTimer => {
            machine.set_timer(hart, argument);
            0
        }
        Legacy::ConsolePutchar => {
            // Without a console "the character is thrown away".
            let _ = machine.console_write(&[argument as u8]);
            0
        }
        Legacy::ConsoleGetchar => machine.console_read().map_or(-1, i64::from),
        Legacy::ClearIpi => i64::from(machine.clear_ipi(hart)),
        Legacy::Shutdown => {
            machine.reset(ResetKind::Shutdown, ResetReason::None);
            return Outcome::Stop;
        }
        Legacy::SendIpi
        | Legacy::RemoteFenceI
        | Legacy::RemoteSfenceVma
        | Legacy::RemoteSfenceVmaAsid => match to_harts(function, call, hart, machine) {
            Ok(()) => 0,
            Err(Problem::Error(error)) => error.code(),
            Err(Problem::Fault(fault)) => return Outcome::Fault(fault),
        },
    };
    Outcome::LegacyReturn { a0 }
}

/// Words of the longest mask, for 512 harts: more than fit on the board.
const MOST_WORDS: usize = 8;

enum Problem {
    Error(Error),
    Fault(Fault),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The functions with a hart mask: a guest-virtual pointer to as many 64-bit words as it takes to
/// have a bit for every hart. The specification does not say what a null pointer means; to OpenSBI
/// and KVM it means every hart, as no mask does for the call's successor. Bits of harts that do not
/// exist are ignored.
fn to_harts(
    function: Legacy,
    call: &Call,
    hart: usize,
    machine: &mut impl Machine,
) -> Result<(), Problem> {
    let [pointer, start, size, asid, ..] = call.arguments;
    let action = match function {
        Legacy::SendIpi => Action::Ipi,
        Legacy::RemoteFenceI => Action::FenceI,
        Legacy::RemoteSfenceVma => Action::SfenceVma(FenceRange::new(start, size)?, None),
        _ => {
            let asid = u16::try_from(asid).map_err(|_| Error::InvalidParameter)?;
            Action::SfenceVma(FenceRange::new(start, size)?, Some(asid))
        }
    };
    let count = machine.hart_count();
    if pointer == 0 {
        action.apply(Harts::all(count), machine);
        return Ok(());
    }
    // All words are read before anything is done: a call that faults is made again.
    let mut masks = [0; MOST_WORDS];
    let words = count.div_ceil(64).min(MOST_WORDS);
    for (word, mask) in masks[..words].iter_mut().enumerate() {
        *mask = machine.read_guest_virtual(hart, GuestVirt(pointer).add(8 * word as u64))?;
    }
    for (word, &mask) in masks[..words].iter().enumerate() {
        action.apply(
            HartMask::new(mask, 64 * word as u64).existing(count),
            machine,
        );
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Action {
    Ipi,
    FenceI,
    SfenceVma(FenceRange, Option<u16>),
}

impl Action {
    fn apply(self, harts: Harts, machine: &mut impl Machine) {
        match self {
            Self::Ipi => harts.for_each(|hart| machine.send_ipi(hart)),
            Self::FenceI => machine.remote_fence_i(harts),
            Self::SfenceVma(range, asid) => machine.remote_sfence_vma(harts, range, asid),
        }
    }
}
