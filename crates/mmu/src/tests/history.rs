//! What the architecture allows the TLB of a hart to hold: for each address, all that it has led to
//! since the last fence of that hart that subsumes it.
//!
//! A translation that one hart may cache every hart may: the harts of a guest are taken to mean the
//! same by a value of `satp`.

use super::memory::Memory;
use super::naive::{self, Leaf};
use crate::shadow::View;
use crate::walk::GuestMemory;
use isa::address::GuestPhys;
use isa::pte::Pte;
use isa::satp::Satp;
use std::collections::BTreeMap;
use std::vec::Vec;

/// A model of all TLBs of a guest, for the addresses in `probes`.
pub(crate) struct History {
    pub(crate) probes: Vec<u64>,
    /// For each hart, by the guest's `satp` and the address.
    seen: Vec<BTreeMap<(u64, u64), Vec<Leaf>>>,
}

/// Whether a leaf of the guest may stand behind a shadow leaf with `rights` in `view`.
fn gives(leaf: &Leaf, view: View, rights: u64) -> bool {
    let pte = Pte(leaf.pte);
    let mut given = pte.0 & Pte::RWX;
    if !pte.is_dirty() {
        given &= !Pte::W;
    }
    let right_view = match view {
        View::Vu => pte.is_user(),
        View::Vs => {
            if pte.is_user() {
                given &= !Pte::X;
            }
            true
        }
    };
    right_view && pte.is_accessed() && rights & !given == 0
}

impl History {
    pub(crate) fn new(probes: Vec<u64>, harts: usize) -> History {
        History {
            probes,
            seen: std::vec![BTreeMap::new(); harts],
        }
    }

    /// Takes note of where the probes lead under `satp` now.
    pub(crate) fn record(&mut self, memory: &Memory, satp: Satp) {
        if satp.mode() == 0 {
            return;
        }
        let read = |at| memory.read_pte(GuestPhys(at));
        for probe in &self.probes {
            if let Ok(leaf) = naive::leaf(&read, satp.0, *probe) {
                for seen in &mut self.seen {
                    let seen = seen.entry((satp.0, *probe)).or_default();
                    if !seen.contains(&leaf) {
                        seen.push(leaf);
                    }
                }
            }
        }
    }

    /// A hart of the guest fences.
    pub(crate) fn fence(&mut self, hart: usize, address: Option<u64>, asid: Option<u16>) {
        for ((satp, probe), seen) in &mut self.seen[hart] {
            seen.retain(|leaf| {
                let covers = |va: u64| va & !(leaf.bytes - 1) == *probe & !(leaf.bytes - 1);
                let this_address = address.is_none_or(covers);
                let this_space = asid.is_none_or(|asid| Satp(*satp).asid() == asid && !leaf.global);
                !(this_address && this_space)
            });
        }
    }

    /// Where `probe` may lead on a hart in `view` of `satp` with all of `rights`.
    pub(crate) fn targets(
        &self,
        hart: usize,
        satp: Satp,
        view: View,
        probe: u64,
        rights: u64,
    ) -> Vec<u64> {
        if satp.mode() == 0 {
            return [probe].into();
        }
        let same_mode = self.seen[hart]
            .iter()
            .filter(|((other, va), _)| *va == probe && Satp(*other).mode() == satp.mode());
        let leaves = same_mode.flat_map(|((other, _), seen)| {
            seen.iter()
                .filter(move |leaf| *other == satp.0 || leaf.global)
        });
        let fitting = leaves.filter(|leaf| gives(leaf, view, rights));
        fitting
            .map(|leaf| leaf.page + (probe & (leaf.bytes - 1)))
            .collect()
    }
}
