//! The scheduler's state, and everything that changes it except a pick.

use crate::cap::Cap;
use crate::pick::Offer;
use crate::state::{Running, Share, State, Vcpu, VcpuAccount, Vm, VmAccount, VmState};
use crate::{CREDIT_MS, GRANULARITY_MS, MOST_CPUS, PATIENCE_MS, PERIOD_MS, SLICE_MS};
use alloc::{vec, vec::Vec};

/// The scheduler of the machine.
///
/// Host harts, VMs and vCPUs are named by dense numbers from 0. Each method panics when it is given a
/// number that there is not.
///
/// To block a vCPU without losing a wake-up, the host hart takes the lock, looks once more whether
/// something is pending for the vCPU, and only then calls [`block`](Self::block); who makes
/// something pending does so before it takes the lock and calls [`wake`](Self::wake).
pub struct Scheduler {
    pub(crate) vms: Vec<Vm>,
    pub(crate) vcpus: Vec<Vcpu>,
    /// What runs on each host hart.
    pub(crate) cpus: Vec<Option<Running>>,
    /// Host harts that were named to be interrupted and have not picked since: a mask.
    pub(crate) named: u64,
    pub(crate) slice: u64,
    pub(crate) credit: u64,
    pub(crate) granularity: u64,
    pub(crate) period: u64,
    pub(crate) patience: u64,
    /// A budget with no more ticks than this left counts as used up: such a slice costs more than it gives.
    pub(crate) crumb: u64,
}

impl Scheduler {
    /// A scheduler for `cpus` host harts, all idle, whose `time` CSR counts `ticks_per_second`.
    ///
    /// # Panics
    ///
    /// When there is no host hart, or more than [`MOST_CPUS`].
    #[must_use]
    pub fn new(cpus: usize, ticks_per_second: u64) -> Self {
        assert!((1..=MOST_CPUS).contains(&cpus), "1 to 64 host harts");
        let ticks = |ms: u64| (ticks_per_second.saturating_mul(ms) / 1000).max(1);
        Self {
            vms: Vec::new(),
            vcpus: Vec::new(),
            cpus: vec![None; cpus],
            named: 0,
            slice: ticks(SLICE_MS),
            credit: ticks(CREDIT_MS),
            granularity: ticks(GRANULARITY_MS),
            period: ticks(PERIOD_MS),
            patience: ticks(PATIENCE_MS),
            crumb: ticks(PERIOD_MS) / 1000,
        }
    }

    /// Adds a VM and returns its number.
    pub fn add_vm(&mut self, share: Share) -> usize {
        let budget =
            |percent: u32| (self.period.saturating_mul(percent.max(1).into()) / 100).max(1);
        self.vms.push(Vm {
            weight: share.weight.clamp(1, 10_000),
            state: VmState::Active,
            vcpus: Vec::new(),
            ran: 0,
            virtual_time: 0,
            overrun: 0,
            cap: share.cap.map(|percent| Cap {
                budget: budget(percent),
                period: 0,
                spent: 0,
            }),
        });
        self.vms.len() - 1
    }

    /// Adds a vCPU, blocked, to `vm` and returns its number, which is counted over all VMs. It runs
    /// on host harts whose bits are set in `cpus` alone; bits of host harts that there are not mean
    /// nothing.
    ///
    /// # Panics
    ///
    /// When `cpus` allows no host hart.
    pub fn add_vcpu(&mut self, vm: usize, cpus: u64) -> usize {
        let cpus = cpus & (u64::MAX >> (MOST_CPUS - self.cpus.len()));
        assert!(cpus != 0, "a vCPU needs a host hart to run on");
        let id = self.vcpus.len();
        self.vms[vm].vcpus.push(id);
        self.vcpus.push(Vcpu {
            vm,
            cpus,
            state: State::Blocked,
            last_cpu: None,
            last_ran: 0,
            ready_since: 0,
            ran: 0,
            stolen: 0,
        });
        id
    }

    /// Something happened that `vcpu` may wait for. If it is blocked, it is ready now; else, or
    /// when its VM is stopped, nothing changes. Returns the host hart that must be interrupted, so
    /// that it picks, if any. It may be the caller's own. One that was named before and has not
    /// picked since is not named again.
    pub fn wake(&mut self, vcpu: usize, now: u64) -> Option<usize> {
        let vm = self.vcpus[vcpu].vm;
        if self.vcpus[vcpu].state != State::Blocked || self.vms[vm].state == VmState::Stopped {
            return None;
        }
        self.settle(now);
        self.vcpus[vcpu].state = State::Ready;
        self.vcpus[vcpu].ready_since = now;
        self.offer(vcpu, Offer::Woken, now)
    }

    /// The vCPU that runs on `cpu` waits for something (`wfi`, or it was stopped by its guest): it
    /// is blocked, and the host hart has nothing running and must pick. Nothing happens when
    /// nothing runs.
    pub fn block(&mut self, cpu: usize, now: u64) {
        self.settle(now);
        if let Some(running) = self.cpus[cpu].take() {
            self.note_overrun(running, now);
            let vcpu = &mut self.vcpus[running.vcpu];
            vcpu.state = State::Blocked;
            vcpu.last_ran = now;
        }
    }

