//! The choice: what a host hart runs next, and which host hart a ready vCPU is offered to.

use crate::scheduler::Scheduler;
use crate::state::{Running, State, VmState};
use alloc::vec::Vec;
use core::cmp::Reverse;

/// What a host hart does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pick {
    /// It runs a vCPU.
    Run {
        /// The vCPU.
        vcpu: usize,
        /// When it must pick again; `None` when nobody else waits for it.
        until: Option<u64>,
        /// Another host hart that must be interrupted so that it picks: it can run what waits.
        interrupt: Option<usize>,
    },
    /// It has nothing to run.
    Idle {
        /// When it must pick again, because a cap's period ends; `None` when an interrupt will tell.
        until: Option<u64>,
    },
}

/// The best that a VM has for a host hart.
struct Candidate {
    vm: usize,
    vcpu: usize,
}

/// What waits for a host hart.
struct Waiting {
    /// One for each VM that may run.
    candidates: Vec<Candidate>,
    /// The vCPU that has waited longest.
    longest: Option<usize>,
    /// vCPUs that may run.
    ready: usize,
    /// Whether there are vCPUs that a cap alone keeps from running.
    throttled: bool,
}

/// Why a ready vCPU is offered to host harts.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Offer {
    /// It became ready, and may preempt.
    Woken,
    /// It was put off, and takes what is free.
    Rest,
}

impl Scheduler {
    /// What `cpu` runs from `now` on. What it ran until now is accounted and stays ready, unless
    /// its VM was stopped.
    pub fn pick(&mut self, cpu: usize, now: u64) -> Pick {
        self.settle(now);
        self.named &= !(1 << cpu);
        let before = self.cpus[cpu].take();
        if let Some(before) = before {
            self.note_overrun(before, now);
            self.put_back(before.vcpu, now);
        }
        let waiting = self.waiting(cpu, now);
        let throttle_ends = waiting.throttled.then(|| self.period_end(now));
        let competing = waiting.candidates.iter().map(|one| one.vm).collect();
        self.close_gaps(competing, now);
        let Some(mut running) = self.choose(cpu, &waiting, before, now) else {
            return Pick::Idle {
                until: throttle_ends,
            };
        };
        if waiting.ready == 1 {
            running.slice_end = None;
        }
        let lease_ends = (running.lease != u64::MAX).then(|| now.saturating_add(running.lease));
        let ends = [running.slice_end, lease_ends, throttle_ends];
        self.start(cpu, running, now);
        Pick::Run {
            vcpu: running.vcpu,
            until: ends.into_iter().flatten().min(),
            interrupt: self.interrupt_for_waiting(before, now),
        }
    }

    /// A vCPU stops running without blocking.
    fn put_back(&mut self, vcpu: usize, now: u64) {
        let stopped = self.vms[self.vcpus[vcpu].vm].state == VmState::Stopped;
        let vcpu = &mut self.vcpus[vcpu];
        vcpu.state = if stopped {
            State::Blocked
        } else {
            State::Ready
        };
        vcpu.last_ran = now;
        vcpu.ready_since = now;
    }

    fn start(&mut self, cpu: usize, running: Running, now: u64) {
        let vcpu = &mut self.vcpus[running.vcpu];
        vcpu.state = State::Running(cpu);
        vcpu.last_cpu = Some(cpu);
        vcpu.stolen += now.saturating_sub(vcpu.ready_since);
        self.cpus[cpu] = Some(running);
    }

    /// What waits for `cpu`.
    fn waiting(&self, cpu: usize, now: u64) -> Waiting {
        let mut waiting = Waiting {
            candidates: Vec::new(),
            longest: None,
            ready: 0,
            throttled: false,
        };
        for (vm, this) in self.vms.iter().enumerate() {
            let ready = this.vcpus.iter().copied().filter(|&id| {
                let vcpu = &self.vcpus[id];
                vcpu.state == State::Ready && vcpu.cpus & (1 << cpu) != 0
            });
            let Some(vcpu) = self.best_of_vm(ready.clone(), cpu) else {
                continue;
            };
            if this.state != VmState::Active {
                continue;
            }
            if self.throttled(vm, now) {
                waiting.throttled = true;
                continue;
            }
            waiting.ready += ready.clone().count();
            let longest = waiting.longest.into_iter().chain(ready);
            waiting.longest = longest.min_by_key(|&id| self.vcpus[id].ready_since);
            waiting.candidates.push(Candidate { vm, vcpu });
        }
        waiting
    }

    /// Of ready vCPUs of one VM, the one that ran least recently; of several, one that ran here.
    fn best_of_vm(&self, ready: impl Iterator<Item = usize>, cpu: usize) -> Option<usize> {
        ready.min_by_key(|&id| {
            let vcpu = &self.vcpus[id];
            (vcpu.last_ran, vcpu.last_cpu != Some(cpu))
        })
    }

