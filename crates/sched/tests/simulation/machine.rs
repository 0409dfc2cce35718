//! A machine in which time is simulated: host harts that pick when they must and are interrupted with a
//! delay, vCPUs that spin or sleep. It checks what must hold at each moment.

use sched::{Pick, Scheduler, Share, State, VmState};
use std::ops::Range;

/// Ticks of a microsecond.
pub const US: u64 = 1;
pub const MS: u64 = 1000 * US;
pub const SECOND: u64 = 1000 * MS;

/// What a vCPU does when it has a host hart.
#[derive(Clone, Debug)]
pub enum Load {
    Spins,
    /// Runs for so many ticks, sleeps for so many.
    Sleeps {
        run: Range<u64>,
        sleep: Range<u64>,
    },
}

struct Cpu {
    running: Option<usize>,
    until: Option<u64>,
    interrupt: Option<u64>,
}

pub struct Vcpu {
    pub vm: usize,
    pub cpus: u64,
    load: Load,
    /// Ticks to run before it sleeps.
    left: u64,
    wakes: Option<u64>,
    blocked: bool,
    pub ran: u64,
    pub stolen: u64,
    /// How long it has waited for this turn.
    waits: u64,
    pub longest_wait: u64,
}

pub struct Machine {
    pub scheduler: Scheduler,
    pub now: u64,
    /// Most ticks from naming a host hart to its pick, and from `until` to the pick.
    pub delay: u64,
    cpus: Vec<Cpu>,
    pub vcpus: Vec<Vcpu>,
    pub shares: Vec<Share>,
    states: Vec<VmState>,
    /// Ticks run by each VM in the period at hand.
    in_period: Vec<u64>,
    seed: u64,
    pub picks: u64,
}

impl Machine {
    pub fn new(cpus: usize, seed: u64) -> Self {
        let cpu = || Cpu {
            running: None,
            until: None,
            interrupt: None,
        };
        Self {
            scheduler: Scheduler::new(cpus, SECOND),
            now: 0,
            delay: 20 * US,
            cpus: (0..cpus).map(|_| cpu()).collect(),
            vcpus: Vec::new(),
            shares: Vec::new(),
            states: Vec::new(),
            in_period: Vec::new(),
            seed: seed.wrapping_mul(2).wrapping_add(1),
            picks: 0,
        }
    }

