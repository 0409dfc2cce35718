//! The monitor's heap.
//!
//! After the boot these grow, and no further: what is remembered of pages (`patch::Pages` has a limit, which
//! `machine.rs` takes from the heap), typed input and commands (`system.rs`), requests in flight, and for a
//! moment the text of a line, of a command's answer or of statistics, and what the scheduler chooses among.
//! Consoles, shadow tables, patched copies, routines, values, logs and records of exits have their full size
//! from the start.
//!
//! Should the heap run out all the same, that is a panic like others, which ends the machine that was worked
//! for. To say so takes memory: the reserve.

use alloc::vec::Vec;

use spin::Mutex;
use talc::TalcLock;
use talc::source::Claim;

/// Enough to read the host's device tree with, before the rest of memory is known.
const EARLY: usize = 512 << 10;

static mut EARLY_HEAP: [u8; EARLY] = [0; EARLY];

#[global_allocator]
static HEAP: TalcLock<spin::Mutex<()>, Claim> = TalcLock::new(
    // SAFETY: the array is used by nothing else.
    unsafe { Claim::array(&raw mut EARLY_HEAP) },
);

/// Adds memory to the heap.
///
/// # Safety
/// The memory must be valid, mapped for reading and writing for ever, and used by nothing else.
pub unsafe fn add(start: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    let claimed = unsafe { HEAP.lock().claim(start, size) };
    assert!(claimed.is_some(), "heap memory is too small");
}

/// Bytes for the report of a fault, and for what goes on after it.
const RESERVE: usize = 64 << 10;

static RESERVED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Sets the reserve aside, if as much again is left: those that go on need it more.
pub fn reserve() {
    if let Some(mut reserved) = RESERVED.try_lock()
        && reserved.try_reserve_exact(2 * RESERVE).is_ok()
    {
        reserved.shrink_to(RESERVE);
    }
}

/// Gives the reserve to whoever allocates.
pub fn release() {
    if let Some(mut reserved) = RESERVED.try_lock() {
        *reserved = Vec::new();
    }
}

/// Whether nobody is at the heap at the moment.
pub fn is_free() -> bool {
    HEAP.try_lock().is_some()
}
