//! The development tasks as a library: end-to-end tests and benchmarks use its parts.

#![forbid(unsafe_code)]

pub mod bench;
pub mod build;
pub mod deb;
pub mod demo;
pub mod fetch;
pub mod fuzz;
pub mod hostile;
pub mod image;
pub mod initramfs;
pub mod install;
pub mod mirror;
pub mod paths;
pub mod progress;
pub mod rtl;
pub mod setup;
pub mod system;
pub mod test;
pub mod wheel;
