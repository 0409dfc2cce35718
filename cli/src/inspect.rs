//! `patchvisor inspect`: what is in a bundle, or which privileged instructions a kernel has.

use crate::arguments::InspectArguments;
use crate::print;
use anyhow::{Context, Result, bail};
use bundle::{Bundle, Description, Source, Vm, recognise};
use patchvisor::scan::{self, Scan};
use patchvisor::{kernel_file, size};
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;

/// What is said of a file, as JSON has it.
#[derive(Debug, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
enum Report<'a> {
    Bundle {
        /// Bytes.
        size: u64,
        description: &'a Description,
        files: Vec<File>,
    },
    Kernel {
        /// What the file is, and what is in it when it is unpacked.
        file: &'static str,
        kernel: &'static str,
        /// Bytes of the unpacked kernel.
        size: u64,
        #[serde(flatten)]
        scan: Scan,
    },
}

/// A file of a bundle.
#[derive(Debug, Serialize)]
struct File {
    name: String,
    /// Bytes.
    size: u64,
    /// What it looks like.
    kind: &'static str,
}

/// Says what is in a file.
pub fn inspect(arguments: &InspectArguments) -> Result<()> {
    let path = &arguments.file;
    if path.is_dir() {
        bail!(
            "{} is a directory: name a bundle or a kernel",
            path.display()
        );
    }
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let kind = recognise::looks_like(&bytes);
    let opened = match recognise::is_bundle(&bytes) {
        true => Some(bundle::open(&bytes).with_context(|| path.display().to_string())?),
        false => None,
    };
    let report = match &opened {
        Some(bundle) => report_bundle(bundle),
        None => {
            let kernel = kernel_file::unpack(bytes).with_context(|| path.display().to_string())?;
            Report::Kernel {
                file: kind,
                kernel: recognise::looks_like(&kernel),
                size: kernel.len() as u64,
                scan: scan::scan(&kernel).with_context(|| path.display().to_string())?,
            }
        }
    };
    print(&match arguments.json {
        true => serde_json::to_string(&report)?,
        false => show(path, &report),
    })
}

fn report_bundle<'a>(bundle: &'a Bundle) -> Report<'a> {
    let files = bundle.names().filter_map(|name| {
        let bytes = bundle.file(name)?;
        Some(File {
            name: name.to_owned(),
            size: bytes.len() as u64,
            kind: recognise::looks_like(bytes),
        })
    });
    Report::Bundle {
        size: bundle.size() as u64,
        description: bundle.description(),
        files: files.collect(),
    }
}

fn show(path: &Path, report: &Report) -> String {
    let path = path.display();
    match report {
        Report::Bundle {
            size,
            description,
            files,
        } => {
            let mut text = format!(
                "{path}: a Patchvisor bundle of format {}, {size} bytes\n",
                description.format
            );
            for vm in &description.vms {
                text += &show_vm(vm);
            }
            text += "\nFiles:\n";
            for file in files {
                let _ = writeln!(text, "  {:<24}{:>12}  {}", file.name, file.size, file.kind);
            }
            text.trim_end().to_owned()
        }
        Report::Kernel {
            file,
            kernel,
            size,
            scan,
        } => {
            let unpacked = match file == kernel {
                true => format!("{path}: {kernel}, {size} bytes\n"),
                false => format!("{path}: {file}; in it {kernel}, {size} bytes\n"),
            };
            unpacked + &show_scan(scan)
        }
    }
}

fn show_vm(vm: &Vm) -> String {
    let mut text = format!(
        "\nVM \"{}\": {} vCPU{}, {} of memory, mode {}\n",
        vm.name,
        vm.vcpus,
        if vm.vcpus == 1 { "" } else { "s" },
        size::show(vm.memory),
        vm.mode
    );
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "  {what:<16}{value}");
    };
    line("kernel", &vm.kernel);
    for (what, file) in [("initrd", &vm.initrd), ("overlay", &vm.overlay)] {
        if let Some(file) = file {
            line(what, file);
        }
    }
    if !vm.append.is_empty() {
        line("command line", &vm.append);
    }
    for disk in &vm.disks {
        let mut value = match &disk.source {
            Source::Device(device) => format!("disk {device} of the host"),
            Source::Partition { device, number } => {
                format!("partition {number} of disk {device} of the host")
            }
            Source::File { name, .. } if disk.read_only => name.clone(),
            Source::File { name, changes } => {
                format!(
                    "{name}, up to {} of changes in memory",
                    size::show(*changes)
                )
            }
        };
        if disk.read_only {
            value += ", read-only";
        }
        if !disk.serial.is_empty() {
            let _ = write!(value, ", serial \"{}\"", disk.serial);
        }
        line("disk", &value);
    }
    for net in &vm.nets {
        let mac = net.mac.map_or("MAC chosen".into(), |mac| mac.to_string());
        let reach = match net.uplink {
            true => "the switch and the host's network",
            false => "the switch",
        };
        line("net", &format!("{reach}, {mac}"));
    }
    if vm.virtio_console {
        line("virtio console", &vm.ports.join(" "));
    }
    if vm.entropy {
        line("entropy device", "yes");
    }
    text
}

fn show_scan(scan: &Scan) -> String {
    let mut text = String::new();
    if scan.marked {
        for code in &scan.code {
            let _ = writeln!(
                text,
                "  {:<24}{:#018x}  {} bytes",
                match code.name.as_str() {
                    "" => "a segment",
                    name => name,
                },
                code.address,
                code.size
            );
        }
    } else {
        text += "  It does not mark its code: each halfword is taken for an instruction, so this may \
                 count data.\n";
    }
    let _ = writeln!(
        text,
        "\n{:<24}{:>10}{:>12}{:>12}{:>14}",
        "privileged instructions", "found", "patchable", "straddling", "no template"
    );
    let total = ("total".to_owned(), scan.total());
    let kinds = scan
        .kinds
        .iter()
        .map(|(kind, count)| (kind.clone(), *count));
    for (kind, count) in kinds.chain([total]) {
        let _ = writeln!(
            text,
            "{kind:<24}{:>10}{:>12}{:>12}{:>14}",
            count.found, count.patchable, count.straddling, count.without_template
        );
    }
    text +=
        "\nWhat straddles two pages or has no template traps and is emulated at each execution.";
    text
}
