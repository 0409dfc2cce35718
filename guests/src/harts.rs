//! More harts than one: started through SBI HSM, each with a stack of its own, and given work.
//!
//! Programs speak of harts by *index*: 0 is the hart that the program was started on, which is not
//! always the same one, and the others follow in the order of their ids. `tp` holds the index; no
//! compiled code uses it, and [`Context::run`](crate::context::Context::run) keeps it.
//!
//! A context is as good on one hart as on another: what it needs while it runs is in that hart's
//! sscratch, sp and stvec. Only one hart may run the same `Context` at a time.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::{context, csr, memory, sbi, start};

/// As many harts as a program may have.
pub const MOST: usize = 8;

const STACK: u64 = 64 << 10;
/// How long a waiting hart sleeps, in units of `time` (100 ns on the boards we know).
const NAP: u64 = 1000;

static IDS: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
/// How many harts are there to work, the first one among them.
static READY: AtomicUsize = AtomicUsize::new(1);

/// Rises by one for each piece of work.
static GENERATION: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicUsize = AtomicUsize::new(0);
static WORKERS: AtomicUsize = AtomicUsize::new(0);
static WORK: AtomicU64 = AtomicU64::new(0);
static CALL: AtomicU64 = AtomicU64::new(0);

global_asm!(
    r#"
    .section .text.harts, "ax"
start_hart:                     /* a1: its index, stack top and function */
    la t0, {trap}
    csrw stvec, t0
    csrw sie, zero
    csrw sscratch, zero
    ld tp, 0(a1)
    ld sp, 8(a1)
    ld t0, 16(a1)
    mv a0, tp
    jalr t0
2:  wfi
    j 2b
"#,
    trap = sym context::trap_entry,
);

unsafe extern "C" {
    fn start_hart();
}

/// Index of the hart that asks.
pub fn index() -> usize {
    let index: usize;
    // SAFETY: only reads a register.
    unsafe { asm!("mv {}, tp", out(reg) index, options(nomem, nostack)) };
    index
}

/// SBI's id of the hart of that index.
pub fn id(index: usize) -> u64 {
    match index {
        0 => start::hart(),
        _ => IDS[index].load(Ordering::Relaxed),
    }
}

/// A hart mask for SBI with base 0, of the harts whose bits are set in `indices`.
pub fn mask(indices: u64) -> u64 {
    let chosen = (0..MOST).filter(|index| indices >> index & 1 != 0);
    chosen.fold(0, |mask, index| mask | 1 << id(index))
}

/// Finds `count` harts and gives them their indices, without starting any.
///
/// Fails the program when there are not as many.
pub fn find(count: usize) {
    assert!(count <= MOST, "more harts than the library has room for");
    let others = all().filter(|&id| id != start::hart());
    let mut found = 1;
    for id in others.take(count - 1) {
        IDS[found].store(id, Ordering::Relaxed);
        found += 1;
    }
    assert!(
        found == count,
        "{count} harts are needed, there are {found}"
    );
}

/// HSM's status of the hart with this id.
pub fn status(id: u64) -> sbi::Reply {
    sbi::call(sbi::HSM, 2, [id, 0, 0, 0, 0, 0])
}

/// The ids of the machine's harts, by asking for each that may be there.
pub fn all() -> impl Iterator<Item = u64> {
    (0..64).filter(|&id| status(id).error == 0)
}

/// Starts the hart of that index in `function`, which is given the index and must not return.
pub fn start(index: usize, function: extern "C" fn(usize) -> !) -> sbi::Reply {
    let (entry, opaque) = entry(index, function);
    sbi::call(sbi::HSM, 0, [id(index), entry, opaque, 0, 0, 0])
}

/// What HSM must be given, address and opaque value, for a start of that hart in `function`.
pub fn entry(index: usize, function: extern "C" fn(usize) -> !) -> (u64, u64) {
    static STACKS: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
    let mut stack = STACKS[index].load(Ordering::Relaxed);
    if stack == 0 {
        stack = memory::allocate(STACK);
        STACKS[index].store(stack, Ordering::Relaxed);
    }
    let top = stack + STACK - 64;
    memory::write(top, index as u64);
    memory::write(top + 8, top);
    memory::write(top + 16, function as *const () as u64);
    (start_hart as *const () as u64, top)
}

/// How many harts the machine has, as far as the library can use them.
pub fn available() -> usize {
    all().count().min(MOST)
}

