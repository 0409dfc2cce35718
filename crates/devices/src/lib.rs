//! The virtual board that a guest sees, laid out like QEMU's `virt`, and the device trees on both
//! sides of it: the one that the guest is given and the one that the host's firmware gives us; and how
//! the host's interrupt controller is driven.
//!
//! No part of this crate knows that it runs on a hart: devices are state machines that the monitor
//! feeds with accesses and input bytes, and asks for output bytes and interrupt levels.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod board;
pub mod device_tree;
pub mod gpt;
pub mod guest_isa;
pub mod host_controller;
pub mod host_tree;
pub mod layout;
pub mod plic;
pub mod rtc;
pub mod seeds;
pub mod syscon;
pub mod uart;

pub use board::{Board, NoDevice, Request};
pub use device_tree::{TreeSpec, device_tree};
pub use guest_isa::{GuestIsa, guest_isa};
pub use host_tree::{HostTree, TreeError};
pub use seeds::Seeds;
