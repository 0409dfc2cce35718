//! A whole Debian, unmodified: systemd, apt, the distribution's kernel and initramfs, from a disk.

use crate::repository::Repository;
use crate::{artefacts, runner};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use patchvisor::guest::{self, Guest};
use std::time::Duration;
use xtask::system::{Host, Session, System};
use xtask::{fetch, image};

/// Bytes of the second disk.
const SECOND_DISK: u64 = 256 << 20;
/// Runs a program of the disk of tools.
const TOOL: &str = "chroot /opt /usr/bin/";
/// Longest that booting, shutting down or one command may take, on a machine that is busy otherwise too.
const LIMIT: Duration = Duration::from_secs(900);

/// What is done in a Debian that has booted, with an empty second disk and one of tools.
struct Scenario {
    name: &'static str,
    long: bool,
    act: fn(&mut Session) -> Result<()>,
}

/// A boot takes longer than most of what is done after it, so one boot does for all that is short. Where the
/// image is not in the cache yet, making it is the longest part.
const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "services_modules_swap_disks_and_apt_work",
        long: true,
        act: |session| {
            services(session)?;
            modules(session)?;
            swap(session)?;
            fio(session)?;
            apt(session)
        },
    },
    Scenario {
        name: "stress_of_a_minute",
        long: true,
        act: stress,
    },
];

/// The trials.
pub fn trials() -> Vec<Trial> {
    let mut trials = vec![runner::trial(
        "debian::installer_shows_its_first_screen",
        installer,
    )];
    for scenario in SCENARIOS {
        for host in [Host::Native, Host::Patchvisor] {
            let name = format!("debian::{}::{}", scenario.name, host.name());
            let test = move || run(scenario, host);
            // Natively it is the test that is tested.
            let is_long = scenario.long || host == Host::Native;
            trials.push(match is_long {
                true => runner::long(name, test),
                false => runner::trial(name, test),
            });
        }
    }
    trials
}

/// Boots a copy of the image, logs in, acts, shuts down, and checks the file system.
fn run(scenario: &Scenario, host: Host) -> Result<()> {
    let system = System::debian()?.empty_disk(SECOND_DISK)?.tools()?;
    let machine = system.machine(host, artefacts::monitor)?;
    let mut session = Session::start(&machine, LIMIT)?;
    (scenario.act)(&mut session)?;
    let (outcome, _) = session.power_off()?;
    let text = outcome.text();
    for line in text.lines() {
        let bad = [
            "[FAILED]",
            "Kernel panic",
            "Oops",
            "BUG:",
            "detected stalls",
        ];
        ensure!(
            !bad.iter().any(|word| line.contains(word)),
            "the console says {line:?}"
        );
    }
    image::check_file_system(system.disk(0))
}

fn services(session: &mut Session) -> Result<()> {
    let state = session.command("systemctl is-system-running --wait || systemctl --failed")?;
    ensure!(state == "running\n", "systemd's state is {state}");
    // Which disk is found first is the kernel's business.
    session.command("test $(findfs LABEL=debian) = $(findmnt -no SOURCE -t ext4 /)")?;
    session.command("test $(dpkg --audit | wc -l) = 0")?;
    session
        .command("journalctl -b -p crit --no-pager -q | tee /dev/stderr | wc -l | grep -qx 0")?;
    Ok(())
}

/// A block device in a file and a network device that goes nowhere: both come in modules.
fn modules(session: &mut Session) -> Result<()> {
    session.command("! grep -qE '^(loop|dummy) ' /proc/modules")?;
    session.command(
        "truncate -s 16M /var/tmp/loop && mke2fs -q /var/tmp/loop && mount -o loop /var/tmp/loop /mnt &&
         cp /bin/bash /mnt/ && umount /mnt && mount -o loop,ro /var/tmp/loop /mnt &&
         cmp /bin/bash /mnt/bash && umount /mnt && rm /var/tmp/loop",
    )?;
    session.command(
        "modprobe dummy numdummies=0 && ip link add test type dummy && ip address add 192.0.2.1/24 dev test &&
         ip link set test up && ping -qc 3 -i 0.2 192.0.2.1 && ip link delete test",
    )?;
    session.command("grep -qE '^loop ' /proc/modules && rmmod dummy")?;
    Ok(())
}

