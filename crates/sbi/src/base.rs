//! "Base Extension": what SBI this is, and on what machine.

use crate::call::{Call, Error};
use crate::extension::Extension;
use crate::machine::Machine;
use sbi_spec::base;

/// The version of the SBI specification: major number in bits 24 to 30, minor below.
pub const SPECIFICATION_VERSION: u64 = 3 << 24;
/// Our number among SBI implementations. The specification's table assigns the small numbers, and
/// none to this one, so it is out of their way: the letters "PV".
pub const IMPLEMENTATION_ID: u64 = 0x5056;
/// The version of this implementation: major, minor and patch number in a byte each.
pub const IMPLEMENTATION_VERSION: u64 = number(env!("CARGO_PKG_VERSION_MAJOR")) << 16
    | number(env!("CARGO_PKG_VERSION_MINOR")) << 8
    | number(env!("CARGO_PKG_VERSION_PATCH"));

/// A decimal number, at build time.
const fn number(digits: &str) -> u64 {
    match u64::from_str_radix(digits, 10) {
        Ok(number) => number,
        Err(_) => panic!("cargo gives version numbers in digits"),
    }
}

pub fn handle(call: &Call, machine: &impl Machine) -> Result<u64, Error> {
    let function = usize::try_from(call.function).map_err(|_| Error::NotSupported)?;
    Ok(match function {
        base::GET_SBI_SPEC_VERSION => SPECIFICATION_VERSION,
        base::GET_SBI_IMPL_ID => IMPLEMENTATION_ID,
        base::GET_SBI_IMPL_VERSION => IMPLEMENTATION_VERSION,
        base::PROBE_EXTENSION => u64::from(Extension::from_id(call.arguments[0]).is_some()),
        base::GET_MVENDORID => machine.machine_ids().vendor,
        base::GET_MARCHID => machine.machine_ids().architecture,
        base::GET_MIMPID => machine.machine_ids().implementation,
        _ => return Err(Error::NotSupported),
    })
}
