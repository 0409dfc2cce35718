//! The host's clock: the counters that guests read, and the time of day.

use devices::Board;
use devices::host_tree::HostTree;
use sbi::CsrView;
use vcpu::Counters;

use super::gate::{Attempt, attempt};
use super::{csr, window};

/// The hardware's counters, as the guest reads them: 0 where firmware keeps one to itself.
pub struct Hardware {
    /// Whether it is T-Head's.
    pub is_thead: bool,
    /// What the guest reads in `cycle` and in `instret`.
    pub views: [CsrView; 2],
}

impl Hardware {
    /// The hardware's own counters.
    pub const PLAIN: Self = Self {
        is_thead: false,
        views: [CsrView::Direct; 2],
    };
}

impl Counters for Hardware {
    fn cycle(&self) -> u64 {
        self.views[0].value(attempt(Attempt::Cycle).unwrap_or(0))
    }

    fn time(&self) -> u64 {
        csr::time()
    }

    fn instret(&self) -> u64 {
        self.views[1].value(attempt(Attempt::Instret).unwrap_or(0))
    }

    fn th_sxstatus(&self) -> Option<u64> {
        /// Memory types in PTEs, which the shadow does not take from the guest's.
        const MAEE: u64 = 1 << 21;
        // On another vendor's processor the CSR may be anything.
        if !self.is_thead {
            return None;
        }
        attempt(Attempt::ThSxstatus).map(|value| value & !MAEE)
    }
}

/// What the host knows of the time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Ticks of `time` in a second.
    pub timebase: u64,
    /// Nanoseconds from 1970 to the tick 0, where the host knows.
    epoch: Option<u64>,
}

const SECOND: u128 = 1_000_000_000;

impl Clock {
    /// Reads the host's clock, if it has one.
    pub fn new(tree: &HostTree) -> Self {
        let timebase = u64::from(tree.timebase_frequency.max(1));
        let mut clock = Self {
            timebase,
            epoch: None,
        };
        clock.epoch = tree.rtc.map(|registers| {
            let register = |offset| {
                let at = window::direct(registers.base.add(offset)).cast::<u32>();
                // SAFETY: the host's device tree says that a goldfish clock's registers are here.
                u64::from(unsafe { at.read_volatile() })
            };
            // Reading the low half latches the high one.
            let low = register(0);
            let now = register(4) << 32 | low;
            now.wrapping_sub(clock.nanoseconds(csr::time()))
        });
        clock
    }

    /// Whether the time of day is known.
    pub fn knows_the_day(&self) -> bool {
        self.epoch.is_some()
    }

    /// The time of day in nanoseconds since 1970, where it is known.
    pub fn now(&self) -> Option<u64> {
        let now = self.nanoseconds(csr::time());
        self.epoch.map(|epoch| epoch.wrapping_add(now))
    }

    /// So many ticks of `time` in nanoseconds.
    pub fn nanoseconds(&self, ticks: u64) -> u64 {
        (u128::from(ticks) * SECOND / u128::from(self.timebase)) as u64
    }

    /// The tick at which a time of day comes, in nanoseconds since 1970; `u64::MAX` for never.
    pub fn ticks_until(&self, alarm: Option<u64>) -> u64 {
        alarm.map_or(u64::MAX, |alarm| {
            let nanoseconds = u128::from(alarm.saturating_sub(self.epoch.unwrap_or(0)));
            let ticks = (nanoseconds * u128::from(self.timebase)).div_ceil(SECOND);
            u64::try_from(ticks).unwrap_or(u64::MAX)
        })
    }

    /// Tells a board's clock the time of day; the time since the tick 0 where the day is not known.
    pub fn show(&self, board: &mut Board) {
        board.set_time(self.now().unwrap_or_else(|| self.nanoseconds(csr::time())));
    }
}
