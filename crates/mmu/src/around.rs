//! Filling what lies around a fault.
//!
//! A hart may walk ahead of what the program does, as long as it relies on leaves alone that have A
//! set already, and D where it makes the translation writable ("Addressing and Memory Protection").
//! A shadow that does saves most of the faults that a process which has just been made would take.

use crate::entry::{Owner, Place};
use crate::fill::Frames;
use crate::shadow::{Shadow, View};
use crate::walk::{Access, GuestMemory, Translation};
use isa::address::{GuestPhys, GuestVirt, PAGE_SIZE};
use isa::pte::Pte;

/// Leaves that are looked at together: as many bytes of the guest's table as two cache lines have.
const GROUP: usize = 8;

impl Shadow {
    /// Maps the neighbours of a page of 4 KiB that [`Shadow::fill`] has just mapped, as far as the
    /// guest's table has accessed leaves for them and the shadow has nothing yet.
    ///
    /// # Panics
    ///
    /// When there is no such hart.
    pub fn fill_around(
        &mut self,
        memory: &impl GuestMemory,
        frames: &impl Frames,
        hart: usize,
        va: GuestVirt,
        translation: &Translation,
        access: Access,
    ) {
        if translation.level != 0 {
            return;
        }
        let slot = self.current[hart];
        let paging = self.contexts.get(slot).paging;
        let view = if access.user { View::Vu } else { View::Vs };
        let mut step = self.top(slot, view, va);
        while step.level > 0 {
            match self.tables.child(self.get(step.place)) {
                Some(table) => step = step.down(table, va),
                None => return,
            }
        }
        let Place::Table(table, index) = step.place else {
            return;
        };
        let first = index - index % GROUP;
        let first_leaf = GuestPhys(translation.at.0 - 8 * (index - first) as u64);
        let is_shared = step.owner == Owner::Shared(paging);
        let by_pointer = translation.global && !translation.pte.is_global();
        for neighbour in 0..GROUP {
            if self.tables.read(table, first + neighbour) != Pte(0) {
                continue;
            }
            let at = first_leaf.add(8 * neighbour as u64);
            let Some(pte) = memory.read_pte(at).map(Pte).filter(|pte| is_usable(*pte)) else {
                continue;
            };
            if pte.is_user() != translation.pte.is_user() {
                continue;
            }
            let page = GuestPhys(pte.address());
            let neighbour_va = va
                .page()
                .add(((first + neighbour) as u64).wrapping_sub(index as u64) << 12);
            let translation = Translation {
                address: page,
                page,
                level: 0,
                pte,
                at,
                global: translation.global,
            };
            if pte.is_global() && !translation.global {
                continue;
            }
            // Only a pointer above makes the neighbours of a global leaf global too.
            if is_shared && !pte.is_global() && !by_pointer {
                continue;
            }
            let Some((leaf, rights)) = self.plan_for(memory, frames, &translation, paging, view)
            else {
                continue;
            };
            // Without rights it would be a pointer, to a page of the guest.
            if leaf.pte.0 & Pte::RWX == 0 || (rights.execute && view == View::Vs && !is_shared) {
                continue;
            }
            self.tables.write(table, first + neighbour, leaf.pte);
            self.statistics.around += 1;
            if rights.write {
                frames.mapped_writable(leaf.gpa, PAGE_SIZE);
            }
            if leaf.is_copy {
                frames.mapped_copy(leaf.gpa, neighbour_va);
            }
        }
    }
}

/// Whether a leaf may be used without asking for it.
fn is_usable(pte: Pte) -> bool {
    const RESERVED: u64 = Pte::RESERVED | Pte::PBMT | Pte::N;
    let sound = pte.is_readable() || !pte.is_writable();
    pte.is_valid() && pte.is_leaf() && pte.is_accessed() && sound && pte.0 & RESERVED == 0
}
