//! "System Suspend Extension".

use crate::call::{Call, Error, Outcome};
use crate::hart_state::{HartStatus, executable};
use crate::machine::Machine;
use sbi_spec::susp;

/// The one standard sleep type. All others are reserved or a platform's own.
const SUSPEND_TO_RAM: u32 = 0;

pub fn handle(call: &Call, hart: usize, machine: &impl Machine) -> Result<Outcome, Error> {
    let [kind, address, opaque, ..] = call.arguments;
    if call.function != susp::SUSPEND as u64 {
        return Err(Error::NotSupported);
    }
    // `sleep_type` is 32 bits wide.
    if kind as u32 != SUSPEND_TO_RAM {
        return Err(Error::InvalidParameter);
    }
    let resume = executable(address, opaque, machine)?;
    // "Entry requires all but the calling hart be in the HSM STOPPED state". Only a started hart
    // can start another, so that this cannot change any more.
    let alone = (0..machine.hart_count())
        .all(|other| other == hart || machine.hart_status(other) == HartStatus::Stopped);
    if alone {
        Ok(Outcome::SystemSuspend { resume })
    } else {
        Err(Error::Denied)
    }
}