    pub fn random(&mut self, range: &Range<u64>) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        range.start + self.seed % (range.end - range.start).max(1)
    }

    /// A VM with one vCPU for each load, pinned to `cpus`.
    pub fn vm(&mut self, share: Share, cpus: u64, loads: &[Load]) -> usize {
        let vm = self.scheduler.add_vm(share);
        self.shares.push(share);
        self.states.push(VmState::Active);
        self.in_period.push(0);
        for load in loads {
            self.vcpu(vm, cpus, load.clone());
        }
        vm
    }

    pub fn vcpu(&mut self, vm: usize, cpus: u64, load: Load) -> usize {
        let id = self.scheduler.add_vcpu(vm, cpus);
        self.vcpus.push(Vcpu {
            vm,
            cpus,
            load,
            left: u64::MAX,
            wakes: Some(self.now),
            blocked: true,
            ran: 0,
            stolen: 0,
            waits: 0,
            longest_wait: 0,
        });
        id
    }

    pub fn spinners(&mut self, weight: u32, count: usize) -> usize {
        let share = Share { weight, cap: None };
        self.vm(share, u64::MAX, &vec![Load::Spins; count])
    }

    pub fn set(&mut self, vm: usize, state: VmState) {
        let mask = match state {
            VmState::Active => self.scheduler.resume(vm, self.now),
            VmState::Paused => self.scheduler.pause(vm),
            VmState::Stopped => self.scheduler.stop(vm, self.now),
        };
        self.states[vm] = state;
        for cpu in (0..self.cpus.len()).filter(|cpu| mask & (1 << cpu) != 0) {
            self.interrupt(cpu);
        }
        if state == VmState::Stopped {
            for vcpu in self.vcpus.iter_mut().filter(|vcpu| vcpu.vm == vm) {
                vcpu.blocked = true;
                vcpu.wakes = None;
            }
        }
    }

    pub fn wake_at(&mut self, vcpu: usize, at: u64) {
        self.vcpus[vcpu].wakes = Some(at);
    }

    pub fn is_idle(&self, cpu: usize) -> bool {
        self.cpus[cpu].running.is_none()
    }

    /// Ticks that the VM ran.
    pub fn ran(&self, vm: usize) -> u64 {
        let vcpus = self.vcpus.iter().filter(|vcpu| vcpu.vm == vm);
        vcpus.map(|vcpu| vcpu.ran).sum()
    }

    /// Ticks that each VM runs in the next `ticks`.
    pub fn run_for(&mut self, ticks: u64) -> Vec<u64> {
        let vms = self.shares.len();
        let before: Vec<u64> = (0..vms).map(|vm| self.ran(vm)).collect();
        let end = self.now + ticks;
        while self.now < end {
            let next = self.next_event().map_or(end, |at| at.min(end));
            self.advance(next.max(self.now));
            self.events();
            self.check();
        }
        (0..vms).map(|vm| self.ran(vm) - before[vm]).collect()
    }

    fn next_event(&self) -> Option<u64> {
        let cpus = self.cpus.iter().flat_map(|cpu| {
            let blocks = cpu
                .running
                .map(|id| self.now.saturating_add(self.vcpus[id].left));
            [cpu.until, cpu.interrupt, blocks]
        });
        let wakes = self.vcpus.iter().map(|vcpu| vcpu.wakes);
        let period_ends = Some((self.now / (100 * MS) + 1) * 100 * MS);
        cpus.chain(wakes).chain([period_ends]).flatten().min()
    }

    fn runs(&self, id: usize) -> bool {
        self.cpus.iter().any(|cpu| cpu.running == Some(id))
    }

    fn waits(&self, id: usize) -> bool {
        !self.vcpus[id].blocked
            && !self.runs(id)
            && self.states[self.vcpus[id].vm] == VmState::Active
    }

    fn is_paused_ready(&self, id: usize) -> bool {
        !self.vcpus[id].blocked
            && !self.runs(id)
            && self.states[self.vcpus[id].vm] == VmState::Paused
    }

    fn advance(&mut self, to: u64) {
        let ticks = to - self.now;
        for id in 0..self.vcpus.len() {
            let (runs, waits) = (self.runs(id), self.waits(id));
            let is_paused_ready = self.is_paused_ready(id);
            let vcpu = &mut self.vcpus[id];
            if runs {
                vcpu.ran += ticks;
                vcpu.left -= ticks;
                self.in_period[vcpu.vm] += ticks;
                vcpu.waits = 0;
            } else if is_paused_ready {
                vcpu.stolen += ticks;
            } else if waits {
                vcpu.stolen += ticks;
                vcpu.waits += ticks;
                vcpu.longest_wait = vcpu.longest_wait.max(vcpu.waits);
            }
        }
        self.now = to;
        if to.is_multiple_of(100 * MS) {
            self.period_ended();
        }
    }

    /// No VM had more than its cap, but for what host harts were late.
    fn period_ended(&mut self) {
        for (ran, share) in self.in_period.iter_mut().zip(&self.shares) {
            if let Some(cap) = share.cap {
                let late = self.delay * self.cpus.len() as u64;
                assert!(
                    *ran <= u64::from(cap) * MS + late,
                    "{ran} ticks of a cap of {cap} %"
                );
            }
            *ran = 0;
        }
    }

    fn events(&mut self) {
        for id in 0..self.vcpus.len() {
            if self.vcpus[id].wakes.is_some_and(|at| at <= self.now) {
                self.wake(id);
            }
        }
        for cpu in 0..self.cpus.len() {
            if let Some(id) = self.cpus[cpu].running
                && self.vcpus[id].left == 0
            {
                self.sleep(cpu, id);
            }
            let due = [self.cpus[cpu].until, self.cpus[cpu].interrupt];
            if due.into_iter().flatten().any(|at| at <= self.now) {
                self.pick(cpu);
            }
        }
    }

    fn wake(&mut self, id: usize) {
        self.vcpus[id].wakes = None;
        if self.states[self.vcpus[id].vm] == VmState::Stopped {
            assert_eq!(self.scheduler.wake(id, self.now), None);
            return;
        }
        self.vcpus[id].blocked = false;
        self.vcpus[id].left = match self.vcpus[id].load.clone() {
            Load::Spins => u64::MAX,
            Load::Sleeps { run, .. } => self.random(&run),
        };
        if let Some(cpu) = self.scheduler.wake(id, self.now) {
            assert!(self.vcpus[id].cpus & (1 << cpu) != 0, "named in vain");
            self.interrupt(cpu);
        }
    }

    fn sleep(&mut self, cpu: usize, id: usize) {
        let Load::Sleeps { sleep, .. } = self.vcpus[id].load.clone() else {
            unreachable!("a spinner never blocks");
        };
        self.vcpus[id].blocked = true;
        self.vcpus[id].wakes = Some(self.now + self.random(&sleep));
        self.cpus[cpu].running = None;
        self.scheduler.block(cpu, self.now);
        self.pick(cpu);
    }

    fn interrupt(&mut self, cpu: usize) {
        let at = self.now + self.random(&(0..self.delay + 1));
        let before = self.cpus[cpu].interrupt.unwrap_or(u64::MAX);
        self.cpus[cpu].interrupt = Some(at.min(before));
    }

    fn pick(&mut self, cpu: usize) {
        self.picks += 1;
        self.cpus[cpu].interrupt = None;
        self.cpus[cpu].running = None;
        let late = self.random(&(0..self.delay + 1));
        match self.scheduler.pick(cpu, self.now) {
            Pick::Idle { until } => self.cpus[cpu].until = until.map(|at| at + late),
            Pick::Run {
                vcpu,
                until,
                interrupt,
            } => {
                assert!(!self.runs(vcpu), "it runs on two host harts");
                assert!(
                    self.vcpus[vcpu].cpus & (1 << cpu) != 0,
                    "it is pinned elsewhere"
                );
                assert!(!self.vcpus[vcpu].blocked, "it is blocked");
                assert_eq!(self.states[self.vcpus[vcpu].vm], VmState::Active);
                assert!(
                    until.is_none_or(|at| at > self.now),
                    "it has no time to run"
                );
                self.cpus[cpu].running = Some(vcpu);
                self.cpus[cpu].until = until.map(|at| at + late);
                if let Some(other) = interrupt {
                    assert_ne!(other, cpu);
                    self.interrupt(other);
                }
            }
        }
        assert_eq!(self.scheduler.running(cpu), self.cpus[cpu].running);
    }

    /// Where no interrupt is under way, a vCPU that no cap concerns waits only while all host harts that it
    /// may run on are busy, and one of them will pick again.
    fn check(&self) {
        if self.cpus.iter().any(|cpu| cpu.interrupt.is_some()) {
            return;
        }
        for (id, vcpu) in self.vcpus.iter().enumerate() {
            if !self.waits(id) || self.shares[vcpu.vm].cap.is_some() {
                continue;
            }
            let cpus = self.cpus.iter().enumerate();
            let allowed = cpus.filter(|(cpu, _)| vcpu.cpus & (1 << cpu) != 0);
            let allowed: Vec<&Cpu> = allowed.map(|(_, cpu)| cpu).collect();
            assert!(
                allowed.iter().all(|cpu| cpu.running.is_some()),
                "a host hart idles"
            );
            assert!(
                allowed.iter().any(|cpu| cpu.until.is_some()),
                "nobody will pick vCPU {id}"
            );
        }
    }

    /// The scheduler's accounts are what happened.
    pub fn check_accounts(&mut self) {
        for id in 0..self.vcpus.len() {
            let account = self.scheduler.vcpu_account(id, self.now);
            let (ran, stolen) = (self.vcpus[id].ran, self.vcpus[id].stolen);
            assert_eq!((account.ran, account.stolen), (ran, stolen), "vCPU {id}");
            let state = match self.cpus.iter().position(|cpu| cpu.running == Some(id)) {
                Some(cpu) => State::Running(cpu),
                None if self.vcpus[id].blocked => State::Blocked,
                None => State::Ready,
            };
            assert_eq!(account.state, state, "vCPU {id}");
        }
        for vm in 0..self.shares.len() {
            let account = self.scheduler.vm_account(vm, self.now);
            assert_eq!(account.ran, self.ran(vm), "VM {vm}");
        }
    }
}
