//! Hosts whose interrupt controller is no PLIC, or that have none: console, disk and network of a Linux guest,
//! which sees the PLIC of its own board.

use crate::devices::{linux, must_say};
use crate::linux::{LIMIT, last};
use crate::runner;
use crate::vms::board;
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::disk::{Content, Disk, images};
use patchvisor::qemu::Machine;
use patchvisor::{Console, Net};
use std::path::Path;
use tempfile::NamedTempFile;

/// What QEMU is told.
struct Host {
    name: &'static str,
    arguments: &'static [&'static str],
    /// Numbers of host harts. Of two, it is the firmware's choice which boots, and has the interrupts.
    harts: &'static [u32],
    /// Whether the tree names its PLIC by a name that nobody knows.
    hidden: bool,
}

const HOSTS: [Host; 4] = [
    Host {
        name: "aplic",
        arguments: &["-machine", "aia=aplic"],
        harts: &[1, 2],
        hidden: false,
    },
    Host {
        name: "aplic_imsic",
        arguments: &["-machine", "aia=aplic-imsic"],
        harts: &[1, 2],
        hidden: false,
    },
    // With the options that put other devices where interrupts come from and go to.
    Host {
        name: "aplic_imsic_aclint_iommu",
        arguments: &["-machine", "aia=aplic-imsic,aclint=on,iommu-sys=on"],
        harts: &[2],
        hidden: false,
    },
    Host {
        name: "none",
        arguments: &[],
        harts: &[1],
        hidden: true,
    },
];

/// All trials.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for host in &HOSTS {
        for &harts in host.harts {
            let name = format!("controllers::{}::{harts}", host.name);
            trials.push(runner::trial(name, move || serves(host, harts)));
        }
    }
    trials
}

/// Reads and writes its disk while it pings, and hears what is typed before and after.
const SCRIPT: &str = "
ip link set eth0 up; ip address add 10.0.2.15/24 dev eth0
echo controllers $(cd /proc/device-tree/soc; ls -d plic@* aplic@* interrupt-controller@* imsics@* 2> /dev/null)
grep -q s[ms]aia /proc/device-tree/cpus/cpu@0/riscv,isa* && echo aia is offered
echo type; read word; echo typed $word
ping -c 30 -i 0.1 -W 5 10.0.2.2 > /pings &
head -c 2097152 /dev/urandom > /data
dd if=/data of=/dev/vda bs=4k conv=fsync 2> /dev/null
dd if=/dev/vda bs=4k count=512 iflag=direct 2> /dev/null | cmp - /data && echo the same
wait; echo pings $(grep -c seq= /pings)
echo type; read word; echo typed $word";

fn serves(host: &Host, harts: u32) -> Result<()> {
    let image = NamedTempFile::with_prefix("patchvisor-disk-")?;
    image.as_file().set_len(4 << 20)?;
    let (mut guest, _file) = linux("guest", SCRIPT)?;
    guest.vm.vcpus = harts;
    guest.vm.nets = vec![Net {
        mac: None,
        uplink: true,
    }];
    guest.disks.push(Disk::new(Content::Image {
        path: image.path().to_owned(),
        partition: None,
    }));
    let guests = [guest];
    let (machine, _bundle) = board(&guests, Console::Prefixed, harts)?;
    let machine = machine.disks(images(&guests)?).uplink("user");
    let mut machine = machine.args(host.arguments);
    let tree = tempfile::NamedTempFile::with_prefix("patchvisor-tree-")?;
    if host.hidden {
        hide_plic(&machine, tree.path())?;
        machine = machine.dtb(tree.path());
    }
    let mut run = machine.spawn()?;
    for word in ["sesame", "again"] {
        run.expect_from("guest", "type", LIMIT)?;
        run.send(&format!("{word}\n"))?;
    }
    let outcome = run.wait(LIMIT)?;
    let expected = [
        "controllers plic@c000000",
        "type",
        "typed sesame",
        "the same",
        "pings 30",
        "type",
        "typed again",
    ];
    must_say(&outcome, "guest", &expected)?;
    let text = outcome.text();
    ensure!(!text.contains("aia is offered"), "{}", last(&outcome));
    ensure!(
        text.contains("polled 100 times") == host.hidden,
        "{}",
        last(&outcome)
    );
    ensure!(outcome.success(), "no success; {}", last(&outcome));
    Ok(())
}

/// Writes the machine's device tree to a file, with another name for the PLIC.
fn hide_plic(machine: &Machine, file: &Path) -> Result<()> {
    let dump = format!("dumpdtb={}", file.display());
    let output = machine.command()?.args(["-machine", &dump]).output()?;
    ensure!(output.status.success(), "no tree: {output:?}");
    let mut tree = std::fs::read(file)?;
    for name in [&b"sifive,plic-1.0.0"[..], b"riscv,plic0"] {
        let mut places = tree.windows(name.len());
        let place = places.position(|bytes| bytes == name).context("no PLIC")?;
        tree[place] = b'x';
    }
    Ok(std::fs::write(file, tree)?)
}
