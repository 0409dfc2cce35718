//! A guest's physical memory, and page tables in it.

use crate::paging::{Paging, index};
use crate::walk::GuestMemory;
use isa::address::{GuestPhys, GuestVirt, HostPhys, PAGE_SIZE};
use isa::pte::Pte;
use isa::satp::Satp;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// Where tables are made.
pub(crate) const TABLES: u64 = 0x8000_0000;
/// RAM that is nowhere aligned to 2 MiB in the host as it is in the guest.
pub(crate) const CROOKED: u64 = 0x1_0000_0000;
/// 512 GiB of RAM, aligned to as much.
pub(crate) const HUGE: u64 = 1 << 39;
/// A device.
pub(crate) const DEVICE: u64 = 0x1000_0000;

/// RAM: guest-physical address, bytes, host address.
const RAM: [(u64, u64, u64); 4] = [
    (0x8000_0000, 0x8000_0000, 0x4_8000_0000),
    (CROOKED, 0x4000_0000, 0x6_0000_1000),
    (0x1_8000_0000, 0x4020_0000, 0x7_0000_0000),
    (HUGE, HUGE, 2 * HUGE),
];

#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub(crate) words: RefCell<BTreeMap<u64, u64>>,
    /// The next table to hand out.
    next: Cell<u64>,
    /// Another hart's store, to be done just before the next compare-and-swap.
    pub(crate) race: Cell<Option<(u64, u64)>>,
}

impl GuestMemory for Memory {
    fn read_pte(&self, at: GuestPhys) -> Option<u64> {
        self.host(at)?;
        Some(self.words.borrow().get(&at.0).copied().unwrap_or(0))
    }

    fn compare_exchange_pte(&self, at: GuestPhys, old: u64, new: u64) -> Option<bool> {
        if let Some((at, value)) = self.race.take() {
            self.words.borrow_mut().insert(at, value);
        }
        let same = self.read_pte(at)? == old;
        if same {
            self.words.borrow_mut().insert(at.0, new);
        }
        Some(same)
    }

    fn host(&self, gpa: GuestPhys) -> Option<HostPhys> {
        let inside =
            |(start, bytes, _): &&(u64, u64, u64)| (*start..start + bytes).contains(&gpa.0);
        RAM.iter()
            .find(inside)
            .map(|(start, _, host)| HostPhys(host + (gpa.0 - start)))
    }

    fn host_span(&self, gpa: GuestPhys, size: u64) -> Option<HostPhys> {
        let last = gpa.0.checked_add(size - 1)?;
        let (start, _, host) = RAM.iter().find(|(start, bytes, _)| {
            (*start..start + bytes).contains(&gpa.0) && (*start..start + bytes).contains(&last)
        })?;
        let at = HostPhys(host + (gpa.0 - start));
        at.is_aligned(size).then_some(at)
    }
}

impl Memory {
    pub(crate) fn write(&self, at: u64, value: u64) {
        self.words.borrow_mut().insert(at, value);
    }

    /// An empty table.
    pub(crate) fn table(&self) -> GuestPhys {
        let number = self.next.get();
        self.next.set(number + 1);
        GuestPhys(TABLES + number * PAGE_SIZE)
    }

    /// An address space that maps nothing.
    pub(crate) fn space(&self, mode: u8, asid: u16) -> Satp {
        Satp::new(mode, asid, self.table())
    }

    /// Makes `va` lead by a leaf of `level` to `gpa`, with tables on the way where there are none.
    /// Gives the address of the leaf.
    pub(crate) fn map(&self, satp: Satp, va: u64, level: u32, gpa: u64, flags: u64) -> GuestPhys {
        let mut at_level = Paging::of(satp).expect("a mode").root_level();
        let mut table = satp.root();
        loop {
            let at = table.add(index(GuestVirt(va), at_level) as u64 * 8);
            if at_level == level {
                self.write(at.0, Pte::new(gpa, flags | Pte::V).0);
                return at;
            }
            let entry = Pte(self.read_pte(at).expect("a table in RAM"));
            let good = entry.flags() & !Pte::G == Pte::V;
            if !good || self.host(GuestPhys(entry.address())).is_none() {
                self.write(at.0, Pte::new(self.table().0, Pte::V).0);
            }
            table = GuestPhys(Pte(self.read_pte(at).expect("a table in RAM")).address());
            at_level -= 1;
        }
    }
}
