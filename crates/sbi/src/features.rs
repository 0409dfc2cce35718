//! "SBI Firmware Features Extension".

use crate::call::{Call, Error};
use crate::machine::Machine;
use sbi_spec::fwft::{self, feature_type};

/// The flag of `sbi_fwft_set`; the others are reserved.
const LOCK: u64 = 1;

/// The features of a hart. All that there are have local scope.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Features {
    misaligned_is_locked: bool,
}

pub fn handle(call: &Call, hart: usize, machine: &mut impl Machine) -> Result<u64, Error> {
    let [feature, value, flags, ..] = call.arguments;
    // `feature` is 32 bits wide.
    let feature = feature as u32;
    match usize::try_from(call.function).map_err(|_| Error::NotSupported)? {
        fwft::SET => set(feature, value, flags, hart, machine),
        fwft::GET => get(feature, machine),
        _ => Err(Error::NotSupported),
    }
}

/// The value of a feature.
///
/// Whether misaligned accesses trap is up to the host's firmware, and a guest sees it. The other
/// features are bits of CSRs that a hart without the hypervisor extension has only once (landing
/// pads, shadow stacks, double traps, pointer masking), or of one that guests are not offered
/// (Svadu, for updating A and D).
fn get(feature: u32, machine: &impl Machine) -> Result<u64, Error> {
    match feature as usize {
        feature_type::MISALIGNED_EXC_DELEG => Ok(u64::from(machine.misaligned_traps())),
        feature_type::LANDING_PAD..=feature_type::POINTER_MASKING_PMLEN => Err(Error::NotSupported),
        // Reserved, or "platform-specific and unimplemented".
        _ => Err(Error::Denied),
    }
}

/// Nothing can be changed; a value that the feature has already can be set and locked.
fn set(
    feature: u32,
    value: u64,
    flags: u64,
    hart: usize,
    machine: &mut impl Machine,
) -> Result<u64, Error> {
    let present = get(feature, machine)?;
    if flags & !LOCK != 0 || value > 1 {
        return Err(Error::InvalidParameter);
    }
    let locked = &mut machine.per_hart(hart).features.misaligned_is_locked;
    if value == present {
        // "The set operation will succeed if requested value matches the existing value", a locked
        // one too, as it is not modified.
        *locked |= flags & LOCK != 0;
        Ok(0)
    } else if *locked {
        Err(Error::DeniedLocked)
    } else {
        Err(Error::Denied)
    }
}
