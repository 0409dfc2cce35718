//! The description of the VMs, as it stands in a bundle.

use crate::Error;
use alloc::{format, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// Version of the bundle's format. A monitor takes exactly this one.
pub const FORMAT: u32 = 1;

/// Most values that an emulation map can hold: the payload of a patch has 16 bits.
pub const MOST_VALUES: u32 = 1 << 16;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const PAGE: u64 = 4096;

/// Everything a monitor is told at boot.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// [`FORMAT`].
    pub format: u32,
    /// The VMs; at least one.
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
    /// Number of virtual harts.
    pub vcpus: u32,
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
        for (index, vm) in self.vms.iter().enumerate() {
            vm.check()?;
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

    fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str, must: &str| {
            Err(Error::Description(format!(
                "VM \"{}\": {what} must be {must}",
                self.name
            )))
        };
        if self.name.is_empty() || self.name.chars().any(char::is_control) {
            return wrong("name", "some text on one line");
        }
        if self.memory == 0 || !self.memory.is_multiple_of(2 * MIB) {
            return wrong("memory", "a positive multiple of 2 MiB");
        }
        if self.vcpus == 0 {
            return wrong("vcpus", "at least 1");
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
