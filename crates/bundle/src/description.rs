//! The description of the VMs, as it stands in a bundle.

use crate::{Console, Error, console};
use alloc::{format, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// Version of the bundle's format. A monitor takes exactly this one.
pub const FORMAT: u32 = 2;

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
    /// First address of the monitor's window, a multiple of 1 GiB; the monitor chooses if absent.
    pub window: Option<u64>,
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
