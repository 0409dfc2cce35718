//! Virtio 1.2 devices over MMIO, as a guest sees them.
//!
//! No part of this crate knows that it runs on a hart: what a device does to the guest's memory goes
//! through [`Memory`], and what it does for the guest through a back end ([`Disk`] and the like).
//! Nothing that a guest writes is trusted.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod block;
pub mod console;
pub mod disk;
pub mod entropy;
pub mod file_disk;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
pub mod memory;
pub mod mmio;
pub mod net;
pub mod queue;
pub mod segments;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

#[cfg(test)]
mod block_tests;
#[cfg(test)]
mod console_tests;
#[cfg(test)]
mod entropy_tests;
#[cfg(test)]
mod mmio_tests;
#[cfg(test)]
mod net_tests;
#[cfg(test)]
mod queue_tests;

pub use block::Block;
pub use console::Console;
pub use disk::{Disk, Operation, Request, Segment, Status, Submitted};
pub use entropy::Entropy;
pub use memory::Memory;
pub use mmio::{Action, Device, Mmio, Refused};
pub use net::Net;
pub use queue::{Broken, Chain};
