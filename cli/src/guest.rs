//! A guest as the host has it: the VM's description and the files, from which a bundle is packed.

use crate::disk::{self, Content, Disk};
use crate::kernel_file;
use crate::qemu::{Machine, check_tree};
use crate::quote::quoted;
use anyhow::{Context, Result, bail, ensure};
use bundle::{Console, Description, Source, Vm};
use std::path::{Path, PathBuf};

pub use crate::monitor::{NoMonitor, monitor};

const MIB: u64 = 1 << 20;
/// Memory of the host beyond what the guests and their pools take: firmware and the monitor.
const MONITOR_MEMORY: u64 = 128 * MIB;
/// What the monitor keeps of each VM besides its pools.
const VM_MEMORY: u64 = 3 * MIB;
/// What the monitor keeps of each vCPU.
const VCPU_MEMORY: u64 = 128 << 10;

/// A VM and where its files are. The names and disks in `vm` are set when it is packed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Guest {
    /// What the monitor is told; its names of files and its disks are replaced.
    pub vm: Vm,
    /// The kernel, possibly compressed.
    pub kernel: PathBuf,
    /// The initrd.
    pub initrd: Option<PathBuf>,
    /// A device-tree overlay (`.dtbo`).
    pub overlay: Option<PathBuf>,
    /// The disks, in the order in which the guest finds them.
    pub disks: Vec<Disk>,
}

impl Guest {
    /// A guest with the default VM, called after its kernel's file.
    pub fn new(kernel: impl Into<PathBuf>) -> Self {
        let kernel = kernel.into();
        let name = kernel.file_name().map_or_else(
            || Vm::default().name,
            |name| name.to_string_lossy().into_owned(),
        );
        Self {
            vm: Vm {
                name,
                ..Vm::default()
            },
            kernel,
            initrd: None,
            overlay: None,
            disks: Vec::new(),
        }
    }

    /// The files that are read for its bundle.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let disks = self.disks.iter().filter_map(|disk| match &disk.content {
            Content::Packed { path, .. } => Some(path),
            Content::Image { .. } | Content::Host(_) => None,
        });
        let files = [
            Some(&self.kernel),
            self.initrd.as_ref(),
            self.overlay.as_ref(),
        ];
        files
            .into_iter()
            .flatten()
            .chain(disks)
            .map(PathBuf::as_path)
    }

    /// Reads the files and packs a bundle of this one VM.
    ///
    /// # Errors
    /// When a file cannot be read or used, or the description is wrong.
    pub fn pack(&self) -> Result<Vec<u8>> {
        pack(std::slice::from_ref(self), Console::default())
    }

    /// Packs a bundle for one run into a temporary file, which is removed when the value is dropped.
    ///
    /// # Errors
    /// As [`Self::pack`], or when there is no room for the file.
    pub fn write_bundle(&self) -> Result<tempfile::NamedTempFile> {
        let file = tempfile::Builder::new()
            .prefix("patchvisor-")
            .suffix(".bundle")
            .tempfile()
            .context("making a temporary file for the bundle")?;
        let bundle = pack_for_a_run(std::slice::from_ref(self), Console::default())?;
        std::fs::write(file.path(), bundle).context("writing the bundle")?;
        Ok(file)
    }

    /// `count` guests like this one, called `name-1` and so on; itself if there is to be but one.
    pub fn copies(self, count: usize) -> Vec<Self> {
        if count == 1 {
            return vec![self];
        }
        let numbered = |number| {
            let mut guest = self.clone();
            guest.vm.name = format!("{}-{number}", self.vm.name);
            guest
        };
        (1..=count).map(numbered).collect()
    }

    /// The machine that runs this guest natively, without the monitor.
    pub fn native(&self) -> Machine {
        let mut machine = Machine::new()
            .memory(self.vm.memory)
            .harts(self.vm.vcpus)
            .kernel(&self.kernel)
            .append(&self.vm.append);
        if let Some(initrd) = &self.initrd {
            machine = machine.initrd(initrd);
        }
        machine
    }
}

