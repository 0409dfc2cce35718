//! The window: where the monitor stands in every address space, guests' included.
//!
//! All tables of the monitor, shadows too, are of the widest paging mode that the processor has, and the
//! window is whole entries of the root in its upper half. Its first gigabyte holds the monitor's image, at its
//! offset within its own gigabyte, and the routine cache of each machine; each page there has the rights it
//! needs and no more. From the second on it is the direct map of host-physical memory from address 0: readable
//! and writable, never executable. All of it is supervisor-only.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use isa::address::{GuestPhys, GuestVirt, HostPhys};
use isa::satp::Satp;
use mmu::{Paging, Window};
use spin::Once;

use super::csr;

/// Bytes that a leaf of the direct map has.
pub const GIGABYTE: u64 = 1 << 30;
/// Gigabytes of a window at most, the image's among them: what Sv39 has left beside a Linux kernel, and 4 TiB
/// in wider modes.
const MOST_GIGABYTES: [u64; 2] = [64, 4096];

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
const ALL_RIGHTS: u64 = V | R | W | X | G | A | D;

/// A page table.
#[repr(C, align(4096))]
pub struct Table(pub [u64; 512]);

/// The monitor's own tables, but for those of the direct map.
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

/// What the monitor boots on: a root, and in wider modes than Sv39 the tables below it.
#[unsafe(link_section = ".bss.kept")]
static BOOT_TABLES: spin::mutex::SpinMutex<[Table; 2 + MOST_GIGABYTES[1] as usize / 512]> =
    spin::mutex::SpinMutex::new([EMPTY; 2 + MOST_GIGABYTES[1] as usize / 512]);

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

/// Where the window is, and in which mode.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The mode of all of the monitor's tables.
    pub paging: Paging,
    /// The window's first address.
    pub start: u64,
    /// Behind the windows of the monitors below; 0 when there are none.
    pub below: u64,
}

impl Place {
    /// Gigabytes that the window can have here.
    fn gigabytes(self) -> u64 {
        let most = MOST_GIGABYTES[usize::from(self.paging != Paging::Sv39)];
        (self.start.wrapping_neg() / GIGABYTE).min(most)
    }

    /// Behind the highest host-physical address that the direct map can reach.
    pub fn reach(self) -> u64 {
        (self.gigabytes() - 1) * GIGABYTE
    }

    /// The monitor's root for a window with these entries for its gigabytes, in `root`, and the entries of the
    /// window in it. `table` makes a table and gives the entry that points to it.
    fn fill(
        self,
        root: &mut Table,
        gigabytes: &[u64],
        mut table: impl FnMut(&[u64]) -> u64,
    ) -> Vec<u64> {
        let mut entries = gigabytes.to_vec();
        for _ in Paging::Sv39.mode()..self.paging.mode() {
            entries = entries.chunks(512).map(&mut table).collect();
        }
        let first = (self.start / self.paging.slot()) as usize % 512;
        root.0[first..first + entries.len()].copy_from_slice(&entries);
        entries
    }

    /// Makes the root that the monitor boots on, with translation off: the window, whose image has all rights,
    /// and `image`'s surroundings at their physical address. Gives what `satp` must hold.
    pub fn boot_root(self, image: HostPhys) -> u64 {
        let mut tables = BOOT_TABLES.lock();
        let [root, below @ ..] = &mut *tables;
        let first = (image.0 & !(GIGABYTE - 1)) >> 2 | ALL_RIGHTS;
        let gigabytes: Vec<u64> = core::iter::once(first)
            .chain(direct_leaves(self.reach() / GIGABYTE))
            .collect();
        let mut below = below.iter_mut();
        self.fill(root, &gigabytes, |entries| {
            let table = below
                .next()
                .expect("a table for each 512 GiB and one above");
            table.0[..entries.len()].copy_from_slice(entries);
            pointer(table)
        });
        identity(root, self.paging, image);
        satp(self.paging, root)
    }
}

/// Maps what is around `image`, as far as an entry of the root does, to itself.
fn identity(root: &mut Table, paging: Paging, image: HostPhys) {
    let start = image.0 & !(paging.slot() - 1);
    root.0[(start / paging.slot()) as usize % 512] = start >> 2 | V | R | W | X | A | D;
}

/// Finds out which paging modes the processor has, as bits of the mode's number, and the largest ASID. With
/// translation off, and from `image`, which must be in the lower half of the narrowest.
pub fn probe(image: HostPhys) -> (u16, u16) {
    let mut tables = BOOT_TABLES.lock();
    let root = &mut tables[0];
    let (mut modes, mut asid) = (1, 0);
    for paging in [Paging::Sv39, Paging::Sv48, Paging::Sv57] {
        identity(root, paging, image);
        let wanted = satp(paging, root);
        // SAFETY: the root maps this code to itself.
        if unsafe { csr::try_satp(wanted) } == wanted {
            modes |= 1 << paging.mode();
            let all = Satp(wanted | Satp::new(0, u16::MAX, GuestPhys(0)).0);
            // SAFETY: as above; every ASID is free.
            asid = Satp(unsafe { csr::try_satp(all.0) }).asid();
        }
        root.0.fill(0);
    }
    (modes, asid)
}

