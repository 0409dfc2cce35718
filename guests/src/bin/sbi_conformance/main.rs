//! SBI: what the suite in `sbi_testing` does not cover. Each line is a statement of the
//! specification: chapter, section, what is stated, and whether it holds.
//!
//! An extension that is optional may be absent; its statements hold then if none of its functions is
//! supported, and the lines are the same. Likewise where a function, an event or another hart is
//! optional. Where OpenSBI answers otherwise than the specification asks (harts that are not there in
//! a mask, reserved flags of the PMU, ranges that wrap, addresses where nothing is) the tests of
//! `crates/sbi` must do.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod chapter;
#[cfg(target_os = "none")]
mod counters;
#[cfg(target_os = "none")]
mod encoding;
#[cfg(target_os = "none")]
mod features;
#[cfg(target_os = "none")]
mod hart_states;
#[cfg(target_os = "none")]
mod legacy;
#[cfg(target_os = "none")]
mod remote_fences;
#[cfg(target_os = "none")]
mod resets;
#[cfg(target_os = "none")]
mod steal_time;
#[cfg(target_os = "none")]
mod system_suspend;

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use crate::{
        counters, encoding, features, hart_states, legacy, remote_fences, resets, steal_time,
        system_suspend,
    };

    fn main() {
        encoding::statements();
        remote_fences::statements();
        hart_states::statements();
        resets::statements();
        counters::statements();
        steal_time::statements();
        system_suspend::statements();
        features::statements();
        legacy::statements();
    }

    guests::program!(main);
}
