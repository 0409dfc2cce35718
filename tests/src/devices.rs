//! Virtio devices of VMs: Linux guests beside each other, with disks, network, consoles and entropy.

use crate::gpt;
use crate::linux::{LIMIT, POWER_OFF, WITH_MODULES, last};
use crate::runner;
use crate::vms::{beside_others, board, shell, vm};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use patchvisor::disk::{Content, Disk, images};
use patchvisor::guest::Guest;
use patchvisor::qemu::Outcome;
use patchvisor::{Console, Net};
use std::thread;
use std::time::Duration;
use tempfile::NamedTempFile;
use xtask::fetch::{self, Suite};
use xtask::image::add_modules;
use xtask::initramfs::Initramfs;

const MIB: usize = 1 << 20;

const MODULES: &[&str] = &[
    "drivers/virtio/virtio_mmio",
    "drivers/block/virtio_blk",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
    "drivers/char/hw_random/virtio-rng",
];

/// A statement, and what tells whether it is so.
type Statement = (&'static str, fn() -> Result<()>);

/// One trial for each statement.
pub fn trials() -> Vec<Trial> {
    let statements: [Statement; 5] = [
        (
            "the_switch_carries_what_is_sent_and_nothing_forged",
            network,
        ),
        (
            "partitions_of_one_disk_are_apart_through_a_reset_and_a_pause",
            disks,
        ),
        (
            "a_console_takes_input_and_ports_lead_where_they_should",
            consoles,
        ),
        ("code_that_a_disk_replaces_is_what_runs", code_by_disk),
        ("a_disk_serves_while_the_first_cpu_is_away", hotplug),
    ];
    let trial = |(name, test): Statement| {
        runner::trial(format!("devices::{name}"), move || beside_others(test))
    };
    statements.map(trial).into()
}

/// A Linux that runs a script, and the file of its initramfs.
pub(crate) fn linux(name: &str, script: &str) -> Result<(Guest, NamedTempFile)> {
    let kernel = fetch::kernel(Suite::Trixie)?;
    let init = format!("{WITH_MODULES}{script}\n{POWER_OFF}");
    let mut archive = Initramfs::with_busybox(&fetch::busybox()?, &init)?;
    add_modules(&mut archive, &kernel, MODULES)?;
    let file = NamedTempFile::with_prefix("patchvisor-initrd-")?;
    std::fs::write(file.path(), archive.finish())?;
    let mut guest = Guest::new(kernel.image);
    guest.initrd = Some(file.path().to_owned());
    guest.vm.name = name.into();
    guest.vm.memory = 256 << 20;
    guest.vm.append = "console=ttyS0 panic=1 loglevel=4".into();
    Ok((guest, file))
}

/// Passes if a VM said all of these lines, in this order.
pub(crate) fn must_say(outcome: &Outcome, vm: &str, expected: &[&str]) -> Result<()> {
    let mut lines = outcome.lines_of(vm).iter().map(|line| line.text.as_str());
    for text in expected {
        let is_said = lines.any(|line| line.contains(text));
        ensure!(
            is_said,
            "{vm} did not say {text:?} where it should; {}",
            last(outcome)
        );
    }
    Ok(())
}

/// What stands behind `word` in each line of a VM's that begins with it.
pub(crate) fn told<'a>(outcome: &'a Outcome, vm: &str, word: &str) -> Vec<&'a str> {
    let lines = outcome.lines_of(vm).iter();
    lines
        .filter_map(|line| line.text.strip_prefix(word))
        .map(str::trim)
        .collect()
}

/// Sends the same file in both lives of the other.
const SENDER: &str = "
ip link set eth0 up; ip address add 10.0.0.1/24 dev eth0
for word in again end; do
    head -c 8388608 /dev/urandom > /data
    until nc 10.0.0.2 5000 < /data; do sleep 1; done
    echo sent $(sha256sum < /data)
    until echo $word | nc 10.0.0.2 5001; do sleep 1; done
done";

