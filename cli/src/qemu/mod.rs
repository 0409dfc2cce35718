//! Runs `qemu-system-riscv64`: describe a [`Machine`], spawn it, watch its console.
//!
//! ```no_run
//! use patchvisor::qemu::Machine;
//! use std::time::Duration;
//!
//! let mut run = Machine::new().kernel("vmlinux").initrd("initrd.img").spawn()?;
//! run.expect("login:", Duration::from_secs(60))?;
//! run.send("root\n")?;
//! let outcome = run.wait(Duration::from_secs(60))?;
//! assert!(outcome.success());
//! # Ok::<(), anyhow::Error>(())
//! ```

mod board;
mod console;
mod devices;
mod logs;
mod machine;
mod prefixed;
mod reports;
mod run;
mod tied;

pub use board::Board;
pub use console::{Line, Show, marker};
pub(crate) use machine::check_tree;
pub use machine::{DEFAULT_CPU, Machine, OLDEST, Program, TESTED, find};
pub use run::{Outcome, Run};
