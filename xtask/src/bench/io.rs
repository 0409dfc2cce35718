//! Input and output of a Linux guest, with virtio devices of the same kinds natively and under the
//! monitor: requests to a disk whose image the machine that measures has cached, and a network between
//! two guests.
//!
//! The load is `guests/linux/io.c`. Debian's `fio` is linked to the client libraries of Ceph, Gluster
//! and NFS, and would make the initramfs a multiple of what it is.

use super::echo::Server;
use super::linux;
use super::report::{Column, Exits, Io, Report, rounded};
use super::run::{Clock, LIMIT, Measured, Way, ended, figures};
use super::{Options, announce};
use crate::fetch::{self, Suite};
use crate::image::{DISK_MODULES, WITH_MODULES, add_modules};
use crate::initramfs::Initramfs;
use crate::system::{Host, System};
use anyhow::{Context, Result, ensure};
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::{Line, Machine, Outcome};
use patchvisor::stats::Stats;
use patchvisor::{Console, Net};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The ways to run these; trap-and-emulate shows how much of the difference is privileged instructions.
const WAYS: [Way; 3] = [Way::Native, Way::Trap, Way::Break];
/// Bytes of the disk, small enough for any cache.
const DISK: usize = 64 << 20;
/// Milliseconds of a measurement, and of one when it is to be quick.
const SPAN: u32 = 200;
const QUICK_SPAN: u32 = 50;
/// How often it is measured; the shortest time counts.
const ROUNDS: usize = 2;
const MEMORY: u64 = 256 << 20;
/// What the program prints at its end.
const END: &str = "io measurements end";
/// How names of rows begin that this module measures.
const DISK_ROWS: &str = "io-disk-";
const NET_ROWS: &str = "io-net-";
/// The port that the guest which answers listens at.
const PORT: u16 = 7007;
const NET_MODULES: &[&str] = &[
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
];

/// What is done when modules are loaded.
const SCRIPT: &str = "echo 2 > /proc/sys/kernel/perf_user_access
[ $1 = - ] || ifconfig eth0 $1 up
shift
io $@
poweroff -f
";

/// Measures what is chosen.
///
/// # Errors
/// When a guest does not come to its end.
pub fn measure(options: &Options, monitor: &Path, report: &mut Report) -> Result<()> {
    let disk = chosen(options, &disk_names());
    let [guests, host] = ["guest", "host"].map(|far| chosen(options, &net_names(far)));
    if disk.is_empty() && guests.is_empty() && host.is_empty() {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let initrd = directory.path().join("initrd.img");
    std::fs::write(&initrd, initramfs()?).context("writing the initramfs")?;
    let mut guest = Guest::new(fetch::kernel(Suite::Trixie)?.image);
    guest.initrd = Some(initrd);
    guest.vm.memory = MEMORY;
    let bench = Bench {
        options,
        monitor,
        guest,
        directory: directory.path().to_owned(),
    };
    if !disk.is_empty() {
        bench.rows(
            &disk,
            report,
            |way, clock| bench.disk(way, clock),
            &[Clock::Time, Clock::Instructions],
        )?;
    }
    let once = &[Clock::Time];
    if !guests.is_empty() {
        bench.rows(&guests, report, |way, _| bench.two_guests(way), once)?;
    }
    if !host.is_empty() {
        bench.rows(&host, report, |way, _| bench.host(way), once)?;
    }
    Ok(())
}

/// The names of the rows of a disk, in the order in which the program measures them.
fn disk_names() -> Vec<String> {
    let mut names = Vec::new();
    for operation in ["read", "write"] {
        for order in ["sequential", "random"] {
            for size in ["4k", "128k"] {
                for depth in ["1", "32"] {
                    names.push(format!("{DISK_ROWS}{operation}-{order}-{size}-{depth}"));
                }
            }
        }
    }
    names
}

/// Those of the network to `far`.
fn net_names(far: &str) -> Vec<String> {
    ["round-trip", "stream-64k"]
        .map(|what| format!("{NET_ROWS}{far}-{what}"))
        .to_vec()
}

fn chosen(options: &Options, names: &[String]) -> Vec<String> {
    names
        .iter()
        .filter(|name| options.chooses(name))
        .cloned()
        .collect()
}

/// Bytes that an iteration of a row moves; `None` for a round trip.
fn bytes(name: &str) -> Option<u64> {
    let size = name
        .split('-')
        .find_map(|word| word.strip_suffix('k')?.parse::<u64>().ok());
    size.map(|size| size << 10)
}

fn initramfs() -> Result<Vec<u8>> {
    let script = [WITH_MODULES, SCRIPT].concat();
    let mut archive = Initramfs::with_busybox(&fetch::busybox()?, &script)?;
    let program = linux::program("io")?;
    archive.file("bin/io", 0o755, &std::fs::read(program)?);
    add_modules(
        &mut archive,
        &fetch::kernel(Suite::Trixie)?,
        &[DISK_MODULES, NET_MODULES].concat(),
    )?;
    Ok(archive.finish())
}

/// What one run gave: times by name, and the guest's statistics if there was a monitor.
struct Given {
    times: Measured,
    stats: Option<Stats>,
}

struct Bench<'a> {
    options: &'a Options,
    monitor: &'a Path,
    guest: Guest,
    directory: PathBuf,
}

