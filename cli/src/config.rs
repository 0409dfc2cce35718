//! Joins flags and the configuration file. A flag goes before the file.

use crate::arguments::{GuestArguments, HostArguments};
use anyhow::{Context, Result, bail};
use bundle::{Mode, Sum};
use patchvisor::guest::Guest;
use patchvisor::qemu::DEFAULT_CPU;
use patchvisor::size;
use serde::{Deserialize, Deserializer, de::Error};
use std::path::{Path, PathBuf};

/// The configuration file. Paths are relative to it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    cpu: Option<String>,
    bios: Option<PathBuf>,
    harts: Option<u32>,
    #[serde(deserialize_with = "bytes")]
    host_memory: Option<u64>,
    monitor: Option<PathBuf>,
    qemu_args: Vec<String>,
    vm: Vec<VmTable>,
}

/// One `[[vm]]` of the file, and what flags say of the guest.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct VmTable {
    name: Option<String>,
    kernel: Option<PathBuf>,
    initrd: Option<PathBuf>,
    append: Option<String>,
    overlay: Option<PathBuf>,
    #[serde(deserialize_with = "bytes")]
    memory: Option<u64>,
    vcpus: Option<u32>,
    mode: Option<Mode>,
    sum: Option<Sum>,
    #[serde(deserialize_with = "bytes")]
    shadow_pool: Option<u64>,
    #[serde(deserialize_with = "bytes")]
    routine_cache: Option<u64>,
    values: Option<u32>,
    #[serde(deserialize_with = "address")]
    window: Option<u64>,
}

/// A number, or a text that is read as flags are.
#[derive(Deserialize)]
#[serde(untagged)]
enum Figure {
    Number(u64),
    Text(String),
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    figure(deserializer, size::parse)
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    figure(deserializer, size::address)
}

fn figure<'de, D: Deserializer<'de>>(
    deserializer: D,
    parse: fn(&str) -> Result<u64, String>,
) -> Result<Option<u64>, D::Error> {
    match Figure::deserialize(deserializer)? {
        Figure::Number(number) => Ok(Some(number)),
        Figure::Text(text) => parse(&text).map(Some).map_err(D::Error::custom),
    }
}

/// Everything that was said, with the defaults for what was not.
#[derive(Debug)]
pub struct Setup {
    pub guests: Vec<Guest>,
    pub cpu: String,
    pub bios: Option<PathBuf>,
    pub harts: u32,
    pub host_memory: Option<u64>,
    pub monitor: Option<PathBuf>,
    pub qemu_arguments: Vec<String>,
}

impl Setup {
    /// Joins flags and file.
    pub fn gather(flags: &GuestArguments, host: Option<&HostArguments>) -> Result<Self> {
        let mut file = match &flags.config {
            Some(path) => File::read(path)?,
            None => File::default(),
        };
        let said = VmTable::from_flags(flags);
        match file.vm.as_mut_slice() {
            [] => file.vm.push(said),
            [vm] => vm.prefer(said),
            _ if said.is_empty() => {}
            _ => bail!(
                "flags for the guest do not say which VM of the file they mean: put them into it"
            ),
        }
        let guests = file
            .vm
            .into_iter()
            .map(VmTable::into_guest)
            .collect::<Result<Vec<_>>>()?;
        let none = HostArguments::default();
        let host = host.unwrap_or(&none);
        file.qemu_args.extend(host.qemu_arg.iter().cloned());
        Ok(Self {
            guests,
            cpu: host
                .cpu
                .clone()
                .or(file.cpu)
                .unwrap_or_else(|| DEFAULT_CPU.into()),
            bios: host.bios.clone().or(file.bios),
            harts: host.harts.or(file.harts).unwrap_or(1),
            host_memory: host.host_memory.or(file.host_memory),
            monitor: flags.monitor.clone().or(file.monitor),
            qemu_arguments: file.qemu_args,
        })
    }
}

impl File {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the configuration {}", path.display()))?;
        let mut file: Self =
            toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let absolute = |file: &mut Option<PathBuf>| {
            if let Some(file) = file {
                *file = directory.join(&*file);
            }
        };
        absolute(&mut file.bios);
        absolute(&mut file.monitor);
        for vm in &mut file.vm {
            absolute(&mut vm.kernel);
            absolute(&mut vm.initrd);
            absolute(&mut vm.overlay);
        }
        Ok(file)
    }
}

