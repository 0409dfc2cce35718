//! `patchvisor pack`: writes a bundle and says how it is booted.

use crate::arguments::PackArguments;
use crate::{config, print};
use anyhow::{Context, Result, bail};
use patchvisor::quote::quoted;
use patchvisor::{guest, progress, size};

/// Packs the guests into a file and says how U-Boot boots it.
pub fn pack(arguments: &PackArguments) -> Result<()> {
    let setup = config::Setup::gather(&arguments.guest, None)?;
    setup.check_for_board()?;
    if arguments.output.is_dir() {
        bail!("{} is a directory: name a file", arguments.output.display());
    }
    let output = quoted(&arguments.output);
    let bytes = progress::said("packing", || -> Result<_> {
        let bytes = guest::pack(&setup.guests, setup.console.unwrap_or_default())?;
        std::fs::write(&arguments.output, &bytes).with_context(|| format!("writing {output}"))?;
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