impl Bench<'_> {
    /// Runs the ways in turn, as often as it takes, and adds the rows.
    fn rows(
        &self,
        names: &[String],
        report: &mut Report,
        run: impl Fn(Way, Clock) -> Result<Given>,
        clocks: &[Clock],
    ) -> Result<()> {
        let mut columns = WAYS.map(Column::of);
        let mut counts = WAYS.map(|_| Counts::default());
        let rounds = if self.options.quick { 1 } else { ROUNDS };
        let runs = clocks.iter().flat_map(|clock| match clock {
            Clock::Time => std::iter::repeat_n(*clock, rounds),
            Clock::Instructions => std::iter::repeat_n(*clock, 1),
        });
        for clock in runs {
            for (column, counts) in columns.iter_mut().zip(&mut counts) {
                if clock == Clock::Instructions && column.way == Way::Trap {
                    // It takes long, and `trap` is known from the privileged instructions.
                    continue;
                }
                let (way, began) = (column.way, Instant::now());
                let what = || format!("input and output in mode {}", way.name());
                let given = run(way, clock).with_context(what)?;
                announce("input and output", way, clock, began.elapsed());
                for name in names {
                    ensure!(given.times.contains_key(name), "{}: no {name}", what());
                }
                match clock {
                    Clock::Time => column.add_times(given.times),
                    Clock::Instructions => column.instructions = given.times,
                }
                counts.add(given.stats.as_ref());
            }
        }
        let first = report.rows.len();
        report.add(names, &columns);
        for row in &mut report.rows[first..] {
            let Some(ns) = row.ns.filter(|ns| *ns > 0.0) else {
                continue;
            };
            let iops = 1e9 / ns;
            let mode = WAYS.iter().position(|way| way.name() == row.mode);
            row.io = Some(Io {
                mib_s: bytes(&row.name)
                    .map(|bytes| rounded(iops * bytes as f64 / f64::from(1 << 20))),
                iops: rounded(iops),
                exits: mode.and_then(|mode| counts[mode].exits()),
            });
        }
        Ok(())
    }

    fn span(&self) -> u32 {
        if self.options.quick { QUICK_SPAN } else { SPAN }
    }

    fn disk(&self, way: Way, clock: Clock) -> Result<Given> {
        let span = match clock {
            Clock::Time => self.span(),
            Clock::Instructions => 0,
        };
        let filter = self.options.filter.as_deref().unwrap_or_default();
        let mut guest = self.guest.clone();
        guest.vm.mode = way.mode().unwrap_or_default();
        guest.vm.append = format!("console=ttyS0 quiet -- - disk {span} {filter}");
        let system = System::new(guest)?.empty_disk(DISK as u64)?;
        // Holes would be read without a look at the cache.
        std::fs::write(system.disk(0), vec![0x5a; DISK])?;
        let host = if way.mode().is_some() {
            Host::Patchvisor
        } else {
            Host::Native
        };
        let machine = system.machine(host, || Ok(self.monitor.to_owned()))?;
        let mut machine = machine.no_reboot().args(["-nic", "none"]);
        if clock == Clock::Instructions {
            // What waits for a disk must wait in real time.
            machine = machine.args(["-icount", "shift=0,sleep=on"]);
        }
        given(&ended(machine.spawn()?.wait(LIMIT)?)?, None, way)
    }

    /// A guest asks the machine that measures, by way of QEMU's user network.
    fn host(&self, way: Way) -> Result<Given> {
        let server = Server::start()?;
        let mut guest = self.guest.clone();
        guest.vm.mode = way.mode().unwrap_or_default();
        guest.vm.append = format!(
            "console=ttyS0 quiet -- 10.0.2.15 ask host 10.0.2.2 {} {}",
            server.port,
            self.span()
        );
        guest.vm.nets = vec![Net {
            mac: None,
            uplink: true,
        }];
        let machine = System::new(guest)?;
        let host = if way.mode().is_some() {
            Host::Patchvisor
        } else {
            Host::Native
        };
        let machine = machine
            .machine(host, || Ok(self.monitor.to_owned()))?
            .no_reboot();
        given(&ended(machine.spawn()?.wait(LIMIT)?)?, None, way)
    }

    /// Two guests, of which one asks and one answers.
    fn two_guests(&self, way: Way) -> Result<Given> {
        let mut guests = [self.guest.clone(), self.guest.clone()];
        let words = [
            format!("10.0.9.1 ask guest 10.0.9.2 {PORT} {}", self.span()),
            format!("10.0.9.2 serve {PORT}"),
        ];
        for ((guest, words), name) in guests.iter_mut().zip(&words).zip(["ask", "serve"]) {
            guest.vm.name = name.into();
            guest.vm.append = format!("console=ttyS0 quiet -- {words}");
            guest.vm.mode = way.mode().unwrap_or_default();
            guest.vm.nets = vec![Net {
                mac: None,
                uplink: false,
            }];
        }
        if way.mode().is_none() {
            return self.two_machines(&guests);
        }
        let bundle = self.directory.join("bundle");
        std::fs::write(&bundle, guest::pack(&guests, Console::Prefixed)?)
            .context("writing the bundle")?;
        let machine = guest::machine(self.monitor, &bundle)?.harts(2);
        let outcome = machine
            .no_reboot()
            .args(["-nic", "none"])
            .spawn()?
            .wait(LIMIT)?;
        given(&ended(outcome)?, Some("ask"), way)
    }

    /// The same natively: two machines with a socket between them.
    fn two_machines(&self, guests: &[Guest; 2]) -> Result<Given> {
        let socket = self.directory.join("wire");
        let path = socket.display();
        let machine = |guest: &Guest, end: &str, number: u32| -> Machine {
            let device = format!("virtio-net-device,netdev=wire,mac=52:54:00:00:09:0{number}");
            guest.native().no_reboot().args([
                "-netdev",
                &format!("stream,id=wire,addr.type=unix,addr.path={path},{end}"),
                "-device",
                &device,
                "-global",
                "virtio-mmio.force-legacy=false",
            ])
        };
        let answers = machine(&guests[1], "server=on", 2).spawn()?;
        let began = Instant::now();
        while !socket.exists() && began.elapsed() < LIMIT {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let asks = machine(&guests[0], "server=off", 1).spawn()?;
        let outcome = ended(asks.wait(LIMIT)?)?;
        ended(answers.wait(LIMIT)?)?;
        std::fs::remove_file(&socket).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        given(&outcome, None, Way::Native)
    }
}

