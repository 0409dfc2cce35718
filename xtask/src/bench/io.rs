//! Input and output of a Linux guest, with virtio devices of the same kinds natively and under the
//! monitor: requests that `fio` makes to a disk whose image the machine that measures has cached, and a
//! network between two guests, where the load is `guests/linux/io.c`.

use super::echo::Server;
use super::linux;
use super::report::{Column, Exits, Io, Report, rounded};
use super::run::{Clock, LIMIT, Measured, Way, ended, figures};
use super::{Options, announce};
use crate::fetch::{self, Suite};
use crate::image::{DISK_MODULES, EXT4_MODULES, WITH_MODULES, add_modules};
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
const SPAN: u32 = 1000;
const QUICK_SPAN: u32 = 300;
/// Requests of a measurement where instructions are counted.
const COUNTED: u64 = 2048;
/// How often it is measured; the shortest time counts.
const ROUNDS: usize = 2;
/// With less than 512 MiB the kernel uses no huge pages of its own accord (mm/huge_memory.c).
const MEMORY: u64 = 1 << 30;
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

/// What a network's guest does when modules are loaded.
const NET_SCRIPT: &str = "ifconfig eth0 $1 up
shift
io $@
poweroff -f
";
/// What a disk's guest does: of its two disks one can be mounted and has fio.
const DISK_SCRIPT: &str = "export DISK=vdb
mount -o ro /dev/vda /mnt 2> /dev/null || { DISK=vda; mount -o ro /dev/vdb /mnt; }
for i in dev proc sys; do mount --bind /$i /mnt/$i; done
mount -t tmpfs tmpfs /mnt/tmp
cp /jobs-* /mnt/tmp
cd /mnt/tmp
chroot /mnt fio --minimal /tmp/jobs-$1 && echo io measurements end
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
    let mut guest = Guest::new(fetch::kernel(Suite::Trixie)?.image);
    guest.initrd = Some(initrd.clone());
    guest.vm.memory = MEMORY;
    guest.vm.statistics = true;
    let bench = Bench {
        options,
        monitor,
        guest,
        directory: directory.path().to_owned(),
    };
    if !disk.is_empty() {
        std::fs::write(&initrd, bench.disk_initramfs(&disk)?).context("writing the initramfs")?;
        bench.rows(
            &disk,
            report,
            |way, clock| bench.disk(way, clock),
            &[Clock::Time, Clock::Instructions],
        )?;
    }
    if guests.is_empty() && host.is_empty() {
        return Ok(());
    }
    std::fs::write(&initrd, net_initramfs()?).context("writing the initramfs")?;
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

/// An initramfs that runs `script` when [`DISK_MODULES`] and then these are loaded.
fn initramfs(script: &str, modules: &[&str]) -> Result<Initramfs> {
    let script = [WITH_MODULES, script].concat();
    let mut archive = Initramfs::with_busybox(&fetch::busybox()?, &script)?;
    let modules = [DISK_MODULES, modules].concat();
    add_modules(&mut archive, &fetch::kernel(Suite::Trixie)?, &modules)?;
    Ok(archive)
}

fn net_initramfs() -> Result<Vec<u8>> {
    let mut archive = initramfs(NET_SCRIPT, NET_MODULES)?;
    let program = linux::program("io")?;
    archive.file("bin/io", 0o755, &std::fs::read(program)?);
    Ok(archive.finish())
}

/// What a row asks of fio.
fn job(name: &str) -> String {
    let parts: Vec<_> = name.split('-').collect();
    let [_, _, operation, order, size, depth] = parts[..] else {
        unreachable!("{name} is no row of a disk");
    };
    let order = if order == "random" { "rand" } else { "" };
    format!("[{name}]\nstonewall\nrw={order}{operation}\nbs={size}\niodepth={depth}\n")
}

/// Reads a line of `fio --minimal` as the job's name and the nanoseconds of a request. The fields
/// are those of fio(1), "terse output", version 3: kibibytes and milliseconds, of reads and of writes.
fn fio_figures(line: &str) -> Option<(String, f64)> {
    let fields: Vec<_> = line.trim().split(';').collect();
    let ["3", _, name, _, "0", ..] = fields[..] else {
        return None;
    };
    let figure = |number: usize| fields.get(number)?.parse::<f64>().ok();
    let of = |read: usize, write| Some(figure(read)? + figure(write)?);
    let requests = of(5, 46)? * 1024.0 / bytes(name)? as f64;
    (requests > 0.0).then_some((name.to_owned(), of(8, 49)? * 1e6 / requests))
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

    /// An initramfs with fio's jobs for these rows, one file of them for each clock. What is cold is found
    /// out before each.
    fn disk_initramfs(&self, names: &[String]) -> Result<Vec<u8>> {
        let mut archive = initramfs(DISK_SCRIPT, EXT4_MODULES)?;
        archive.directory("mnt");
        let jobs: String = names.iter().map(|name| job(name)).collect();
        let span = self.span();
        let timed = format!("time_based\nruntime={span}ms\nramp_time={span}ms\n");
        let counted = format!("number_ios={COUNTED}\nio_size=100g\n");
        for (clock, limit) in [(Clock::Time, timed), (Clock::Instructions, counted)] {
            let text = format!(
                "[global]\nfilename=/dev/${{DISK}}\nsize={DISK}\ndirect=1\nioengine=libaio\n{limit}{jobs}"
            );
            archive.file(&format!("jobs-{clock:?}"), 0o644, text.as_bytes());
        }
        Ok(archive.finish())
    }

    fn disk(&self, way: Way, clock: Clock) -> Result<Given> {
        let mut guest = self.guest.clone();
        guest.vm.mode = way.mode().unwrap_or_default();
        guest.vm.append = format!("console=ttyS0 quiet -- {clock:?}");
        let system = System::new(guest)?.empty_disk(DISK as u64)?.tools()?;
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
    let times = lines.iter().filter_map(|line| {
        let line = text(line);
        figures(&line, "ns").or_else(|| fio_figures(&line))
    });
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
        assert_eq!(
            job("io-disk-read-random-128k-32"),
            "[io-disk-read-random-128k-32]\nstonewall\nrw=randread\nbs=128k\niodepth=32\n"
        );
        assert!(job("io-disk-write-sequential-4k-1").contains("rw=write\nbs=4k\niodepth=1\n"));
        assert!(disk_names().iter().all(|name| bytes(name).is_some()));
    }

    #[test]
    fn what_fio_says_is_the_time_of_a_request() {
        let mut fields = vec!["0"; 130];
        (fields[0], fields[1]) = ("3", "fio-3.39");
        fields[2] = "io-disk-read-random-128k-32";
        // 262,144 KiB are 2,048 requests.
        (fields[5], fields[8]) = ("262144", "1024");
        let name = fields[2].to_owned();
        assert_eq!(fio_figures(&fields.join(";")), Some((name, 500_000.0)));
        fields[4] = "5";
        assert_eq!(fio_figures(&fields.join(";")), None);
        (fields[4], fields[5], fields[8]) = ("0", "0", "0");
        assert_eq!(fio_figures(&fields.join(";")), None);
        fields[2] = "io-disk-write-sequential-4k-1";
        (fields[46], fields[49]) = ("4000", "10");
        let name = fields[2].to_owned();
        assert_eq!(fio_figures(&fields.join(";")), Some((name, 10_000.0)));
        assert_eq!(fio_figures("fio: a complaint"), None);
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
