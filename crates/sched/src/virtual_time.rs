//! Virtual time: the measure by which the next VM is chosen, and what bounds its memory of the past.
//!
//! With one host hart and VMs that never sleep, least virtual time first is all there is. Then a VM
//! is never further ahead of another than the one slice that it started when it was behind. Beyond
//! that, differences come from times when somebody lacked nothing:
//!
//! - A VM that sleeps, that is throttled, or that has too few vCPUs to use its share falls behind.
//! - A VM that runs alone on a host hart gets ahead.
//!
//! They mean nothing when the VMs compete later. So whenever some compete for a host hart, those that are
//! behind are brought up to a distance that competition itself can make, and a small credit, so that
//! who wakes gets in at once ([`Scheduler::close_gaps`]). Those below a gap move together: the order and
//! the differences among them stay.
//!
//! One more comes from a host hart that holds on to a VM beyond its slice, as while it waits for a device
//! of the VM's. Others lacked what it had then: its overrun counts as such a distance, until they have
//! caught up or want nothing.
//!
//! Virtual time never moves down: every correction takes from who is behind for no good reason, and
//! none gives.

use crate::scheduler::Scheduler;
use crate::state::{Running, State, VmState};
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

    /// Keeps in mind how long `running`, which ends, ran beyond its slice. Less than another slice is what
    /// interrupts and locks take.
    pub(crate) fn note_overrun(&mut self, running: Running, now: u64) {
        let end = running.slice_end.unwrap_or(now);
        let ticks = now.saturating_sub(end);
        if ticks < self.slice {
            return;
        }
        let vm = &mut self.vms[self.vcpus[running.vcpu].vm];
        vm.overrun += of(ticks, vm.weight);
    }

    /// Forgets of overruns what nobody lacks who waits for a host hart.
    fn forgive_overruns(&mut self, now: u64) {
        if self.vms.iter().all(|vm| vm.overrun == 0) {
            return;
        }
        let waits = |&vm: &usize| {
            let mut vcpus = self.vms[vm].vcpus.iter();
            self.vms[vm].state == VmState::Active
                && !self.throttled(vm, now)
                && vcpus.any(|&id| self.vcpus[id].state == State::Ready)
        };
        let waiting = (0..self.vms.len()).filter(waits);
        let times = waiting.map(|vm| self.vms[vm].virtual_time);
        let least = times.min().unwrap_or(u128::MAX);
        for vm in &mut self.vms {
            vm.overrun = vm.overrun.min(vm.virtual_time.saturating_sub(least));
        }
    }

    /// Of VMs that compete for a host hart, brings those that are further behind than competition can
    /// explain up to the others.
    pub(crate) fn close_gaps(&mut self, mut competing: Vec<usize>, now: u64) {
        self.forgive_overruns(now);
        competing.sort_unstable_by_key(|&vm| core::cmp::Reverse(self.vms[vm].virtual_time));
        // How far up those below may be brought at least, as seen by those above; and by how much it was done.
        let mut bound: Option<u128> = None;
        let mut raise = 0;
        for vm in competing {
            let own = self.vms[vm].virtual_time;
            if let Some(bound) = bound {
                raise += bound.saturating_sub(own + raise);
            }
            let this = &self.vms[vm];
            let reach = self.leap(vm) + of(self.credit, this.weight) + this.overrun;
            self.vms[vm].virtual_time = own + raise;
            let allows = (own + raise).saturating_sub(reach);
            bound = Some(bound.map_or(allows, |bound| bound.min(allows)));
        }
    }
}
