//! A virtual hart, as its VM's lock protects it.

use alloc::boxed::Box;

use patch::HartBlock;
use patch::block::{ContextEntry, ContextTable, FENCE_LOG};
use sbi::{CsrCounter, CsrView, Event, PerHart, Start};
use vcpu::refused::Tries;

use super::device_pages::{DevicePages, Tables};
use super::extensions::Extensions;
use super::trace::Exits;

/// Whether a virtual hart runs, and what it waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It executes, or waits in the scheduler for its turn.
    Started,
    /// In `wfi`: until an interrupt that `sie` enables is pending.
    Waiting,
    /// Suspended: until the same, and then it goes on there, if given.
    Suspended(Option<Start>),
    /// As a start of the hart by another was asked for, and not carried out yet.
    StartPending(Start),
    /// Stopped.
    Stopped,
}

/// How often each event of the performance monitoring unit has happened to a hart.
#[derive(Debug)]
pub struct Events([u64; Event::ALL.len()]);

impl Default for Events {
    fn default() -> Self {
        Self([0; Event::ALL.len()])
    }
}

impl Events {
    /// It has happened once more.
    pub fn count(&mut self, event: Event) {
        self.0[event.place()] += 1;
    }

    /// How often it has happened.
    pub fn total(&self, event: Event) -> u64 {
        self.0[event.place()]
    }
}

/// A virtual hart. The gate and the routines work on its block while it is in the guest; Rust code
/// has it only under its VM's lock, and only while it is not in the guest.
pub struct Vcpu {
    /// Its hart id in the VM.
    pub index: usize,
    pub block: Box<HartBlock>,
    /// The guest's `satp` that the shadow's current context of this hart is for.
    pub satp: Option<u64>,
    pub contexts: Box<ContextTable>,
    /// Addresses of the latest fences of one address in all address spaces.
    pub fence_log: Box<[u64; FENCE_LOG]>,
    pub device_pages: DevicePages,
    /// With strict SUM: the VS view may have user pages.
    pub user_pages: bool,
    pub extensions: Extensions,
    pub exits: Exits,
    /// Instructions that the host refused, and that it was to try again.
    pub tries: Tries,
    /// What the guest has configured through the SBI.
    pub services: PerHart,
    /// Ticks stolen from it, as far as the guest has been told.
    pub stolen: u64,
    /// What the PMU counts.
    pub events: Events,
}

impl Vcpu {
    /// A stopped hart whose block is not complete yet.
    pub fn new(index: usize, extension_fields: u64) -> Self {
        // SAFETY: all fields of a block are integers, or an enum that has a variant 0.
        let mut block = unsafe { Box::<HartBlock>::new_zeroed().assume_init() };
        block.clear_cache();
        let mut contexts = Box::new(ContextTable(
            [ContextEntry::EMPTY; patch::block::CONTEXT_ENTRIES],
        ));
        contexts.clear();
        let fence_log = Box::new([0; FENCE_LOG]);
        block.contexts = &raw const *contexts as u64;
        block.fence_log = &raw const *fence_log as u64;
        Self {
            index,
            block,
            satp: None,
            contexts,
            fence_log,
            device_pages: DevicePages::default(),
            user_pages: false,
            extensions: Extensions::new(extension_fields),
            exits: Exits::default(),
            tries: Tries::default(),
            services: PerHart::default(),
            stolen: 0,
            events: Events::default(),
        }
    }

    /// What the guest reads in `cycle` and `instret`, where `readable` has the counters that the host lets
    /// S-mode read. The others are no counters of a CSR.
    pub fn counter_views(&self, readable: u64) -> [CsrView; 2] {
        [CsrCounter::Cycle, CsrCounter::Instret].map(|counter| {
            if readable >> (counter.csr() - isa::csr::CYCLE) & 1 == 0 {
                CsrView::Direct
            } else {
                self.services.pmu.view(counter)
            }
        })
    }

    /// What the guest has configured is gone, as after a reset of the machine.
    pub fn reset(&mut self) {
        self.services = PerHart::default();
        self.block.virtual_counters = 0;
    }

    /// The tables that its addresses are translated by.
    pub fn tables(&self) -> Tables {
        Tables {
            satp: self.block.hart.satp,
            fences: self.block.fences,
        }
    }

    /// Forgets what is remembered by an address or by a `satp`.
    pub fn forget(&mut self) {
        self.block.clear_cache();
        self.device_pages.forget();
        self.contexts.clear();
    }
}
