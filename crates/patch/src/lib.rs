//! Emulation patches: how a privileged instruction becomes a break that leads straight to a routine.
//!
//! A privileged instruction of a guest is replaced, in a copy of its page that only the VS view
//! executes, by a [`Patch`]: `c.ebreak` and a 16-bit value. The value is the index into the
//! [`EmulationMap`], which names the [`Routine`](template) made for exactly that instruction word.
//! Read the modules in the order of an instruction's life:
//!
//! 1. [`template`]: the template map, which instructions can be patched and with which template;
//!    a template filled in for one instruction word is a routine.
//! 2. [`routines`]: the routine cache, executable memory that holds routines.
//! 3. [`map`]: the emulation map from value to routine, checked against the site.
//! 4. [`pages`]: patched copies of guest frames, and what becomes of them when the guest writes.
//! 5. [`block`]: the per-hart block, the memory that the gate and the routines work on.
//! 6. [`patcher`]: all of it put together, for one virtual machine.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod assembler;
pub mod block;
pub mod map;
pub mod pages;
pub mod patcher;
pub mod routines;
pub mod template;

pub use block::HartBlock;
pub use map::{EmulationMap, Patch};
pub use patcher::{Memory, Patcher, Placed};
pub use template::{Kind, Maker};
