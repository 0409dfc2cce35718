//! The monitor's heap.

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

/// Whether nobody is at the heap at the moment.
pub fn is_free() -> bool {
    HEAP.try_lock().is_some()
}
