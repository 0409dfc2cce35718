//! "Performance Monitoring Unit Extension".

mod counter;
mod event;

pub use counter::{COUNTERS, CsrCounter, CsrView, Pmu};
pub use event::Event;

use crate::call::{Call, Error};
use crate::machine::Machine;
use crate::shared_memory;
use isa::address::{GuestPhys, PAGE_SIZE};
use sbi_spec::pmu;

/// Flags of `sbi_pmu_counter_config_matching`.
mod config {
    pub const SKIP_MATCH: u64 = 1 << 0;
    pub const CLEAR_VALUE: u64 = 1 << 1;
    pub const AUTO_START: u64 = 1 << 2;
    /// With the modes that are not to be counted, which are hints. Neither the host's counters nor
    /// the monitor's tell modes apart.
    pub const ALL: u64 = 0xff;
}

/// Flags of `sbi_pmu_counter_start`.
mod start {
    pub const SET_INITIAL_VALUE: u64 = 1 << 0;
    pub const INITIAL_SNAPSHOT: u64 = 1 << 1;
    pub const ALL: u64 = 0b11;
}

/// Flags of `sbi_pmu_counter_stop`.
mod stop {
    pub const RESET: u64 = 1 << 0;
    pub const TAKE_SNAPSHOT: u64 = 1 << 1;
    pub const ALL: u64 = 0b11;
}

/// Offset of `counter_values` in the snapshot, behind the bitmap of overflown counters.
const SNAPSHOT_VALUES: u64 = 8;

/// The most entries that one call of `sbi_pmu_event_get_info` may have. The specification lets no
/// call do less than it is asked, and this bounds the time until the hart can take an interrupt.
pub const MOST_EVENT_ENTRIES: u64 = 1024;
/// Bytes of an entry of `sbi_pmu_event_get_info`.
const ENTRY: u64 = 16;

pub fn handle(call: &Call, hart: usize, machine: &mut impl Machine) -> Result<u64, Error> {
    let arguments = call.arguments;
    let [first, second, third, ..] = arguments;
    let mut unit = Unit { hart, machine };
    match usize::try_from(call.function).map_err(|_| Error::NotSupported)? {
        pmu::NUM_COUNTERS => Ok(COUNTERS as u64),
        pmu::COUNTER_GET_INFO => unit.info(first),
        pmu::COUNTER_CONFIG_MATCHING => unit.configure(arguments),
        pmu::COUNTER_START => unit.start(arguments),
        pmu::COUNTER_STOP => unit.stop(arguments),
        pmu::COUNTER_FW_READ => unit.read(first),
        // "Always returns zero for RV64".
        pmu::COUNTER_FW_READ_HI => unit.read(first).map(|_| 0),
        pmu::SNAPSHOT_SET_SHMEM => unit.set_snapshot([first, second, third]),
        pmu::EVENT_GET_INFO => unit.event_info(arguments),
        _ => Err(Error::NotSupported),
    }
}

/// A set of counters, as `counter_idx_base` and `counter_idx_mask` give it.
///
/// # Errors
/// When one of them does not exist.
fn counters(base: u64, mask: u64) -> Result<impl Iterator<Item = usize> + Clone, Error> {
    let all_exist = mask.checked_ilog2().is_none_or(|highest| {
        base.checked_add(u64::from(highest))
            .is_some_and(|highest| highest < COUNTERS as u64)
    });
    let is_chosen = move |index: &usize| {
        (*index as u64)
            .checked_sub(base)
            .is_some_and(|bit| mask >> bit & 1 != 0)
    };
    all_exist
        .then(|| (0..COUNTERS).filter(is_chosen))
        .ok_or(Error::InvalidParameter)
}

/// No bit of `flags` may be set outside of `known`.
fn check_flags(flags: u64, known: u64) -> Result<(), Error> {
    match flags & !known {
        0 => Ok(()),
        _ => Err(Error::InvalidParameter),
    }
}

/// The PMU of the calling hart, for the time of one call.
struct Unit<'a, M> {
    hart: usize,
    machine: &'a mut M,
}

