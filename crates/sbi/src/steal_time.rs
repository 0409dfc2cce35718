//! "Steal-time Accounting Extension": how long a virtual hart was ready to run, and did not.

use crate::call::{Call, Error};
use crate::machine::Machine;
use crate::shared_memory;
use isa::address::GuestPhys;
use sbi_spec::sta;

/// Bytes of the shared structure, which is aligned to as many.
const SIZE: usize = 64;
/// Offsets in it (table "STA Shared Memory Structure").
const SEQUENCE: u64 = 0;
const STEAL: u64 = 8;
const PREEMPTED: u64 = 16;

/// A store to guest memory. It was checked to be memory when the guest gave the address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Store {
    /// Where; a multiple of `size`.
    pub at: GuestPhys,
    /// What: its low `size` bytes, little-endian.
    pub value: u64,
    /// Bytes: 1, 4 or 8.
    pub size: usize,
}

/// The steal time of one hart, and the structure where the guest reads it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StealTime {
    area: Option<GuestPhys>,
    sequence: u32,
    /// Nanoseconds stolen since the guest gave the area.
    steal: u64,
}

impl StealTime {
    /// What to store when the hart is withheld from running although it is ready: the advisory
    /// `preempted` flag. `None` while the guest does not ask for it.
    #[must_use]
    pub fn preempted(&self) -> Option<Store> {
        self.store(PREEMPTED, 1, 1)
    }

    /// What to store before the hart, which was withheld for `nanoseconds`, runs again. Another hart
    /// may be reading: each store must be single, and seen by it before the next one.
    ///
    /// The time that the hart was idle or suspended does not count. `None` while the guest does not
    /// ask for it.
    #[must_use]
    pub fn resumed(&mut self, nanoseconds: u64) -> Option<[Store; 4]> {
        self.area?;
        self.steal = self.steal.wrapping_add(nanoseconds);
        // An odd number says that an update is going on.
        let [odd, even] = [1, 2].map(|step| u64::from(self.sequence.wrapping_add(step)));
        self.sequence = even as u32;
        Some([
            self.store(SEQUENCE, odd, 4)?,
            self.store(STEAL, self.steal, 8)?,
            self.store(SEQUENCE, even, 4)?,
            self.store(PREEMPTED, 0, 1)?,
        ])
    }

    fn store(&self, offset: u64, value: u64, size: usize) -> Option<Store> {
        let at = self.area?.add(offset);
        Some(Store { at, value, size })
    }
}

pub fn handle(call: &Call, hart: usize, machine: &mut impl Machine) -> Result<u64, Error> {
    if call.function != sta::SET_SHMEM as u64 {
        return Err(Error::NotSupported);
    }
    let [low, high, flags, ..] = call.arguments;
    let area = shared_memory::area([low, high, flags], SIZE as u64, SIZE as u64, machine)?;
    if let Some(area) = area
        && !machine.write_guest(area, &[0; SIZE])
    {
        return Err(Error::Failed);
    }
    machine.per_hart(hart).steal_time = StealTime {
        area,
        ..StealTime::default()
    };
    Ok(0)
}