/// Reads the files of several guests and packs one bundle. Guests that have a file in common share it.
///
/// # Errors
/// When a file cannot be read or used, or a description is wrong.
pub fn pack(guests: &[Guest], console: Console) -> Result<Vec<u8>> {
    let mut files = Files {
        several: guests.len() > 1,
        files: Vec::new(),
    };
    let mut vms = Vec::new();
    let images = disk::images(guests)?;
    for (index, guest) in guests.iter().enumerate() {
        let mut vm = guest.vm.clone();
        vm.kernel = files.add("kernel", index, &guest.kernel, kernel_file::read)?;
        vm.initrd = files.add_if_any("initrd", index, guest.initrd.as_deref(), initrd)?;
        vm.overlay = files.add_if_any("overlay", index, guest.overlay.as_deref(), overlay)?;
        vm.disks.clear();
        for disk in &guest.disks {
            let source = match &disk.content {
                Content::Image { path, partition } => disk::source(&images, path, *partition)?,
                Content::Host(source) => source.clone(),
                Content::Packed { path, changes } => {
                    let name =
                        files.add("disk", index, path, |path| disk::read(path, disk.format))?;
                    let changes = match disk.read_only {
                        true => 0,
                        // Nobody changes more than there is.
                        false => files.size(&name).next_multiple_of(MIB).min(*changes),
                    };
                    Source::File { name, changes }
                }
            };
            vm.disks.push(bundle::Disk {
                source,
                read_only: disk.read_only,
                serial: disk.serial.clone(),
            });
        }
        vms.push(vm);
    }
    let description = Description {
        format: bundle::FORMAT,
        console,
        vms,
    };
    let files: Vec<_> = files
        .files
        .iter()
        .map(|file| (file.name.as_str(), file.bytes.as_slice()))
        .collect();
    Ok(bundle::pack(&description, &files)?)
}

/// As [`pack`], with fresh random bytes behind the bundle ([`bundle::fresh`]): what is made here is for one run, and is
/// not to be kept.
///
/// # Errors
/// As [`pack`], or when this system gives no random bytes.
pub fn pack_for_a_run(guests: &[Guest], console: Console) -> Result<Vec<u8>> {
    let mut bundle = pack(guests, console)?;
    let mut bytes = [0; bundle::fresh::BYTES];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .context("asking this system for random bytes")?;
    // Up to 256 bytes come at once (getrandom(2)).
    ensure!(
        filled == bytes.len(),
        "this system gives too few random bytes"
    );
    bundle::fresh::append(&mut bundle, &bytes);
    Ok(bundle)
}

/// The files of a bundle that is being packed.
struct Files<'a> {
    /// Whether the bundle has several VMs, whose files must not have the same names.
    several: bool,
    files: Vec<File<'a>>,
}

struct File<'a> {
    kind: &'static str,
    path: &'a Path,
    name: String,
    bytes: Vec<u8>,
}

impl<'a> Files<'a> {
    /// Reads a file of VM number `vm` unless it is there; returns its name in the bundle.
    fn add(
        &mut self,
        kind: &'static str,
        vm: usize,
        path: &'a Path,
        read: impl Fn(&Path) -> Result<Vec<u8>>,
    ) -> Result<String> {
        let same = |file: &&File| file.kind == kind && file.path == path;
        if let Some(file) = self.files.iter().find(same) {
            return Ok(file.name.clone());
        }
        let first = match self.several {
            false => kind.to_owned(),
            true => format!("{vm}-{kind}"),
        };
        let mut name = first.clone();
        for number in 2.. {
            if self.files.iter().all(|file| file.name != name) {
                break;
            }
            name = format!("{first}-{number}");
        }
        self.files.push(File {
            kind,
            path,
            name: name.clone(),
            bytes: read(path)?,
        });
        Ok(name)
    }

    /// Bytes of a file that was added; 0 if there is none of this name.
    fn size(&self, name: &str) -> u64 {
        let file = self.files.iter().find(|file| file.name == name);
        file.map_or(0, |file| file.bytes.len() as u64)
    }

