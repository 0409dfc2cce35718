//! Joins flags and the configuration file. A flag goes before the file.

use crate::arguments::{GuestArguments, HostArguments};
use anyhow::{Context, Result, bail};
use bundle::{Console, Mode, Sum};
use patchvisor::guest::Guest;
use patchvisor::qemu::{Board, DEFAULT_CPU};
use patchvisor::size;
use serde::{Deserialize, Deserializer, de::Error};
use std::path::{Path, PathBuf};

/// The configuration file. Paths are relative to it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    machine: Option<Board>,
    dtb: Option<PathBuf>,
    cpu: Option<String>,
    bios: Option<PathBuf>,
    harts: Option<u32>,
    #[serde(deserialize_with = "bytes")]
    host_memory: Option<u64>,
    monitor: Option<PathBuf>,
    console: Option<Console>,
    qemu_args: Vec<String>,
    vm: Vec<VmTable>,
}

/// One `[[vm]]` of the file, and what flags say of the guest.
#[derive(Debug, Default, Deserialize, Eq, PartialEq)]
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
    weight: Option<u32>,
    cap: Option<u32>,
    pin: Option<Vec<u32>>,
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
    pub board: Board,
    pub dtb: Option<PathBuf>,
    pub cpu: String,
    pub bios: Option<PathBuf>,
    pub harts: u32,
    pub host_memory: Option<u64>,
    pub monitor: Option<PathBuf>,
    /// `None` if nothing was said.
    pub console: Option<Console>,
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
            _ if said == VmTable::default() => {}
            _ => bail!(
                "flags for the guest do not say which VM of the file they mean: put them into it"
            ),
        }
        let mut guests = file
            .vm
            .into_iter()
            .map(VmTable::into_guest)
            .collect::<Result<Vec<_>>>()?;
        if let Some(count) = flags.vms {
            if guests.len() > 1 {
                bail!("--vms copies one VM, and the file has {}", guests.len());
            }
            let copies = |guest: Guest| guest.copies(count as usize);
            guests = guests.into_iter().flat_map(copies).collect();
        }
        let none = HostArguments::default();
        let host = host.unwrap_or(&none);
        file.qemu_args.extend(host.qemu_arg.iter().cloned());
        let board = host.machine.or(file.machine).unwrap_or_default();
        let cpu = host.cpu.clone().or(file.cpu);
        let harts = host.harts.or(file.harts);
        if board.harts().is_some() && (cpu.is_some() || harts.is_some()) {
            bail!(
                "{} has its own processors: leave --cpu and --harts out",
                board.name()
            );
        }
        Ok(Self {
            guests,
            board,
            dtb: host.dtb.clone().or(file.dtb),
            cpu: cpu.unwrap_or_else(|| DEFAULT_CPU.into()),
            bios: host.bios.clone().or(file.bios),
            harts: board.harts().or(harts).unwrap_or(1),
            host_memory: host.host_memory.or(file.host_memory),
            monitor: flags.monitor.clone().or(file.monitor),
            console: flags.console.map(Console::from).or(file.console),
            qemu_arguments: file.qemu_args,
        })
    }

    /// How VMs share the console of a run. Log files need to know whose a line is.
    pub fn console_for(&self, logged: bool) -> Result<Console> {
        match (self.console, logged) {
            (Some(Console::Switched), true) => bail!(
                "--log-dir needs a prefixed console, and a switched one was asked for: leave one of them out"
            ),
            (_, true) => Ok(Console::Prefixed),
            (console, false) => Ok(console.unwrap_or_default()),
        }
    }

    /// Checks that the host has the harts that vCPUs are to run on.
    pub fn check_pins(&self) -> Result<()> {
        for guest in &self.guests {
            let vm = &guest.vm;
            if let Some(hart) = vm.pin.iter().find(|&&hart| hart >= self.harts) {
                bail!(
                    "VM \"{}\" is pinned to host hart {hart}, and the host has {}: give it more with --harts",
                    vm.name,
                    self.harts
                );
            }
        }
        Ok(())
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
        absolute(&mut file.dtb);
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
        }
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
        take(&mut self.weight, said.weight);
        take(&mut self.cap, said.cap);
        take(&mut self.pin, said.pin);
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
        vm.weight = self.weight.unwrap_or(vm.weight);
        vm.cap = self.cap;
        vm.pin = self.pin.unwrap_or_default();
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
        assert!(message("console = \"mixed\"\n").contains("mixed"));
    }

    #[test]
    fn each_vm_of_the_file_has_its_own_share() {
        let text = "console = \"prefixed\"\nharts = 2\n\
                    [[vm]]\nname = \"web\"\nkernel = \"k\"\nvcpus = 2\nweight = 200\n\
                    [[vm]]\nname = \"batch\"\nkernel = \"k\"\ncap = 50\npin = [1, 0]\n";
        let setup = configured(text, GuestArguments::default()).unwrap();
        assert_eq!((setup.console, setup.harts), (Some(Console::Prefixed), 2));
        let shares = setup.guests.iter().map(|guest| {
            let vm = &guest.vm;
            (vm.name.as_str(), vm.vcpus, vm.weight, vm.cap, &vm.pin[..])
        });
        let expected = [
            ("web", 2, 200, None, &[][..]),
            ("batch", 1, 100, Some(50), &[1, 0]),
        ];
        assert_eq!(shares.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn log_files_need_a_prefixed_console() {
        let console = |text: &str, logged| {
            let text = format!("{text}[[vm]]\nkernel = \"k\"\n");
            configured(&text, GuestArguments::default())
                .unwrap()
                .console_for(logged)
        };
        assert_eq!(console("", false).unwrap(), Console::Switched);
        assert_eq!(console("", true).unwrap(), Console::Prefixed);
        let prefixed = "console = \"prefixed\"\n";
        assert_eq!(console(prefixed, false).unwrap(), Console::Prefixed);
        let error = console("console = \"switched\"\n", true).unwrap_err();
        assert!(error.to_string().contains("--log-dir"), "{error}");
    }

    #[test]
    fn pins_must_be_to_harts_that_the_host_has() {
        let check = |harts| {
            let text = format!("harts = {harts}\n[[vm]]\nkernel = \"k\"\npin = [0, 2]\n");
            configured(&text, GuestArguments::default())
                .unwrap()
                .check_pins()
        };
        assert!(check(3).is_ok());
        let error = check(2).unwrap_err().to_string();
        assert!(error.contains("host hart 2"), "{error}");
    }

    #[test]
    fn a_board_of_the_file_brings_its_harts() {
        let text = "machine = \"sifive_u\"\n[[vm]]\nkernel = \"k\"\npin = [3]\n";
        let setup = configured(text, GuestArguments::default()).unwrap();
        assert_eq!((setup.board, setup.harts), (Board::SifiveU, 4));
        assert!(setup.check_pins().is_ok());
        let text = format!("harts = 2\n{text}");
        let error = configured(&text, GuestArguments::default()).unwrap_err();
        assert!(error.to_string().contains("its own processors"), "{error}");
    }

    #[test]
    fn one_vm_can_be_copied_and_several_cannot() {
        let flags = || GuestArguments {
            vms: Some(2),
            vcpus: Some(4),
            ..GuestArguments::default()
        };
        let one = "[[vm]]\nname = \"a\"\nkernel = \"k\"\n";
        let guests = configured(one, flags()).unwrap().guests;
        let vms = guests
            .iter()
            .map(|guest| (guest.vm.name.as_str(), guest.vm.vcpus));
        assert_eq!(vms.collect::<Vec<_>>(), [("a-1", 4), ("a-2", 4)]);
        let flags = GuestArguments {
            vcpus: None,
            ..flags()
        };
        let two = format!("{one}[[vm]]\nname = \"b\"\nkernel = \"k\"\n");
        let error = configured(&two, flags).unwrap_err().to_string();
        assert!(error.contains("--vms copies one VM"), "{error}");
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
