//! The host side of Patchvisor: packs VMs into bundles and runs them, or kernels natively, on QEMU.
//!
//! ```no_run
//! use patchvisor::guest::{self, Guest};
//! use std::time::Duration;
//!
//! let mut linux = Guest::new("vmlinux");
//! linux.vm.statistics = true;
//! linux.vm.append = "console=ttyS0".into();
//! let native = linux.native().spawn()?.wait(Duration::from_secs(60))?;
//!
//! let bundle = linux.write_bundle()?;
//! let monitor = guest::monitor(None)?;
//! let run = guest::machine(&monitor, bundle.path())?.spawn()?;
//! let guest = run.wait(Duration::from_secs(60))?;
//! assert_eq!(native.text(), guest.text());
//! println!("{} privileged instructions", guest.stats()?.privileged);
//! # Ok::<(), anyhow::Error>(())
//! ```

#![forbid(unsafe_code)]

pub mod disk;
pub mod guest;
pub mod kernel_file;
mod monitor;
pub mod path;
pub mod progress;
pub mod qemu;
pub mod quote;
pub mod scan;
pub mod size;
pub mod stats;

pub use bundle::{Console, Mac, Mode, Net, Source, Sum, Vm};
pub use disk::Disk;
