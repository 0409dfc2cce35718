//! The contexts: one for each value of the guest's `satp` that is remembered.

use crate::paging::{ENTRIES, Paging};
use crate::pool::{List, Page};
use alloc::boxed::Box;
use isa::satp::Satp;

/// No context: the end of a chain.
const END: u16 = u16::MAX;
const BUCKETS: usize = 64;

/// A set of entries of a root.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slots([u64; ENTRIES / 64]);

impl Slots {
    pub(crate) fn contains(&self, slot: usize) -> bool {
        self.0[slot / 64] & 1 << (slot % 64) != 0
    }

    pub(crate) fn insert(&mut self, slot: usize) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    pub(crate) fn remove(&mut self, slot: usize) {
        self.0[slot / 64] &= !(1 << (slot % 64));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0 == [0; ENTRIES / 64]
    }

    /// Those of the upper half of the address space.
    pub(crate) fn upper(mut self) -> Slots {
        self.0[..ENTRIES / 128].fill(0);
        self
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(word, mut bits)| {
            core::iter::from_fn(move || {
                let bit = bits.trailing_zeros();
                bits &= bits.wrapping_sub(1);
                (bit < 64).then_some(word * 64 + bit as usize)
            })
        })
    }
}

/// A context.
pub(crate) struct Record {
    /// The guest's `satp`; 0 for Bare, whose other fields mean nothing.
    pub(crate) satp: Satp,
    pub(crate) paging: Paging,
    /// The VS root, the VU root.
    pub(crate) roots: [Page; 2],
    /// The entries of each root that are this context's own. All others are as the shared tables
    /// (VS) or the window (VU) have them.
    pub(crate) private: [Slots; 2],
    /// The tables under the private entries of both roots.
    pub(crate) tables: List,
    /// A VS executable leaf is or was under a private entry.
    pub(crate) private_execute: bool,
    /// A VS entry of the upper half is private, or every hart has been told that one may be.
    pub(crate) private_upper: bool,
    /// A guest's leaf is or was shadowed in pieces under a private entry.
    pub(crate) pieces: bool,
    /// When it last became the context of a hart, by the count of such events.
    pub(crate) used: u64,
    /// The next one in the same bucket.
    next: u16,
}

/// All contexts, found by `satp` or by ASID without looking at each.
pub(crate) struct Contexts {
    slots: Box<[Option<Record>]>,
    buckets: [u16; BUCKETS],
}

impl Contexts {
    /// Room for `slots` contexts.
    pub(crate) fn new(slots: usize) -> Contexts {
        let slots = core::iter::repeat_with(|| None).take(slots).collect();
        Contexts {
            slots,
            buckets: [END; BUCKETS],
        }
    }

    /// A chain holds all contexts with the same low bits of the ASID: a fence names an ASID alone.
    fn bucket(asid: u16) -> usize {
        usize::from(asid) % BUCKETS
    }

    /// The context in `slot`.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub(crate) fn get(&self, slot: u16) -> &Record {
        self.slots[usize::from(slot)]
            .as_ref()
            .expect("a context that is in use")
    }

    /// The context in `slot`, to change.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub(crate) fn get_mut(&mut self, slot: u16) -> &mut Record {
        self.slots[usize::from(slot)]
            .as_mut()
            .expect("a context that is in use")
    }

    /// The slots that hold a context.
    pub(crate) fn live(&self) -> impl Iterator<Item = (u16, &Record)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(slot, record)| Some((slot as u16, record.as_ref()?)))
    }

    /// How many slots there are.
    pub(crate) fn capacity(&self) -> u16 {
        self.slots.len() as u16
    }

    /// Whether `slot` holds a context.
    pub(crate) fn is_live(&self, slot: u16) -> bool {
        self.slots[usize::from(slot)].is_some()
    }

    /// How many slots hold none.
    pub(crate) fn vacancies(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_none()).count()
    }

    /// A slot that holds none.
    pub(crate) fn vacant(&self) -> Option<u16> {
        self.slots
            .iter()
            .position(Option::is_none)
            .map(|slot| slot as u16)
    }

    /// The context of `satp`.
    pub(crate) fn find(&self, satp: Satp) -> Option<u16> {
        let mut next = self.after(satp.asid(), None);
        while let Some(slot) = next {
            if self.get(slot).satp == satp {
                return Some(slot);
            }
            next = self.after(satp.asid(), Some(slot));
        }
        None
    }

    /// Of the contexts whose ASID falls in the same bucket as `asid`, the one after `slot`, or the
    /// first. No iterator, for the sake of callers that change contexts as they go.
    pub(crate) fn after(&self, asid: u16, slot: Option<u16>) -> Option<u16> {
        let next = slot.map_or(self.buckets[Self::bucket(asid)], |slot| self.get(slot).next);
        (next != END).then_some(next)
    }

    /// Puts a context without tables into `slot`, which is vacant.
    pub(crate) fn insert(&mut self, slot: u16, satp: Satp, paging: Paging, roots: [Page; 2]) {
        let bucket = &mut self.buckets[Self::bucket(satp.asid())];
        self.slots[usize::from(slot)] = Some(Record {
            satp,
            paging,
            roots,
            private: [Slots::default(); 2],
            tables: List::EMPTY,
            private_execute: false,
            private_upper: false,
            pieces: false,
            used: 0,
            next: *bucket,
        });
        *bucket = slot;
    }

    /// Forgets the context in `slot`. Its roots and tables are the caller's to free.
    pub(crate) fn remove(&mut self, slot: u16) {
        let Some(record) = self.slots[usize::from(slot)].take() else {
            return;
        };
        let bucket = Self::bucket(record.satp.asid());
        if self.buckets[bucket] == slot {
            self.buckets[bucket] = record.next;
            return;
        }
        let mut before = self.buckets[bucket];
        while before != END {
            let link = &mut self.get_mut(before).next;
            if *link == slot {
                *link = record.next;
                return;
            }
            before = *link;
        }
    }
}
