//! The layer-2 switch between the VMs' network interfaces and the host's network device, the uplink.
//!
//! Nothing is learnt: a guest's port has one MAC address for life, and whatever is no guest's is beyond
//! the uplink. So a [`Switch`] never changes but for its counters, and needs no lock. Where frames wait,
//! an [`Inbox`] for each port, locks are the caller's.
//!
//! What a frame may do:
//!
//! | from | to | goes to |
//! |---|---|---|
//! | a guest | a guest's address | that guest |
//! | a guest with uplink | any other address of one station | the uplink |
//! | a guest | a group, or all | all other guests, and the uplink if the sender has it |
//! | the uplink | the address of a guest with uplink | that guest |
//! | the uplink | a group, or all | all guests with uplink |
//!
//! No guest sends with another address than its own, and nothing comes from the uplink with a guest's.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod addresses;
mod checksum;
mod counters;
mod frame;
mod inbox;
mod ports;
mod switch;

pub use addresses::Addresses;
pub use counters::{Counts, Drop};
pub use frame::{Frame, HEADER, LONGEST, Partial};
pub use inbox::Inbox;
pub use ports::{Port, Ports};
pub use switch::{Error, Guest, MOST_GUESTS, Switch};