/// Starts harts until `count` are there to work.
pub fn ready(count: usize) {
    if READY.load(Ordering::Relaxed) == 1 {
        find(count);
    }
    for index in READY.load(Ordering::Relaxed)..count {
        let reply = start(index, worker);
        assert!(reply.error == 0, "hart {index} does not start: {reply}");
    }
    wait_until(|| READY.load(Ordering::Acquire) == count);
}

/// Does the work on harts 0 to `count` - 1 at the same time, each given its index, and returns when
/// all have done it. It must leave the trap state as [`context::reset`] does and Bare mode.
pub fn together<F: Fn(usize) + Sync>(count: usize, work: F) {
    extern "C" fn call<F: Fn(usize)>(work: *const F, index: usize) {
        // SAFETY: `together` does not return, and so keeps the closure, before all have called it.
        unsafe { (*work)(index) };
    }
    ready(count);
    WORK.store(&raw const work as u64, Ordering::Relaxed);
    CALL.store(call::<F> as *const () as u64, Ordering::Relaxed);
    WORKERS.store(count, Ordering::Relaxed);
    DONE.store(0, Ordering::Relaxed);
    GENERATION.fetch_add(1, Ordering::Release);
    work(0);
    wait_until(|| DONE.load(Ordering::Acquire) == count - 1);
}

/// Gives the other harts work from which they do not come back, and goes on.
pub fn abandon(work: fn(usize)) {
    extern "C" fn call(work: u64, index: usize) {
        // SAFETY: `abandon` stored the function that it took.
        unsafe { core::mem::transmute::<u64, fn(usize)>(work)(index) };
    }
    WORK.store(work as usize as u64, Ordering::Relaxed);
    CALL.store(call as *const () as u64, Ordering::Relaxed);
    WORKERS.store(MOST, Ordering::Relaxed);
    GENERATION.fetch_add(1, Ordering::Release);
}

extern "C" fn worker(index: usize) -> ! {
    let mut seen = GENERATION.load(Ordering::Acquire);
    READY.fetch_add(1, Ordering::Release);
    loop {
        wait_until(|| GENERATION.load(Ordering::Acquire) != seen);
        seen += 1;
        if index >= WORKERS.load(Ordering::Relaxed) {
            continue;
        }
        let call = CALL.load(Ordering::Relaxed);
        let work = WORK.load(Ordering::Relaxed);
        // SAFETY: `together` stored the function and the closure that it takes.
        let call: extern "C" fn(u64, usize) = unsafe { core::mem::transmute(call) };
        call(work, index);
        DONE.fetch_add(1, Ordering::Release);
    }
}

/// Sleeps a moment, by the hart's timer. What sie held stays; the timer does not.
pub fn nap() {
    let enabled = csr::read!("sie");
    csr::write!("sie", enabled | csr::TIMER);
    sbi::set_timer(csr::read!("time") + NAP);
    // SAFETY: sleeps until the timer at the latest; with SIE off nothing is taken.
    unsafe { asm!("wfi") };
    sbi::set_timer(u64::MAX);
    csr::write!("sie", enabled);
}

/// Waits until something is so: spinning a little, then with naps, so that harts which share a
/// processor do not keep each other from going on.
pub fn wait_until(mut is_so: impl FnMut() -> bool) {
    let mut tries = 0;
    while !is_so() {
        core::hint::spin_loop();
        match tries {
            200 => nap(),
            _ => tries += 1,
        }
    }
}

/// Where harts wait for each other.
pub struct Barrier {
    count: usize,
    arrived: AtomicUsize,
    round: AtomicU64,
}

impl Barrier {
    pub const fn new(count: usize) -> Self {
        Self {
            count,
            arrived: AtomicUsize::new(0),
            round: AtomicU64::new(0),
        }
    }

    /// Waits for the others as [`wait_until`] does, which uses the timer.
    pub fn wait(&self) {
        if let Some(round) = self.arrive() {
            wait_until(|| self.round.load(Ordering::Acquire) != round);
        }
    }

    /// Waits for the others by spinning, so that all go on at nearly the same time.
    pub fn spin(&self) {
        if let Some(round) = self.arrive() {
            while self.round.load(Ordering::Acquire) == round {
                core::hint::spin_loop();
            }
        }
    }

    /// The round whose end is to be waited for; the last hart ends it.
    fn arrive(&self) -> Option<u64> {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 < self.count {
            return Some(round);
        }
        self.arrived.store(0, Ordering::Relaxed);
        self.round.store(round + 1, Ordering::Release);
        None
    }
}
