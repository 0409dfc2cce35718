//! Memory that the host's virtio devices reach: the heap, and guests' RAM.
//!
//! Devices address memory as harts do, and see it as harts do (virtio without `ACCESS_PLATFORM`), so that
//! nothing is mapped or copied for them.

use core::alloc::Layout;
use core::ptr::NonNull;

use isa::address::HostPhys;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use super::window;

/// The host's memory, as queues want it.
#[derive(Debug)]
pub struct HostMemory;

fn layout(pages: usize) -> Option<Layout> {
    Layout::from_size_align(pages.checked_mul(PAGE_SIZE)?, PAGE_SIZE).ok()
}

// SAFETY: `dma_alloc` gives whole pages of zeroes that nothing else has, `mmio_phys_to_virt` is a place
// in the direct map, and the addresses that `share` gives are those of the very memory.
unsafe impl Hal for HostMemory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let memory = layout(pages)
            .filter(|layout| layout.size() > 0)
            // SAFETY: the layout has a size.
            .and_then(|layout| NonNull::new(unsafe { alloc::alloc::alloc_zeroed(layout) }));
        match memory {
            Some(memory) => (window::host(memory.as_ptr()).0, memory),
            // What the caller knows as "no memory".
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, memory: NonNull<u8>, pages: usize) -> i32 {
        if let Some(layout) = layout(pages) {
            // SAFETY: `dma_alloc` allocated it with this layout.
            unsafe { alloc::alloc::dealloc(memory.as_ptr(), layout) };
        }
        0
    }

    unsafe fn mmio_phys_to_virt(at: PhysAddr, _: usize) -> NonNull<u8> {
        window::direct(HostPhys(at))
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        window::host(buffer.cast::<u8>().as_ptr()).0
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
