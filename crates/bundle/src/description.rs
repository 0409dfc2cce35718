//! The description of the VMs, as it stands in a bundle.

use crate::{Console, Error, Mac, console};
use alloc::{format, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// Version of the bundle's format. A monitor takes exactly this one.
pub const FORMAT: u32 = 3;

/// Most values that an emulation map can hold: the payload of a patch has 16 bits.
pub const MOST_VALUES: u32 = 1 << 16;
/// Most VMs of a bundle.
pub const MOST_VMS: usize = 16;
/// Most virtual harts of a VM.
pub const MOST_VCPUS: u32 = 8;
/// Largest [`Vm::weight`].
pub const MOST_WEIGHT: u32 = 10_000;
/// Largest [`Vm::cap`]: 64 host harts.
pub const MOST_CAP: u32 = 6_400;
/// Most virtio devices of a VM, as on QEMU's `virt`.
pub const MOST_DEVICES: usize = 8;
/// Longest [`Disk::serial`].
pub const LONGEST_SERIAL: usize = 20;
/// Most of [`Vm::ports`].
pub const MOST_PORTS: usize = 15;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const PAGE: u64 = 4096;

/// Everything a monitor is told at boot.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// [`FORMAT`].
    pub format: u32,
    /// How the VMs share the console.
    #[serde(default)]
    pub console: Console,
    /// The VMs; from 1 to [`MOST_VMS`].
    pub vms: Vec<Vm>,
}

/// One virtual machine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vm {
    /// What messages and statistics call it.
    pub name: String,
    /// RAM in bytes, a multiple of 2 MiB.
    pub memory: u64,
    /// Number of virtual harts (vCPUs), from 1 to [`MOST_VCPUS`].
    pub vcpus: u32,
    /// Share of the host's time relative to that of other VMs, from 1 to [`MOST_WEIGHT`].
    pub weight: u32,
    /// Most of the host's time, in percent of one host hart, from 1 to [`MOST_CAP`]; no limit if absent.
    pub cap: Option<u32>,
    /// The host harts that its vCPUs run on, counting those that run guests from 0: vCPU `n` runs on
    /// hart `pin[n % pin.len()]` alone. Empty: anywhere.
    pub pin: Vec<u32>,
    /// Name of the kernel's file in the bundle.
    pub kernel: String,
    /// Name of the initrd's file in the bundle.
    pub initrd: Option<String>,
    /// The kernel's command line.
    pub append: String,
    /// Name of a device-tree overlay in the bundle.
    pub overlay: Option<String>,
    /// Its disks, in the order in which it finds them.
    pub disks: Vec<Disk>,
    /// Its network interfaces, in the order in which it finds them.
    pub nets: Vec<Net>,
    /// Whether it has a virtio console, beside its UART: both are its one console.
    pub virtio_console: bool,
    /// Names of further ports of the virtio console. Ports of one name connect two VMs; what is sent to
    /// a port that no other VM has goes to the log, a line at a time.
    pub ports: Vec<String>,
    /// Whether it has a virtio entropy device.
    pub entropy: bool,
    /// How privileged instructions are served.
    pub mode: Mode,
    /// How `sstatus.SUM` is treated.
    pub sum: Sum,
    /// Bytes of memory for shadow page tables, a multiple of 4 KiB.
    pub shadow_pool: u64,
    /// Bytes of the routine cache, a multiple of 4 KiB.
    pub routine_cache: u64,
    /// How many of the 65,536 values of the emulation map are used; few of them make tests of
    /// recycling short.
    pub values: u32,
    /// Whether one machine-readable line of statistics is printed at power-off.
    pub statistics: bool,
    /// First address of the monitor's window, which is one for all VMs; the monitor chooses if absent. Always a
    /// multiple of 1 GiB, in wider paging modes than Sv39 of more.
    pub window: Option<u64>,
}

/// A disk of a VM.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// What is on it.
    pub source: Source,
    /// Whether the VM may not change it.
    #[serde(default)]
    pub read_only: bool,
    /// What the VM is told that it is called, at most [`LONGEST_SERIAL`] characters.
    #[serde(default)]
    pub serial: String,
}

