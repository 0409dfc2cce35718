//! Joins flags and the configuration file. A flag goes before the file.

use crate::arguments::{GuestArguments, HostArguments};
use crate::devices;
use crate::vm_table::VmTable;
use anyhow::{Context, Result, anyhow, bail};
use bundle::Console;
use patchvisor::disk::{Content, Image};
use patchvisor::guest::Guest;
use patchvisor::qemu::{Board, DEFAULT_CPU};
use patchvisor::size;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The configuration file. Paths are relative to it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    machine: Option<String>,
    dtb: Option<PathBuf>,
    cpu: Option<String>,
    bios: Option<PathBuf>,
    harts: Option<u32>,
    #[serde(deserialize_with = "size::deserialize")]
    host_memory: Option<u64>,
    monitor: Option<PathBuf>,
    console: Option<Console>,
    uplink: Option<String>,
    qemu_args: Vec<String>,
    vm: Vec<VmTable>,
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
    /// What an uplink reaches, as QEMU's `-netdev` takes it.
    pub uplink: Option<String>,
    /// Ports that QEMU's user network forwards.
    pub hostfwd: Vec<String>,
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
        let mut hostfwd = Vec::new();
        let mut guests = Vec::new();
        for vm in file.vm {
            guests.push(vm.into_guest(&mut hostfwd)?);
        }
        if let Some(count) = flags.vms {
            if guests.len() > 1 {
                bail!("--vms copies one VM, and the file has {}", guests.len());
            }
            let copies = |guest: Guest| guest.copies(count as usize);
            guests = guests.into_iter().flat_map(copies).collect();
        }
        check_macs(&guests)?;
        let none = HostArguments::default();
        let host = host.unwrap_or(&none);
        file.qemu_args.extend(host.qemu_arg.iter().cloned());
        let dtb = host.dtb.clone().or(file.dtb);
        let board = match host.machine.as_ref().or(file.machine.as_ref()) {
            Some(machine) => Board::find(machine, dtb.as_deref())?,
            None => Board::default(),
        };
        let cpu = host.cpu.clone().or(file.cpu);
        let harts = host.harts.or(file.harts);
        if board.harts().is_some() && (cpu.is_some() || harts.is_some()) {
            bail!(
                "{} has its own processors: leave --cpu and --harts out",
                board.name()
            );
        }
        if harts == Some(0) {
            bail!("a host has at least one hart: give --harts 1 or more, or leave it out");
        }
        Ok(Self {
            guests,
            dtb,
            cpu: cpu.unwrap_or_else(|| DEFAULT_CPU.into()),
            bios: host.bios.clone().or(file.bios),
            harts: board.harts().or(harts).unwrap_or(1),
            board,
            host_memory: host.host_memory.or(file.host_memory),
            monitor: flags.monitor.clone().or(file.monitor),
            console: flags.console.map(Console::from).or(file.console),
            uplink: host.uplink.clone().or(file.uplink),
            hostfwd,
            qemu_arguments: file.qemu_args,
        })
    }

    /// What the guests' memory and the monitor's pools for them are, in bytes: no host can do with less.
    pub fn least_host_memory(&self) -> u64 {
        let vms = self.guests.iter().map(|guest| &guest.vm);
        vms.fold(0, |sum: u64, vm| {
            [vm.memory, vm.shadow_pool, vm.routine_cache]
                .into_iter()
                .fold(sum, u64::saturating_add)
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

    /// The images that QEMU gives the host as disks. Disks that are numbered must come from elsewhere.
    pub fn images(&self) -> Result<Vec<Image>> {
        let images = patchvisor::disk::images(&self.guests)?;
        if !self.has_disks(|content| matches!(content, Content::Host(_))) {
            return Ok(images);
        }
        if self.qemu_arguments.is_empty() {
            bail!(
                "device:N is a disk that the host has anyway, and QEMU has none: name an image instead, or \
                 give QEMU the disk with --qemu-arg"
            );
        }
        if !images.is_empty() {
            bail!("disks are numbered on the host, so name either images or device:N, not both");
        }
        Ok(images)
    }

    /// Checks that nothing was said that a bundle for a board cannot carry.
    pub fn check_for_board(&self) -> Result<()> {
        if self.has_disks(|content| matches!(content, Content::Image { .. })) {
            bail!(
                "a board has its own disks: write device:N or device:N/PARTITION for one of them, or \
                 bundle:FILE to pack the image"
            );
        }
        if !self.hostfwd.is_empty() {
            bail!("hostfwd is of QEMU's user network, which a board has not: write --net uplink");
        }
        Ok(())
    }

    fn has_disks(&self, of: impl Fn(&Content) -> bool) -> bool {
        let mut disks = self.guests.iter().flat_map(|guest| &guest.disks);
        disks.any(|disk| of(&disk.content))
    }

    /// What the host's network device reaches, given whether a guest has an uplink.
    pub fn backend(&self) -> Result<Option<String>> {
        let mut nets = self.guests.iter().flat_map(|guest| &guest.vm.nets);
        let has_uplink = nets.any(|net| net.uplink);
        match self.uplink.as_deref() {
            Some("none") => Ok(None),
            backend if has_uplink => {
                devices::uplink(backend.unwrap_or("user"), &self.hostfwd).map(Some)
            }
            Some(_) => bail!("--uplink is there for --net uplink, and no VM has that: add it"),
            None => Ok(None),
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
        let mut file: Self = toml::from_str(&text).map_err(|error| {
            let place = path.display();
            match error.message().ends_with("expected a sequence") {
                true => anyhow!(
                    "in {place}: {error}there may be several, so write it with two brackets: [[vm]], [[vm.disk]], [[vm.net]]"
                ),
                false => anyhow!("in {place}: {error}"),
            }
        })?;
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
            for disk in vm.disk.iter_mut().flatten() {
                disk.in_directory(directory);
            }
        }
        Ok(file)
    }
}

/// Checks that no two interfaces have one MAC address.
fn check_macs(guests: &[Guest]) -> Result<()> {
    let nets = guests.iter().flat_map(|guest| &guest.vm.nets);
    let mut macs: Vec<_> = nets.filter_map(|net| net.mac).collect();
    macs.sort();
    match macs.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => bail!(
            "two network interfaces have the MAC address {}: give each its own",
            pair[0]
        ),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bundle::Mode;

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
        let figures = [
            ("-1", "\"-1\" is no size"),
            ("1.5", "a number or a text"),
            ("true", "a number or a text"),
        ];
        for (figure, problem) in figures {
            let error = message(&format!("[[vm]]\nkernel = \"k\"\nmemory = {figure}\n"));
            assert!(error.contains(problem), "{error}");
        }
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
    fn each_vm_of_the_file_has_its_own_devices() {
        let text = "[[vm]]\nname = \"a\"\nkernel = \"k\"\n\
                    [[vm.disk]]\nfile = \"a.img\"\nserial = \"root\"\n\
                    [[vm.disk]]\nbundle = \"b.img\"\nchanges = \"1M\"\nreadonly = true\n\
                    [[vm.net]]\nmac = \"52:54:00:12:34:56\"\nhostfwd = [\"tcp::2222-:22\"]\n\
                    [[vm]]\nname = \"b\"\nkernel = \"k\"\nports = [\"log\"]\n[[vm.net]]\n\
                    [[vm]]\nname = \"c\"\nkernel = \"k\"\n";
        let setup = configured(text, GuestArguments::default()).unwrap();
        let [a, b, c] = &setup.guests[..] else {
            panic!("{:?}", setup.guests);
        };
        let [image, packed] = &a.disks[..] else {
            panic!("{:?}", a.disks);
        };
        assert!(matches!(&image.content, Content::Image { path, .. } if path.is_absolute()));
        assert_eq!((image.serial.as_str(), image.read_only), ("root", false));
        let changes = |content: &Content| match content {
            Content::Packed { path, changes } if path.is_absolute() => Some(*changes),
            _ => None,
        };
        assert_eq!(
            (changes(&packed.content), packed.read_only),
            (Some(1 << 20), true)
        );
        assert!(a.vm.nets[0].uplink && a.vm.nets[0].mac.is_some());
        assert!(!b.vm.nets[0].uplink && b.vm.virtio_console && b.vm.ports == ["log"]);
        let entropy = [a, b, c].map(|guest| guest.vm.entropy);
        assert_eq!(entropy, [true, true, false]);
        let backend = setup.backend().unwrap();
        assert_eq!(backend.as_deref(), Some("user,hostfwd=tcp::2222-:22"));
        let error = setup.check_for_board().unwrap_err().to_string();
        assert!(error.contains("device:N"), "{error}");
    }

    #[test]
    fn devices_that_cannot_be_are_refused() {
        let gather = |devices: &str| {
            let text = format!("[[vm]]\nkernel = \"k\"\n{devices}");
            configured(&text, GuestArguments::default())
        };
        let message = |result: Result<Setup>| format!("{:#}", result.unwrap_err());
        let net = "[[vm.net]]\nmac = \"52:54:00:12:34:56\"\n";
        let error = message(gather(&format!("{net}{net}")));
        assert!(error.contains("52:54:00:12:34:56"), "{error}");
        let error = message(gather("[[vm.disk]]\nfile = \"a\"\ndevice = 1\n"));
        assert!(error.contains("one of FILE"), "{error}");
        let error = message(gather("[[vm.disk]]\nfile = \"a\"\nsize = 1\n"));
        assert!(error.contains("size"), "{error}");
        let numbered = gather("[[vm.disk]]\ndevice = 1\n").unwrap();
        let error = numbered.images().unwrap_err().to_string();
        assert!(error.contains("--qemu-arg"), "{error}");
        numbered.check_for_board().unwrap();
        let forwarded = gather("[[vm.net]]\nhostfwd = [\"tcp::1-:1\"]\n").unwrap();
        let error = forwarded.check_for_board().unwrap_err().to_string();
        assert!(error.contains("--net uplink"), "{error}");
    }

    #[test]
    fn the_entropy_device_gives_way_to_what_was_asked_for() {
        let disks = "[[vm.disk]]\nfile = \"a\"\n".repeat(8);
        let text = format!("[[vm]]\nkernel = \"k\"\n{disks}");
        let entropy = |rng| {
            let flags = GuestArguments {
                rng,
                ..GuestArguments::default()
            };
            configured(&text, flags).unwrap().guests[0].vm.entropy
        };
        assert!(!entropy(None) && entropy(Some(true)));
    }

    #[test]
    fn patches_count_only_when_they_are_asked_to() {
        let counts = |text: &str, statistics| {
            let flags = GuestArguments {
                statistics,
                ..GuestArguments::default()
            };
            let text = format!("[[vm]]\nkernel = \"k\"\n{text}");
            configured(&text, flags).unwrap().guests[0].vm.statistics
        };
        assert!(!counts("", None) && counts("", Some(true)));
        assert!(counts("statistics = true\n", None));
        assert!(!counts("statistics = true\n", Some(false)));
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
        assert_eq!((setup.board.name(), setup.harts), ("sifive_u", 4));
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
