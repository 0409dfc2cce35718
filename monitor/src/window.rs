//! The window: where the monitor stands in every address space, guests' included.
//!
//! Slots of 1 GiB from [`WINDOW`]. The first holds the monitor's image, at its offset within its
//! own gigabyte, and the routine cache of each machine; each page there has the rights it needs and no more. The
//! others are the direct map of host-physical memory from address 0: readable and writable, never
//! executable. All of it is supervisor-only.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use isa::address::{GuestPhys, HostPhys};
use isa::satp::Satp;

use super::csr;

/// First address of the window.
pub const WINDOW: u64 = 0xffff_ffc0_0000_0000;
/// Bytes of a slot.
pub const SLOT: u64 = 1 << 30;
/// Slots that the boot root gives to the direct map: the most memory that the monitor can reach.
pub const DIRECT_SLOTS: u64 = 63;
/// First address of the direct map.
pub const DIRECT_MAP: u64 = WINDOW + SLOT;

const V: u64 = 1;
const R: u64 = 1 << 1;
const W: u64 = 1 << 2;
const X: u64 = 1 << 3;
const G: u64 = 1 << 5;
const A: u64 = 1 << 6;
const D: u64 = 1 << 7;

const READ_ONLY: u64 = V | R | G | A;
const EXECUTE: u64 = V | R | X | G | A;
const READ_WRITE: u64 = V | R | W | G | A | D;

/// A page table.
#[repr(C, align(4096))]
pub struct Table(pub [u64; 512]);

/// The monitor's own tables.
#[repr(C)]
struct Tables {
    /// The root when no guest's address space is in use: the window alone.
    root: Table,
    middle: Table,
    image: [Table; IMAGE_TABLES],
    /// One for each machine.
    routines: [Table; MOST_MACHINES],
}

/// Most machines that there can be.
pub const MOST_MACHINES: usize = 16;

/// Tables for the image: 2 MiB each, one more since the image need not start at a multiple of 2 MiB.
const IMAGE_TABLES: usize = 3;

const EMPTY: Table = Table([0; 512]);

static TABLES: spin::mutex::SpinMutex<Tables> = spin::mutex::SpinMutex::new(Tables {
    root: EMPTY,
    middle: EMPTY,
    image: [EMPTY; IMAGE_TABLES],
    routines: [EMPTY; MOST_MACHINES],
});

unsafe extern "C" {
    static __image_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __image_end: u8;
}

/// Where the image is.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// Host-physical address of its first byte.
    pub physical: HostPhys,
    /// Virtual address of its first byte.
    pub start: u64,
    /// Virtual address behind its last byte.
    pub end: u64,
}

impl Image {
    /// The running image, loaded at `physical`.
    pub fn new(physical: HostPhys) -> Self {
        IMAGE.store(physical.0, Ordering::Relaxed);
        Self {
            physical,
            start: (&raw const __image_start) as u64,
            end: (&raw const __image_end) as u64,
        }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.end - self.start
    }
}

/// A host-physical address as a pointer into the direct map.
pub fn direct(at: HostPhys) -> NonNull<u8> {
    debug_assert!(at.0 < DIRECT_SLOTS * SLOT);
    // The direct map does not begin at 0.
    NonNull::new((DIRECT_MAP + at.0) as *mut u8).expect("the direct map is not at 0")
}

/// Host-physical address of a pointer into the direct map or the image.
pub fn host<T>(at: *const T) -> HostPhys {
    match (at as u64).checked_sub(DIRECT_MAP) {
        Some(offset) => HostPhys(offset),
        None => {
            HostPhys(at as u64 - (&raw const __image_start) as u64 + IMAGE.load(Ordering::Relaxed))
        }
    }
}

/// Host-physical address of the image.
static IMAGE: AtomicU64 = AtomicU64::new(0);

/// Most bytes that the routine cache can have.
pub const ROUTINES_SIZE: u64 = 2 << 20;

/// Maps the image with the rights of its parts. Returns the window's entries for the lowest
/// `memory_end` bytes of host-physical memory, one for each slot.
pub fn map(image: &Image, memory_end: u64) -> alloc::vec::Vec<u64> {
    let mut tables = TABLES.lock();
    let tables = &mut *tables;
    let first = slot(image.start);
    assert!(
        slot(image.end - 1) < first + IMAGE_TABLES,
        "the image is larger than its tables"
    );
    for (offset, of_image) in tables.image.iter().enumerate() {
        tables.middle.0[first + offset] = pointer(of_image);
    }
    for address in (image.start..image.end).step_by(4096) {
        let rights = if address < (&raw const __text_end) as u64 {
            EXECUTE
        } else if address < (&raw const __rodata_end) as u64 {
            READ_ONLY
        } else {
            READ_WRITE
        };
        let host = image.physical.0 + (address - image.start);
        let page = (address >> 12) as usize & 511;
        tables.image[slot(address) - first].0[page] = (host >> 12) << 10 | rights;
    }
    let direct = (0..memory_end.div_ceil(SLOT)).map(|slot| (slot * SLOT >> 12) << 10 | READ_WRITE);
    let entries: alloc::vec::Vec<u64> = core::iter::once(pointer(&tables.middle))
        .chain(direct)
        .collect();
    let window = (WINDOW >> 30) as usize & 511;
    tables.root.0[window..window + entries.len()].copy_from_slice(&entries);
    entries
}

/// Maps `routines` (host-physical, page-aligned, at most [`ROUTINES_SIZE`] bytes) of the machine with
/// this number for execution. Returns the address at which they are executed.
pub fn map_routines(machine: usize, routines: HostPhys, size: u64) -> u64 {
    let mut tables = TABLES.lock();
    let tables = &mut *tables;
    // Half of the slot away from the image.
    let slots_away = 256 + machine as u64;
    let executed =
        WINDOW + ((slot((&raw const __image_start) as u64) as u64 + slots_away) % 512 << 21);
    let table = &mut tables.routines[machine];
    for (entry, offset) in table.0.iter_mut().zip((0..size).step_by(4096)) {
        *entry = (routines.0 + offset >> 12) << 10 | EXECUTE;
    }
    tables.middle.0[slot(executed)] = pointer(table);
    executed
}

/// The entry of the first slot's table for an address in that slot.
fn slot(address: u64) -> usize {
    (address >> 21) as usize & 511
}

/// An entry that points to `table`.
fn pointer(table: &Table) -> u64 {
    (host(table).0 >> 12) << 10 | V
}

/// Leaves whatever address space this hart is in for the monitor's own.
pub fn enter_own() {
    // The root is the first of the tables.
    let root = host(TABLES.as_mut_ptr());
    let satp = Satp::new(isa::satp::SV39, 0, GuestPhys(root.0));
    // SAFETY: `map` has put the window into this root, and the monitor needs nothing else.
    unsafe { csr::write!("satp", satp.0) };
}