/// What is on a disk.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A whole disk of the host, counted from 0 in the order of their addresses.
    Device(u32),
    /// A partition of a disk of the host, by its number in the GPT, from 1.
    Partition {
        /// The disk, as for [`Source::Device`].
        device: u32,
        /// The partition.
        number: u32,
    },
    /// A file of the bundle. Changes are kept in memory, and are gone with the VM.
    File {
        /// Its name.
        name: String,
        /// Most bytes of changes; writes beyond them fail.
        changes: u64,
    },
}

/// A network interface of a VM, on the switch that all VMs share.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Net {
    /// Its MAC address; the monitor chooses if absent. Frames from another are dropped.
    pub mac: Option<Mac>,
    /// Whether it also reaches the host's network device.
    pub uplink: bool,
}

/// How privileged instructions are served.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Each one traps as illegal and is emulated by the reference emulator.
    Trap,
    /// Break patches, with a full trap frame saved all the same; for measuring.
    BreakFrame,
    /// Break patches with no trap frame.
    #[default]
    Break,
}

/// How `sstatus.SUM` is treated.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sum {
    /// The guest's supervisor mode may always reach user pages.
    #[default]
    Relaxed,
    /// As the specification says: only while SUM is set.
    Strict,
}

impl Source {
    /// Whether a write to one changes what is on the other.
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { .. }, _) | (_, Self::File { .. }) => false,
            (
                Self::Partition { device, number },
                Self::Partition {
                    device: other,
                    number: other_number,
                },
            ) => device == other && number == other_number,
            (
                Self::Device(device) | Self::Partition { device, .. },
                Self::Device(other) | Self::Partition { device: other, .. },
            ) => device == other,
        }
    }
}

impl Mode {
    /// The name that flags, descriptions and statistics use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::BreakFrame => "break-frame",
            Self::Break => "break",
        }
    }
}

impl core::fmt::Display for Mode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl Sum {
    /// The name that flags and descriptions use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relaxed => "relaxed",
            Self::Strict => "strict",
        }
    }
}

impl Default for Vm {
    fn default() -> Self {
        Self {
            name: "vm".into(),
            memory: GIB,
            vcpus: 1,
            weight: 100,
            cap: None,
            pin: Vec::new(),
            kernel: "kernel".into(),
            initrd: None,
            append: String::new(),
            overlay: None,
            disks: Vec::new(),
            nets: Vec::new(),
            virtio_console: false,
            ports: Vec::new(),
            entropy: false,
            mode: Mode::default(),
            sum: Sum::default(),
            shadow_pool: 16 * MIB,
            routine_cache: MIB,
            values: MOST_VALUES,
            statistics: false,
            window: None,
        }
    }
}

impl Description {
    /// A description of one VM in the current format.
    pub fn of(vm: Vm) -> Self {
        Self {
            format: FORMAT,
            console: Console::default(),
            vms: alloc::vec![vm],
        }
    }

    /// Checks everything that can be checked without knowing the machine.
    ///
    /// # Errors
    /// [`Error::Description`] with a line that names the VM and the field.
    pub fn check(&self) -> Result<(), Error> {
        if self.format != FORMAT {
            return Err(Error::UnknownFormat { found: self.format });
        }
        if self.vms.is_empty() {
            return Err(Error::Description("there is no VM in it: add one".into()));
        }
        if self.vms.len() > MOST_VMS {
            return Err(Error::Description(format!(
                "there are {} VMs in it: {MOST_VMS} are the most",
                self.vms.len()
            )));
        }
        for (index, vm) in self.vms.iter().enumerate() {
            vm.check()?;
            if self.console == Console::Prefixed && !console::can_prefix(&vm.name) {
                return Err(vm.wrong(
                    "name",
                    "free of spaces, `|` and `/` on a prefixed console: rename it",
                ));
            }
            for (number, disk) in vm.disks.iter().enumerate() {
                let earlier = self.vms[..index].iter().flat_map(|vm| &vm.disks);
                let clash = earlier.chain(&vm.disks[..number]).any(|other| {
                    other.source.overlaps(&disk.source) && !(other.read_only && disk.read_only)
                });
                if clash {
                    return Err(Error::Description(format!(
                        "VM \"{}\": another disk has (part of) the same device and one of them writes: \
                         give each its own, or make both read-only",
                        vm.name
                    )));
                }
            }
            if self.vms[..index].iter().any(|other| other.name == vm.name) {
                return Err(Error::Description(format!(
                    "two VMs have the name \"{}\": rename one",
                    vm.name
                )));
            }
        }
        Ok(())
    }
}

