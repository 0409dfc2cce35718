//! A whole Debian that runs: a copy of the image, natively or under the monitor, and a person's
//! session on its console.

use crate::image::{self, Image};
use anyhow::{Context, Result, ensure};
use patchvisor::Net;
use patchvisor::disk::{self, Content, Disk};
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::{Machine, Outcome, Run};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// On what a system runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Host {
    /// On the emulated machine itself.
    Native,
    /// In a VM of the monitor.
    Patchvisor,
}

impl Host {
    /// What names of tests and tables call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Patchvisor => "patchvisor",
        }
    }
}

/// A guest with disks and a network, and the directory that its files are in.
#[derive(Debug)]
pub struct System {
    directory: TempDir,
    /// The guest; a test may adjust its VM.
    pub guest: Guest,
    images: Vec<PathBuf>,
}

impl System {
    /// A guest with no disk yet and no network.
    ///
    /// # Errors
    /// When there is no room for temporary files.
    pub fn new(mut guest: Guest) -> Result<Self> {
        guest.vm.entropy = true;
        Ok(Self {
            directory: tempfile::Builder::new().prefix("patchvisor-").tempdir()?,
            guest,
            images: Vec::new(),
        })
    }

    /// A whole Debian on a copy of the image, with a network.
    ///
    /// # Errors
    /// When the image cannot be made or copied.
    pub fn debian() -> Result<Self> {
        let Image {
            disk,
            kernel,
            initrd,
        } = &image::debian()?;
        let mut guest = Guest::new(kernel);
        guest.vm.name = "debian".into();
        guest.vm.memory = 1 << 30;
        guest.vm.append = "root=LABEL=debian console=ttyS0".into();
        guest.initrd = Some(initrd.clone());
        guest.vm.nets = vec![Net {
            mac: None,
            uplink: true,
        }];
        let mut system = Self::new(guest)?;
        let copy = system.directory.path().join("debian.img");
        image::copy_disk(disk, &copy)?;
        system.add(copy, false);
        Ok(system)
    }

    fn add(&mut self, path: PathBuf, read_only: bool) {
        let content = Content::Image {
            path: path.clone(),
            partition: None,
        };
        self.guest.disks.push(Disk {
            read_only,
            ..Disk::new(content)
        });
        self.images.push(path);
    }

    /// Adds the disk of [`image::tools`], for reading.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn tools(mut self) -> Result<Self> {
        self.add(image::tools()?, true);
        Ok(self)
    }

    /// Adds an empty disk of so many bytes.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn empty_disk(mut self, size: u64) -> Result<Self> {
        let path = self.directory.path();
        let path = path.join(format!("disk{}.img", self.images.len()));
        std::fs::File::create(&path)?.set_len(size)?;
        self.add(path, false);
        Ok(self)
    }

    /// The file of a disk, by its number.
    pub fn disk(&self, number: usize) -> &Path {
        &self.images[number]
    }

    /// The machine that runs it; `monitor` is asked for the monitor's image if it is needed.
    ///
    /// # Errors
    /// When the guest cannot be packed or there is no monitor.
    pub fn machine(
        &self,
        host: Host,
        monitor: impl FnOnce() -> Result<PathBuf>,
    ) -> Result<Machine> {
        let machine = match host {
            Host::Native => {
                let machine = self.guest.native().entropy(self.guest.vm.entropy);
                match self.guest.vm.nets.is_empty() {
                    true => machine,
                    false => machine.uplink("user"),
                }
            }
            Host::Patchvisor => {
                let bundle = self.directory.path().join("bundle");
                std::fs::write(&bundle, self.guest.pack()?)?;
                guest::machine(&monitor()?, &bundle)?.harts(self.guest.vm.vcpus)
            }
        };
        Ok(machine.disks(disk::images(std::slice::from_ref(&self.guest))?))
    }
}

/// Whether a line of a booting system says that there will be no prompt for a login.
///
/// systemd starts a getty on a console only when udev has announced the device in time.
fn no_login(line: &str) -> bool {
    let failed = ["Dependency failed for ", "Failed to start "];
    failed.iter().any(|failed| line.contains(failed)) && line.contains("serial-getty@")
        || line.contains("You are in emergency mode")
}

/// A person at the console of a system.
#[derive(Debug)]
pub struct Session {
    run: Run,
    limit: Duration,
    /// From the start of QEMU to the prompt for a login.
    pub login: Duration,
}

impl Session {
    /// Starts a machine and logs in as root when it is asked to. No step may take longer than `limit`.
    ///
    /// # Errors
    /// When the machine does not come so far.
    pub fn start(machine: &Machine, limit: Duration) -> Result<Self> {
        let mut run = machine.spawn()?;
        let login = run.expect_unless("debian login: ", limit, no_login)?;
        run.send("root\n")?;
        run.expect("# ", limit)?;
        // A shell without prompts on a terminal without echo prints what commands print.
        run.send("exec env PS1= PS2= PAGER=cat SYSTEMD_COLORS=0 sh\n")?;
        run.send("stty -echo; dmesg -n 1; echo ready''.\n")?;
        run.expect("ready.", limit)?;
        Ok(Self { run, limit, login })
    }

    /// Runs a command in the shell; returns what it printed.
    ///
    /// # Errors
    /// When it fails, or does not end in time.
    pub fn command(&mut self, command: &str) -> Result<String> {
        self.command_within(command, self.limit)
    }

    /// [`Self::command`] for one that takes longer.
    ///
    /// # Errors
    /// As there.
    pub fn command_within(&mut self, command: &str, limit: Duration) -> Result<String> {
        let start = self.run.position();
        // What reads its input must not read the next line.
        let line = format!("{{ {command}\n}} < /dev/null\nprintf 'PV:%s:%s\\n' $? end\n");
        self.run.send(&line)?;
        self.run
            .expect(":end", limit)
            .with_context(|| format!("in the guest: {command}"))?;
        let text = self.run.text_since(start).replace('\r', "");
        let (output, _) = text.rsplit_once(":end").unwrap_or((&text, ""));
        let (output, status) = output.rsplit_once("PV:").unwrap_or(("", output));
        ensure!(
            status == "0",
            "in the guest: {command}: status {status}\n{output}"
        );
        Ok(output.trim_start_matches('\n').to_owned())
    }

    /// Shuts the system down; returns how long that took.
    ///
    /// # Errors
    /// When it does not power off in time.
    pub fn power_off(mut self) -> Result<(Outcome, Duration)> {
        let began = Instant::now();
        self.run.send("systemctl poweroff\n")?;
        let outcome = self.run.wait(self.limit)?;
        ensure!(
            outcome.success(),
            "the system did not power off; {}\n{}",
            outcome.complaints,
            image::last_lines(&outcome.text())
        );
        Ok((outcome, began.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_that_was_not_found_has_no_login() {
        // As systemd 257 prints it, with and without colours.
        let lines = [
            "[\u{1b}[0;1;38:5:185mDEPEND\u{1b}[0m] Dependency failed for \u{1b}[0;1;39mserial-getty@ttyS0.s… - Serial Getty on ttyS0.",
            "[DEPEND] Dependency failed for serial-getty@ttyS0.service - Serial Getty on ttyS0.",
        ];
        assert!(lines.into_iter().all(no_login));
        assert!(!no_login(
            "[  OK  ] Started serial-getty@ttyS0.service - Serial Getty on ttyS0."
        ));
        assert!(!no_login("[DEPEND] Dependency failed for dev-vdb1.swap"));
    }
}
