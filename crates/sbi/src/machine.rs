//! What the SBI needs of the VM.

use crate::fence::FenceRange;
use crate::hart_mask::Harts;
use crate::hart_state::{HartStatus, Start, StartError};
use crate::per_hart::PerHart;
use crate::pmu::Event;
use crate::reset::{ResetKind, ResetReason};
use isa::address::{GuestPhys, GuestVirt};
use isa::csr::Exception;

/// What the guest is told that its harts are; an operating system chooses its errata by these.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MachineIds {
    /// `mvendorid`.
    pub vendor: u64,
    /// `marchid`.
    pub architecture: u64,
    /// `mimpid`.
    pub implementation: u64,
}

/// An exception that the guest takes at its `ecall` (chapter "Legacy Extensions": faults while
/// memory is accessed on behalf of the supervisor are redirected to it).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fault {
    /// For `scause`.
    pub cause: Exception,
    /// For `stval`.
    pub address: GuestVirt,
}

/// The VM as the SBI sees it. Harts have the ids 0 to `hart_count() - 1`; the ids that methods are
/// given exist.
pub trait Machine {
    /// Harts of the VM.
    fn hart_count(&self) -> usize;
    /// The host's machine ids.
    fn machine_ids(&self) -> MachineIds;

    /// The address behind the monitor's window, and behind those of the monitors below it.
    fn window_end(&self) -> u64;

    /// Makes `hart`'s timer interrupt pending when `time` reaches `deadline`, and not before.
    fn set_timer(&mut self, hart: usize, deadline: u64);
    /// Makes the supervisor software interrupt of `hart` pending.
    fn send_ipi(&mut self, hart: usize);
    /// Clears the supervisor software interrupt of `hart`; `true` if it was pending.
    fn clear_ipi(&mut self, hart: usize) -> bool;

    /// Has each of `harts` execute a `fence.i` before this returns.
    fn remote_fence_i(&mut self, harts: Harts);
    /// Has each of `harts` execute an `sfence.vma` for every page of `range`, for one address space
    /// or for all, before this returns.
    fn remote_sfence_vma(&mut self, harts: Harts, range: FenceRange, asid: Option<u16>);

    /// The state of `hart`.
    fn hart_status(&self, hart: usize) -> HartStatus;
    /// Starts `hart`. What the caller saw of its state may be out of date: this decides.
    ///
    /// # Errors
    /// When it is not stopped, or cannot be started.
    fn hart_start(&mut self, hart: usize, start: Start) -> Result<(), StartError>;
    /// Marks the calling hart `hart` as stopped.
    fn hart_stop(&mut self, hart: usize);
    /// Ends or restarts the VM, once the call is over.
    fn reset(&mut self, kind: ResetKind, reason: ResetReason);

    /// What the SBI keeps for the calling hart `hart`: by default at power-on, and nobody else's to
    /// change.
    fn per_hart(&mut self, hart: usize) -> &mut PerHart;
    /// How often `event` has happened on `hart` since some fixed moment, modulo 2^64; `None` if this
    /// machine does not count it, which must not change. For [`Event::Cycles`] and
    /// [`Event::Instructions`] it is what the hardware's `cycle` and `instret` have for the hart, and
    /// `None` if S-mode cannot read them.
    fn event_total(&self, hart: usize, event: Event) -> Option<u64>;
    /// Whether misaligned loads and stores that the hardware does not carry out reach the guest as
    /// exceptions; if not, someone carries them out for it.
    fn misaligned_traps(&self) -> bool;

    /// Writes to the console; how many of `bytes` it took.
    fn console_write(&mut self, bytes: &[u8]) -> usize;
    /// Takes a byte that was typed, without waiting for one.
    fn console_read(&mut self) -> Option<u8>;

    /// Whether all `size` bytes at `start` are memory of the guest. `size` is not 0; `start + size`
    /// may exceed 2^64.
    fn is_memory(&self, start: GuestPhys, size: u64) -> bool;
    /// Fills `bytes` from guest memory; `false` if not all of it is memory.
    #[must_use]
    fn read_guest(&self, from: GuestPhys, bytes: &mut [u8]) -> bool;
    /// Copies `bytes` to guest memory; `false` if not all of it is memory.
    #[must_use]
    fn write_guest(&mut self, to: GuestPhys, bytes: &[u8]) -> bool;
    /// Loads the 64-bit word at `at` as a load instruction of `hart`, in VS with its present
    /// `satp`, would.
    ///
    /// # Errors
    /// The exception of that load.
    fn read_guest_virtual(&mut self, hart: usize, at: GuestVirt) -> Result<u64, Fault>;
}