    /// What `cpu` runs, of what waits. `before` is what it ran until now.
    fn choose(
        &self,
        cpu: usize,
        waiting: &Waiting,
        before: Option<Running>,
        now: u64,
    ) -> Option<Running> {
        let best = waiting.candidates.iter().min_by_key(|one| {
            let elsewhere = self.vcpus[one.vcpu].last_cpu != Some(cpu);
            (self.vms[one.vm].virtual_time, elsewhere)
        })?;
        if let Some(before) = before
            && before.slice_end.is_some_and(|end| end > now)
            && self.vcpus[before.vcpu].state == State::Ready
            && waiting
                .candidates
                .iter()
                .any(|one| one.vm == self.vcpus[before.vcpu].vm)
            && !self.takes_over(best.vm, &before)
        {
            let lease = self.lease(self.vcpus[before.vcpu].vm, now);
            return Some(Running { lease, ..before });
        }
        let overdue = waiting
            .longest
            .filter(|&id| now.saturating_sub(self.vcpus[id].ready_since) >= self.patience);
        let vcpu = overdue.unwrap_or(best.vcpu);
        Some(Running {
            vcpu,
            since: now,
            slice_end: Some(now.saturating_add(self.slice)),
            lease: self.lease(self.vcpus[vcpu].vm, now),
            overdue: overdue.is_some(),
        })
    }

    /// Whether a vCPU of `vm` ends the slice of what is `running`.
    fn takes_over(&self, vm: usize, running: &Running) -> bool {
        !running.overdue && self.preempts(vm, self.vcpus[running.vcpu].vm)
    }

    /// Whom to interrupt because of what waits after a pick: an idle host hart that can run some of it,
    /// or one for what ran here `before`.
    fn interrupt_for_waiting(&mut self, before: Option<Running>, now: u64) -> Option<usize> {
        let idle = self.idle();
        let may_run = |id: &usize| {
            let vcpu = &self.vcpus[*id];
            vcpu.state == State::Ready
                && vcpu.cpus & idle != 0
                && self.vms[vcpu.vm].state == VmState::Active
                && !self.throttled(vcpu.vm, now)
        };
        let for_idle = (idle != 0).then(|| (0..self.vcpus.len()).find(may_run));
        let put_off = before.map(|before| before.vcpu);
        let put_off = put_off.filter(|&id| {
            let vcpu = &self.vcpus[id];
            vcpu.state == State::Ready && !self.throttled(vcpu.vm, now)
        });
        let vcpu = for_idle.flatten().or(put_off)?;
        self.offer(vcpu, Offer::Rest, now)
    }

    /// Host harts that run nothing and were not told to pick: a mask.
    fn idle(&self) -> u64 {
        self.runs_nothing() & !self.named
    }

    fn runs_nothing(&self) -> u64 {
        let cpus = self.cpus.iter().enumerate();
        let idle = cpus.filter(|(_, running)| running.is_none());
        idle.fold(0, |mask, (cpu, _)| mask | 1 << cpu)
    }

    /// Whether there is a host hart that runs nothing for a ready `vcpu`, whoever else is ready.
    pub(crate) fn finds_idle(&self, vcpu: usize) -> bool {
        let idle = self.vcpus[vcpu].cpus & self.runs_nothing();
        let ready = self.vcpus.iter().filter(|other| {
            other.state == State::Ready
                && other.cpus & idle != 0
                && self.vms[other.vm].state == VmState::Active
        });
        idle.count_ones() as usize >= ready.count()
    }

    /// A vCPU is ready: names the host hart that has to pick because of it.
    ///
    /// An idle one, best the one that it last ran on; else, of those that it may preempt and those that
    /// were told that nobody waits for them, the one whose VM is furthest ahead.
    pub(crate) fn offer(&mut self, vcpu: usize, offer: Offer, now: u64) -> Option<usize> {
        let this = &self.vcpus[vcpu];
        let (vm, last) = (this.vm, this.last_cpu);
        if self.vms[vm].state != VmState::Active {
            return None;
        }
        let idle = this.cpus & self.idle();
        let allowed = this.cpus & !self.named;
        let may_preempt = offer == Offer::Woken && !self.throttled(vm, now);
        let chosen = if idle != 0 {
            let lowest = idle.trailing_zeros() as usize;
            last.filter(|&cpu| idle & (1 << cpu) != 0).or(Some(lowest))
        } else {
            let cpus = self.cpus.iter().enumerate();
            let busy = cpus.filter_map(|(cpu, running)| Some((cpu, (*running)?)));
            let busy = busy.filter(|&(cpu, _)| allowed & (1 << cpu) != 0);
            let yields = busy.filter(|(_, running)| {
                running.slice_end.is_none() || may_preempt && self.takes_over(vm, running)
            });
            let key = |&(cpu, running): &(usize, Running)| {
                let ahead = self.vms[self.vcpus[running.vcpu].vm].virtual_time;
                (ahead, last == Some(cpu), Reverse(cpu))
            };
            yields.max_by_key(key).map(|(cpu, _)| cpu)
        };
        self.named |= chosen.map_or(0, |cpu| 1 << cpu);
        if let Some(running) = chosen.and_then(|cpu| self.cpus[cpu].as_mut()) {
            // Somebody waits from now on.
            running.slice_end.get_or_insert(now);
        }
        chosen
    }
}
