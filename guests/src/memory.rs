//! Memory that programs hand out to themselves, and plain accesses to any address.

use core::sync::atomic::{AtomicU64, Ordering};

/// Where handed-out memory starts: far above the program and below where loaders put device trees.
const POOL: u64 = 0x8400_0000;
const POOL_END: u64 = 0x8600_0000;

static NEXT: AtomicU64 = AtomicU64::new(POOL);

/// A zeroed block of physical memory, aligned to its size, which must be a power of two of at
/// least a page.
pub fn allocate(size: u64) -> u64 {
    assert!(size.is_power_of_two() && size >= 4096);
    let take = |next: u64| Some(next.next_multiple_of(size) + size);
    // The closure never refuses, so that both arms hold what was there before.
    let (Ok(next) | Err(next)) = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
    let start = next.next_multiple_of(size);
    assert!(start + size <= POOL_END, "out of memory");
    let tree = crate::start::device_tree();
    assert!(
        !(POOL..POOL_END).contains(&tree),
        "the device tree lies in the pool"
    );
    // SAFETY: the pool is RAM that nothing else uses.
    unsafe { core::ptr::write_bytes(start as *mut u8, 0, size as usize) };
    start
}

/// A zeroed page.
pub fn page() -> u64 {
    allocate(4096)
}

/// Reads `address` once.
pub fn read<T: Copy>(address: u64) -> T {
    // SAFETY: the program chose the address; a fault ends it with a message.
    unsafe { (address as *const T).read_volatile() }
}

/// Writes `address` once.
pub fn write<T: Copy>(address: u64, value: T) {
    // SAFETY: the program chose the address; a fault ends it with a message.
    unsafe { (address as *mut T).write_volatile(value) }
}
