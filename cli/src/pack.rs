//! `patchvisor pack`: writes a bundle and says how it is booted.

use crate::arguments::PackArguments;
use crate::{config, print};
use anyhow::{Context, Result, bail};
use patchvisor::quote::quoted;
use patchvisor::{guest, progress, size};
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Packs the guests into a file and says how U-Boot boots it.
pub fn pack(arguments: &PackArguments) -> Result<()> {
    let setup = config::Setup::gather(&arguments.guest, None)?;
    setup.check_for_board()?;
    if arguments.output.is_dir() {
        bail!("{} is a directory: name a file", arguments.output.display());
    }
    let output = quoted(&arguments.output);
    let inputs = setup.guests.iter().flat_map(guest::Guest::files);
    for input in inputs.chain(arguments.guest.config.as_deref()) {
        if is_same(input, &arguments.output) {
            bail!(
                "{output} is read for the bundle, which would take its place: name another file with -o"
            );
        }
    }
    let bytes = progress::said("packing", || -> Result<_> {
        let bytes = guest::pack(&setup.guests, setup.console.unwrap_or_default())?;
        write(&arguments.output, &bytes).with_context(|| format!("writing {output}"))?;
        Ok(bytes)
    })?;
    // The bundle has the limits of its disks' changes, which the host needs memory for.
    let bundle = bundle::open(&bytes)?;
    let vms = &bundle.description().vms;
    let (memory, length) = (guest::host_memory(vms, bytes.len() as u64), bytes.len());
    if arguments.json {
        let names: Vec<_> = vms.iter().map(|vm| &vm.name).collect();
        let report = serde_json::json!({
            "output": arguments.output,
            "size": length,
            "host_memory": memory,
            "harts": setup.harts,
            "vms": names,
        });
        return print(&report.to_string());
    }
    let monitor = guest::monitor(setup.monitor.as_deref())
        .map_or_else(|_| "patchvisor.bin".to_owned(), quoted);
    print(&format!(
        "{output}: {length} bytes; the host needs {} of memory\n\n\
         With QEMU:\n\
         \x20 qemu-system-riscv64 -M virt -cpu {} -smp {} -m {} -nographic -kernel {monitor} -initrd {output}\n\n\
         With U-Boot, from a disk that holds the monitor's image and the bundle:\n\
         \x20 load ${{devtype}} ${{devnum}} ${{kernel_addr_r}} patchvisor.bin\n\
         \x20 load ${{devtype}} ${{devnum}} ${{ramdisk_addr_r}} {name}\n\
         \x20 booti ${{kernel_addr_r}} ${{ramdisk_addr_r}}:{length:x} ${{fdtcontroladdr}}",
        size::show(memory),
        quoted(&setup.cpu),
        setup.harts,
        size::show(memory),
        name = quoted(arguments.output.file_name().unwrap_or_default()),
    ))
}

/// Whether both names are of one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let [Ok(one), Ok(other)] = [one, other].map(std::fs::metadata) else {
        return false;
    };
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Writes a file that is there when it is whole, and not before. What is there already and is no file, such as a
/// pipe, is written to.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.exists() && !path.is_file() {
        return Ok(std::fs::write(path, bytes)?);
    }
    // Where a link leads to: the link stays.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut unfinished = tempfile::Builder::new()
        .prefix(".patchvisor-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    unfinished.write_all(bytes)?;
    unfinished.persist(&path)?;
    Ok(())
}
