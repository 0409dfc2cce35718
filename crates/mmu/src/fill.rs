//! Filling the shadow after a fault.

use crate::entry::{Owner, PIECES, Step};
use crate::flush::{Dropped, Flush};
use crate::paging::{Paging, size};
use crate::pool::Page;
use crate::shadow::{Shadow, View};
use crate::walk::{Access, GuestMemory, Kind, Translation};
use core::fmt;
use isa::address::{GuestPhys, GuestVirt, HostPhys};
use isa::pte::Pte;

/// How a guest frame may be mapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Frame {
    /// As the guest asks.
    Plain,
    /// It has patches: VS executes `copy`, which nobody reads or writes, and the original is not
    /// written through any mapping.
    Patched {
        /// The page to execute.
        copy: HostPhys,
    },
    /// It has no copy now, but may not be written unseen.
    Protected,
}

/// What the owner of the patched copies knows of guest frames.
pub trait Frames {
    /// How the frame of `gpa` may be mapped.
    fn frame(&self, gpa: GuestPhys) -> Frame;
    /// Whether each frame of the `size` bytes from `gpa` is [`Frame::Plain`].
    fn uniform(&self, gpa: GuestPhys, size: u64) -> bool;
    /// Whether VS may execute these frames when they are [`Frame::Plain`]. Where code is looked at before
    /// it is executed, it may not: a frame that was looked at is something else.
    fn executes_plain(&self, gpa: GuestPhys, size: u64) -> bool {
        let _ = (gpa, size);
        true
    }
    /// A writable leaf for these frames has been installed.
    fn mapped_writable(&self, gpa: GuestPhys, size: u64);
    /// The copy of the frame of `gpa` has been mapped at `va`, in the shadow's current context of
    /// the hart or for all contexts of its mode.
    fn mapped_copy(&self, gpa: GuestPhys, va: GuestVirt) {
        let _ = (gpa, va);
    }
}

/// How a fill ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Filled {
    /// The leaf is in place: the access will succeed when the hart has carried this out.
    Installed(Dropped),
    /// There is no leaf yet: it will take the place of instructions that another hart may know of,
    /// or of what another hart may drop without the lock. All harts carry this out; then walk and
    /// fill again.
    Cleared(Dropped),
    /// The leaf was in place: the hardware has something else in its TLB, which the hart forgets.
    Spurious(Flush),
    /// The page may be executed, but is not mapped readable: it is a patched copy, or the load is
    /// allowed by MXR. The monitor loads from [`Translation::address`] itself.
    ExecuteOnly,
    /// The guest may store here, but the frame is patched or protected: the monitor lifts that and
    /// fills again, or carries out the store.
    WriteProtected,
}

/// Why there is no leaf.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FillError {
    /// The guest wants to use an address of the monitor's window.
    Window(GuestVirt),
    /// The address translates, but not to RAM: a device, or nothing.
    NotRam(GuestPhys),
    /// A guest in Bare mode uses an address that the shadow's paging mode does not have.
    Beyond(GuestVirt),
    /// The translation does not allow the access, so it was made for another one.
    Rights,
    /// The pool is used up: [`Shadow::make_room`], then walk and fill again.
    Full,
}

impl fmt::Display for FillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FillError::Window(va) => write!(
                f,
                "the guest maps {va:#x}, where the monitor is: move the monitor's window"
            ),
            FillError::NotRam(gpa) => write!(f, "guest-physical {gpa:#x} is not RAM"),
            FillError::Beyond(va) => {
                write!(
                    f,
                    "{va:#x} is beyond what the processor can map for a guest without paging"
                )
            }
            FillError::Rights => write!(f, "the translation was made for another access"),
            FillError::Full => write!(f, "the shadow pool is used up: make room"),
        }
    }
}

impl core::error::Error for FillError {}

/// A leaf to install.
pub(crate) struct Leaf {
    pub(crate) pte: Pte,
    level: u32,
    /// The level of the guest's leaf, which this one is a piece of when it is lower.
    guest_level: u32,
    /// The guest-physical memory that it maps.
    pub(crate) gpa: GuestPhys,
    pub(crate) is_copy: bool,
    shared: bool,
}

/// What a leaf may be.
#[derive(Clone, Copy)]
pub(crate) struct Rights {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) execute: bool,
}

impl Rights {
    /// What the guest's leaf gives to a view. VS never executes a user page; SUM is not enforced.
    fn of(translation: &Translation, paging: Paging, user: bool) -> Option<Rights> {
        let pte = translation.pte;
        let bare = paging == Paging::Bare;
        if user && !pte.is_user() && !bare {
            return None;
        }
        Some(Rights {
            read: pte.is_readable(),
            write: pte.is_writable() && pte.is_dirty(),
            execute: pte.is_executable() && (user || !pte.is_user()),
        })
    }

