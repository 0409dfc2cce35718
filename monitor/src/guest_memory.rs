//! The guest's RAM: one contiguous piece of host memory, reached through the direct map.
//!
//! Guest memory changes under the monitor's hands, so it is never borrowed: every access is a
//! single volatile or atomic one, or a copy.

use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use isa::address::{GuestPhys, HostPhys, PAGE_SIZE};

use super::window;

/// The RAM of one guest.
#[derive(Clone, Copy, Debug)]
pub struct GuestRam {
    /// Guest-physical address of the first byte.
    pub base: GuestPhys,
    /// Bytes.
    pub size: u64,
    host: HostPhys,
}

impl GuestRam {
    /// RAM at `base` for the guest, `host` for the host.
    ///
    /// # Safety
    /// The host memory must be mapped in the direct map, and belong to this guest alone for ever.
    pub unsafe fn new(base: GuestPhys, host: HostPhys, size: u64) -> Self {
        Self { base, size, host }
    }

    /// Where the first byte lies.
    pub fn host_base(&self) -> HostPhys {
        self.host
    }

    /// Whether all of `[at, at + size)` is RAM.
    pub fn contains(&self, at: GuestPhys, size: u64) -> bool {
        at.0.checked_sub(self.base.0)
            .is_some_and(|offset| offset < self.size && size <= self.size - offset)
    }

    /// A pointer to `size` bytes of RAM.
    fn pointer(&self, at: GuestPhys, size: u64) -> Option<NonNull<u8>> {
        self.contains(at, size)
            .then(|| window::direct(self.host.add(at.0 - self.base.0)))
    }

    /// Reads into `buffer`; false when not all of it is RAM.
    pub fn read(&self, at: GuestPhys, buffer: &mut [u8]) -> bool {
        let Some(from) = self.pointer(at, buffer.len() as u64) else {
            return false;
        };
        // SAFETY: the source is RAM of the guest, which no Rust object lies in, so that the two do
        // not overlap; bytes that the guest changes meanwhile are read as either value.
        unsafe {
            from.as_ptr()
                .copy_to_nonoverlapping(buffer.as_mut_ptr(), buffer.len())
        };
        true
    }

    /// Writes `bytes`; false, and nothing written, when not all of the place is RAM.
    pub fn write(&self, at: GuestPhys, bytes: &[u8]) -> bool {
        let Some(to) = self.pointer(at, bytes.len() as u64) else {
            return false;
        };
        // SAFETY: as for `read`.
        unsafe {
            to.as_ptr()
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len())
        };
        true
    }

    /// Writes the low `size` bytes of `value` at once; nothing where that is not RAM, or `size` is not 1, 4
    /// or 8, or `at` no multiple of it.
    pub fn store(&self, at: GuestPhys, value: u64, size: usize) {
        let aligned = size.is_power_of_two() && at.is_aligned(size as u64);
        let Some(to) = self.pointer(at, size as u64).filter(|_| aligned) else {
            return;
        };
        // SAFETY: aligned RAM of the guest, which no Rust object lies in.
        unsafe {
            match size {
                1 => to.write_volatile(value as u8),
                4 => to.cast::<u32>().write_volatile(value as u32),
                8 => to.cast::<u64>().write_volatile(value),
                _ => {}
            }
        }
    }

    /// Writes zeroes; false, and nothing written, when not all of the place is RAM.
    pub fn zero(&self, at: GuestPhys, size: u64) -> bool {
        let Some(to) = self.pointer(at, size) else {
            return false;
        };
        // SAFETY: as for `read`.
        unsafe { to.as_ptr().write_bytes(0, size as usize) };
        true
    }

    /// Reads `N` bytes.
    pub fn bytes<const N: usize>(&self, at: GuestPhys) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.read(at, &mut bytes).then_some(bytes)
    }

    /// Reads the 16 bits at `at`, which nothing later overtakes; `None` when they are not RAM, or `at` is
    /// odd.
    pub fn load_u16(&self, at: GuestPhys) -> Option<u16> {
        self.atomic_u16(at).map(|half| half.load(Ordering::Acquire))
    }

    /// Writes the 16 bits at `at`, after all that came before; false when they are not RAM, or `at` is odd.
    pub fn store_u16(&self, at: GuestPhys, value: u16) -> bool {
        let half = self.atomic_u16(at);
        half.map(|half| half.store(value, Ordering::Release))
            .is_some()
    }

    fn atomic_u16(&self, at: GuestPhys) -> Option<&AtomicU16> {
        if !at.is_aligned(2) {
            return None;
        }
        // SAFETY: as for `atomic`.
        self.pointer(at, 2)
            .map(|pointer| unsafe { AtomicU16::from_ptr(pointer.as_ptr().cast()) })
    }

    fn atomic(&self, at: GuestPhys) -> Option<&AtomicU64> {
        if !at.is_aligned(8) {
            return None;
        }
        // SAFETY: aligned, mapped for ever, and accessed by the monitor through atomics alone while
        // this borrow lives; the guest's own accesses are the hardware's.
        self.pointer(at, 8)
            .map(|pointer| unsafe { AtomicU64::from_ptr(pointer.as_ptr().cast()) })
    }
}

