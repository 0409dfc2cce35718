//! Virtio 1.2 devices over MMIO, as a guest sees them.
//!
//! No part of this crate knows that it runs on a hart: what a device does to the guest's memory goes
//! through [`Memory`], and what it does for the guest through a back end ([`Disk`] and the like).
//! Nothing that a guest writes is trusted.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod disk;
pub mod file_disk;
pub mod memory;

pub use disk::{Disk, Operation, Request, Segment, Status, Submitted};
pub use memory::Memory;