/// Receives it, tries to be the sender, and resets or ends, as it is told.
const RECEIVER: &str = "
ip link set eth0 up; ip address add 10.0.0.2/24 dev eth0
until ping -c 1 -W 1 10.0.0.1 > /dev/null; do sleep 1; done
echo pinged
nc -l -p 5000 > /data
echo got $(sha256sum < /data)
for address in 52:54:00:00:00:01 52:54:00:77:77:77; do
    ip link set eth0 down; ip link set eth0 address $address; ip link set eth0 up
    ping -c 2 -W 1 10.0.0.1 > /dev/null && echo forged a frame || echo nothing forged
done
ip link set eth0 down; ip link set eth0 address 52:54:00:00:00:02; ip link set eth0 up
until ping -c 1 -W 1 10.0.0.1 > /dev/null; do sleep 1; done
echo pinged as itself
word=$(nc -l -p 5001)
echo word $word
sleep 1
test $word = again && reboot -f";

fn network() -> Result<()> {
    let mut guests = Vec::new();
    let mut files = Vec::new();
    for (name, script, address) in [("sender", SENDER, 1), ("receiver", RECEIVER, 2)] {
        let (mut guest, file) = linux(name, script)?;
        let mac = format!("52:54:00:00:00:0{address}").parse();
        let mac = Some(mac.map_err(|error| anyhow::anyhow!("{error}"))?);
        guest.vm.nets = vec![Net { mac, uplink: false }];
        guests.push(guest);
        files.push(file);
    }
    let (machine, _bundle) = board(&guests, Console::Prefixed, 2)?;
    let outcome = machine.spawn()?.wait(LIMIT)?;
    let life = [
        "pinged",
        "got",
        "nothing forged",
        "nothing forged",
        "pinged as itself",
    ];
    let lives = [&life[..], &["word again"], &life[..], &["word end"]].concat();
    must_say(&outcome, "receiver", &lives)?;
    ensure!(
        told(&outcome, "receiver", "forged").is_empty(),
        "a forged frame was answered; {}",
        last(&outcome)
    );
    let (sent, got) = (
        told(&outcome, "sender", "sent"),
        told(&outcome, "receiver", "got"),
    );
    ensure!(
        sent.len() == 2 && sent == got,
        "sent {sent:?}, received {got:?}"
    );
    ensure!(outcome.success(), "no success; {}", last(&outcome));
    Ok(())
}

