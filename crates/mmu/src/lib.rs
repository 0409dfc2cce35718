//! Guest page-table walk, shadow tables, address-space contexts.
//!
//! [`walk()`] is the only walk of the guest's page tables in the project. [`Shadow`] is a software
//! TLB in the form of hardware page tables: it is filled from the guest's tables when the guest
//! faults, and dropped as the guest's fences ask. The guest's tables are not write-protected, for
//! the architecture lets any TLB be stale until the next fence (privileged specification,
//! "Supervisor Memory-Management Fence Instruction").
//!
//! Nothing here touches hardware. An operation that takes something away says by a [`Flush`] what
//! the hart must fence before it goes on; [`Shadow`] holds no locks and no global state, so one
//! lock around it makes it fit for several harts.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod around;
mod context;
mod entry;
mod fence;
mod fill;
mod flush;
mod log;
mod paging;
mod pool;
mod reclaim;
mod shadow;
mod walk;
mod window;

#[cfg(test)]
#[allow(unused_must_use, reason = "statements have no hardware to flush")]
mod tests;

pub use entry::PIECES;
pub use fill::{FillError, Filled, Frame, Frames};
pub use flush::{Dropped, Flush};
pub use log::FenceLog;
pub use paging::Paging;
pub use pool::{Pool, Table};
pub use shadow::{Config, Context, NewError, Shadow, Statistics, SwitchError, Switched, View};
pub use walk::{Access, Fault, GuestMemory, Kind, Options, Translation, walk, walk_with};
pub use window::Window;