    /// The vCPU that runs on `cpu` waits for `vcpu` of its own VM, as it does when it has sent it an
    /// interrupt. If that is ready and may run here, it is the next of the VM to do so, and `cpu` must
    /// pick (true). Other VMs lose nothing by it: it is the VM's time that both use.
    ///
    /// Nothing changes when there is an idle host hart for `vcpu`: it will run there, and would only
    /// drive the one that waits to that other host hart.
    #[must_use]
    pub fn yield_to(&mut self, cpu: usize, vcpu: usize, now: u64) -> bool {
        let next = &self.vcpus[vcpu];
        let may_run = next.state == State::Ready && next.cpus & 1 << cpu != 0;
        if self.finds_idle(vcpu) {
            return false;
        }
        let Some(running) = self.cpus[cpu].as_mut().filter(|_| may_run) else {
            return false;
        };
        if self.vcpus[running.vcpu].vm != self.vcpus[vcpu].vm {
            return false;
        }
        running.slice_end = Some(now);
        running.overdue = false;
        self.vcpus[vcpu].last_ran = 0;
        true
    }

    /// What `cpu` has done until now was not for the vCPU that runs there: if its slice has ended meanwhile, its
    /// VM did not overrun it.
    pub fn excuse(&mut self, cpu: usize, now: u64) {
        if let Some(running) = &mut self.cpus[cpu] {
            running.slice_end = running.slice_end.map(|end| end.max(now));
        }
    }

    /// No vCPU of `vm` is picked from now on. Returns the host harts that run some, as a mask: they must be
    /// interrupted, and have left the VM when they have picked ([`VmAccount::cpus`] tells). A stopped VM
    /// stays stopped.
    pub fn pause(&mut self, vm: usize) -> u64 {
        if self.vms[vm].state == VmState::Active {
            self.vms[vm].state = VmState::Paused;
        }
        self.cpus_of(vm)
    }

    /// As [`pause`](Self::pause), and all vCPUs are blocked, those that run as soon as their host
    /// harts pick; nothing wakes them until [`resume`](Self::resume).
    pub fn stop(&mut self, vm: usize, now: u64) -> u64 {
        self.end_waits(vm, now);
        self.vms[vm].state = VmState::Stopped;
        for &id in &self.vms[vm].vcpus {
            if self.vcpus[id].state == State::Ready {
                self.vcpus[id].state = State::Blocked;
            }
        }
        self.cpus_of(vm)
    }

    /// A paused VM goes on; a stopped one may be woken again, and should have left all host harts before.
    /// Returns the host harts that must be interrupted, so that they pick, as a mask.
    pub fn resume(&mut self, vm: usize, now: u64) -> u64 {
        if self.vms[vm].state == VmState::Active {
            return 0;
        }
        self.settle(now);
        // They have been kept from running; but a pause is no reason to be preferred to others now.
        self.end_waits(vm, now);
        self.vms[vm].state = VmState::Active;
        let mut interrupt = 0;
        for index in 0..self.vms[vm].vcpus.len() {
            let id = self.vms[vm].vcpus[index];
            if self.vcpus[id].state == State::Ready {
                interrupt |= self.offer(id, Offer::Woken, now).map_or(0, |cpu| 1 << cpu);
            }
        }
        interrupt
    }

    /// The vCPU that runs on `cpu`.
    #[must_use]
    pub fn running(&self, cpu: usize) -> Option<usize> {
        Some(self.cpus[cpu]?.vcpu)
    }

    /// What `vcpu` has had up to `now`.
    pub fn vcpu_account(&mut self, vcpu: usize, now: u64) -> VcpuAccount {
        self.settle(now);
        let vcpu = &self.vcpus[vcpu];
        let waits = vcpu.state == State::Ready;
        let waited = now.saturating_sub(vcpu.ready_since);
        VcpuAccount {
            state: vcpu.state,
            ran: vcpu.ran,
            stolen: vcpu.stolen + if waits { waited } else { 0 },
            last_cpu: vcpu.last_cpu,
        }
    }

    /// What `vm` has had up to `now`.
    pub fn vm_account(&mut self, vm: usize, now: u64) -> VmAccount {
        self.settle(now);
        VmAccount {
            state: self.vms[vm].state,
            ran: self.vms[vm].ran,
            cpus: self.cpus_of(vm),
        }
    }

    /// Accounts all running up to `now`.
    pub(crate) fn settle(&mut self, now: u64) {
        for running in self.cpus.iter_mut().flatten() {
            let ticks = now.saturating_sub(running.since);
            running.since = running.since.max(now);
            running.lease = running.lease.saturating_sub(ticks);
            let vcpu = &mut self.vcpus[running.vcpu];
            vcpu.ran += ticks;
            let vm = &mut self.vms[vcpu.vm];
            vm.ran += ticks;
            vm.virtual_time += crate::virtual_time::of(ticks, vm.weight);
            if let Some(cap) = &mut vm.cap {
                cap.spend(ticks, now / self.period);
            }
        }
    }

    /// Host harts that run vCPUs of `vm`: a mask.
    fn cpus_of(&self, vm: usize) -> u64 {
        let vcpus = self.vms[vm].vcpus.iter();
        vcpus.fold(0, |mask, &id| match self.vcpus[id].state {
            State::Running(cpu) => mask | 1 << cpu,
            State::Blocked | State::Ready => mask,
        })
    }

    /// Accounts what ready vCPUs of `vm` have waited.
    fn end_waits(&mut self, vm: usize, now: u64) {
        for &id in &self.vms[vm].vcpus {
            let vcpu = &mut self.vcpus[id];
            if vcpu.state == State::Ready {
                vcpu.stolen += now.saturating_sub(vcpu.ready_since);
                vcpu.ready_since = now;
            }
        }
    }
}
