//! Guest page-table walk, shadow tables, address-space contexts.
//!
//! [`walk()`] is the only walk of the guest's page tables in the project. [`Shadow`] is a software
//! TLB in the form of hardware page tables: it is filled from the guest's tables when the guest
//! faults, and dropped as the guest's fences ask. The guest's tables are not write-protected, for
//! the architecture lets any TLB be stale until the next fence (privileged specification,
//! "Supervisor Memory-Management Fence Instruction").
//!
//! Nothing here touches hardware. An operation that takes something away says by a [`Dropped`] what
//! must be forgotten before the guest goes on.
//!
//! # Several harts
//!
//! A [`Shadow`] holds no locks: all its operations happen under one lock of the VM. Meanwhile other
//! harts run the guest. Their hardware walks the tables, their trap gates walk them too and zero
//! leaves of the last level for fences of an address, and routines take them from one context to
//! another ([`Shadow::follow`]), all without the lock. What then holds:
//!
//! - **A fence is for one hart.** The others may go on using what it takes out of the shadow until
//!   they fence it themselves, so a [`Flush`] is in general for the hart that asked. For the same
//!   reason a hart's fence says what the hart must forget though the shadow does not have it any
//!   more; a gate too fences the address in its TLB whether it found a leaf or not.
//! - **Instructions are all harts' business.** Harts remember them by address (their site caches), so
//!   where a VS executable leaf goes away all harts forget it ([`Dropped::all_harts`]), and before one
//!   takes the place of another: [`Filled::Cleared`] comes first, and the leaf with the next fill.
//!   A switch of context says [`Dropped::vs_executable`] for its own hart alone.
//! - **Pieces go together.** When a guest's leaf was shadowed in pieces all harts forget them, as
//!   another hart's fence of one address could not know the others.
//! - **Tables rest.** A hart may walk a table to which nothing points any more, as a fence of an
//!   address lets it keep pointers. A released table has no leaf of the guest, so that no fence need
//!   find it, and is reused only after [`Shadow::settle`]. A hart that faults on such a way is told by
//!   [`Filled::Spurious`] to forget everything.
//! - **Contexts stay.** Nothing but [`Shadow::make_room`] forgets a context or reuses its ASIDs,
//!   while no hart runs the guest; [`FillError::Full`] and [`SwitchError::Full`] ask for it.
//! - **Where a gate would miss a leaf it must not fence.** [`Context::private_upper`] is set, and all
//!   harts told, before the first entry that hides a shared one.
//! - **A fill races with fences that gates carry out.** They must wait until it is over: what was read
//!   of the guest's tables before it may be older than they are.
//!
//! So each operation is carried out by the hart that asked for it, by the harts that a remote fence
//! names, and by all where [`Dropped::all_harts`] is set: always for [`Shadow::flush_all`] and
//! [`Shadow::make_room`], and for [`Shadow::drop_execute`] and [`Shadow::drop_copy`] when they dropped
//! something.
//!
//! The harts of a guest are taken to mean the same by a value of `satp`: what one of them may have
//! cached of an address space any of them may see until it fences.
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
mod place;
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
pub use place::PlaceError;
pub use pool::{Pool, Table};
pub use shadow::{Config, Context, NewError, Shadow, Statistics, SwitchError, Switched, View};
pub use walk::{Access, Fault, GuestMemory, Kind, Options, Translation, walk, walk_with};
pub use window::Window;