/// Reads what a guest printed, one of several if `vm` names it.
fn given(outcome: &Outcome, vm: Option<&str>, way: Way) -> Result<Given> {
    let lines = vm.map_or(&outcome.lines[..], |vm| outcome.lines_of(vm));
    let text = |line: &Line| line.text.trim_end().to_owned();
    ensure!(
        lines.iter().any(|line| text(line) == END),
        "the measurements did not end:\n{}",
        outcome.text()
    );
    let stats = match way.mode() {
        Some(_) => Some(match vm {
            Some(vm) => outcome.stats_of(vm)?,
            None => outcome.stats()?,
        }),
        None => None,
    };
    let times = lines.iter().filter_map(|line| figures(&text(line), "ns"));
    Ok(Given {
        times: times.collect(),
        stats,
    })
}

/// Sums of several runs' statistics.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests: u64,
    accesses: u64,
    patched: u64,
}

impl Counts {
    fn add(&mut self, stats: Option<&Stats>) {
        let of = |name: &str| stats?.extra.get(name)?.as_u64();
        self.requests += of("disk_requests").unwrap_or(0);
        self.accesses += of("device_accesses").unwrap_or(0);
        self.patched += of("device_accesses_patched").unwrap_or(0);
    }

    /// What there was for each request; `None` where there were none.
    fn exits(self) -> Option<Exits> {
        let per = |count: u64, whole: u64| {
            (whole > 0).then(|| (count as f64 / whole as f64 * 1e4).round() / 1e4)
        };
        Some(Exits {
            exits_per_request: per(self.accesses.saturating_sub(self.patched), self.requests)?,
            accesses_per_request: per(self.accesses, self.requests)?,
            device_accesses_patched: per(self.patched, self.accesses)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rows_name_tells_what_it_moves() {
        assert_eq!(bytes("io-disk-read-random-128k-32"), Some(128 << 10));
        assert_eq!(bytes("io-net-guest-stream-64k"), Some(64 << 10));
        assert_eq!(bytes("io-net-guest-round-trip"), None);
        assert_eq!(disk_names().len(), 16);
        assert!(disk_names().iter().all(|name| bytes(name).is_some()));
    }

    #[test]
    fn what_patches_served_is_no_exit_of_a_request() {
        let mut counts = Counts::default();
        assert_eq!(counts.exits(), None);
        let line = r#"{"disk_requests":100,"device_accesses":400,"device_accesses_patched":390}"#;
        counts.add(Some(&Stats::parse(line).unwrap()));
        let expected = Exits {
            exits_per_request: 0.1,
            accesses_per_request: 4.0,
            device_accesses_patched: 0.975,
        };
        assert_eq!(counts.exits(), Some(expected));
    }
}
