//! End-to-end tests: machines are started on QEMU and what they print is judged.
//!
//! Every scenario is a trial of its own, named `area::scenario::variant`, so that it can be chosen and
//! reported alone: `cargo test -p tests -- oracle::sret`. An area is a module with a function that
//! gives its trials; a file in `tests/` runs them.
//!
//! What runs on a hart is built when the first trial needs it, unless the environment names it:
//! `PATCHVISOR_MONITOR` the monitor's image, `PATCHVISOR_GUESTS` the directory of the guest programs.

#![forbid(unsafe_code)]

pub mod artefacts;
pub mod bad_input;
pub mod boards;
pub mod controllers;
pub mod counts;
pub mod debian;
pub mod devices;
pub mod disks;
pub mod faults;
pub mod gpt;
pub mod host_memory;
pub mod hostile;
pub mod install;
pub mod kernels;
pub mod kill;
pub mod levels;
pub mod linux;
pub mod linux_vms;
pub mod odd_hosts;
pub mod oracle;
pub mod programs;
pub mod repository;
pub mod runner;
pub mod seeds;
pub mod spike;
pub mod transcript;
pub mod uplink;
pub mod vms;
