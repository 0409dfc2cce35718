//! What others may do to a virtual hart without its VM's lock: ask it for something, and wake it.
//!
//! A virtual hart is *in the guest* from the last look at its requests until its next exit. Whoever asks
//! stores the request first and looks whether it is in the guest second; a virtual hart that enters
//! does these in the opposite order. All four are sequentially consistent, so that one of them sees
//! the other: a request is either seen before the guest runs, or its sender interrupts the host hart.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};

use isa::csr::interrupt;

use super::system;

/// A virtual hart must forget all address translations, and what it remembers by the address of an
/// instruction or a `satp`.
pub const FLUSH: u64 = 1 << 16;
/// It must execute `fence.i`.
pub const FENCE_I: u64 = 1 << 17;
/// It must look at the state of the machine: its devices, or its own state there.
pub const LOOK: u64 = 1 << 18;
/// Its machine's clock is due to be looked at; the first hart's alone.
pub const ALARM: u64 = 1 << 19;
/// With [`FENCE_I`]: another hart of the guest has sent it, not the monitor.
pub const SENT: u64 = 1 << 20;
/// What VU may do is to be given to the hardware again.
pub const GRANT: u64 = 1 << 21;
/// The bits below are interrupts that become pending, as in `sip`.
const INTERRUPTS: u64 = 0xffff;

/// The shared part of a virtual hart.
#[derive(Debug)]
pub struct Doorbell {
    /// Its number in the scheduler.
    pub vcpu: usize,
    /// Requests and interrupts.
    requests: AtomicU64,
    in_guest: AtomicBool,
    /// The host hart that runs it or ran it last, and serves its timer.
    cpu: AtomicUsize,
    /// When its timer interrupts, in ticks of `time`; `u64::MAX` for never.
    deadline: AtomicU64,
    /// When the machine's clock wants to be looked at; the first hart's alone.
    alarm: AtomicU64,
    /// Its `satp` when it left the guest last.
    satp: AtomicU64,
}

impl Doorbell {
    /// Of a virtual hart that nobody has asked for anything.
    pub fn new(vcpu: usize) -> Self {
        Self {
            vcpu,
            requests: AtomicU64::new(0),
            in_guest: AtomicBool::new(false),
            cpu: AtomicUsize::new(0),
            deadline: AtomicU64::new(u64::MAX),
            alarm: AtomicU64::new(u64::MAX),
            satp: AtomicU64::new(0),
        }
    }

    /// Asks for something: [`FLUSH`] and the like, or bits of `sip`.
    pub fn ask(&self, what: u64) {
        self.requests.fetch_or(what, SeqCst);
        if self.in_guest() {
            system::get().cpus[self.cpu()].interrupt();
        } else {
            system::get().wake(self.vcpu);
        }
    }

    /// As [`ask`](Self::ask), of a hart that need not be woken for it: returns the host hart to be
    /// interrupted, if it is in the guest.
    pub fn ask_if_running(&self, what: u64) -> Option<usize> {
        self.requests.fetch_or(what, SeqCst);
        self.in_guest().then(|| self.cpu())
    }

    /// Whether anything was asked for.
    pub fn is_asked(&self) -> bool {
        self.requests.load(SeqCst) != 0
    }

    /// Takes what was asked for: requests, and interrupts.
    pub fn take(&self) -> (u64, u64) {
        let requests = self.requests.swap(0, SeqCst);
        (requests & !INTERRUPTS, requests & INTERRUPTS)
    }

    /// Takes back interrupts that it has not seen yet; which of them there were.
    pub fn withdraw(&self, interrupts: u64) -> u64 {
        self.requests.fetch_and(!interrupts, SeqCst) & interrupts
    }

    /// Whether the virtual hart may be executing the guest.
    pub fn in_guest(&self) -> bool {
        self.in_guest.load(SeqCst)
    }

    /// It enters the guest; false, and it does not, when something was asked for meanwhile.
    pub fn enter(&self) -> bool {
        self.in_guest.store(true, SeqCst);
        let clear = !self.is_asked();
        if !clear {
            self.in_guest.store(false, SeqCst);
        }
        clear
    }

    /// It has left the guest, with this `satp`.
    pub fn leave(&self, satp: u64) {
        self.satp.store(satp, Relaxed);
        self.in_guest.store(false, SeqCst);
    }

    /// Its `satp`, while it is not in the guest.
    pub fn satp(&self) -> u64 {
        self.satp.load(Relaxed)
    }

    /// Notes its `satp`, which changed while it was not in the guest.
    pub fn set_satp(&self, satp: u64) {
        self.satp.store(satp, Relaxed);
    }

    /// The host hart that runs it, or ran it last.
    pub fn cpu(&self) -> usize {
        self.cpu.load(Relaxed)
    }

    /// It runs on this host hart from now on.
    pub fn set_cpu(&self, cpu: usize) {
        self.cpu.store(cpu, Relaxed);
    }

    /// When its timer or the alarm is due, whichever comes first.
    pub fn next_timer(&self) -> u64 {
        self.deadline.load(Relaxed).min(self.alarm.load(Relaxed))
    }

    /// Sets its timer.
    pub fn set_deadline(&self, deadline: u64) {
        self.deadline.store(deadline, Relaxed);
    }

    /// Sets the alarm; whether it was another before.
    pub fn set_alarm(&self, alarm: u64) -> bool {
        self.alarm.swap(alarm, Relaxed) != alarm
    }

    /// Ends timer and alarm if they are due, and asks for what they are for.
    pub fn fire(&self, now: u64) {
        for (timer, what) in [(&self.deadline, interrupt::STI), (&self.alarm, ALARM)] {
            let due = timer.load(Relaxed);
            // The guest may set it anew at this moment: then it is that one's turn.
            let is_due = due <= now;
            if is_due
                && timer
                    .compare_exchange(due, u64::MAX, Relaxed, Relaxed)
                    .is_ok()
            {
                self.ask(what);
            }
        }
    }
}
