//! The harts of the host that run guests.
//!
//! Each has a stack, on which the slow path and the run loop execute, and knows which virtual hart it
//! runs. `tp` holds the address of its [`Cpu`] whenever the monitor runs.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use isa::csr::interrupt;

use super::interrupts::POLLS;
use super::{console, csr, system, wfi, window};

/// Bytes of a host hart's stack, and of the one that faults are reported on.
const STACK: usize = 64 << 10;
const FAULT_STACK: usize = 16 << 10;

/// No virtual hart.
const NONE: usize = usize::MAX;

/// A hart of the host.
#[repr(C)]
#[derive(Debug)]
pub struct Cpu {
    /// Its stack, from the top; the boot code reads it.
    pub stack: u64,
    /// The stack for faults of the monitor itself, from the top; the gate reads it.
    pub fault_stack: u64,
    /// Its number among those that run guests.
    pub index: usize,
    /// Its hart id.
    pub hart: u64,
    /// The virtual hart that it runs, by its number in the scheduler.
    current: AtomicUsize,
    /// The virtual hart whose address translations and instructions it may have cached, and whose
    /// extension registers it holds.
    loaded: AtomicUsize,
    /// When the scheduler wants to be asked again, in ticks of `time`.
    slice_end: AtomicU64,
    /// The scheduler must be asked again.
    choose: AtomicBool,
    /// What the host's timer is set to.
    timer: AtomicU64,
    /// A guest's timer was set: the host's may have to be.
    timer_is_stale: AtomicBool,
    /// When it is to look at the console's unfinished lines.
    flush_at: AtomicU64,
    /// When it is to look at what does not interrupt.
    poll_at: AtomicU64,
    /// The machine whose lock it holds.
    holds: AtomicUsize,
}

impl Cpu {
    /// A hart that runs nothing.
    pub fn new(index: usize, hart: u64) -> Self {
        let stack = |size| {
            let stack = Box::leak(alloc::vec![0u128; size / 16].into_boxed_slice());
            stack.as_mut_ptr_range().end as u64
        };
        Self {
            stack: stack(STACK),
            fault_stack: stack(FAULT_STACK),
            index,
            hart,
            current: AtomicUsize::new(NONE),
            loaded: AtomicUsize::new(NONE),
            slice_end: AtomicU64::new(u64::MAX),
            choose: AtomicBool::new(false),
            timer: AtomicU64::new(0),
            timer_is_stale: AtomicBool::new(false),
            flush_at: AtomicU64::new(u64::MAX),
            poll_at: AtomicU64::new(u64::MAX),
            holds: AtomicUsize::new(NONE),
        }
    }

    /// The virtual hart that this hart runs, by its number in the scheduler.
    pub fn current(&self) -> Option<usize> {
        Some(self.current.load(Ordering::Relaxed)).filter(|&vcpu| vcpu != NONE)
    }

    /// Says which virtual hart it runs from now on.
    pub fn set_current(&self, vcpu: Option<usize>) {
        self.current.store(vcpu.unwrap_or(NONE), Ordering::Relaxed);
    }

    /// Notes that this hart holds the state of `vcpu`; whether it did so before.
    pub fn load(&self, vcpu: usize) -> bool {
        self.loaded.swap(vcpu, Ordering::Relaxed) == vcpu
    }

    /// The machine whose lock this hart holds.
    pub fn holds(&self) -> Option<usize> {
        Some(self.holds.load(Ordering::Relaxed)).filter(|&vm| vm != NONE)
    }

    /// Says which machine's lock it holds.
    pub fn set_holds(&self, vm: Option<usize>) {
        self.holds.store(vm.unwrap_or(NONE), Ordering::Relaxed);
    }

