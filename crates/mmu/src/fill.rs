//! Filling the shadow after a fault.

use crate::entry::{Owner, PIECES, Step};
use crate::flush::{Dropped, Flush};
use crate::paging::{Paging, size};
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
    /// The leaf is in place: the access will succeed when the flush is done.
    Installed(Dropped),
    /// The leaf was in place: the hardware has an invalid entry in its TLB. To be followed by
    /// `sfence.vma va, x0`.
    Spurious,
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
    /// A guest in Bare mode uses an address that Sv39 cannot shadow.
    BeyondSv39(GuestVirt),
    /// The translation does not allow the access, so it was made for another one.
    Rights,
}

impl fmt::Display for FillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FillError::Window(va) => write!(
                f,
                "the guest maps {va:#x}, where the monitor is: move the monitor's window"
            ),
            FillError::NotRam(gpa) => write!(f, "guest-physical {gpa:#x} is not RAM"),
            FillError::BeyondSv39(va) => {
                write!(
                    f,
                    "{va:#x} is beyond what Sv39 can map for a guest without paging"
                )
            }
            FillError::Rights => write!(f, "the translation was made for another access"),
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
    /// between the two would come too early for what is filled here.
    ///
    /// # Errors
    ///
    /// When there is nothing that can be mapped; the shadow has not changed then.
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
        self.tables.settle();
        self.statistics.fills += 1;
        let slot = self.current[hart];
        let paging = self.contexts.get(slot).paging;
        let view = if access.user { View::Vu } else { View::Vs };
        if !paging.is_canonical(va) {
            return Err(FillError::BeyondSv39(va));
        }
        if self.fixed.overlaps(va, 1) {
            return Err(FillError::Window(va));
        }
        let wanted = Rights::of(translation, paging, access.user).ok_or(FillError::Rights)?;
        let (leaf, given) = self.plan(memory, frames, va, translation, wanted, view)?;
        match access.kind {
            Kind::Fetch if !given.execute => return Err(FillError::Rights),
            Kind::Load if !wanted.read && !access.mxr => return Err(FillError::Rights),
            Kind::Load if !given.read => return Ok(Filled::ExecuteOnly),
            Kind::Store if !wanted.write => return Err(FillError::Rights),
            Kind::Store if !given.write => return Ok(Filled::WriteProtected),
            _ => {}
        }
        let mut dropped = Dropped::NONE;
        // Each failure frees tables, in the end all but the roots, which leaves enough for one
        // path (`minimum_pages`).
        let spurious = loop {
            match self.install(slot, view, va, &leaf, &mut dropped) {
                Some(spurious) => break spurious,
                None => dropped = dropped.and(self.reclaim()),
            }
        };
        if spurious {
            self.statistics.spurious += 1;
            return Ok(Filled::Spurious);
        }
        if given.write {
            frames.mapped_writable(leaf.gpa, size(leaf.level));
        }
        if leaf.is_copy {
            frames.mapped_copy(leaf.gpa, va.page());
        }
        Ok(Filled::Installed(dropped))
    }

    /// The leaf of one page, when the view may have it.
    pub(crate) fn plan_for(
        &self,
        memory: &impl GuestMemory,
        frames: &impl Frames,
        va: GuestVirt,
        translation: &Translation,
        paging: Paging,
        view: View,
    ) -> Option<(Leaf, Rights)> {
        let wanted = Rights::of(translation, paging, view == View::Vu)?;
        self.plan(memory, frames, va, translation, wanted, view)
            .ok()
    }

    /// The largest leaf that can stand for the guest's at `va`, and the rights it has.
    fn plan(
        &self,
        memory: &impl GuestMemory,
        frames: &impl Frames,
        va: GuestVirt,
        translation: &Translation,
        wanted: Rights,
        view: View,
    ) -> Result<(Leaf, Rights), FillError> {
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
            if self.fixed.overlaps(va, bytes) {
                continue;
            }
            if let Some(host) = memory.host_span(gpa, bytes)
                && frames.uniform(gpa, bytes)
            {
                return Ok(leaf(level, host, wanted, false));
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
            Frame::Plain => leaf(0, original, wanted, false),
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

    /// Puts `leaf` in; whether it was there already. `None` when the pool is empty, with the path
    /// made as far as it went.
    fn install(
        &mut self,
        slot: u16,
        view: View,
        va: GuestVirt,
        leaf: &Leaf,
        dropped: &mut Dropped,
    ) -> Option<bool> {
        let mut step = self.top(slot, view, va);
        if !(leaf.shared && matches!(step.owner, Owner::Shared(_))) {
            *dropped = dropped.and(self.make_private(slot, view, va));
            step = self.top(slot, view, va);
        }
        while step.level > leaf.level {
            let table = self.descend(&mut step, view, va, dropped)?;
            if step.level == leaf.guest_level {
                let pointer = self.get(step.place);
                if pointer.0 & PIECES == 0 {
                    self.set(step.place, Pte(pointer.0 | PIECES));
                }
            }
            step = step.down(table, va);
        }
        let old = self.get(step.place);
        if old == leaf.pte {
            return Some(true);
        }
        self.set(step.place, leaf.pte);
        if let Some(table) = self.own_child(old) {
            self.release_tree(step.owner, table, step.level - 1);
            let vs_executable = view == View::Vs;
            let flush = self.flush_of_owner(step.owner);
            *dropped = dropped.and(Dropped {
                flush,
                vs_executable,
            });
        } else if old.is_valid() {
            let stays = old.address() == leaf.pte.address() && leaf.pte.is_executable();
            let vs_executable = view == View::Vs && old.is_executable() && !stays;
            *dropped = dropped.and(Dropped {
                flush: Flush::Address(va),
                vs_executable,
            });
        }
        let is_private = step.owner == Owner::Context(slot);
        if view == View::Vs && leaf.pte.is_executable() && is_private {
            // The hart may have come from a context that shares something else at this address.
            let record = self.contexts.get_mut(slot);
            dropped.vs_executable |= !record.private_execute;
            record.private_execute = true;
        }
        Some(false)
    }

    /// The table below the entry of `step`, made if there is none.
    fn descend(
        &mut self,
        step: &mut Step,
        view: View,
        va: GuestVirt,
        dropped: &mut Dropped,
    ) -> Option<crate::pool::Page> {
        let old = self.get(step.place);
        if let Some(table) = self.own_child(old) {
            return Some(table);
        }
        let table = self.take_table(step.owner, step.level - 1, va)?;
        self.set(step.place, self.tables.pointer(table));
        if old.is_valid() {
            // A larger leaf, or the way to the window that all roots begin with.
            let vs_executable = view == View::Vs && old.is_executable();
            let flush = self.flush_of_owner(step.owner);
            *dropped = dropped.and(Dropped {
                flush,
                vs_executable,
            });
        }
        Some(table)
    }
}
