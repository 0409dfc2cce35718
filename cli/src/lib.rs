//! The host side of Patchvisor: packs VMs into bundles and runs them, or kernels natively, on QEMU.

#![forbid(unsafe_code)]

pub mod qemu;
pub mod stats;
