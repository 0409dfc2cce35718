//! Isolation of the uplink: three Linux guests, and a station of this test on the physical network.

use crate::devices::{linux, must_say, told};
use crate::linux::{LIMIT, last};
use crate::runner;
use crate::vms::{beside_others, board};
use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::Trial;
use patchvisor::{Console, Mac, Net};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![runner::trial(
        "uplink::what_crosses_it_is_from_and_for_vms_that_have_it",
        || beside_others(isolation),
    )]
}

/// The VMs' addresses. The first two have the uplink.
const MACS: [Mac; 3] = [mac(1), mac(2), mac(3)];
/// The station's address; nobody answers for its IP address, 10.0.0.9.
const STATION: Mac = Mac([2, 0, 0, 0, 0, 9]);
const BROADCAST: Mac = Mac([0xff; 6]);
/// Frames that the station sends to each destination, and their bytes.
const FRAMES: usize = 100;
const FRAME: usize = 1000;
/// Time between two of them, so that no queue runs full.
const PACE: Duration = Duration::from_millis(10);

const fn mac(last: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0, 0, last])
}

/// What all scripts begin with.
const NETWORK: &str = "
up() { ip link set eth0 up promisc on; ip address add 10.0.0.$1/24 dev eth0; }
meet() { until ping -c 1 -W 1 10.0.0.$1 > /dev/null; do sleep 1; done; }
call_station() { arp -s 10.0.0.9 02:00:00:00:00:09; ping -c 2 -W 1 10.0.0.9 > /dev/null; }
call_as() { ip link set eth0 down; ip link set eth0 address $1; ip link set eth0 up; call_station; }
bytes() { cat /sys/class/net/eth0/statistics/rx_bytes; }
";

/// Calls the station, also as others; hears it, and then tells the others.
const OPEN: &str = "
up 1; meet 2; meet 3; echo the others answer
for address in 52:54:00:00:00:02 52:54:00:00:00:77 52:54:00:00:00:01; do call_as $address; done
before=$(bytes); echo listens
until [ $(($(bytes) - before)) -gt 150000 ]; do sleep 1; done
for other in 2 3; do until echo go | nc 10.0.0.$other 5001; do sleep 1; done; done
echo heard $(($(bytes) - before))";

/// Has the uplink too, and never calls the station.
const QUIET: &str = "
up 2; meet 1; meet 3
before=$(bytes); echo listens
nc -l -p 5001 > /dev/null
echo heard $(($(bytes) - before))";

/// Has no uplink: calls the station, all, and again as one who has it.
const CLOSED: &str = "
up 3; meet 1; meet 2
call_station
ping -c 1 -W 1 10.0.0.8 > /dev/null
call_as 52:54:00:00:00:02; call_as 52:54:00:00:00:03
before=$(bytes); echo listens
nc -l -p 5001 > /dev/null
echo heard $(($(bytes) - before))";

fn isolation() -> Result<()> {
    const NAMES: [&str; 3] = ["open", "quiet", "closed"];
    let directory = tempfile::tempdir()?;
    let station = Station::new(directory.path())?;
    let mut guests = Vec::new();
    let mut files = Vec::new();
    for (place, script) in [OPEN, QUIET, CLOSED].into_iter().enumerate() {
        let (mut guest, file) = linux(NAMES[place], &format!("{NETWORK}{script}"))?;
        // The kernel says nothing to groups by itself.
        guest.vm.append += " ipv6.disable=1";
        guest.vm.nets = vec![Net {
            mac: Some(MACS[place]),
            uplink: place < 2,
        }];
        guests.push(guest);
        files.push(file);
    }
    let (machine, _bundle) = board(&guests, Console::Prefixed, 2)?;
    let mut run = machine.uplink(station.backend()).spawn()?;
    for name in NAMES {
        run.expect_from(name, "listens", LIMIT)?;
    }
    // The open one hears the last of them, and only then the others are asked.
    for destination in [MACS[2], BROADCAST, MACS[0]] {
        station.send(destination)?;
    }
    let outcome = run.wait(LIMIT)?;
    let frames = station.finish()?;

    must_say(&outcome, "open", &["the others answer", "listens", "heard"])?;
    // What guests say to each other meanwhile is far less than half of what the station sends.
    let sent = FRAMES * FRAME;
    for (name, times) in NAMES.into_iter().zip([2, 1, 0]) {
        let heard = told(&outcome, name, "heard");
        let bytes: usize = heard.first().context("nothing was heard")?.parse()?;
        let is_right = bytes.abs_diff(times * sent) < sent / 2;
        ensure!(is_right, "{name} heard {bytes} bytes of {times} * {sent}");
    }
    ensure!(outcome.success(), "no success; {}", last(&outcome));
    for (destination, source) in &frames {
        ensure!(
            MACS[..2].contains(source) && !MACS.contains(destination),
            "a frame from {source} to {destination} left by the uplink"
        );
        ensure!(
            *destination != STATION || *source == MACS[0],
            "a frame that {source} did not send reached the station"
        );
    }
    ensure!(
        frames.contains(&(STATION, MACS[0])),
        "the one that has the uplink did not reach the station"
    );
    Ok(())
}

/// The far end of the uplink.
struct Station {
    socket: UnixDatagram,
    path: PathBuf,
    uplink: PathBuf,
    /// Destination and source of each frame that comes.
    frames: JoinHandle<std::io::Result<Vec<(Mac, Mac)>>>,
}

impl Station {
    fn new(directory: &Path) -> Result<Self> {
        let path = directory.join("station");
        let socket = UnixDatagram::bind(&path)?;
        socket.set_write_timeout(Some(LIMIT))?;
        let receiver = socket.try_clone()?;
        let frames = thread::spawn(move || {
            let mut frames = Vec::new();
            let mut frame = [0; 2048];
            while receiver.recv(&mut frame)? != 0 {
                let (destination, rest) = frame.split_first_chunk().expect("it is longer");
                let source = rest.first_chunk().expect("it is longer");
                frames.push((Mac(*destination), Mac(*source)));
            }
            Ok(frames)
        });
        let uplink = directory.join("uplink");
        Ok(Self {
            socket,
            path,
            uplink,
            frames,
        })
    }

    /// What QEMU's `-netdev` takes: one datagram is one frame.
    fn backend(&self) -> String {
        format!(
            "dgram,local.type=unix,local.path={},remote.type=unix,remote.path={}",
            self.uplink.display(),
            self.path.display()
        )
    }

    /// Sends frames that are no protocol's (IEEE 802, local experimental EtherType 1).
    fn send(&self, destination: Mac) -> Result<()> {
        let mut frame = [&destination.0[..], &STATION.0, &[0x88, 0xb5]].concat();
        frame.resize(FRAME, 0);
        for _ in 0..FRAMES {
            self.socket.send_to(&frame, &self.uplink)?;
            thread::sleep(PACE);
        }
        Ok(())
    }

    /// All frames that came. An empty datagram is the end: QEMU sends none.
    fn finish(self) -> Result<Vec<(Mac, Mac)>> {
        self.socket.send_to(&[], &self.path)?;
        let frames = self.frames.join();
        Ok(frames.map_err(|_| anyhow!("the station's receiver has failed"))??)
    }
}
