//! RISC-V words: decode and encode of what is emulated, CSR numbers, PTE formats.
//!
//! This crate knows encodings and nothing else: no state, no policy, no hardware. Sections are
//! those of *The RISC-V Instruction Set Manual*, volumes I (unprivileged) and II (privileged).
#![no_std]
#![forbid(unsafe_code)]

pub mod address;
pub mod csr;
pub mod decode;
pub mod encode;
pub mod pte;
pub mod reg;
pub mod satp;
pub mod thead;
