//! The machines of QEMU that the monitor has been run on.

use clap::ValueEnum;
use serde::Deserialize;

/// A machine, by the name that `-M` takes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, ValueEnum)]
pub enum Board {
    /// QEMU's own: any processor, any number of harts.
    #[default]
    #[serde(rename = "virt")]
    #[value(name = "virt")]
    Virt,
    /// SiFive HiFive Unleashed (FU540): a monitor core and four U54.
    #[serde(rename = "sifive_u")]
    #[value(name = "sifive_u")]
    SifiveU,
    /// Microchip Icicle Kit (PolarFire SoC): a monitor core and four U54; needs --dtb.
    #[serde(rename = "microchip-icicle-kit")]
    #[value(name = "microchip-icicle-kit")]
    Icicle,
}

/// What a board is made of, where QEMU leaves no choice.
struct Facts {
    name: &'static str,
    /// Its harts with and without S-mode, where it has its own.
    harts: Option<(u32, u32)>,
    /// Serial lines before the one that is the console.
    other_lines: usize,
    /// Bytes of memory that QEMU insists on.
    least_memory: u64,
    /// Whether its firmware can power it off.
    powers_off: bool,
    /// Virtio devices that it has room for.
    slots: usize,
    /// Where Debian's `linux-image` packages have its device tree, where QEMU makes none.
    tree: Option<&'static str>,
}

impl Board {
    fn facts(self) -> Facts {
        let (name, harts, other_lines, least_memory) = match self {
            Self::Virt => ("virt", None, 0, 0),
            Self::SifiveU => ("sifive_u", Some((4, 1)), 0, 0),
            Self::Icicle => ("microchip-icicle-kit", Some((4, 1)), 1, 1537 << 20),
        };
        Facts {
            name,
            harts,
            other_lines,
            least_memory,
            powers_off: self == Self::Virt,
            // `virtio-mmio-bus.N` is at 0x10001000 + N * 0x1000.
            slots: if self == Self::Virt { 8 } else { 0 },
            tree: (self == Self::Icicle).then_some("microchip/mpfs-icicle-kit.dtb"),
        }
    }

    /// What `-M` takes.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// How many harts it has that can run guests, if the board says so.
    pub fn harts(self) -> Option<u32> {
        self.facts().harts.map(|(supervisor, _)| supervisor)
    }

    /// Whether the machine ends when the firmware is asked to power it off.
    pub(super) fn powers_off(self) -> bool {
        self.facts().powers_off
    }

    /// `-M`, and the processors: `cpu` and `harts` where the board leaves the choice.
    pub(super) fn processors(self, cpu: &str, harts: u32) -> Vec<String> {
        let mut arguments = vec!["-M".to_owned(), self.name().to_owned()];
        let count = match self.facts().harts {
            Some((supervisor, others)) => supervisor + others,
            None => {
                arguments.extend(["-cpu".to_owned(), cpu.to_owned()]);
                harts
            }
        };
        arguments.extend(["-smp".to_owned(), count.to_string()]);
        arguments
    }

    /// How many virtio devices it has room for.
    pub(super) fn slots(self) -> usize {
        self.facts().slots
    }

    /// Where Debian's `linux-image` packages have its device tree, where QEMU makes none.
    pub fn tree(self) -> Option<&'static str> {
        self.facts().tree
    }

    /// How much memory it has when it is asked for so many bytes.
    pub(super) fn memory(self, bytes: u64) -> u64 {
        bytes.max(self.facts().least_memory)
    }

    /// `-serial` for each line: `console` for the one that is the console.
    pub(super) fn serial_lines(self, console: &'static str) -> impl Iterator<Item = &'static str> {
        let others = std::iter::repeat_n("null", self.facts().other_lines);
        let lines = others.chain(std::iter::once(console));
        lines.flat_map(|line| ["-serial", line])
    }
}
