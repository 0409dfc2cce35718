//! The pages that shadow tables are made of.
//!
//! The hardware walks these tables while they change, so every entry is an atomic and changes by
//! one 64-bit store. A hart may walk a table long after the pointer to it is gone, for a fence of an
//! address lets it keep pointers ("Supervisor Memory-Management Fence Instruction"). So a released
//! table *rests* until every hart has forgotten it, and has no leaf of the guest meanwhile: a fence
//! on a hart that still goes through it could not find that leaf. What leads to the monitor's window
//! it keeps.

use crate::paging::ENTRIES;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};
use isa::address::{HostPhys, PAGE_SIZE};
use isa::pte::Pte;

/// One page table: 4 KiB, aligned to 4 KiB.
#[repr(C, align(4096))]
pub struct Table([AtomicU64; ENTRIES]);

impl Table {
    /// A table that maps nothing.
    #[must_use]
    pub const fn new() -> Table {
        Table([const { AtomicU64::new(0) }; ENTRIES])
    }
}

#[cfg(test)]
impl Tables {
    /// Where the tables are that may be taken at any time.
    pub(crate) fn free(&self) -> std::collections::BTreeSet<u64> {
        let first = Some(self.free.head);
        let pages = core::iter::successors(first, |page| {
            self.links.get(*page as usize).map(|link| link.after)
        });
        let pages = pages.take_while(|page| *page != END);
        pages.map(|page| self.physical(Page(page)).0).collect()
    }
}

#[cfg(test)]
impl Table {
    /// What the hardware would read.
    pub(crate) fn word(&self, index: usize) -> u64 {
        self.0[index].load(Ordering::Relaxed)
    }

    /// What code that drops a leaf without the lock does.
    pub(crate) fn zero(&self, index: usize) {
        self.0[index].store(0, Ordering::Relaxed);
    }
}

impl Default for Table {
    fn default() -> Table {
        Table::new()
    }
}

/// The memory given to a [`Shadow`](crate::Shadow).
#[derive(Clone, Copy)]
pub struct Pool {
    /// The tables, as the monitor reaches them.
    pub tables: &'static [Table],
    /// Where the first of them is in physical memory; the others follow it.
    pub physical: HostPhys,
}

/// A table of the pool, by its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Page(u32);

/// No page: the end of a list.
const END: u32 = u32::MAX;

/// A doubly linked list of tables. Its links are kept beside the pool, where no table can spoil
/// them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    head: u32,
    length: u32,
}

impl List {
    pub(crate) const EMPTY: List = List {
        head: END,
        length: 0,
    };

    /// How many tables are in it.
    pub(crate) const fn len(self) -> usize {
        self.length as usize
    }
}

#[derive(Clone, Copy)]
struct Link {
    before: u32,
    after: u32,
    /// The table that this one began as a copy of: [`BLANK`] or [`UNKNOWN`] where there is none.
    /// While it is free or rests, it is that copy again.
    template: u32,
}

/// No template: the table began empty.
const BLANK: u32 = END;
/// Whatever was in the memory of the pool.
const UNKNOWN: u32 = END - 1;

/// The pool, with what is free in it.
pub(crate) struct Tables {
    pool: Pool,
    links: Box<[Link]>,
    free: List,
    /// Not in use, but a hart may have cached the way to them.
    resting: List,
    /// How many pointers that a hart may have cached were taken out of tables.
    pointers_lost: u64,
}

impl Tables {
    pub(crate) fn new(pool: Pool) -> Tables {
        let link = Link {
            before: END,
            after: END,
            template: UNKNOWN,
        };
        let links = alloc::vec![link; pool.tables.len()].into_boxed_slice();
        let mut tables = Tables {
            pool,
            links,
            free: List::EMPTY,
            resting: List::EMPTY,
            pointers_lost: 0,
        };
        let mut free = List::EMPTY;
        for page in (0..tables.links.len() as u32).rev() {
            tables.push(&mut free, Page(page));
        }
        tables.free = free;
        tables
    }

    /// Tables in all.
    pub(crate) fn total(&self) -> usize {
        self.links.len()
    }

    /// Tables in use.
    pub(crate) fn live(&self) -> usize {
        self.links.len() - self.free.len() - self.resting.len()
    }

    /// Tables that are free, or will be when they have rested.
    pub(crate) fn spare(&self) -> usize {
        self.free.len() + self.resting.len()
    }