    /// The flags of the leaf. U because the guest's kernel too runs in U-mode; A and D so that the
    /// hardware never wants to write this table; no G, for VS leaves must not be seen from VU.
    fn flags(self) -> u64 {
        let mut flags = Pte::V | Pte::U | Pte::A;
        for (right, bits) in [
            (self.read, Pte::R),
            (self.write, Pte::W | Pte::D),
            (self.execute, Pte::X),
        ] {
            if right {
                flags |= bits;
            }
        }
        flags
    }
}

impl Shadow {
    /// Maps `va` for `access`, which has faulted in the current context of `hart` and which
    /// [`walk()`](crate::walk()) has found to be allowed and translated to `translation`.
    ///
    /// With several harts, whatever locks the shadow must be held from before that walk: a fence
    /// between the two would come too early for what is filled here. Fences that other harts
    /// carry out without the lock must wait from before that walk until [`Shadow::fill_around`] is
    /// over.
    ///
    /// # Errors
    ///
    /// When there is nothing that can be mapped; the shadow has not changed then. With
    /// [`FillError::Full`] it may have: what was dropped is part of what [`Shadow::make_room`] drops,
    /// before which the lock must not be given up.
    ///
    /// # Panics
    ///
    /// When there is no such hart.
    pub fn fill(
        &mut self,
        memory: &impl GuestMemory,
        frames: &impl Frames,
        hart: usize,
        va: GuestVirt,
        translation: &Translation,
        access: Access,
    ) -> Result<Filled, FillError> {
        self.statistics.fills += 1;
        let slot = self.current[hart];
        let paging = self.contexts.get(slot).paging;
        let view = if access.user { View::Vu } else { View::Vs };
        if !self.fixed.paging.is_canonical(va) {
            return Err(FillError::Beyond(va));
        }
        if self.fixed.contains(va) {
            return Err(FillError::Window(va));
        }
        let wanted = Rights::of(translation, paging, access.user).ok_or(FillError::Rights)?;
        let (leaf, given) = self.plan(memory, frames, translation, wanted, view)?;
        match access.kind {
            Kind::Fetch if !given.execute => return Err(FillError::Rights),
            Kind::Load if !wanted.read && !access.mxr => return Err(FillError::Rights),
            Kind::Load if !given.read => return Ok(Filled::ExecuteOnly),
            Kind::Store if !wanted.write => return Err(FillError::Rights),
            Kind::Store if !given.write => return Ok(Filled::WriteProtected),
            _ => {}
        }
        let filled = self.install(hart, view, va, &leaf)?;
        if matches!(filled, Filled::Installed(_)) {
            if given.write {
                frames.mapped_writable(leaf.gpa, size(leaf.level));
            }
            if leaf.is_copy {
                frames.mapped_copy(leaf.gpa, va.page());
            }
        }
        Ok(filled)
    }

    /// The leaf of one page, when the view may have it.
    pub(crate) fn plan_for(
        &self,
        memory: &impl GuestMemory,
        frames: &impl Frames,
        translation: &Translation,
        paging: Paging,
        view: View,
    ) -> Option<(Leaf, Rights)> {
        let wanted = Rights::of(translation, paging, view == View::Vu)?;
        self.plan(memory, frames, translation, wanted, view).ok()
    }

    /// The largest leaf that can stand for the guest's, and the rights it has.
    fn plan(
        &self,
        memory: &impl GuestMemory,
        frames: &impl Frames,
        translation: &Translation,
        wanted: Rights,
        view: View,
    ) -> Result<(Leaf, Rights), FillError> {
        let plain = |gpa, size| Rights {
            execute: wanted.execute && (view == View::Vu || frames.executes_plain(gpa, size)),
            ..wanted
        };
        // A user page that is global, which no kernel has, stays with its context for the sake of
        // `drop_user`.
        let shared = translation.global && !translation.pte.is_user();
        let guest_level = translation.level;
        let leaf = |level, host: HostPhys, rights: Rights, is_copy| {
            let pte = Pte(Pte::new(host.0, rights.flags()).0 | self.leaf_bits);
            let gpa = translation.address.align_down(size(level));
            (
                Leaf {
                    pte,
                    level,
                    guest_level,
                    gpa,
                    is_copy,
                    shared,
                },
                rights,
            )
        };
        for level in (1..=guest_level).rev() {
            let bytes = size(level);
            let gpa = translation.address.align_down(bytes);
            if let Some(host) = memory.host_span(gpa, bytes)
                && frames.uniform(gpa, bytes)
            {
                return Ok(leaf(level, host, plain(gpa, bytes), false));
            }
        }
        let gpa = translation.address.page();
        let original = memory
            .host(gpa)
            .ok_or(FillError::NotRam(translation.address))?;
        let unwritten = Rights {
            write: false,
            ..wanted
        };
        Ok(match frames.frame(gpa) {
            Frame::Plain => leaf(0, original, plain(gpa, size(0)), false),
            Frame::Patched { copy } if view == View::Vs && wanted.execute => {
                let only_execute = Rights {
                    read: false,
                    ..unwritten
                };
                leaf(0, copy, only_execute, true)
            }
            Frame::Patched { .. } | Frame::Protected => leaf(0, original, unwritten, false),
        })
    }