impl VmTable {
    fn from_flags(flags: &GuestArguments) -> Self {
        Self {
            name: flags.name.clone(),
            kernel: flags.kernel.clone(),
            initrd: flags.initrd.clone(),
            append: flags.append.clone(),
            overlay: flags.overlay.clone(),
            memory: flags.memory,
            vcpus: None,
            mode: flags.mode.map(Mode::from),
            sum: flags.sum.map(Sum::from),
            shadow_pool: flags.shadow_pool,
            routine_cache: flags.routine_cache,
            values: flags.values,
            window: flags.window,
        }
    }

    fn is_empty(&self) -> bool {
        let files = [&self.kernel, &self.initrd, &self.overlay];
        let texts = [&self.name, &self.append];
        let sizes = [
            self.memory,
            self.shadow_pool,
            self.routine_cache,
            self.window,
        ];
        files.iter().all(|file| file.is_none())
            && texts.iter().all(|text| text.is_none())
            && sizes.iter().all(Option::is_none)
            && self.vcpus.or(self.values).is_none()
            && self.mode.is_none()
            && self.sum.is_none()
    }

    /// Takes over what `said` says.
    fn prefer(&mut self, said: Self) {
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
        take(&mut self.mode, said.mode);
        take(&mut self.sum, said.sum);
        take(&mut self.shadow_pool, said.shadow_pool);
        take(&mut self.routine_cache, said.routine_cache);
        take(&mut self.values, said.values);
        take(&mut self.window, said.window);
    }

    fn into_guest(self) -> Result<Guest> {
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
        vm.vcpus = self.vcpus.unwrap_or(vm.vcpus);
        vm.mode = self.mode.unwrap_or_default();
        vm.sum = self.sum.unwrap_or_default();
        vm.shadow_pool = self.shadow_pool.unwrap_or(vm.shadow_pool);
        vm.routine_cache = self.routine_cache.unwrap_or(vm.routine_cache);
        vm.values = self.values.unwrap_or(vm.values);
        vm.window = self.window;
        Ok(guest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(text: &str, flags: GuestArguments) -> Result<Setup> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("vm.toml");
        std::fs::write(&path, text)?;
        let flags = GuestArguments {
            config: Some(path),
            ..flags
        };
        Setup::gather(&flags, Some(&HostArguments::default()))
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_defaults() {
        let text = "cpu = \"max\"\n[[vm]]\nkernel = \"Image\"\nmemory = \"256M\"\nmode = \"break-frame\"\n\
                    window = \"0xffffffd000000000\"\n";
        let flags = GuestArguments {
            memory: Some(512 << 20),
            ..GuestArguments::default()
        };
        let setup = configured(text, flags).unwrap();
        let guest = &setup.guests[0];
        assert_eq!(setup.cpu, "max");
        assert_eq!(guest.vm.memory, 512 << 20);
        assert_eq!(guest.vm.mode, Mode::BreakFrame);
        assert_eq!(guest.vm.window, Some(0xffff_ffd0_0000_0000));
        assert_eq!(guest.vm.shadow_pool, 16 << 20);
        assert!(guest.kernel.is_absolute(), "{}", guest.kernel.display());
    }

    #[test]
    fn mistakes_in_the_file_are_named() {
        let message = |text: &str| {
            let error = configured(text, GuestArguments::default()).unwrap_err();
            format!("{error:#}")
        };
        assert!(message("[[vm]]\nkernle = \"Image\"\n").contains("kernle"));
        assert!(message("[[vm]]\nkernel = \"k\"\nmemory = \"lots\"\n").contains("\"lots\""));
        assert!(message("[[vm]]\nmemory = \"1G\"\n").contains("no kernel"));
    }

    #[test]
    fn flags_for_one_of_several_vms_are_refused() {
        let text = "[[vm]]\nkernel = \"a\"\n[[vm]]\nkernel = \"b\"\n";
        assert_eq!(
            configured(text, GuestArguments::default())
                .unwrap()
                .guests
                .len(),
            2
        );
        let flags = GuestArguments {
            append: Some("quiet".into()),
            ..GuestArguments::default()
        };
        assert!(configured(text, flags).is_err());
    }
}