impl<M: Machine> Unit<'_, M> {
    fn pmu(&mut self) -> &mut Pmu {
        &mut self.machine.per_hart(self.hart).pmu
    }

    /// Whether the machine counts `event`.
    fn counts(&self, event: Event) -> bool {
        self.machine.event_total(self.hart, event).is_some()
    }

    fn total(&self, event: Event) -> u64 {
        self.machine.event_total(self.hart, event).unwrap_or(0)
    }

    /// The CSR that is counter `index`; `None` for a firmware counter.
    fn csr(&self, index: usize) -> Option<CsrCounter> {
        CsrCounter::from_index(index).filter(|csr| self.counts(csr.event()))
    }

    /// Whether counter `index` can monitor `event`.
    fn can_monitor(&self, index: usize, event: Event) -> bool {
        match self.csr(index) {
            Some(csr) => event == csr.event(),
            None => !matches!(event, Event::Cycles | Event::Instructions),
        }
    }

    /// The value of counter `index`.
    fn value(&mut self, index: usize) -> u64 {
        let counter = self.pmu().counters[index];
        // A CSR counts even when it is not configured.
        let event = match self.csr(index) {
            Some(csr) => Some(csr.event()),
            None => counter.event,
        };
        counter.value(event.map_or(0, |event| self.total(event)))
    }

    /// "Function: Get details of a counter".
    fn info(&self, index: u64) -> Result<u64, Error> {
        const FIRMWARE: u64 = 1 << 63;
        /// One less than the number of bits, in bits 12 to 17. "Should be ignored" for firmware
        /// counters, but Linux does not.
        const WIDTH: u64 = 63 << 12;
        Ok(match self.csr(existing(index)?) {
            Some(csr) => u64::from(csr.csr()) | WIDTH,
            None => FIRMWARE | WIDTH,
        })
    }

    /// "Function: Find and configure a matching counter".
    fn configure(&mut self, [base, mask, flags, event, data, _]: [u64; 6]) -> Result<u64, Error> {
        let mut set = counters(base, mask)?;
        check_flags(flags, config::ALL)?;
        let event = Event::new(event, data)
            .filter(|&event| self.counts(event))
            .ok_or(Error::NotSupported)?;
        let found = if flags & config::SKIP_MATCH != 0 {
            set.next().filter(|&index| self.can_monitor(index, event))
        } else {
            self.find(set, event)
        };
        let index = found.ok_or(Error::NotSupported)?;

        let value = self.value(index);
        let total = self.total(event);
        let is_csr = self.csr(index).is_some();
        let counter = &mut self.pmu().counters[index];
        let was_started = counter.is_started();
        counter.event = Some(event);
        if flags & config::CLEAR_VALUE != 0 {
            counter.stop_at(0);
        } else if was_started || !is_csr {
            // Another event does not change the value.
            counter.stop_at(value);
        }
        if was_started || flags & config::AUTO_START != 0 {
            counter.start(total);
        }
        Ok(index as u64)
    }

    /// A counter "which is not started and can monitor the specified event": rather one that is not
    /// configured for anything, because its user might not have started it yet.
    fn find(&mut self, set: impl Iterator<Item = usize>, event: Event) -> Option<usize> {
        let mut second_choice = None;
        for index in set {
            let counter = self.pmu().counters[index];
            if counter.is_started() || !self.can_monitor(index, event) {
                continue;
            }
            if counter.event.is_none() {
                return Some(index);
            }
            second_choice = second_choice.or(Some(index));
        }
        second_choice
    }

    /// "Function: Start a set of counters". One that was never configured has nothing to count, and
    /// is invalid.
    fn start(&mut self, [base, mask, flags, initial, ..]: [u64; 6]) -> Result<u64, Error> {
        let set = counters(base, mask)?;
        check_flags(flags, start::ALL)?;
        // "Mutually exclusive".
        if flags == start::ALL {
            return Err(Error::InvalidParameter);
        }
        let snapshot = self.snapshot(flags & start::INITIAL_SNAPSHOT != 0)?;
        if set
            .clone()
            .any(|index| self.pmu().counters[index].event.is_none())
        {
            return Err(Error::InvalidParameter);
        }
        let mut result = Ok(0);
        for index in set {
            let counter = self.pmu().counters[index];
            if counter.is_started() {
                result = Err(Error::AlreadyStarted);
                continue;
            }
            let value = match snapshot {
                Some(snapshot) => Some(self.load(value_address(snapshot, base, index))?),
                None => (flags & start::SET_INITIAL_VALUE != 0).then_some(initial),
            };
            let total = counter.event.map_or(0, |event| self.total(event));
            let counter = &mut self.pmu().counters[index];
            if let Some(value) = value {
                counter.stop_at(value);
            }
            counter.start(total);
        }
        result
    }

    /// "Function: Stop a set of counters".
    fn stop(&mut self, [base, mask, flags, ..]: [u64; 6]) -> Result<u64, Error> {
        let set = counters(base, mask)?;
        check_flags(flags, stop::ALL)?;
        let snapshot = self.snapshot(flags & stop::TAKE_SNAPSHOT != 0)?;
        let mut result = Ok(0);
        for index in set {
            let value = self.value(index);
            let counter = &mut self.pmu().counters[index];
            if counter.can_stop() {
                counter.stop_at(value);
            } else {
                result = Err(Error::AlreadyStopped);
            }
            if flags & stop::RESET != 0 {
                counter.event = None;
            }
            if let Some(snapshot) = snapshot {
                self.store(value_address(snapshot, base, index), value)?;
            }
        }
        // Without Sscofpmf, which guests do not have, the bitmap of overflown counters is zero.
        if let Some(snapshot) = snapshot {
            self.store(snapshot, 0)?;
        }
        result
    }

    /// "Function: Read a firmware counter".
    fn read(&mut self, index: u64) -> Result<u64, Error> {
        let index = existing(index)?;
        match self.csr(index) {
            Some(_) => Err(Error::InvalidParameter),
            None => Ok(self.value(index)),
        }
    }

    /// "Function: Set PMU snapshot shared memory".
    fn set_snapshot(&mut self, arguments: [u64; 3]) -> Result<u64, Error> {
        self.pmu().snapshot = shared_memory::area(arguments, PAGE_SIZE, PAGE_SIZE, self.machine)?;
        Ok(0)
    }

    /// The snapshot shared memory, if it is `wanted`.
    fn snapshot(&mut self, wanted: bool) -> Result<Option<GuestPhys>, Error> {
        match (wanted, self.pmu().snapshot) {
            (false, _) => Ok(None),
            (true, None) => Err(Error::NoSharedMemory),
            (true, snapshot) => Ok(snapshot),
        }
    }

    /// "Function: Get PMU Event info". Each entry is read once, and is what it was then.
    fn event_info(&mut self, [low, high, entries, flags, ..]: [u64; 6]) -> Result<u64, Error> {
        if flags != 0 || !GuestPhys(low).is_aligned(ENTRY) {
            return Err(Error::InvalidParameter);
        }
        let size = entries.checked_mul(ENTRY).ok_or(Error::InvalidAddress)?;
        let start = shared_memory::range(low, high, size, self.machine)?;
        if entries > MOST_EVENT_ENTRIES {
            return Err(Error::Failed);
        }
        for entry in 0..entries {
            let at = start.add(entry * ENTRY);
            let event = self.load(at)? as u32;
            // "Valid when event_idx.type is either 0x2, 0x3 or 0xf".
            let data = match event >> 16 {
                0 | 1 => 0,
                _ => self.load(at.add(8))?,
            };
            if event >> 20 != 0 {
                return Err(Error::InvalidParameter);
            }
            let is_supported =
                Event::new(event.into(), data).is_some_and(|event| self.counts(event));
            let output = u32::from(is_supported).to_le_bytes();
            if !self.machine.write_guest(at.add(4), &output) {
                return Err(Error::Failed);
            }
        }
        Ok(0)
    }

    fn load(&self, at: GuestPhys) -> Result<u64, Error> {
        let mut bytes = [0; 8];
        match self.machine.read_guest(at, &mut bytes) {
            true => Ok(u64::from_le_bytes(bytes)),
            false => Err(Error::Failed),
        }
    }

    fn store(&mut self, at: GuestPhys, value: u64) -> Result<(), Error> {
        match self.machine.write_guest(at, &value.to_le_bytes()) {
            true => Ok(()),
            false => Err(Error::Failed),
        }
    }
}

fn existing(index: u64) -> Result<usize, Error> {
    usize::try_from(index)
        .ok()
        .filter(|&index| index < COUNTERS)
        .ok_or(Error::InvalidParameter)
}

/// Where a snapshot has the value of a counter, which is counted from `base`.
fn value_address(snapshot: GuestPhys, base: u64, index: usize) -> GuestPhys {
    snapshot.add(SNAPSHOT_VALUES + 8 * (index as u64 - base))
}