impl Vm {
    /// The names of the files that this VM needs from the bundle.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        core::iter::once(self.kernel.as_str())
            .chain(self.initrd.as_deref())
            .chain(self.overlay.as_deref())
            .chain(self.disks.iter().filter_map(|disk| match &disk.source {
                Source::File { name, .. } => Some(name.as_str()),
                _ => None,
            }))
    }

    /// How many virtio devices it has.
    pub fn devices(&self) -> usize {
        self.disks.len()
            + self.nets.len()
            + usize::from(self.virtio_console)
            + usize::from(self.entropy)
    }

    fn wrong(&self, what: &str, must: &str) -> Error {
        Error::Description(format!("VM \"{}\": {what} must be {must}", self.name))
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str, must: &str| Err(self.wrong(what, must));
        if self.name.is_empty() || self.name.chars().any(char::is_control) {
            return wrong("name", "some text on one line");
        }
        if self.memory == 0 || !self.memory.is_multiple_of(2 * MIB) {
            return wrong("memory", "a positive multiple of 2 MiB");
        }
        if self.vcpus == 0 || self.vcpus > MOST_VCPUS {
            return wrong("vcpus", "from 1 to 8");
        }
        if self.sum == Sum::Strict && self.vcpus > 1 {
            return Err(Error::Description(format!(
                "VM \"{}\": sum = strict: the third view is for one hart; give the VM one vCPU or relaxed",
                self.name
            )));
        }
        if self.weight == 0 || self.weight > MOST_WEIGHT {
            return wrong("weight", "from 1 to 10000");
        }
        if self.cap.is_some_and(|cap| cap == 0 || cap > MOST_CAP) {
            return wrong("cap", "from 1 to 6400 percent of a host hart, or absent");
        }
        if self.shadow_pool == 0 || !self.shadow_pool.is_multiple_of(PAGE) {
            return wrong("shadow_pool", "a positive multiple of 4 KiB");
        }
        if self.routine_cache == 0 || !self.routine_cache.is_multiple_of(PAGE) {
            return wrong("routine_cache", "a positive multiple of 4 KiB");
        }
        if self.devices() > MOST_DEVICES {
            return wrong(
                "number of disks, nets, virtio console and entropy device",
                "at most 8 altogether",
            );
        }
        for disk in &self.disks {
            let is_plain = |c: char| c.is_ascii_graphic() || c == ' ';
            if disk.serial.len() > LONGEST_SERIAL || !disk.serial.chars().all(is_plain) {
                return wrong("a disk's serial", "at most 20 printable ASCII characters");
            }
            if matches!(disk.source, Source::Partition { number: 0, .. }) {
                return wrong("a partition's number", "from 1");
            }
        }
        if !self.ports.is_empty() && !self.virtio_console {
            return wrong("virtio_console", "on where there are ports");
        }
        if self.ports.len() > MOST_PORTS || !self.ports.iter().all(|name| console::can_prefix(name))
        {
            return wrong("ports", "at most 15 names without spaces, `|` and `/`");
        }
        if self.values == 0 || self.values > MOST_VALUES {
            return wrong("values", "from 1 to 65536");
        }
        if self
            .window
            .is_some_and(|window| !window.is_multiple_of(GIB))
        {
            return wrong("window", "a multiple of 1 GiB");
        }
        Ok(())
    }
}
