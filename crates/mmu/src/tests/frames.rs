//! A keeper of patched copies, as simple as can be.

use crate::fill::{Frame, Frames};
use isa::address::{GuestPhys, GuestVirt, HostPhys, PAGE_SIZE};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::vec::Vec;

/// Where copies are.
pub(crate) const COPIES: u64 = 0x8_0000_0000;

#[derive(Default)]
pub(crate) struct Keeper {
    /// Frames that are not plain, by their address.
    pub(crate) frames: BTreeMap<u64, Frame>,
    copies: u64,
    /// What was mapped writable since this was last cleared.
    pub(crate) writable: RefCell<Vec<(u64, u64)>>,
    /// Where copies were mapped.
    pub(crate) copies_at: RefCell<Vec<(u64, u64)>>,
}

impl Keeper {
    /// Makes a copy of the frame of `gpa`, never where one was before.
    pub(crate) fn patch(&mut self, gpa: u64) -> HostPhys {
        let copy = HostPhys(COPIES + self.copies * PAGE_SIZE);
        self.copies += 1;
        self.frames.insert(gpa, Frame::Patched { copy });
        copy
    }

    /// Whether a writable leaf for the frame of `gpa` was installed.
    pub(crate) fn was_writable(&self, gpa: u64) -> bool {
        self.writable
            .borrow()
            .iter()
            .any(|(start, bytes)| (*start..start + bytes).contains(&gpa))
    }
}

impl Frames for Keeper {
    fn frame(&self, gpa: GuestPhys) -> Frame {
        self.frames
            .get(&gpa.page().0)
            .copied()
            .unwrap_or(Frame::Plain)
    }

    fn uniform(&self, gpa: GuestPhys, size: u64) -> bool {
        self.frames.range(gpa.0..gpa.0 + size).next().is_none()
    }

    fn mapped_writable(&self, gpa: GuestPhys, size: u64) {
        self.writable.borrow_mut().push((gpa.0, size));
    }

    fn mapped_copy(&self, gpa: GuestPhys, va: GuestVirt) {
        self.copies_at.borrow_mut().push((gpa.0, va.0));
    }
}