    fn add_if_any(
        &mut self,
        kind: &'static str,
        vm: usize,
        path: Option<&'a Path>,
        read: impl Fn(&Path) -> Result<Vec<u8>>,
    ) -> Result<Option<String>> {
        path.map(|path| self.add(kind, vm, path, read)).transpose()
    }
}

fn read(what: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading the {what} {}", path.display()))
}

/// Reads an initrd, which is taken as it is: one that U-Boot would unwrap is refused.
fn initrd(path: &Path) -> Result<Vec<u8>> {
    let bytes = read("initrd", path)?;
    // U-Boot, include/image.h: IH_MAGIC, at the beginning of a header of 64 bytes.
    if bytes.starts_with(&0x2705_1956_u32.to_be_bytes()) {
        let file = quoted(path);
        bail!(
            "the initrd {file} is wrapped for U-Boot: unwrap it with `tail -c +65 {file} > initrd.img`, and give that"
        );
    }
    Ok(bytes)
}

/// Reads a device-tree overlay, which must be compiled.
fn overlay(path: &Path) -> Result<Vec<u8>> {
    check_tree(path).context("the overlay")?;
    read("overlay", path)
}

/// How much memory a host needs for these VMs, in bytes.
pub fn host_memory<'a>(vms: impl IntoIterator<Item = &'a Vm>, bundle_size: u64) -> u64 {
    let needed = vms
        .into_iter()
        .map(|vm| {
            let pools = vm.shadow_pool + vm.routine_cache;
            let changes = vm.disks.iter().map(|disk| match disk.source {
                Source::File { changes, .. } => changes,
                Source::Device(_) | Source::Partition { .. } => 0,
            });
            let changes = changes.fold(0, u64::saturating_add);
            let harts = u64::from(vm.vcpus) * VCPU_MEMORY;
            (vm.memory + pools + VM_MEMORY + harts).saturating_add(changes)
        })
        .fold(bundle_size + MONITOR_MEMORY, u64::saturating_add);
    needed
        .checked_next_multiple_of(64 * MIB)
        .unwrap_or(u64::MAX)
}