impl mmu::GuestMemory for GuestRam {
    fn read_pte(&self, at: GuestPhys) -> Option<u64> {
        self.atomic(at).map(|pte| pte.load(Ordering::Relaxed))
    }

    fn compare_exchange_pte(&self, at: GuestPhys, old: u64, new: u64) -> Option<bool> {
        self.atomic(at).map(|pte| {
            pte.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        })
    }

    fn host(&self, gpa: GuestPhys) -> Option<HostPhys> {
        self.contains(gpa, 1)
            .then(|| self.host.add(gpa.0 - self.base.0))
    }

    fn host_span(&self, gpa: GuestPhys, size: u64) -> Option<HostPhys> {
        let host = self
            .contains(gpa, size)
            .then(|| self.host.add(gpa.0 - self.base.0))?;
        host.is_aligned(size).then_some(host)
    }
}

/// Copies of guest frames.
pub struct Copies {
    ram: GuestRam,
    /// Pages that hold none.
    free: Vec<HostPhys>,
}

impl Copies {
    /// At most `count` copies of frames of `ram`, in as many pages at `memory`.
    ///
    /// # Safety
    /// The memory must be mapped in the direct map for ever, and used by nothing else.
    pub unsafe fn new(ram: GuestRam, memory: HostPhys, count: usize) -> Self {
        let pages = (0..count as u64).rev();
        let free = pages.map(|page| memory.add(page * PAGE_SIZE)).collect();
        Self { ram, free }
    }
}

impl patch::Memory for Copies {
    fn copy_frame(&mut self, address: GuestPhys) -> Option<HostPhys> {
        let copy = *self.free.last()?;
        let to = window::direct(copy).as_ptr();
        // SAFETY: a page that `new` was promised, and that nobody executes or writes while it is free.
        let bytes = unsafe { core::slice::from_raw_parts_mut(to, PAGE_SIZE as usize) };
        if !self.ram.read(address.page(), bytes) {
            return None;
        }
        self.free.pop()
    }

    fn free_copy(&mut self, copy: HostPhys) {
        self.free.push(copy);
    }

    fn write(&mut self, at: HostPhys, halfword: u16) {
        // SAFETY: an even address in a copy that `copy_frame` made; guests only execute it.
        unsafe { window::direct(at).cast::<u16>().write_volatile(halfword) };
    }
}

/// The routine cache's memory: written through the direct map, executed in the image's slot.
pub struct RoutineMemory {
    memory: HostPhys,
    size: usize,
    executed: u64,
    /// Counts the writes, for harts that must execute `fence.i` before they execute what was written.
    changes: &'static AtomicU64,
}

impl RoutineMemory {
    /// `size` bytes at `memory`, executed at `executed`.
    ///
    /// # Safety
    /// The memory must be mapped at both places for ever and used by nothing else.
    pub unsafe fn new(
        memory: HostPhys,
        size: usize,
        executed: u64,
        changes: &'static AtomicU64,
    ) -> Self {
        Self {
            memory,
            size,
            executed,
            changes,
        }
    }
}

impl patch::routines::ExecutableMemory for RoutineMemory {
    fn size(&self) -> usize {
        self.size
    }

    fn address(&self) -> u64 {
        self.executed
    }

    fn write(&mut self, offset: usize, words: &[u32]) {
        assert!(
            offset + words.len() * 4 <= self.size,
            "a routine lies outside the routine cache"
        );
        for (index, &word) in words.iter().enumerate() {
            let at = window::direct(self.memory.add((offset + index * 4) as u64));
            // SAFETY: inside the memory that `new` was promised, and aligned as offsets of routines are.
            unsafe { at.cast::<u32>().write_volatile(word) };
        }
        super::csr::fence_i();
        // Whoever finds the routine in the emulation map finds this count too.
        self.changes.fetch_add(1, Ordering::Release);
    }
}
