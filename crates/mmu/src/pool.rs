//! The pages that shadow tables are made of.
//!
//! The hardware walks these tables while they change, so every entry is an atomic and changes by
//! one 64-bit store. A freed table keeps its entries until it is used again: a hart that still
//! walks it sees what it might have cached, which a [`Flush`](crate::Flush) is about to end.

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
impl Table {
    /// What the hardware would read.
    pub(crate) fn word(&self, index: usize) -> u64 {
        self.0[index].load(Ordering::Relaxed)
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
    /// The table lies on the way to the monitor's window, under a root that may be in use.
    leads_to_window: bool,
}

/// The pool, with what is free in it.
pub(crate) struct Tables {
    pool: Pool,
    links: Box<[Link]>,
    free: List,
    /// Free, but a hart may have cached the way through them to the window: reused only when the
    /// flush of the operation that freed them has been done, that is by the next operation.
    resting: List,
}

impl Tables {
    pub(crate) fn new(pool: Pool) -> Tables {
        let link = Link {
            before: END,
            after: END,
            leads_to_window: false,
        };
        let links = alloc::vec![link; pool.tables.len()].into_boxed_slice();
        let mut tables = Tables {
            pool,
            links,
            free: List::EMPTY,
            resting: List::EMPTY,
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

    /// Takes a free table, as a copy of `template` or empty; `None` when none is free.
    pub(crate) fn take(&mut self, template: Option<Page>) -> Option<Page> {
        let page = Page(self.free.head);
        if page.0 == END {
            return None;
        }
        let mut free = self.free;
        self.remove(&mut free, page);
        self.free = free;
        for index in 0..ENTRIES {
            let entry = template.map_or(Pte(0), |template| self.read(template, index));
            self.table(page)[index].store(entry.0, Ordering::Relaxed);
        }
        self.links[page.0 as usize].leads_to_window = template.is_some();
        Some(page)
    }

    /// Frees a table that is in no list and that no hart has cached a way to the window through.
    pub(crate) fn give(&mut self, page: Page) {
        let mut free = self.free;
        self.push(&mut free, page);
        self.free = free;
    }

    /// Takes `page` out of `owner` and frees it.
    pub(crate) fn release(&mut self, owner: &mut List, page: Page) {
        self.remove(owner, page);
        if self.links[page.0 as usize].leads_to_window {
            let mut resting = self.resting;
            self.push(&mut resting, page);
            self.resting = resting;
        } else {
            self.give(page);
        }
    }

    /// Frees all tables of `owner`, of which those that lead to the window rest if `in_use`.
    pub(crate) fn release_all(&mut self, owner: &mut List, in_use: bool) {
        while owner.head != END {
            let page = Page(owner.head);
            if in_use {
                self.release(owner, page);
            } else {
                self.remove(owner, page);
                self.give(page);
            }
        }
    }

    /// Makes the resting tables free. To be called when an operation begins.
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
    pub(crate) fn write(&self, page: Page, index: usize, pte: Pte) {
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