/// The machine that boots the monitor with a bundle, large enough for the bundle's VMs, and with a
/// network device on QEMU's user network and an entropy device if they need one. Images of disks are
/// for [`Machine::disks`].
///
/// # Errors
/// When the bundle cannot be read or is defective.
pub fn machine(monitor: &Path, bundle_file: &Path) -> Result<Machine> {
    let bytes = read("bundle", bundle_file)?;
    let bundle = bundle::open(&bytes).with_context(|| bundle_file.display().to_string())?;
    let description = bundle.description();
    let memory = host_memory(&description.vms, bundle.size() as u64);
    let mut machine = Machine::new()
        .memory(memory)
        .kernel(monitor)
        .initrd(bundle_file)
        .entropy(description.vms.iter().any(|vm| vm.entropy));
    let mut nets = description.vms.iter().flat_map(|vm| &vm.nets);
    if nets.any(|net| net.uplink) {
        machine = machine.uplink("user");
    }
    Ok(match description.console {
        Console::Switched => machine,
        Console::Prefixed => machine.prefixed(description.vms.iter().map(|vm| &vm.name)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_guest_can_be_opened_and_names_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let mut image = vec![0; 100];
        image[56..60].copy_from_slice(b"RSC\x05");
        let mut guest = Guest::new(put("Image", &image));
        guest.initrd = Some(put("initrd.img", b"files"));
        let bytes = guest.pack().unwrap();
        let bundle = bundle::open(&bytes).unwrap();
        let vm = &bundle.description().vms[0];
        assert_eq!(vm.name, "Image");
        assert_eq!(bundle.file(&vm.kernel), Some(&image[..]));
        assert_eq!(
            bundle.file(vm.initrd.as_deref().unwrap()),
            Some(&b"files"[..])
        );
        assert_eq!(vm.overlay, None);
    }

    #[test]
    fn each_run_gets_other_bytes_and_a_packed_bundle_none() {
        let directory = tempfile::tempdir().unwrap();
        let kernel = directory.path().join("Image");
        let mut image = vec![0; 100];
        image[56..60].copy_from_slice(b"RSC\x05");
        std::fs::write(&kernel, &image).unwrap();
        let guests = [Guest::new(&kernel)];
        let fresh = || {
            let bytes = pack_for_a_run(&guests, Console::default()).unwrap();
            bundle::open(&bytes).unwrap();
            let place = bundle::fresh::find(&bytes).expect("fresh bytes");
            bytes[place].to_vec()
        };
        assert_ne!(fresh(), fresh());
        let packed = pack(&guests, Console::default()).unwrap();
        assert_eq!(bundle::fresh::find(&packed), None);
    }

    #[test]
    fn copies_share_their_files_and_differ_in_their_names() {
        let directory = tempfile::tempdir().unwrap();
        let kernel = directory.path().join("Image");
        let mut image = vec![0; 100_000];
        image[56..60].copy_from_slice(b"RSC\x05");
        std::fs::write(&kernel, &image).unwrap();
        let guest = Guest::new(&kernel);
        assert_eq!(guest.clone().copies(1), std::slice::from_ref(&guest));
        let guests = guest.copies(3);
        let names: Vec<_> = guests.iter().map(|guest| &guest.vm.name).collect();
        assert_eq!(names, ["Image-1", "Image-2", "Image-3"]);
        let bytes = pack(&guests, Console::Prefixed).unwrap();
        assert!(bytes.len() < 2 * image.len());
        let bundle = bundle::open(&bytes).unwrap();
        assert_eq!(bundle.description().console, Console::Prefixed);
        for vm in &bundle.description().vms {
            assert_eq!(bundle.file(&vm.kernel), Some(&image[..]));
        }
    }

    #[test]
    fn packed_disks_are_files_whose_changes_the_host_has_memory_for() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let mut image = vec![0; 64];
        image[56..60].copy_from_slice(b"RSC\x05");
        let mut guest = Guest::new(put("Image", &image));
        let packed = |path: &PathBuf| {
            Disk::new(Content::Packed {
                path: path.clone(),
                changes: disk::DEFAULT_CHANGES,
            })
        };
        let small = put("small.img", &[1; 512]);
        let large = put("large.img", &vec![2; 2 << 20]);
        let read_only = Disk {
            read_only: true,
            ..packed(&small)
        };
        guest.disks = vec![packed(&small), packed(&large), read_only];
        let bytes = guest.pack().unwrap();
        let bundle = bundle::open(&bytes).unwrap();
        let vm = &bundle.description().vms[0];
        let file = |name: &str, changes| Source::File {
            name: name.into(),
            changes,
        };
        let sources: Vec<_> = vm.disks.iter().map(|disk| disk.source.clone()).collect();
        let expected = [file("disk", MIB), file("disk-2", 2 * MIB), file("disk", 0)];
        assert_eq!(sources, expected);
        assert_eq!(bundle.file("disk-2").map(<[u8]>::len), Some(2 << 20));

        let mut large = vm.clone();
        large.disks[0].source = file("disk", 512 * MIB);
        assert!(host_memory([&large], 0) - host_memory([vm], 0) >= 448 * MIB);
        large.disks[0].source = file("disk", u64::MAX);
        assert_eq!(host_memory([&large], 0), u64::MAX);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Guest::new("/nonexistent/Image").pack().unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("/nonexistent/Image"), "{message}");
    }

    #[test]
    fn the_host_has_room_for_all_that_it_is_given() {
        let vm = Vm::default();
        let memory = host_memory([&vm, &vm], 40 * MIB);
        let needed = 2 * (vm.memory + vm.shadow_pool + vm.routine_cache) + 40 * MIB;
        assert!(memory >= needed + MONITOR_MEMORY);
        assert!(memory.is_multiple_of(64 * MIB));
        let large = Vm { vcpus: 8, ..vm };
        let memory = |count| host_memory(std::iter::repeat_n(&large, count), 0);
        let each = large.memory + large.shadow_pool + large.routine_cache + 4 * MIB;
        assert!(memory(16) - memory(0) >= 16 * each);
    }
}
