//! "Hart State Management Extension".

use crate::call::{Call, Error, Outcome};
use crate::machine::Machine;
use crate::per_hart::PerHart;
use isa::address::GuestPhys;
use sbi_spec::hsm;

/// The HSM states.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u64)]
pub enum HartStatus {
    /// Executing.
    Started = 0,
    /// Not executing until it is started.
    Stopped = 1,
    /// Asked to start, not yet executing.
    StartPending = 2,
    /// Asked to stop, not yet stopped.
    StopPending = 3,
    /// Waiting in a low-power state.
    Suspended = 4,
    /// Asked to suspend, not yet suspended.
    SuspendPending = 5,
    /// Woken, not yet executing.
    ResumePending = 6,
}

/// Where and how a hart starts, or resumes after a non-retentive suspension: at `address` with
/// `satp` 0, `sstatus.SIE` 0, its hart id in `a0` and `opaque` in `a1`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Start {
    /// The first instruction.
    pub address: GuestPhys,
    /// For `a1`.
    pub opaque: u64,
}

/// Why a hart does not start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartError {
    /// It is not stopped.
    AlreadyAvailable,
    /// Anything else.
    Failed,
}

pub fn handle(call: &Call, hart: usize, machine: &mut impl Machine) -> Outcome {
    match usize::try_from(call.function).unwrap_or(usize::MAX) {
        hsm::HART_START => start(call, machine).map(|()| 0).into(),
        hsm::HART_STOP => {
            // What the guest had configured ends with it.
            *machine.per_hart(hart) = PerHart::default();
            machine.hart_stop(hart);
            Outcome::Stop
        }
        hsm::HART_GET_STATUS => existing(call.arguments[0], machine)
            .map(|hart| machine.hart_status(hart) as u64)
            .into(),
        hsm::HART_SUSPEND => suspend(call, machine).unwrap_or_else(Into::into),
        _ => Error::NotSupported.into(),
    }
}

fn existing(id: u64, machine: &impl Machine) -> Result<usize, Error> {
    usize::try_from(id)
        .ok()
        .filter(|&hart| hart < machine.hart_count())
        .ok_or(Error::InvalidParameter)
}

/// Where a hart is to go on.
///
/// # Errors
/// [`Error::InvalidAddress`] when there is no memory to execute.
pub fn executable(address: u64, opaque: u64, machine: &impl Machine) -> Result<Start, Error> {
    let address = GuestPhys(address);
    // An instruction is two bytes at least, and lies at an even address.
    if address.is_aligned(2) && machine.is_memory(address, 2) {
        Ok(Start { address, opaque })
    } else {
        Err(Error::InvalidAddress)
    }
}

fn start(call: &Call, machine: &mut impl Machine) -> Result<(), Error> {
    let [id, address, opaque, ..] = call.arguments;
    let hart = existing(id, machine)?;
    // Before the address, as OpenSBI does: a guest may probe a hart with any address.
    if machine.hart_status(hart) != HartStatus::Stopped {
        return Err(Error::AlreadyAvailable);
    }
    let start = executable(address, opaque, machine)?;
    machine
        .hart_start(hart, start)
        .map_err(|error| match error {
            StartError::AlreadyAvailable => Error::AlreadyAvailable,
            StartError::Failed => Error::Failed,
        })
}

/// The two default suspend types. All others are reserved or somebody's own.
fn suspend(call: &Call, machine: &impl Machine) -> Result<Outcome, Error> {
    let [kind, address, opaque, ..] = call.arguments;
    // `suspend_type` is 32 bits wide.
    match kind as u32 {
        hsm::suspend_type::RETENTIVE => Ok(Outcome::Suspend { resume: None }),
        hsm::suspend_type::NON_RETENTIVE => Ok(Outcome::Suspend {
            resume: Some(executable(address, opaque, machine)?),
        }),
        _ => Err(Error::InvalidParameter),
    }
}
