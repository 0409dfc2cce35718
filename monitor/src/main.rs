//! The monitor: the S-mode program that firmware boots and that guests run under.
//!
//! Follow a guest's privileged instruction: `gate.S` (every trap arrives there), `run.rs` and `exit.rs`
//! (the slow path), `patching.rs` (what patches the instruction), and then `crates/patch`.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
#[path = "."]
mod monitor {
    mod access;
    mod boot;
    mod calls;
    mod clock;
    mod console;
    mod context;
    mod cpu;
    mod csr;
    mod device_pages;
    mod dma;
    mod doorbell;
    mod entropy;
    mod exit;
    mod extensions;
    mod fault;
    mod gate;
    mod guest_memory;
    mod heap;
    mod host;
    mod host_disk;
    mod host_net;
    mod host_virtio;
    mod interrupts;
    mod layout;
    mod links;
    mod machine;
    mod network;
    mod page_fault;
    mod patching;
    mod piece;
    mod run;
    mod shell;
    mod slots;
    mod start;
    mod statistics;
    mod system;
    mod trace;
    mod uart;
    mod virtual_hart;
    mod vm;
    mod wfi;
    mod window;
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!(
        "patchvisor: error: the monitor runs on RISC-V without an operating system; build it with `cargo xtask build`"
    );
    std::process::exit(1);
}