fn direct_leaves(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|gigabyte| gigabyte * GIGABYTE >> 2 | READ_WRITE)
}

static PLACE: Once<Place> = Once::new();
/// Virtual address of host-physical 0; while translation is off, that itself.
static DIRECT: AtomicU64 = AtomicU64::new(0);
/// Host-physical address of the image.
static IMAGE: AtomicU64 = AtomicU64::new(0);
static ENTRIES: Once<Vec<u64>> = Once::new();

/// The window is at `place`, on the boot root, from now on.
pub fn stand_at(place: Place) {
    PLACE.call_once(|| place);
    DIRECT.store(place.start + GIGABYTE, Ordering::Relaxed);
}

/// Where the window is.
pub fn place() -> Place {
    *PLACE.get().expect("the window has a place since the boot")
}

/// First address of the direct map.
pub fn direct_map() -> u64 {
    DIRECT.load(Ordering::Relaxed)
}

/// Behind the window's last address.
pub fn end() -> u64 {
    let place = place();
    place.start + ENTRIES.get().map_or(0, Vec::len) as u64 * place.paging.slot()
}

/// Behind this window and those of the monitors below: where a guest that is a monitor may stand.
pub fn behind() -> u64 {
    end().max(place().below)
}

/// The window as shadows have it.
pub fn of_shadows() -> Window<'static> {
    let place = place();
    Window {
        paging: place.paging,
        first_slot: GuestVirt(place.start),
        entries: ENTRIES.get().expect("mapped before there are machines"),
    }
}

/// A host-physical address as a pointer into the direct map.
pub fn direct(at: HostPhys) -> NonNull<u8> {
    // What lies beyond was left out when the device tree was read.
    debug_assert!(direct_map() == 0 || at.0 < place().reach());
    NonNull::new((direct_map() + at.0) as *mut u8).expect("nothing that is used is at 0")
}

/// Host-physical address of a pointer into the direct map or the image.
pub fn host<T>(at: *const T) -> HostPhys {
    match (at as u64).checked_sub(direct_map()) {
        Some(offset) => HostPhys(offset),
        None => {
            HostPhys(at as u64 - (&raw const __image_start) as u64 + IMAGE.load(Ordering::Relaxed))
        }
    }
}

/// Most bytes that the routine cache can have.
pub const ROUTINES_SIZE: u64 = 2 << 20;

/// Maps the image with the rights of its parts, and the lowest `memory_end` bytes of host-physical memory.
pub fn map(image: &Image, memory_end: u64) {
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
    let gigabytes: Vec<u64> = core::iter::once(pointer(&tables.middle))
        .chain(direct_leaves(memory_end.div_ceil(GIGABYTE)))
        .collect();
    let entries = place().fill(&mut tables.root, &gigabytes, |entries| {
        let mut table = Box::new(EMPTY);
        table.0[..entries.len()].copy_from_slice(entries);
        pointer(Box::leak(table))
    });
    ENTRIES.call_once(|| entries);
}

/// Maps `routines` (host-physical, page-aligned, at most [`ROUTINES_SIZE`] bytes) of the machine with
/// this number for execution. Returns the address at which they are executed.
pub fn map_routines(machine: usize, routines: HostPhys, size: u64) -> u64 {
    let mut tables = TABLES.lock();
    let tables = &mut *tables;
    // Half of the gigabyte away from the image.
    let slots_away = 256 + machine as u64;
    let executed =
        place().start + ((slot((&raw const __image_start) as u64) as u64 + slots_away) % 512 << 21);
    let table = &mut tables.routines[machine];
    for (entry, offset) in table.0.iter_mut().zip((0..size).step_by(4096)) {
        *entry = (routines.0 + offset >> 12) << 10 | EXECUTE;
    }
    tables.middle.0[slot(executed)] = pointer(table);
    executed
}

/// The entry of the first gigabyte's table for an address in it.
fn slot(address: u64) -> usize {
    (address >> 21) as usize & 511
}

/// An entry that points to `table`.
fn pointer(table: &Table) -> u64 {
    (host(table).0 >> 12) << 10 | V
}

fn satp(paging: Paging, root: *const Table) -> u64 {
    Satp::new(paging.mode(), 0, GuestPhys(host(root).0)).0
}

/// Leaves whatever address space this hart is in for the monitor's own.
pub fn enter_own() {
    // The root is the first of the tables.
    let satp = satp(place().paging, TABLES.as_mut_ptr().cast());
    // SAFETY: `map` has put the window into this root, and the monitor needs nothing else.
    unsafe { csr::write!("satp", satp) };
}
