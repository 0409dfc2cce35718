//! What the scheduler knows of VMs, vCPUs and host harts.

use alloc::vec::Vec;

/// What a VM is given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Share {
    /// Relative to other VMs' weights, when they compete. Values outside 1 to 10,000 count as the nearest.
    pub weight: u32,
    /// Percent of one host hart that all vCPUs together get at most; 150 is one and a half. 0 counts as 1.
    pub cap: Option<u32>,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            weight: 100,
            cap: None,
        }
    }
}

/// What a vCPU is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It waits for something other than a host hart.
    Blocked,
    /// It waits for a host hart.
    Ready,
    /// It runs on this host hart.
    Running(usize),
}

/// Whether a VM takes part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VmState {
    /// Its ready vCPUs run.
    Active,
    /// None of its vCPUs is picked; they keep their states.
    Paused,
    /// All its vCPUs are blocked and stay so.
    Stopped,
}

/// What a vCPU has had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct VcpuAccount {
    /// What it is doing.
    pub state: State,
    /// Ticks that it ran.
    pub ran: u64,
    /// Ticks that it was ready and did not run, for want of a host hart, because of a cap or because its VM was
    /// paused: the steal time of the SBI specification (STA extension), "not idle and scheduled out".
    pub stolen: u64,
    /// The host hart that it runs on or last ran on.
    pub last_cpu: Option<usize>,
}

/// What a VM has had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct VmAccount {
    /// Whether it takes part.
    pub state: VmState,
    /// Ticks that its vCPUs ran, in sum.
    pub ran: u64,
    /// The host harts that run its vCPUs, or still do although it is paused or stopped: a mask.
    pub cpus: u64,
}

pub(crate) struct Vcpu {
    pub(crate) vm: usize,
    /// Host harts that it may run on: a mask, never empty.
    pub(crate) cpus: u64,
    pub(crate) state: State,
    pub(crate) last_cpu: Option<usize>,
    /// When it last stopped running.
    pub(crate) last_ran: u64,
    /// Since when it has been ready, or since the last resume.
    pub(crate) ready_since: u64,
    pub(crate) ran: u64,
    /// Without the time since `ready_since`.
    pub(crate) stolen: u64,
}

pub(crate) struct Vm {
    pub(crate) weight: u32,
    pub(crate) state: VmState,
    pub(crate) vcpus: Vec<usize>,
    pub(crate) ran: u64,
    /// Host time had, in the unit of `virtual_time`.
    pub(crate) virtual_time: u128,
    /// What it is ahead of others because it kept host harts beyond its slices, at the most.
    pub(crate) overrun: u128,
    pub(crate) cap: Option<crate::cap::Cap>,
}

/// What runs on a host hart.
#[derive(Clone, Copy)]
pub(crate) struct Running {
    pub(crate) vcpu: usize,
    /// Up to when it is accounted.
    pub(crate) since: u64,
    /// End of its slice; `None` when nobody waited for this host hart.
    pub(crate) slice_end: Option<u64>,
    /// Ticks that it may still run on account of its VM's cap.
    pub(crate) lease: u64,
    /// It waited too long, and keeps its slice whoever wakes.
    pub(crate) overdue: bool,
}
