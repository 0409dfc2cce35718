//! "Binary Encoding", "Shared memory physical address range parameter".

use crate::call::Error;
use crate::machine::Machine;
use isa::address::GuestPhys;

/// The `size` bytes of guest memory at the address that two registers give. No guest has memory
/// that needs the high one. An empty range touches nothing, wherever it is.
///
/// # Errors
/// [`Error::InvalidAddress`] when not all of it is memory.
pub fn range(low: u64, high: u64, size: u64, machine: &impl Machine) -> Result<GuestPhys, Error> {
    let start = GuestPhys(low);
    if high == 0 && (size == 0 || machine.is_memory(start, size)) {
        Ok(start)
    } else {
        Err(Error::InvalidAddress)
    }
}

/// The area that a function named `set_shmem` is given: `None` when it is to be disabled, by two
/// registers that are "all-ones bitwise".
///
/// # Errors
/// [`Error::InvalidParameter`] for `flags`, which "must be zero", and when `low` is no multiple of
/// `alignment`, a power of two; [`Error::InvalidAddress`] when not all `size` bytes are memory.
pub fn area(
    [low, high, flags]: [u64; 3],
    alignment: u64,
    size: u64,
    machine: &impl Machine,
) -> Result<Option<GuestPhys>, Error> {
    if flags != 0 {
        return Err(Error::InvalidParameter);
    }
    if low & high == u64::MAX {
        return Ok(None);
    }
    if !GuestPhys(low).is_aligned(alignment) {
        return Err(Error::InvalidParameter);
    }
    range(low, high, size, machine).map(Some)
}