/// The first life writes and resets in the midst of it; the second finds what was stored.
const RESETTING: &str = "
disk=/dev/vda
echo size $(cat /sys/block/vda/size)
if [ \"$(head -c 5 $disk)\" = alpha ]; then
    yes stored by alpha | head -c 4194304 > /stored
    dd if=$disk bs=1M skip=1 count=4 2> /dev/null | cmp - /stored && echo stored before the reset
    true
else
    echo alpha | dd of=$disk conv=fsync 2> /dev/null
    yes stored by alpha | head -c 4194304 | dd of=$disk bs=1M seek=1 conv=fsync iflag=fullblock 2> /dev/null
    yes alpha overwrites | dd of=$disk bs=1M seek=8 2> /dev/null &
    yes alpha overwrites | dd of=$disk bs=1M seek=8 oflag=direct iflag=fullblock 2> /dev/null &
    echo resets
    sleep 1
    reboot -f
fi";

/// Writes and reads all the time, and remembers.
const STEADY: &str = "
disk=/dev/vda
echo size $(cat /sys/block/vda/size)
echo beta | dd of=$disk conv=fsync 2> /dev/null
round=0
while [ $round -lt 6 ]; do
    head -c 8388608 /dev/urandom > /data
    dd if=/data of=$disk bs=1M seek=1 conv=fsync 2> /dev/null
    echo 3 > /proc/sys/vm/drop_caches
    dd if=$disk bs=1M skip=1 count=8 2> /dev/null | cmp - /data && echo the same in round $round
    round=$((round + 1))
    sleep 1
done
grep -q alpha $disk && echo found data of the other";

/// What lies on the disk outside of the partitions.
const OUTSIDE: u8 = 0xee;

fn disks() -> Result<()> {
    // In MiB: the gap between them is one.
    let partitions = [1..25_usize, 26..50];
    let mut bytes = vec![OUTSIDE; 52 * MIB];
    for partition in &partitions {
        bytes[partition.start * MIB..partition.end * MIB].fill(0);
    }
    gpt::write(
        &mut bytes,
        &partitions
            .clone()
            .map(|part| part.start * MIB..part.end * MIB),
    )?;
    let image = NamedTempFile::with_prefix("patchvisor-disk-")?;
    std::fs::write(image.path(), &bytes)?;
    let mut guests = Vec::new();
    let mut files = Vec::new();
    for (number, name, script) in [(1, "alpha", RESETTING), (2, "beta", STEADY)] {
        let (mut guest, file) = linux(name, script)?;
        guest.disks.push(Disk::new(Content::Image {
            path: image.path().to_owned(),
            partition: Some(number),
        }));
        guests.push(guest);
        files.push(file);
    }
    let (machine, _bundle) = board(&guests, Console::Prefixed, 2)?;
    let mut run = machine.disks(images(&guests)?).spawn()?;
    // Its requests are in flight when it is paused.
    run.expect_from("beta", "the same in round 0", LIMIT)?;
    shell(&mut run)?;
    run.send("pause beta\r")?;
    run.expect("beta is paused", LIMIT)?;
    thread::sleep(Duration::from_secs(2));
    run.send("resume beta\r")?;
    let outcome = run.wait(LIMIT)?;
    let size = format!("size {}", 24 * MIB / 512);
    let expected = [&size, "resets", &size, "stored before the reset"];
    must_say(&outcome, "alpha", &expected)?;
    let rounds: Vec<_> = (0..6)
        .map(|round| format!("the same in round {round}"))
        .collect();
    let rounds: Vec<_> = rounds.iter().map(String::as_str).collect();
    must_say(&outcome, "beta", &[&[size.as_str()], &rounds[..]].concat())?;
    ensure!(
        told(&outcome, "beta", "found").is_empty(),
        "beta sees alpha's data"
    );
    ensure!(outcome.success(), "no success; {}", last(&outcome));
    let after = std::fs::read(image.path())?;
    for (partition, name) in partitions.iter().zip(["alpha", "beta"]) {
        let start = partition.start * MIB;
        ensure!(
            after[start..].starts_with(name.as_bytes()),
            "partition of {name} does not begin with its name"
        );
    }
    for (place, (before, after)) in bytes.iter().zip(&after).enumerate() {
        let is_inside = partitions.iter().any(|part| part.contains(&(place / MIB)));
        ensure!(
            is_inside || before == after,
            "byte {place} outside of the partitions was changed"
        );
    }
    Ok(())
}

/// Types, talks by a port, and tells the log. The ports' names are under /sys.
const TALKER: &str = "
port() { for dir in /sys/class/virtio-ports/*; do grep -qsx $1 $dir/name && echo /dev/${dir##*/}; done; }
exec 0<> /dev/hvc0 1>&0 2>&0
echo console $(cat /sys/class/tty/console/active)
echo type
read word
echo typed $word
exec 3<> $(port link)
head -c 32768 /dev/urandom > /data
cat /data >&3
echo sent $(sha256sum < /data)
head -c 5 <&3
seq 1 2000 > /numbers
cat /numbers
echo sum $(sha256sum < /numbers)
echo a line for the log > $(port notes)
for n in 1 2; do head -c 32 /dev/hwrng | od -An -tx1 | tr -d '\\n' > /random$n; done
cmp -s /random1 /random2 || echo random $(wc -c < /random1) $(cat /sys/class/misc/hw_random/rng_current)";

const ANSWERER: &str = "
port() { for dir in /sys/class/virtio-ports/*; do grep -qsx $1 $dir/name && echo /dev/${dir##*/}; done; }
exec 3<> $(port link)
head -c 32768 <&3 > /data
echo got $(sha256sum < /data)
echo back >&3
sleep 3";

