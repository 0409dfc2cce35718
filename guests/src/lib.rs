//! The ground that the guest programs stand on.
//!
//! A guest program is a tiny S-mode "kernel" that prints what it observes and powers off. It runs
//! natively and under the monitor, and must print the same, to the letter. So no program prints
//! times, counts of cycles, or anything that the privileged specification leaves open; where
//! hardware may choose, the program says which mask it applies and why.
//!
//! Nearly all of what is observed goes through one primitive, [`context::Context::run`]: enter a
//! piece of code with all 31 registers and the mode chosen, and come back at its next trap with
//! everything that the trap left behind.
//!
//! On the host this library is empty and every program is a stub, so that the whole workspace can
//! be built and checked there.
#![cfg_attr(target_os = "none", no_std)]

#[cfg(target_os = "none")]
pub mod bench;
#[cfg(target_os = "none")]
pub mod board;
#[cfg(target_os = "none")]
pub mod code;
#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
pub mod context;
#[cfg(target_os = "none")]
pub mod csr;
#[cfg(target_os = "none")]
pub mod digest;
#[cfg(target_os = "none")]
pub mod harts;
#[cfg(target_os = "none")]
pub mod hostile;
#[cfg(target_os = "none")]
pub mod memory;
#[cfg(target_os = "none")]
pub mod paging;
#[cfg(target_os = "none")]
pub mod probe;
#[cfg(target_os = "none")]
pub mod random;
#[cfg(target_os = "none")]
pub mod sbi;
#[cfg(target_os = "none")]
pub mod start;
#[cfg(target_os = "none")]
pub mod tree;
#[cfg(target_os = "none")]
pub mod virtio;
#[cfg(target_os = "none")]
pub mod workers;
