//! "System Reset Extension".

use crate::call::{Call, Error, Outcome};
use crate::machine::Machine;
use sbi_spec::srst;

/// What happens to the VM.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResetKind {
    /// It ends.
    Shutdown,
    /// It starts again from power-on.
    ColdReboot,
    /// Its harts start again; devices may keep what they have.
    WarmReboot,
}

/// Why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResetReason {
    /// No reason was given.
    None,
    /// The system failed.
    SystemFailure,
}

pub fn handle(call: &Call, machine: &mut impl Machine) -> Outcome {
    if call.function != srst::SYSTEM_RESET as u64 {
        return Error::NotSupported.into();
    }
    // Both parameters are 32 bits wide.
    let kind = match call.arguments[0] as u32 {
        srst::RESET_TYPE_SHUTDOWN => ResetKind::Shutdown,
        srst::RESET_TYPE_COLD_REBOOT => ResetKind::ColdReboot,
        srst::RESET_TYPE_WARM_REBOOT => ResetKind::WarmReboot,
        _ => return Error::InvalidParameter.into(),
    };
    let reason = match call.arguments[1] as u32 {
        srst::RESET_REASON_NO_REASON => ResetReason::None,
        srst::RESET_REASON_SYSTEM_FAILURE => ResetReason::SystemFailure,
        _ => return Error::InvalidParameter.into(),
    };
    machine.reset(kind, reason);
    Outcome::Stop
}
