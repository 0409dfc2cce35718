//! The Supervisor Binary Interface that a guest sees, version 3.0: what an `ecall` from VS does.
//!
//! [`handle`] decides what a call means and whether its arguments are valid; the VM itself is
//! behind the [`Machine`] trait. Chapter names in the comments are those of the RISC-V SBI
//! specification. There is no hypervisor extension for guests, and of the other extensions those
//! are here that [`Extension`] lists; every other call gets `SBI_ERR_NOT_SUPPORTED`, as chapter
//! "Binary Encoding" asks.
//!
//! What a guest configures hart by hart is kept in a [`PerHart`], which the machine stores: [`Pmu`]
//! says what its counters read, [`StealTime`] what is to be written to its memory.

#![no_std]
#![forbid(unsafe_code)]

mod base;
mod call;
mod console;
mod extension;
mod features;
mod fence;
mod hart_mask;
mod hart_state;
mod legacy;
mod machine;
mod per_hart;
mod pmu;
mod reset;
mod shared_memory;
mod steal_time;
mod suspend;

pub use base::{IMPLEMENTATION_ID, IMPLEMENTATION_VERSION, SPECIFICATION_VERSION};
pub use call::{Call, Error, Outcome};
pub use console::MOST_BYTES;
pub use extension::{EID_OWN, Extension, OWN_WINDOW_END};
pub use fence::{FenceRange, MOST_PAGES};
pub use hart_mask::{HartMask, Harts};
pub use hart_state::{HartStatus, Start, StartError};
pub use legacy::Legacy;
pub use machine::{Fault, Machine, MachineIds};
pub use per_hart::PerHart;
pub use pmu::{COUNTERS, CsrCounter, CsrView, Event, MOST_EVENT_ENTRIES, Pmu};
pub use reset::{ResetKind, ResetReason};
pub use steal_time::{StealTime, Store};

/// Carries out the call that hart `hart` made.
///
/// What the caller does with the [`Outcome`] is the other half: write the registers, step `sepc`
/// over the `ecall`, stop or suspend the hart.
pub fn handle(call: &Call, hart: usize, machine: &mut impl Machine) -> Outcome {
    let Some(extension) = Extension::from_id(call.extension) else {
        return Error::NotSupported.into();
    };
    match extension {
        Extension::Base => base::handle(call, machine).into(),
        Extension::Time => set_timer(call, hart, machine).into(),
        Extension::Ipi => send_ipi(call, machine).into(),
        Extension::Fence => fence::handle(call, machine).into(),
        Extension::HartState => hart_state::handle(call, hart, machine),
        Extension::Reset => reset::handle(call, machine),
        Extension::Pmu => pmu::handle(call, hart, machine).into(),
        Extension::Console => console::handle(call, machine).into(),
        Extension::Suspend => suspend::handle(call, hart, machine).unwrap_or_else(Into::into),
        Extension::StealTime => steal_time::handle(call, hart, machine).into(),
        Extension::Features => features::handle(call, hart, machine).into(),
        Extension::Own => own(call, machine).into(),
        Extension::Legacy(function) => legacy::handle(function, call, hart, machine),
    }
}

/// "Firmware Specific Extension Space": what a monitor in a guest must know of this one.
fn own(call: &Call, machine: &impl Machine) -> Result<u64, Error> {
    match call.function {
        OWN_WINDOW_END => Ok(machine.window_end()),
        _ => Err(Error::NotSupported),
    }
}

/// "Timer Extension": always succeeds; a deadline in the past interrupts at once.
fn set_timer(call: &Call, hart: usize, machine: &mut impl Machine) -> Result<u64, Error> {
    if call.function != sbi_spec::time::SET_TIMER as u64 {
        return Err(Error::NotSupported);
    }
    machine.set_timer(hart, call.arguments[0]);
    Ok(0)
}

/// "IPI Extension".
fn send_ipi(call: &Call, machine: &mut impl Machine) -> Result<u64, Error> {
    if call.function != sbi_spec::spi::SEND_IPI as u64 {
        return Err(Error::NotSupported);
    }
    let harts = HartMask::from_arguments(&call.arguments).validate(machine.hart_count())?;
    for hart in harts {
        machine.send_ipi(hart);
    }
    Ok(0)
}
