//! Virtual time: the measure by which the next VM is chosen, and what bounds its memory of the past.
//!
//! With one host hart and VMs that never sleep, least virtual time first is all there is. Three cases need more:
//!
//! - A VM that **wakes** is raised to where the others started their present slices, less a small
//!   credit, so that it gets in at once and cannot catch up on what it slept through.
//! - A VM may **fall behind while it lacks nothing**: one vCPU cannot use its half of four host harts. And it may
//!   **get ahead while nobody lacks anything**: alone on a host hart, it runs on. Both differences mean nothing when
//!   the VMs later compete, so whenever some compete for a host hart, those that are behind are
//!   brought up to a distance that competition itself can make ([`Scheduler::close_gaps`]). Those below a gap move
//!   together, so that the order and the differences among them stay.
//!
//! Virtual time never moves down: every correction takes from who is ahead of its right, and none gives.

use crate::scheduler::Scheduler;
use crate::state::{State, VmState};
use alloc::vec::Vec;

/// Units of virtual time that a tick is for a VM with weight 1. Large, for the sake of what divisions lose.
const SCALE: u128 = 1 << 20;

/// What `ticks` of running are in the virtual time of a VM with `weight`.
pub(crate) fn of(ticks: u64, weight: u32) -> u128 {
    u128::from(ticks) * SCALE / u128::from(weight)
}

impl Scheduler {
    /// The most by which the virtual time of `vm` can exceed that of a VM it competes with, because of
    /// slices that it started when it was behind.
    fn leap(&self, vm: usize) -> u128 {
        let vm = &self.vms[vm];
        let together = vm.vcpus.len().min(self.cpus.len()) as u64;
        of(self.slice * together, vm.weight)
    }

    /// Whether `vm` is far enough behind `other` to take a host hart from it.
    pub(crate) fn preempts(&self, vm: usize, other: usize) -> bool {
        let [vm, other] = [&self.vms[vm], &self.vms[other]];
        other.virtual_time > vm.virtual_time + of(self.granularity, vm.weight)
    }

    /// `vm` slept and is about to compete again.
    pub(crate) fn place(&mut self, vm: usize, now: u64) {
        let others = (0..self.vms.len()).filter(|&other| other != vm);
        let floor = others.filter_map(|other| self.position(other, now)).min();
        let Some(floor) = floor else { return };
        let credit = of(self.credit, self.vms[vm].weight);
        let vm = &mut self.vms[vm];
        vm.virtual_time = vm.virtual_time.max(floor.saturating_sub(credit));
    }

    /// Where a VM that competes started its present slice, or waits to start it.
    fn position(&self, vm: usize, now: u64) -> Option<u128> {
        let Self { vms, vcpus, .. } = self;
        let this = &vms[vm];
        let doing = |what: fn(&State) -> bool| this.vcpus.iter().any(|&id| what(&vcpus[id].state));
        if this.state != VmState::Active {
            None
        } else if doing(|state| matches!(state, State::Running(_))) {
            // Who has run alone for long has no slice that a start could be taken from.
            let latest = this.virtual_time.saturating_sub(self.leap(vm));
            Some(this.start.max(latest))
        } else if doing(|state| *state == State::Ready) && !self.throttled(vm, now) {
            Some(this.virtual_time)
        } else {
            None
        }
    }

    /// Of VMs that compete for a host hart, brings those that are further behind than competition can
    /// explain up to the others.
    pub(crate) fn close_gaps(&mut self, mut competing: Vec<usize>) {
        competing.sort_unstable_by_key(|&vm| core::cmp::Reverse(self.vms[vm].virtual_time));
        // How far up those below may be brought at least, as seen by those above; and by how much it was done.
        let mut bound: Option<u128> = None;
        let mut raise = 0;
        for vm in competing {
            let own = self.vms[vm].virtual_time;
            if let Some(bound) = bound {
                raise += bound.saturating_sub(own + raise);
            }
            let reach = self.leap(vm) + of(self.credit, self.vms[vm].weight);
            self.vms[vm].virtual_time = own + raise;
            let allows = (own + raise).saturating_sub(reach);
            bound = Some(bound.map_or(allows, |bound| bound.min(allows)));
        }
    }
}