    /// Changes whenever a hart may have come to hold a pointer that the tables do not have.
    pub(crate) fn pointers_lost(&self) -> u64 {
        self.pointers_lost
    }

    /// Takes a free table, as a copy of `template` or empty; `None` when none is free.
    pub(crate) fn take(&mut self, template: Option<Page>) -> Option<Page> {
        let page = Page(self.free.head);
        if page.0 == END {
            return None;
        }
        let mut free = self.free;
        self.remove(&mut free, page);
        self.free = free;
        let begins_as = template.map_or(BLANK, |template| template.0);
        if self.links[page.0 as usize].template != begins_as {
            self.links[page.0 as usize].template = begins_as;
            self.blank(page);
        }
        Some(page)
    }

    /// Makes `page` what it began as.
    fn blank(&self, page: Page) {
        let template = self.links[page.0 as usize].template;
        for index in 0..ENTRIES {
            let entry = match template {
                BLANK => Pte(0),
                template => self.read(Page(template), index),
            };
            self.table(page)[index].store(entry.0, Ordering::Relaxed);
        }
    }

    /// Frees a table that is in no list and that no hart has ever seen.
    pub(crate) fn give(&mut self, page: Page) {
        let mut free = self.free;
        self.push(&mut free, page);
        self.free = free;
    }

    /// Lets `page`, which is in no list and to which nothing points any more, rest.
    pub(crate) fn rest(&mut self, page: Page) {
        self.blank(page);
        let mut resting = self.resting;
        self.push(&mut resting, page);
        self.resting = resting;
    }

    /// Takes `page` out of `owner` and lets it rest.
    pub(crate) fn release(&mut self, owner: &mut List, page: Page) {
        self.remove(owner, page);
        self.rest(page);
    }

    /// Lets all tables of `owner` rest.
    pub(crate) fn release_all(&mut self, owner: &mut List) {
        while owner.head != END {
            self.release(owner, Page(owner.head));
        }
    }

    /// Makes the resting tables free: no hart knows a way to them any more.
    pub(crate) fn settle(&mut self) {
        while self.resting.head != END {
            let page = Page(self.resting.head);
            let mut resting = self.resting;
            self.remove(&mut resting, page);
            self.resting = resting;
            self.give(page);
        }
    }

    pub(crate) fn push(&mut self, list: &mut List, page: Page) {
        let link = &mut self.links[page.0 as usize];
        link.before = END;
        link.after = list.head;
        if list.head != END {
            self.links[list.head as usize].before = page.0;
        }
        list.head = page.0;
        list.length += 1;
    }

    fn remove(&mut self, list: &mut List, page: Page) {
        let Link { before, after, .. } = self.links[page.0 as usize];
        if before == END {
            list.head = after;
        } else {
            self.links[before as usize].after = after;
        }
        if after != END {
            self.links[after as usize].before = before;
        }
        list.length -= 1;
    }

    fn table(&self, page: Page) -> &[AtomicU64; ENTRIES] {
        &self.pool.tables[page.0 as usize].0
    }

    pub(crate) fn read(&self, page: Page, index: usize) -> Pte {
        Pte(self.table(page)[index].load(Ordering::Relaxed))
    }

    /// Release order, so that a table is seen whole by whoever sees the pointer to it.
    pub(crate) fn write(&mut self, page: Page, index: usize, pte: Pte) {
        let old = self.read(page, index);
        let was_pointer = old.is_valid() && !old.is_leaf();
        if was_pointer && (old.address() != pte.address() || !pte.is_valid()) {
            self.pointers_lost += 1;
        }
        self.table(page)[index].store(pte.0, Ordering::Release);
    }

    pub(crate) fn physical(&self, page: Page) -> HostPhys {
        self.pool.physical.add(u64::from(page.0) * PAGE_SIZE)
    }

    /// An entry that points to `page`.
    pub(crate) fn pointer(&self, page: Page) -> Pte {
        Pte::new(self.physical(page).0, Pte::V)
    }

    /// The table of the pool that `pte` points to, if it does. The window's entries may point to
    /// tables, but those are the monitor's and not of the pool.
    pub(crate) fn child(&self, pte: Pte) -> Option<Page> {
        if !pte.is_valid() || pte.is_leaf() {
            return None;
        }
        let number = pte.address().checked_sub(self.pool.physical.0)? / PAGE_SIZE;
        (number < self.links.len() as u64).then_some(Page(number as u32))
    }
}
