//! "Debug Console Extension".

use crate::call::{Call, Error};
use crate::machine::Machine;
use crate::shared_memory;
use isa::address::GuestPhys;
use sbi_spec::dbcn;

/// The most bytes that one call writes or reads. Calls may do less than they are asked ("partial/no
/// writes"), and this bounds the time until the hart can take an interrupt again.
pub const MOST_BYTES: u64 = 4096;
/// Bytes copied from or to guest memory at a time.
const CHUNK: usize = 128;

pub fn handle(call: &Call, machine: &mut impl Machine) -> Result<u64, Error> {
    match usize::try_from(call.function).map_err(|_| Error::NotSupported)? {
        dbcn::CONSOLE_WRITE => write(shared_memory(call, machine)?, machine),
        dbcn::CONSOLE_READ => read(shared_memory(call, machine)?, machine),
        dbcn::CONSOLE_WRITE_BYTE => match machine.console_write(&[call.arguments[0] as u8]) {
            0 => Err(Error::Failed),
            _ => Ok(0),
        },
        _ => Err(Error::NotSupported),
    }
}

/// Guest memory that was checked: first address and bytes.
#[derive(Clone, Copy)]
struct Shared {
    start: GuestPhys,
    size: u64,
}

/// The range that `num_bytes`, `base_addr_lo` and `base_addr_hi` give.
///
/// # Errors
/// Not the usual [`Error::InvalidAddress`], but [`Error::InvalidParameter`].
fn shared_memory(call: &Call, machine: &impl Machine) -> Result<Shared, Error> {
    let [size, low, high, ..] = call.arguments;
    match shared_memory::range(low, high, size, machine) {
        Ok(start) => Ok(Shared { start, size }),
        Err(_) => Err(Error::InvalidParameter),
    }
}

fn write(from: Shared, machine: &mut impl Machine) -> Result<u64, Error> {
    let wanted = from.size.min(MOST_BYTES);
    let mut buffer = [0; CHUNK];
    let mut done = 0;
    while done < wanted {
        let length = (wanted - done).min(CHUNK as u64) as usize;
        let bytes = &mut buffer[..length];
        if !machine.read_guest(from.start.add(done), bytes) {
            return Err(Error::Failed);
        }
        let written = machine.console_write(bytes);
        done += written as u64;
        if written < length {
            break;
        }
    }
    Ok(done)
}

fn read(to: Shared, machine: &mut impl Machine) -> Result<u64, Error> {
    let wanted = to.size.min(MOST_BYTES);
    let mut done = 0;
    while done < wanted {
        let Some(byte) = machine.console_read() else {
            break;
        };
        if !machine.write_guest(to.start.add(done), &[byte]) {
            return Err(Error::Failed);
        }
        done += 1;
    }
    Ok(done)
}
