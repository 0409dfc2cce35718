//! The emulation map: from the 16-bit value in a patch to the routine that serves it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use isa::address::HostPhys;

/// Values that a 16-bit immediate can take.
pub const VALUES: usize = 1 << 16;

/// The four bytes of a patch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Patch {
    /// Index into the emulation map.
    pub value: u16,
}

impl Patch {
    /// The first halfword, `c.ebreak`: written first, so that whoever runs into a half-written
    /// patch breaks and finds no registered value.
    pub const BREAK: u16 = isa::encode::C_EBREAK;
}

/// One entry. A value serves a single site, so that the immediate alone proves nothing: a guest's
/// own `c.ebreak` followed by the same 16 bits lies elsewhere.
///
/// The gates of other harts read entries while they change: whoever finds the site there finds its
/// routine too.
#[repr(C)]
#[derive(Debug)]
struct Entry {
    /// Host-physical address of the patch in its patched copy; [`FREE`] when unused.
    site: AtomicU64,
    /// Address of the routine.
    routine: AtomicU64,
}

impl Entry {
    const fn unused() -> Self {
        Self {
            site: AtomicU64::new(FREE),
            routine: AtomicU64::new(0),
        }
    }

    fn free(&self) {
        self.site.store(FREE, Ordering::Relaxed);
    }
}

/// No site: patches are at even addresses.
const FREE: u64 = 1;

/// The emulation map of one virtual machine, read by the gate's assembly.
pub struct EmulationMap {
    entries: Box<[Entry]>,
    free: Vec<u16>,
    /// Values never used since the last reset.
    next: usize,
    limit: usize,
}

impl EmulationMap {
    /// A map with `limit` values in use at most (1 to 65,536).
    pub fn new(limit: usize) -> Self {
        Self {
            entries: core::iter::repeat_with(Entry::unused)
                .take(VALUES)
                .collect(),
            free: Vec::with_capacity(VALUES),
            next: 0,
            limit: limit.clamp(1, VALUES),
        }
    }

    /// Address of the table of 16-byte entries (site, routine), for the gate.
    pub fn address(&self) -> u64 {
        self.entries.as_ptr() as u64
    }

    /// Registers a routine for a site and returns its value, or `None` when all values are taken.
    pub fn insert(&mut self, site: HostPhys, routine: u64) -> Option<u16> {
        let value = match self.free.pop() {
            Some(value) => value,
            None if self.next < self.limit => {
                self.next += 1;
                (self.next - 1) as u16
            }
            None => return None,
        };
        let entry = &self.entries[usize::from(value)];
        entry.routine.store(routine, Ordering::Relaxed);
        entry.site.store(site.0, Ordering::Release);
        Some(value)
    }

    /// The routine that `value` names at `site`, as the gate finds it.
    pub fn routine(&self, value: u16, site: HostPhys) -> Option<u64> {
        let entry = &self.entries[usize::from(value)];
        let found = entry.site.load(Ordering::Acquire) == site.0;
        found.then(|| entry.routine.load(Ordering::Relaxed))
    }

    /// Frees a value. No hart may be about to look it up.
    pub fn remove(&mut self, value: u16) {
        let entry = &self.entries[usize::from(value)];
        debug_assert_ne!(
            entry.site.load(Ordering::Relaxed),
            FREE,
            "value {value} freed twice"
        );
        entry.free();
        self.free.push(value);
    }

    /// Frees every value. No hart may be about to look one up.
    pub fn clear(&mut self) {
        self.entries[..self.next].iter().for_each(Entry::free);
        self.free.clear();
        self.next = 0;
    }

    /// Values in use.
    pub fn len(&self) -> usize {
        self.next - self.free.len()
    }

    /// Whether no value is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_serves_its_own_site_alone() {
        let mut map = EmulationMap::new(VALUES);
        let value = map.insert(HostPhys(0x8000_1002), 0x10).unwrap();
        assert_eq!(map.routine(value, HostPhys(0x8000_1002)), Some(0x10));
        assert_eq!(map.routine(value, HostPhys(0x8000_1006)), None);
    }

    #[test]
    fn all_65536_values_can_be_used_and_reused() {
        let mut map = EmulationMap::new(VALUES);
        for site in 0..VALUES as u64 {
            assert_eq!(map.insert(HostPhys(site * 4), site), Some(site as u16));
        }
        assert_eq!(map.insert(HostPhys(0x1000_0000), 0), None);
        map.remove(77);
        assert_eq!(map.routine(77, HostPhys(77 * 4)), None);
        assert_eq!(map.insert(HostPhys(0x1000_0000), 5), Some(77));
        assert_eq!(map.routine(77, HostPhys(0x1000_0000)), Some(5));
        assert_eq!(map.len(), VALUES);
    }
}
