//! Which vCPU runs on which host hart, and for how long.
//!
//! There is one [`Scheduler`] for the machine, with one lock around it that the caller holds. It knows
//! neither harts nor clocks: the caller passes the time, interrupts the host harts that it names, and
//! calls [`Scheduler::pick`] on a host hart when it is interrupted, when it has nothing to run and
//! when the time that the last pick named has come.
//!
//! What it promises:
//!
//! 1. **Host time goes to VMs by weight**, whatever their number of vCPUs. A VM's *virtual time* is the
//!    host time that its vCPUs have had, divided by its weight. The VM with the least is next, in
//!    one queue for the whole machine.
//! 2. **The past gives no credit and leaves no debt.** Who sleeps, is capped, or has fewer vCPUs than its
//!    share would feed cannot save time up; who ran alone owes nothing to those who come later. The module
//!    `virtual_time` says how both are bounded.
//! 3. **No host hart idles** while it may run a ready vCPU.
//! 4. **No ready vCPU waits for ever**: after [`PATIENCE_MS`] it is next, whatever its VM has had.
//! 5. **A host hart that nobody else waits for is left alone**: it gets no end of slice.
//! 6. **A cap holds** in each period of [`PERIOD_MS`]: host time is leased out to vCPUs of a capped VM before
//!    they run, so that several host harts cannot overdraw it together.
//!
//! Times are ticks of the `time` CSR. Time that goes backwards by a little, as it may between two
//! host harts, counts as time that stands still.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod cap;
mod pick;
mod scheduler;
mod state;
mod virtual_time;

pub use pick::Pick;
pub use scheduler::Scheduler;
pub use state::{Share, State, VcpuAccount, VmAccount, VmState};

/// Milliseconds for which a vCPU runs before the choice is made anew, when others wait.
pub const SLICE_MS: u64 = 10;
/// Milliseconds of running that a VM may fall further behind than competition explains.
pub const CREDIT_MS: u64 = 5;
/// Milliseconds of its own running by which a VM must be behind to preempt another.
pub const GRANULARITY_MS: u64 = 1;
/// Milliseconds of the period over which a cap holds.
pub const PERIOD_MS: u64 = 100;
/// Milliseconds after which a ready vCPU is next whatever its VM has had.
pub const PATIENCE_MS: u64 = 1000;
/// The most host harts.
pub const MOST_CPUS: usize = 64;