fn apt(session: &mut Session) -> Result<()> {
    let repository = Repository::serve()?;
    let sources = repository.sources();
    session.command(&format!("echo '{sources}' > /tmp/test.list"))?;
    // Without the mirror: the test needs no network but the one within QEMU.
    let apt = "apt-get -o Dir::Etc::sourcelist=/tmp/test.list -o Dir::Etc::sourceparts=- \
               -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3";
    session.command(&format!("{apt} update"))?;
    session.command(&format!("{apt} install -y {}", Repository::PACKAGE))?;
    let sum = session.command(&format!("sha256sum < {}", Repository::FILE))?;
    ensure!(
        sum.split_whitespace().next() == Some(repository.sum()),
        "the installed file has the sum {sum}"
    );
    session.command(&format!("{apt} purge -y {}", Repository::PACKAGE))?;
    session.command(&format!("test ! -e {}", Repository::FILE))?;
    Ok(())
}

/// Memory that does not fit goes to the second disk and comes back unchanged.
fn swap(session: &mut Session) -> Result<()> {
    session.command(
        "disk=$(ls /dev/vd? | grep -vx -e $(findmnt -no SOURCE /) -e $(findfs LABEL=tools)) && test -b $disk",
    )?;
    session.command("mkswap -q $disk && swapon $disk && grep -q ^$disk /proc/swaps")?;
    session.command("head -c 96M /dev/urandom > /var/tmp/random")?;
    // tail(1) keeps all that comes by a pipe.
    session.command(
        "a=$(sha256sum < /var/tmp/random) && b=$(systemd-run -q --scope -p MemoryMax=48M \
         sh -c 'cat /var/tmp/random | tail -c 96M | sha256sum') && test \"$a\" = \"$b\"",
    )?;
    let pages = session.command("sed -n 's/^pswpout //p' /proc/vmstat")?;
    let pages: u64 = pages.trim().parse().with_context(|| pages.clone())?;
    ensure!(pages > 4096, "only {pages} pages went to the swap device");
    session.command("swapoff $disk && rm /var/tmp/random")?;
    Ok(())
}

/// Mounts the disk of tools where [`TOOL`] looks.
fn mount_tools(session: &mut Session) -> Result<()> {
    session.command("mount -o ro LABEL=tools /opt")?;
    session.command("for i in dev proc sys var/tmp; do mount --bind /$i /opt/$i || break; done && mountpoint -q /opt/var/tmp")?;
    Ok(())
}

fn fio(session: &mut Session) -> Result<()> {
    mount_tools(session)?;
    for target in ["--filename=/var/tmp/fio", "--filename=$disk"] {
        session.command(&format!(
            "{TOOL}fio --name=verify {target} --size=64M --rw=randrw --bsrange=4k-64k --direct=1 \
             --ioengine=libaio --iodepth=16 --fsync=64 --verify=crc32c --verify_fatal=1 \
             --do_verify=1 --minimal > /tmp/fio 2>&1 || {{ cat /tmp/fio; false; }}"
        ))?;
    }
    Ok(())
}

fn stress(session: &mut Session) -> Result<()> {
    mount_tools(session)?;
    let text = session.command(&format!(
        "{TOOL}stress-ng --temp-path /var/tmp --cpu 1 --vm 1 --vm-bytes 64M --hdd 1 --hdd-bytes 64M --fork 1 --switch 1 \
         --timer 1 --mmap 1 --mmap-bytes 32M --verify --timeout 60 2>&1"
    ))?;
    ensure!(
        text.contains("successful run completed") || text.contains("failed: 0"),
        "{text}"
    );
    services(session)
}

/// Debian's installer asks for a language; it runs from its initrd and needs no disk.
fn installer() -> Result<()> {
    let (kernel, initrd) = fetch::installer()?;
    let mut guest = Guest::new(kernel);
    guest.initrd = Some(initrd);
    guest.vm.memory = 1 << 30;
    guest.vm.append = "console=ttyS0 TERM=linux".into();
    let bundle = guest.write_bundle()?;
    let machine = guest::machine(&artefacts::monitor()?, bundle.path())?;
    let mut run = machine.spawn()?;
    run.expect("Select a language", LIMIT)?;
    run.expect("English", LIMIT)?;
    Ok(())
}
