//! One VM as the configuration file and flags say it.

use crate::arguments::GuestArguments;
use crate::devices::{DiskTable, NetTable};
use anyhow::{Context, Result, bail};
use bundle::{Mode, Sum, description::MOST_DEVICES};
use patchvisor::guest::Guest;
use patchvisor::size;
use serde::Deserialize;
use std::path::PathBuf;

/// What a guest may have least of memory is what it has a multiple of, in bytes.
const LEAST_MEMORY: u64 = 2 << 20;

/// One `[[vm]]` of the file, and what flags say of the guest.
#[derive(Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct VmTable {
    name: Option<String>,
    pub kernel: Option<PathBuf>,
    pub initrd: Option<PathBuf>,
    append: Option<String>,
    pub overlay: Option<PathBuf>,
    #[serde(deserialize_with = "size::deserialize")]
    memory: Option<u64>,
    vcpus: Option<u32>,
    weight: Option<u32>,
    cap: Option<u32>,
    pin: Option<Vec<u32>>,
    mode: Option<Mode>,
    sum: Option<Sum>,
    #[serde(deserialize_with = "size::deserialize")]
    shadow_pool: Option<u64>,
    #[serde(deserialize_with = "size::deserialize")]
    routine_cache: Option<u64>,
    values: Option<u32>,
    #[serde(deserialize_with = "size::deserialize_address")]
    window: Option<u64>,
    pub disk: Option<Vec<DiskTable>>,
    net: Option<Vec<NetTable>>,
    virtio_console: Option<bool>,
    ports: Option<Vec<String>>,
    rng: Option<bool>,
    statistics: Option<bool>,
}

impl VmTable {
    /// What flags say.
    pub fn from_flags(flags: &GuestArguments) -> Self {
        Self {
            name: flags.name.clone(),
            kernel: flags.kernel.clone(),
            initrd: flags.initrd.clone(),
            append: flags.append.clone(),
            overlay: flags.overlay.clone(),
            memory: flags.memory,
            vcpus: flags.vcpus,
            weight: flags.weight,
            cap: flags.cap,
            pin: flags.pin.clone(),
            mode: flags.mode.map(Mode::from),
            sum: flags.sum.map(Sum::from),
            shadow_pool: flags.shadow_pool,
            routine_cache: flags.routine_cache,
            values: flags.values,
            window: flags.window,
            disk: some(&flags.disk),
            net: some(&flags.net),
            virtio_console: flags.virtio_console.then_some(true),
            ports: some(&flags.port),
            rng: flags.rng,
            statistics: flags.statistics,
        }
    }

    /// Takes over what `said` says.
    pub fn prefer(&mut self, said: Self) {
        fn take<T>(to: &mut Option<T>, from: Option<T>) {
            if from.is_some() {
                *to = from;
            }
        }
        take(&mut self.name, said.name);
        take(&mut self.kernel, said.kernel);
        take(&mut self.initrd, said.initrd);
        take(&mut self.append, said.append);
        take(&mut self.overlay, said.overlay);
        take(&mut self.memory, said.memory);
        take(&mut self.vcpus, said.vcpus);
        take(&mut self.weight, said.weight);
        take(&mut self.cap, said.cap);
        take(&mut self.pin, said.pin);
        take(&mut self.mode, said.mode);
        take(&mut self.sum, said.sum);
        take(&mut self.shadow_pool, said.shadow_pool);
        take(&mut self.routine_cache, said.routine_cache);
        take(&mut self.values, said.values);
        take(&mut self.window, said.window);
        take(&mut self.disk, said.disk);
        take(&mut self.net, said.net);
        take(&mut self.virtio_console, said.virtio_console);
        take(&mut self.ports, said.ports);
        take(&mut self.rng, said.rng);
        take(&mut self.statistics, said.statistics);
    }

    /// The guest; ports to forward are added to `hostfwd`.
    pub fn into_guest(self, hostfwd: &mut Vec<String>) -> Result<Guest> {
        let kernel = self.kernel.context(
            "a VM has no kernel: give --kernel, or kernel = \"...\" in the configuration",
        )?;
        let mut guest = Guest::new(kernel);
        guest.initrd = self.initrd;
        guest.overlay = self.overlay;
        let vm = &mut guest.vm;
        vm.name = self.name.unwrap_or_else(|| std::mem::take(&mut vm.name));
        vm.append = self.append.unwrap_or_default();
        vm.memory = self.memory.unwrap_or(vm.memory);
        if vm.memory < LEAST_MEMORY {
            bail!(
                "VM \"{}\" has {} bytes of memory, and {} is the least: give it more, with the unit of a size, as in 512M",
                vm.name,
                vm.memory,
                size::show(LEAST_MEMORY)
            );
        }
        vm.vcpus = self.vcpus.unwrap_or(vm.vcpus);
        vm.weight = self.weight.unwrap_or(vm.weight);
        vm.cap = self.cap;
        vm.pin = self.pin.unwrap_or_default();
        vm.mode = self.mode.unwrap_or_default();
        vm.sum = self.sum.unwrap_or_default();
        vm.shadow_pool = self.shadow_pool.unwrap_or(vm.shadow_pool);
        vm.routine_cache = self.routine_cache.unwrap_or(vm.routine_cache);
        vm.values = self.values.unwrap_or(vm.values);
        vm.window = self.window;
        vm.statistics = self.statistics.unwrap_or(vm.statistics);
        for net in self.net.unwrap_or_default() {
            let (net, rules) = net.into_net();
            vm.nets.push(net);
            hostfwd.extend(rules);
        }
        vm.ports = self.ports.unwrap_or_default();
        vm.virtio_console = self.virtio_console.unwrap_or(!vm.ports.is_empty());
        let disks = self.disk.unwrap_or_default().into_iter();
        guest.disks = disks.map(DiskTable::into_disk).collect::<Result<_>>()?;
        // A guest that has devices is a whole system, and draws random numbers from the start.
        let devices = vm.devices() + guest.disks.len();
        let has_needs = !vm.nets.is_empty() || !guest.disks.is_empty();
        vm.entropy = self.rng.unwrap_or(has_needs && devices < MOST_DEVICES);
        Ok(guest)
    }
}

/// What a flag that may be given several times says; `None` if it was not given.
fn some<T: Clone>(given: &[T]) -> Option<Vec<T>> {
    (!given.is_empty()).then(|| given.to_vec())
}