fn consoles() -> Result<()> {
    let (mut talker, _talker) = linux("talker", TALKER)?;
    talker.vm.append = "console=hvc0 panic=1 loglevel=4".into();
    talker.vm.ports = vec!["link".into(), "notes".into()];
    talker.vm.entropy = true;
    let (mut answerer, _answerer) = linux("answerer", ANSWERER)?;
    answerer.vm.ports = vec!["link".into()];
    let mut guests = [talker, answerer];
    for guest in &mut guests {
        guest.vm.virtio_console = true;
    }
    let (machine, _bundle) = board(&guests, Console::Prefixed, 2)?;
    let mut run = machine.entropy(true).spawn()?;
    run.expect_from("talker", "type", LIMIT)?;
    run.send("sesame\n")?;
    let outcome = run.wait(LIMIT)?;
    must_say(
        &outcome,
        "talker",
        &[
            "console hvc0",
            "typed sesame",
            "sent",
            "back",
            "sum",
            "random 96 virtio",
        ],
    )?;
    let (sent, got) = (
        told(&outcome, "talker", "sent"),
        told(&outcome, "answerer", "got"),
    );
    ensure!(
        sent.len() == 1 && sent == got,
        "sent {sent:?}, received {got:?}"
    );
    let lines = outcome.lines_of("talker").iter();
    let numbers = lines.filter_map(|line| line.text.trim().parse().ok());
    let numbers: Vec<u32> = numbers.collect();
    ensure!(
        numbers.iter().copied().eq(1..=2000),
        "of 2000 numbers {} arrived",
        numbers.len()
    );
    let log = "talker: port notes: a line for the log";
    let is_logged = outcome.lines.iter().any(|line| line.text.contains(log));
    ensure!(is_logged, "no {log:?}; {}", last(&outcome));
    ensure!(outcome.success(), "no success; {}", last(&outcome));
    Ok(())
}

/// A disk in the bundle, which the monitor reads, and one of the host, which reads by itself.
fn code_by_disk() -> Result<()> {
    let image = NamedTempFile::with_prefix("patchvisor-disk-")?;
    image.as_file().set_len(MIB as u64)?;
    let path = image.path().to_owned();
    let packed = Content::Packed {
        path: path.clone(),
        changes: MIB as u64,
    };
    let partition = None;
    for content in [packed, Content::Image { path, partition }] {
        let mut guest = vm("disk", "dma_code", "")?;
        guest.disks.push(Disk::new(content));
        let guests = [guest];
        let (machine, _bundle) = board(&guests, Console::Prefixed, 1)?;
        let outcome = machine.disks(images(&guests)?).spawn()?.wait(LIMIT)?;
        must_say(&outcome, "disk", &["dma_code: ok, 40 rounds"])?;
        ensure!(outcome.success(), "no success; {}", last(&outcome));
    }
    Ok(())
}

/// What ends reaches a vCPU that runs, although the first one does not.
const AWAY: &str = "
cpu=/sys/devices/system/cpu/cpu0/online
dd if=/dev/vda of=/before bs=1M count=8 iflag=direct 2> /dev/null
[ -e $cpu ] && echo 0 > $cpu && echo away $(cat $cpu)
for n in 1 2 3 4; do
    dd if=/dev/vda bs=64k count=128 iflag=direct 2> /dev/null | cmp - /before && echo read $n
done
echo 1 > $cpu; echo back $(cat $cpu)";

fn hotplug() -> Result<()> {
    let image = NamedTempFile::with_prefix("patchvisor-disk-")?;
    let bytes: Vec<u8> = (0..8 * MIB as u32 / 4).flat_map(u32::to_le_bytes).collect();
    std::fs::write(image.path(), bytes)?;
    let (mut guest, _file) = linux("single", AWAY)?;
    guest.vm.vcpus = 2;
    guest.disks.push(Disk::new(Content::Image {
        path: image.path().to_owned(),
        partition: None,
    }));
    let guests = [guest];
    let (machine, _bundle) = board(&guests, Console::Prefixed, 2)?;
    let outcome = machine.disks(images(&guests)?).spawn()?.wait(LIMIT)?;
    must_say(
        &outcome,
        "single",
        &["away 0", "read 1", "read 2", "read 3", "read 4", "back 1"],
    )?;
    ensure!(outcome.success(), "no success; {}", last(&outcome));
    Ok(())
}
