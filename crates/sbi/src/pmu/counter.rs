//! The counters of a hart.
//!
//! Nothing is counted here. The machine tells, when asked, how often an event has happened since
//! power-on, and a counter is that total and an offset: what is counted costs the hot paths nothing.

use super::event::Event;
use isa::address::GuestPhys;

/// Counters of a hart. Their numbers are chosen as others choose them, because Linux wants `cycle`
/// to be counter 0 and `instret` counter 2 (the CSRs' numbers less 0xc00). All others are firmware
/// counters, and so are these two where the host does not let S-mode read the CSR.
pub const COUNTERS: usize = 16;

/// A counter that the guest reads as a CSR.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CsrCounter {
    /// `cycle`, CSR 0xc00.
    Cycle,
    /// `instret`, CSR 0xc02.
    Instret,
}

impl CsrCounter {
    const ALL: [Self; 2] = [Self::Cycle, Self::Instret];

    /// The one that may be counter `index`.
    pub(super) fn from_index(index: usize) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|counter| counter.index() == index)
    }

    /// The number of the CSR.
    #[must_use]
    pub const fn csr(self) -> u16 {
        match self {
            Self::Cycle => isa::csr::CYCLE,
            Self::Instret => isa::csr::INSTRET,
        }
    }

    const fn index(self) -> usize {
        (self.csr() - isa::csr::CYCLE) as usize
    }

    /// The one event that it counts.
    pub(super) const fn event(self) -> Event {
        match self {
            Self::Cycle => Event::Cycles,
            Self::Instret => Event::Instructions,
        }
    }
}

/// What the guest reads in a [`CsrCounter`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CsrView {
    /// What the hardware has: the instruction need not trap.
    Direct,
    /// This many more, modulo 2^64.
    Offset(u64),
    /// This, as long as the counter is stopped.
    Stopped(u64),
}

impl CsrView {
    /// The value that the guest reads, where the hardware has `hardware`.
    #[must_use]
    pub const fn value(self, hardware: u64) -> u64 {
        match self {
            Self::Direct => hardware,
            Self::Offset(offset) => hardware.wrapping_add(offset),
            Self::Stopped(value) => value,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Count {
    /// As the machine has it, from power-on until the counter is first configured: firmware leaves
    /// `cycle` and `instret` running.
    Free,
    Stopped(u64),
    /// The event's total and this, modulo 2^64.
    Started(u64),
}

/// One counter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Counter {
    /// What it is configured to count.
    pub event: Option<Event>,
    count: Count,
}

impl Counter {
    pub fn is_started(&self) -> bool {
        matches!(self.count, Count::Started(_))
    }

    /// Whether there is something to stop. A CSR that counts since power-on is stopped only as the
    /// counter of an event: who stops all counters at boot means none that he has not configured.
    pub fn can_stop(&self) -> bool {
        match self.count {
            Count::Free => self.event.is_some(),
            Count::Stopped(_) => false,
            Count::Started(_) => true,
        }
    }

    /// Its value, when its event has happened `total` times.
    pub fn value(&self, total: u64) -> u64 {
        match self.count {
            Count::Free => total,
            Count::Stopped(value) => value,
            Count::Started(offset) => total.wrapping_add(offset),
        }
    }

    /// Counts from its present value.
    pub fn start(&mut self, total: u64) {
        self.count = match self.count {
            Count::Free => Count::Started(0),
            Count::Stopped(value) => Count::Started(value.wrapping_sub(total)),
            started @ Count::Started(_) => started,
        };
    }

    /// Counts no more, and holds `value`.
    pub fn stop_at(&mut self, value: u64) {
        self.count = Count::Stopped(value);
    }
}

/// The performance counters of one hart, as the guest has configured them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pmu {
    pub(super) counters: [Counter; COUNTERS],
    /// The snapshot shared memory, of one page.
    pub(super) snapshot: Option<GuestPhys>,
}

impl Default for Pmu {
    fn default() -> Self {
        let counter = |index| Counter {
            event: None,
            count: match CsrCounter::from_index(index) {
                Some(_) => Count::Free,
                None => Count::Stopped(0),
            },
        };
        Self {
            counters: core::array::from_fn(counter),
            snapshot: None,
        }
    }
}

impl Pmu {
    /// What the guest reads in `cycle` or `instret`. It changes by calls of the PMU extension alone.
    #[must_use]
    pub fn view(&self, counter: CsrCounter) -> CsrView {
        match self.counters[counter.index()].count {
            Count::Free | Count::Started(0) => CsrView::Direct,
            Count::Started(offset) => CsrView::Offset(offset),
            Count::Stopped(value) => CsrView::Stopped(value),
        }
    }
}
