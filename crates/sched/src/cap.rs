//! Caps: in each period a VM has a budget of ticks, and its vCPUs lease from it before they run.

use crate::scheduler::Scheduler;

/// A VM's cap.
pub(crate) struct Cap {
    /// Ticks in each period.
    pub(crate) budget: u64,
    /// The period that `spent` belongs to: the time divided by the period's length.
    pub(crate) period: u64,
    /// Ticks run in this period, and what earlier ones overran.
    pub(crate) spent: u64,
}

impl Cap {
    /// What is left in the period that `now` is in, if nothing were leased.
    fn left(&self, period: u64) -> u64 {
        let passed = period.saturating_sub(self.period);
        let repaid = self.budget.saturating_mul(passed);
        self.budget
            .saturating_sub(self.spent.saturating_sub(repaid))
    }

    /// Accounts `ticks` run up to the time that `period` is the period of.
    pub(crate) fn spend(&mut self, ticks: u64, period: u64) {
        let passed = period.saturating_sub(self.period);
        self.spent = self
            .spent
            .saturating_sub(self.budget.saturating_mul(passed))
            + ticks;
        self.period = self.period.max(period);
    }
}

impl Scheduler {
    /// When the period that `now` is in ends.
    pub(crate) fn period_end(&self, now: u64) -> u64 {
        (now / self.period + 1).saturating_mul(self.period)
    }

    /// Ticks that a vCPU of `vm` may run from `now` on account of the cap, in one go; 0 when the VM is
    /// throttled, [`u64::MAX`] when it has no cap.
    pub(crate) fn lease(&self, vm: usize, now: u64) -> u64 {
        let Some(cap) = &self.vms[vm].cap else {
            return u64::MAX;
        };
        let running = self.cpus.iter().flatten();
        let leased = running
            .filter(|running| self.vcpus[running.vcpu].vm == vm)
            .fold(0, |sum: u64, running| sum.saturating_add(running.lease));
        let left = cap.left(now / self.period).saturating_sub(leased);
        if left <= self.crumb {
            return 0;
        }
        left.min(self.slice)
    }

    /// Whether `vm` has used up its cap for this period.
    pub(crate) fn throttled(&self, vm: usize, now: u64) -> bool {
        self.lease(vm, now) == 0
    }
}