    /// When the scheduler is to be asked again; the timer interrupts then.
    pub fn set_slice_end(&self, until: Option<u64>) {
        self.slice_end
            .store(until.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The scheduler is being asked: what asks for it from now on asks for another time.
    pub fn choosing(&self) {
        self.choose.store(false, Ordering::SeqCst);
    }

    /// A timer that this hart looks after was set.
    pub fn timer_changed(&self) {
        self.timer_is_stale.store(true, Ordering::Relaxed);
    }

    /// This hart, which is the caller's, looks at the console's unfinished lines then, or sooner if it was to.
    pub fn flush_at(&self, time: u64) {
        if self.flush_at.load(Ordering::Relaxed) == u64::MAX {
            self.flush_at.store(time, Ordering::Relaxed);
            self.timer_changed();
        }
    }

    /// Sets the host's timer if that may be necessary.
    pub fn update_timer(&self) {
        if self.timer_is_stale.load(Ordering::Relaxed) {
            self.set_timer();
        }
    }

    /// Whether the scheduler is to be asked again.
    pub fn must_choose(&self) -> bool {
        self.choose.load(Ordering::Relaxed)
    }

    /// This hart, which is the caller's, asks the scheduler before it enters a guest.
    pub fn choose_soon(&self) {
        self.choose.store(true, Ordering::Relaxed);
    }

    /// Interrupts this hart and has it ask the scheduler.
    pub fn ask_to_choose(&self) {
        self.choose.store(true, Ordering::SeqCst);
        self.interrupt();
    }

    /// Interrupts this hart, so that it leaves the guest or its sleep.
    pub fn interrupt(&self) {
        sbi_rt::send_ipi(sbi_rt::HartMask::from_mask_base(1, self.hart as usize));
    }

    /// The host's interrupts that are pending and enabled.
    pub fn pending() -> u64 {
        csr::read!("sip") & csr::read!("sie")
    }

    /// Serves the host's interrupts that are pending.
    pub fn serve_interrupts(&self) {
        let pending = Self::pending();
        if pending & interrupt::SSI != 0 {
            // SAFETY: acknowledges the software interrupt; what it was sent for is looked at next.
            unsafe { csr::clear!("sip", interrupt::SSI) };
        }
        if pending & interrupt::STI != 0 {
            self.timer_interrupt();
        }
        if pending & interrupt::SEI != 0 {
            system::get().external_interrupt();
        }
        if pending & interrupt::SSI != 0
            && self.index == 0
            && let Some(net) = &system::get().devices.net
        {
            net.go_on();
        }
    }

    fn timer_interrupt(&self) {
        let now = csr::time();
        if self.slice_end.load(Ordering::Relaxed) <= now {
            self.choose.store(true, Ordering::Relaxed);
            self.slice_end.store(u64::MAX, Ordering::Relaxed);
        }
        system::get().fire_timers(self, now);
        if self.flush_at.load(Ordering::Relaxed) <= now {
            self.flush_at.store(u64::MAX, Ordering::Relaxed);
            console::flush_quiet();
        }
        if self.poll_at.load(Ordering::Relaxed) <= now {
            self.poll_at.store(
                now + system::get().clock.timebase / POLLS,
                Ordering::Relaxed,
            );
            system::get().poll();
        }
        self.timer.store(0, Ordering::Relaxed);
        self.set_timer();
    }

    /// Sets the host's timer for the next of what is to come: the end of the slice, and the timers
    /// of the guests that this hart looks after, lines and devices that it looks at.
    pub fn set_timer(&self) {
        self.timer_is_stale.store(false, Ordering::Relaxed);
        let slice_end = self.slice_end.load(Ordering::Relaxed);
        let next = slice_end
            .min(system::get().next_timer(self))
            .min(self.flush_at.load(Ordering::Relaxed))
            .min(self.poll_at.load(Ordering::Relaxed));
        if self.timer.swap(next, Ordering::Relaxed) == next {
            return;
        }
        // SAFETY: the timer interrupts while a guest runs or the hart sleeps, which both expect.
        unsafe {
            if next == u64::MAX {
                csr::clear!("sie", interrupt::STI);
            } else {
                sbi_rt::set_timer(next);
                csr::set!("sie", interrupt::STI);
            }
        }
    }

    /// Sleeps until an interrupt, and serves it.
    pub fn sleep(&self) {
        console::flush();
        self.set_timer();
        if !self.must_choose() && !system::get().has_commands() && Self::pending() == 0 {
            wfi::wait();
        }
        self.serve_interrupts();
    }

    /// Prepares the hart for guests: interrupts, and the monitor's own address space.
    pub fn start(&self) {
        // SAFETY: what the firmware left here does not matter any more: the guest is entered in U-mode,
        // and neither SUM nor MXR widens what its pages allow.
        unsafe {
            use isa::csr::sstatus::{MXR, SIE, SPIE, SPP, SUM};
            csr::clear!("sstatus", SPP | SPIE | SIE | SUM | MXR);
        }
        // The host's devices interrupt the first hart alone.
        let external = if self.index == 0 { interrupt::SEI } else { 0 };
        if self.index == 0 && system::get().polled {
            self.poll_at.store(csr::time(), Ordering::Relaxed);
        }
        // SAFETY: the interrupts that the monitor handles; all arrive while a guest runs, or in `wfi`.
        unsafe { csr::write!("sie", interrupt::SSI | external) };
        window::enter_own();
        // What the boot root had in larger pages must not stay in the TLB.
        csr::fence_all();
    }
}