    /// Puts `leaf` in, unless all harts have something to carry out first.
    fn install(
        &mut self,
        hart: usize,
        view: View,
        va: GuestVirt,
        leaf: &Leaf,
    ) -> Result<Filled, FillError> {
        let slot = self.current[hart];
        let mut dropped = self.claim(slot, view, va, leaf.shared);
        if dropped.all_harts {
            return Ok(Filled::Cleared(dropped));
        }
        let mut step = self.top(slot, view, va);
        while step.level > leaf.level {
            let table = self.descend(step, view, &mut dropped);
            let table = table.ok_or(FillError::Full)?;
            if step.level == leaf.guest_level {
                let pointer = self.get(step.place);
                if pointer.0 & PIECES == 0 {
                    self.note_pieces(step.owner);
                    self.set(step.place, Pte(pointer.0 | PIECES));
                }
            }
            step = step.down(table, va);
        }
        if self.get(step.place) == leaf.pte {
            self.statistics.spurious += 1;
            return Ok(Filled::Spurious(self.stale(hart, va)));
        }
        dropped = dropped.and(self.clear(step, view, va, leaf.pte));
        let executes = view == View::Vs && leaf.pte.is_executable();
        if executes && step.owner == Owner::Context(slot) {
            // A hart may have come from a context that shares something else at this address.
            let record = self.contexts.get_mut(slot);
            if !core::mem::replace(&mut record.private_execute, true) {
                dropped = dropped.and(Dropped::announced(Flush::None));
            }
        }
        if dropped.all_harts {
            return Ok(Filled::Cleared(dropped));
        }
        self.set(step.place, leaf.pte);
        Ok(Filled::Installed(dropped))
    }

    /// What `hart` has in its TLB when it faults at `va` though the leaf is there: an invalid entry
    /// that a fence of the address takes away, or a pointer, which takes a fence of everything.
    fn stale(&mut self, hart: usize, va: GuestVirt) -> Flush {
        let lost = self.tables.pointers_lost();
        if core::mem::replace(&mut self.pointers_known[hart], lost) == lost {
            Flush::Address(va)
        } else {
            Flush::All
        }
    }

    /// Takes away what `pte` cannot simply be written over: tables, and instructions other than its
    /// own. All harts forget those before there are others.
    fn clear(&mut self, step: Step, view: View, va: GuestVirt, pte: Pte) -> Dropped {
        let old = self.get(step.place);
        if let Some(table) = self.tables.child(old) {
            let all_harts = view == View::Vs || self.has_pieces(step.owner);
            self.set(step.place, self.empty(step.level, va));
            self.release_tree(step.owner, table, step.level - 1);
            return Dropped {
                flush: self.flush_of_owner(step.owner),
                vs_executable: view == View::Vs,
                all_harts,
            };
        }
        if !old.is_valid() {
            return Dropped::NONE;
        }
        let stays = old.address() == pte.address() && pte.is_executable();
        let executed = view == View::Vs && old.is_executable() && !stays;
        if executed {
            self.set(step.place, self.empty(step.level, va));
        }
        Dropped::leaf(va, executed)
    }

    /// The table below the entry of `step`, made if there is none.
    fn descend(&mut self, step: Step, view: View, dropped: &mut Dropped) -> Option<Page> {
        let old = self.get(step.place);
        if let Some(table) = self.tables.child(old) {
            return Some(table);
        }
        let table = self.take_table(step.owner)?;
        self.set(step.place, self.tables.pointer(table));
        if old.is_valid() {
            // A larger leaf.
            let executed = view == View::Vs && old.is_executable();
            *dropped = dropped.and(Dropped {
                flush: self.flush_of_owner(step.owner),
                vs_executable: executed,
                all_harts: executed,
            });
        }
        Some(table)
    }
}
