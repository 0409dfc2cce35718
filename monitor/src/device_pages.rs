//! The pages of devices that a virtual hart accessed last: where they are in its address space, so that
//! not each access walks the guest's tables.
//!
//! It remembers no more than a TLB may: a fence of any kind ends it, and so does another `satp`. Devices
//! are never in the shadow, so that dropping from there says nothing about them.

use isa::address::{GuestPhys, GuestVirt, PAGE_SIZE};
use mmu::Access;

/// Pages that are remembered: those of a device and of the interrupt controller, loads and stores apart.
const PAGES: usize = 8;

/// What the tables were when the pages were noted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tables {
    /// The guest's.
    pub satp: u64,
    /// Fences of one address that the hart had executed.
    pub fences: u64,
}

/// Where a page is, for accesses of one kind.
#[derive(Clone, Copy, Debug)]
struct Page {
    number: u64,
    access: Access,
    address: GuestPhys,
}

/// The pages.
#[derive(Debug, Default)]
pub struct DevicePages {
    tables: Option<Tables>,
    pages: [Option<Page>; PAGES],
    /// Which of them gives way next.
    next: usize,
}

impl DevicePages {
    /// The guest-physical address of `at`, if its page is remembered for such an access.
    pub fn find(&self, tables: Tables, at: GuestVirt, access: Access) -> Option<GuestPhys> {
        if self.tables != Some(tables) {
            return None;
        }
        let number = at.0 / PAGE_SIZE;
        let mut pages = self.pages.iter().flatten();
        let page = pages.find(|page| page.number == number && page.access == access)?;
        Some(page.address.add(at.offset()))
    }

    /// Notes that such an access at `at` reaches the device at `address`.
    pub fn note(&mut self, tables: Tables, at: GuestVirt, access: Access, address: GuestPhys) {
        if self.tables != Some(tables) {
            self.forget();
            self.tables = Some(tables);
        }
        self.pages[self.next] = Some(Page {
            number: at.0 / PAGE_SIZE,
            access,
            address: address.page(),
        });
        self.next = (self.next + 1) % PAGES;
    }

    /// Forgets all of them.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}
