//! Who gets which part of the host's memory.
//!
//! The largest free piece of memory is cut up from its start: the bundle (moved there, out of the
//! middle), the heap, and what is left for the guests.

use core::fmt;

use devices::host_tree::{HostRange, HostTree};
use isa::address::HostPhys;

use super::heap;
use super::window::{self, Image};

/// A range of host-physical memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// Behind the last address.
    pub end: u64,
}

impl Range {
    fn of(range: HostRange) -> Self {
        Self {
            start: range.base.0,
            end: range.base.0.saturating_add(range.size),
        }
    }

    fn size(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// The share of the monitor's own memory that is for patched copies: one in so many.
const COPIES: u64 = 4;

/// Memory, given out.
pub struct Layout {
    /// The bundle.
    pub bundle: &'static [u8],
    /// What is left, for guests.
    pub free: Range,
    /// Bytes of the heap.
    pub heap_size: u64,
    /// Bytes of what is left that are for patched copies.
    pub copies: u64,
    /// Behind the highest byte of memory or device register that the monitor uses.
    pub memory_end: u64,
}

/// Why there is no layout.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LayoutError {
    /// The firmware handed no bundle over.
    NoBundle,
    /// The loader left the bundle where the monitor has no way to it.
    Beyond {
        /// Behind its last byte.
        end: u64,
        /// Behind the last byte that the monitor reaches.
        reach: u64,
    },
    /// Too little memory.
    Memory {
        /// Bytes in the largest free piece.
        largest: u64,
        /// Bytes that the monitor needs of it.
        needed: u64,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::NoBundle => write!(
                f,
                "no bundle: the device tree names no initrd; make one with `patchvisor pack` and load it as the initrd"
            ),
            Self::Beyond { end, reach } => write!(
                f,
                "the bundle ends at {end:#x}, and the monitor reaches memory below {reach:#x} with this processor's paging; \
                 have the loader put it there"
            ),
            Self::Memory { largest, needed } => write!(
                f,
                "too little memory: the largest free piece has {} KiB, the monitor needs {} KiB of it; give the machine more",
                largest >> 10,
                needed >> 10
            ),
        }
    }
}

const PAGE: u64 = 4096;
const MEGABYTE: u64 = 1 << 20;

/// Decides, moves the bundle and starts the heap.
///
/// `reach` is the end of what the direct map can have; all of the tree is below.
pub fn plan(image: &Image, tree: &HostTree, reach: u64) -> Result<Layout, LayoutError> {
    let initrd = tree.initrd.ok_or(LayoutError::NoBundle)?;
    let initrd = Range::of(initrd);
    if initrd.size() == 0 {
        return Err(LayoutError::NoBundle);
    }
    if initrd.end > reach {
        return Err(LayoutError::Beyond {
            end: initrd.end,
            reach,
        });
    }
    let image = Range {
        start: image.physical.0,
        end: image.physical.0 + image.size(),
    };
    let reserved = tree
        .reserved
        .iter()
        .map(|reserved| Range::of(reserved.range));
    let taken: alloc::vec::Vec<Range> = reserved.chain([image]).collect();

    let memory = tree.memory.iter().map(|&memory| Range::of(memory));
    let largest = memory
        .flat_map(|memory| free_pieces(memory, &taken))
        .max_by_key(Range::size);
    let largest = largest.unwrap_or(Range { start: 0, end: 0 });

    let own = (8 * MEGABYTE + largest.size() / 16).min(96 * MEGABYTE);
    let copies = (own / COPIES).next_multiple_of(PAGE);
    let heap_size = own - copies;
    let bundle_size = initrd.size().next_multiple_of(PAGE);
    let needed = bundle_size + own;
    if largest.size() <= needed {
        return Err(LayoutError::Memory {
            largest: largest.size(),
            needed,
        });
    }

    let source = window::direct(HostPhys(initrd.start));
    let bundle = window::direct(HostPhys(largest.start));
    // SAFETY: the bundle is where the firmware said; its new place is free memory, or its old one,
    // which a copy of overlapping memory allows.
    let bundle = unsafe {
        source.copy_to(bundle, initrd.size() as usize);
        core::slice::from_raw_parts(bundle.as_ptr(), initrd.size() as usize)
    };
    let heap = largest.start + bundle_size;
    // SAFETY: free memory, given to nothing else.
    unsafe { heap::add(window::direct(HostPhys(heap)).as_ptr(), heap_size as usize) };

    let uart = tree.uart.as_ref().map(|uart| uart.registers);
    let controller = tree.controller.iter().map(|known| known.registers);
    let virtio = tree.virtio.iter().map(|device| device.registers);
    // Other memory is not mapped: a window that reaches it may be in a guest's way.
    let devices = uart
        .into_iter()
        .chain(controller)
        .chain(tree.rtc)
        .chain(tree.finisher)
        .chain(virtio);
    let ends = devices
        .map(Range::of)
        .chain([image, largest])
        .map(|range| range.end);
    Ok(Layout {
        bundle,
        free: Range {
            start: heap + heap_size,
            end: largest.end,
        },
        heap_size,
        copies,
        memory_end: ends.max().unwrap_or(0),
    })
}

/// The pieces of `memory` that are in none of `taken`, in whole pages.
fn free_pieces(memory: Range, taken: &[Range]) -> alloc::vec::Vec<Range> {
    let mut pieces = alloc::vec![memory];
    for taken in taken {
        pieces = pieces
            .into_iter()
            .flat_map(|piece| {
                [
                    Range {
                        start: piece.start,
                        end: piece.end.min(taken.start),
                    },
                    Range {
                        start: piece.start.max(taken.end),
                        end: piece.end,
                    },
                ]
            })
            .filter(|piece| piece.size() > 0)
            .collect();
    }
    for piece in &mut pieces {
        piece.start = piece.start.next_multiple_of(PAGE);
        piece.end &= !(PAGE - 1);
    }
    pieces
}
