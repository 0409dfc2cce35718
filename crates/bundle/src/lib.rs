//! The VM description and the archive that carries it, shared by the host command and the monitor.
//!
//! A **bundle** is what firmware hands to the monitor as its initrd: one archive with a description
//! of the VMs and the files they need. It is an ordinary tar file, so `tar tvf` lists it:
//!
//! | bytes | what |
//! |---|---|
//! | 0..512 | tar header of the member `patchvisor-bundle` |
//! | 512..1024 | that member: magic, format, CRC-32 and length of the whole, see [`archive`] |
//! | 1024.. | `description.json`, then the files, then two blocks of zeroes |
//!
//! Firmware may round an initrd up to whole pages, and [`fresh`] random bytes may follow, so [`open`] takes
//! trailing bytes and [`Bundle::size`] says where the bundle ends.
//!
//! [`kernel`] reads what a guest boots: a Linux `Image` or an ELF executable.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "pack")]
extern crate std;

pub mod archive;
pub mod console;
pub mod description;
pub mod error;
pub mod fresh;
pub mod kernel;
pub mod mac;
pub mod recognise;

#[cfg(feature = "pack")]
pub use archive::pack;
pub use archive::{Bundle, asked_window, open};
pub use console::Console;
pub use description::{Description, Disk, FORMAT, Mode, Net, Source, Sum, Vm};
pub use error::Error;
pub use mac::Mac;
