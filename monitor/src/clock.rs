//! Time for a guest: its timer, its real-time clock, and the one timer of the host behind both.

use devices::Board;
use devices::host_tree::HostTree;
use isa::csr::interrupt;
use patch::HartBlock;
use vcpu::Counters;

use super::gate::{Attempt, attempt};
use super::{csr, window};

/// The hardware's counters, as the guest reads them: 0 where firmware keeps one to itself.
pub struct Hardware;

impl Counters for Hardware {
    fn cycle(&self) -> u64 {
        attempt(Attempt::Cycle).unwrap_or(0)
    }

    fn time(&self) -> u64 {
        csr::time()
    }

    fn instret(&self) -> u64 {
        attempt(Attempt::Instret).unwrap_or(0)
    }
}

/// The clock of one guest.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// When the guest's timer interrupts, in ticks of `time`; `u64::MAX` for never.
    deadline: u64,
    /// Ticks a second.
    timebase: u64,
    /// Nanoseconds from 1970 to the tick 0, where the host knows.
    epoch: Option<u64>,
}

const SECOND: u128 = 1_000_000_000;

impl Clock {
    /// A clock with no interrupt to come.
    pub fn new(tree: &HostTree) -> Self {
        let timebase = u64::from(tree.timebase_frequency.max(1));
        let mut clock = Self {
            deadline: u64::MAX,
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

    fn nanoseconds(&self, ticks: u64) -> u64 {
        (u128::from(ticks) * SECOND / u128::from(self.timebase)) as u64
    }

    /// Sets the guest's timer, and takes back its pending interrupt.
    pub fn set_deadline(&mut self, block: &mut HartBlock, board: &mut Board, deadline: u64) {
        self.deadline = deadline;
        block.hart.set_pending(interrupt::STI, false);
        self.update(block, board);
    }

    /// Forgets the guest's timer.
    pub fn reset(&mut self) {
        self.deadline = u64::MAX;
    }

    /// Makes pending what is due and sets the host's timer for what is next.
    pub fn update(&mut self, block: &mut HartBlock, board: &mut Board) {
        let now = csr::time();
        if self.deadline <= now {
            self.deadline = u64::MAX;
            block.hart.set_pending(interrupt::STI, true);
        }
        self.tell(board, now);
        let alarm = self
            .epoch
            .zip(board.next_alarm())
            .map_or(u64::MAX, |(epoch, alarm)| {
                let nanoseconds = u128::from(alarm.saturating_sub(epoch));
                let ticks = (nanoseconds * u128::from(self.timebase)).div_ceil(SECOND);
                u64::try_from(ticks).unwrap_or(u64::MAX)
            });
        let next = self.deadline.min(alarm);
        // SAFETY: the host's timer interrupts while a guest runs or waits, which the slow path expects.
        unsafe {
            if next == u64::MAX {
                csr::clear!("sie", interrupt::STI);
            } else {
                sbi_rt::set_timer(next);
                csr::set!("sie", interrupt::STI);
            }
        }
    }

    /// Tells the board's clock the time of day.
    fn tell(&self, board: &mut Board, now: u64) {
        if let Some(epoch) = self.epoch {
            board.set_time(epoch.wrapping_add(self.nanoseconds(now)));
        }
    }

    /// Tells the board's clock the time of day, for a load of its registers.
    pub fn show(&self, board: &mut Board) {
        self.tell(board, csr::time());
    }
}
