//! Linux as a guest: an initramfs with busybox, a script and the checks of `linux/probe.c`, under a
//! kernel of Debian, natively and under the monitor.

use crate::artefacts::{self, once};
use anyhow::{Context, Result, bail, ensure};
use patchvisor::guest::{self, Guest};
use patchvisor::qemu::{Machine, Outcome};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::NamedTempFile;
use xtask::fetch::{self, Suite};
use xtask::initramfs::Initramfs;

pub use xtask::image::WITH_MODULES;

/// Longest that one board may run. Nothing is measured by it: it ends what hangs, and leaves room for a machine
/// that is busy otherwise too, where the longest run takes minutes.
pub const LIMIT: Duration = Duration::from_secs(600);

/// A processor whose ISA is what the monitor offers on `rv64,h=false`: the kernel then makes the same
/// choices among its alternatives.
pub const NATIVE_CPU: &str = "rv64,h=false,sstc=false,svadu=false";

/// What the script begins to print after, and ends with.
const BEGIN: &str = "TEST:begin";
const END: &str = "TEST:end";

const PROLOGUE: &str = "mount -t tmpfs tmpfs /tmp
mount -t tracefs tracefs /sys/kernel/tracing
";

/// How scripts of small guests end. What the console has not sent yet when the power goes is lost.
pub const POWER_OFF: &str = "sleep 1\npoweroff -f\n";

/// An initramfs in a file, and what boots with it.
#[derive(Debug)]
pub struct Linux {
    /// The guest; a test may adjust its VM.
    pub guest: Guest,
    _initrd: NamedTempFile,
}

impl Linux {
    /// A kernel that runs `script` and powers off.
    ///
    /// # Errors
    /// When the parts cannot be had.
    pub fn script(suite: Suite, script: &str, files: Files) -> Result<Self> {
        let init = format!("{PROLOGUE}echo {BEGIN}\n{script}\necho {END}\n{POWER_OFF}");
        Self::new(suite, &init, files)
    }

    /// A kernel that gives a shell, with a prompt of `# `.
    ///
    /// # Errors
    /// When the parts cannot be had.
    pub fn shell(suite: Suite) -> Result<Self> {
        let init = format!("{PROLOGUE}export PS1='# '\nsetsid cttyhack sh\n");
        Self::new(suite, &init, Files::None)
    }

    fn new(suite: Suite, init: &str, files: Files) -> Result<Self> {
        let kernel = fetch::kernel(suite)?;
        let mut archive = Initramfs::with_busybox(&fetch::busybox()?, init)?;
        archive.directory("modules");
        archive.file("bin/probe", 0o755, &std::fs::read(probe()?)?);
        if let Files::Modules(names) = files {
            archive.file(
                "Image",
                0o644,
                &patchvisor::kernel_file::read(&kernel.image)?,
            );
            for name in names {
                let path = kernel
                    .modules
                    .join("kernel")
                    .join(name)
                    .with_extension("ko.xz");
                let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                archive.file(&format!("modules/{name}"), 0o644, &bytes);
            }
        }
        let mut initrd = NamedTempFile::with_prefix("patchvisor-initrd-")?;
        initrd.write_all(&archive.finish())?;
        let mut guest = Guest::new(&kernel.image);
        guest.initrd = Some(initrd.path().to_owned());
        guest.vm.append = "console=ttyS0 panic=1 loglevel=4".into();
        guest.vm.memory = 512 << 20;
        guest.vm.statistics = true;
        Ok(Self {
            guest,
            _initrd: initrd,
        })
    }

    /// Adds to the kernel's command line.
    #[must_use]
    pub fn append(mut self, words: &str) -> Self {
        self.guest.vm.append = format!("{} {words}", self.guest.vm.append);
        self
    }

    /// The machine that runs it under the monitor, and the bundle, which must outlive it.
    ///
    /// # Errors
    /// When it cannot be packed.
    pub fn machine(&self) -> Result<(Machine, NamedTempFile)> {
        let bundle = self.guest.write_bundle()?;
        let machine = guest::machine(&artefacts::monitor()?, bundle.path())?;
        Ok((machine, bundle))
    }

    /// Runs it under the monitor to its power-off.
    ///
    /// # Errors
    /// When it does not come to its end.
    pub fn run(&self, adjust: impl FnOnce(Machine) -> Machine) -> Result<Output> {
        let (machine, _bundle) = self.machine()?;
        Output::of(adjust(machine).no_reboot().spawn()?.wait(LIMIT)?)
    }

    /// Runs it without the monitor.
    ///
    /// # Errors
    /// When it does not come to its end.
    pub fn run_natively(&self) -> Result<Output> {
        let machine = self.guest.native().cpu(NATIVE_CPU);
        Output::of(machine.no_reboot().spawn()?.wait(LIMIT)?)
    }
}

/// What the initramfs has besides busybox and the probe.
#[derive(Clone, Copy, Debug)]
pub enum Files {
    /// Nothing.
    None,
    /// The kernel itself as `/Image`, and modules as `/modules/<name>.ko.xz`.
    Modules(&'static [&'static str]),
}

/// A script's run that came to its end.
#[derive(Debug)]
pub struct Output {
    /// What the script printed.
    pub text: String,
    /// The whole machine.
    pub outcome: Outcome,
}

impl Output {
    fn of(outcome: Outcome) -> Result<Self> {
        let text = outcome.text();
        let script = text
            .split_once(&format!("{BEGIN}\n"))
            .and_then(|(_, rest)| rest.split_once(END));
        match script {
            Some((script, _)) if outcome.success() => Ok(Self {
                text: script.to_owned(),
                outcome,
            }),
            _ => {
                let how = match outcome.status {
                    None => "it ran into the time limit".to_owned(),
                    Some(status) => {
                        format!("QEMU ended with {status} {}", outcome.complaints.trim())
                    }
                };
                bail!("Linux did not end as it should; {how}\n{}", last(&outcome))
            }
        }
    }

    /// Passes if the script printed `text`.
    ///
    /// # Errors
    /// With all that it printed.
    pub fn must_say(&self, text: &str) -> Result<()> {
        ensure!(self.text.contains(text), "no {text:?} in\n{}", self.text);
        Ok(())
    }
}

/// The last lines of a console.
pub fn last(outcome: &Outcome) -> String {
    let lines = &outcome.lines[outcome.lines.len().saturating_sub(30)..];
    let cut = |text: &str| text.chars().take(240).collect::<String>();
    let lines: Vec<_> = lines.iter().map(|line| cut(&line.text)).collect();
    format!("the console ends with\n{}", lines.join("\n"))
}

/// `linux/probe.c`, compiled once.
fn probe() -> Result<PathBuf> {
    static PROBE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    once(&PROBE, || program("probe"))
}

/// Compiles a program of `linux/`; returns where it is.
///
/// # Errors
/// When it does not compile.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let root = xtask::paths::root()?;
    let source = root.join(format!("tests/linux/{name}.c"));
    let directory = xtask::paths::target("linux")?;
    std::fs::create_dir_all(&directory)?;
    // Two test programs may be at it: each appears only when it is whole.
    let unfinished = tempfile::Builder::new()
        .prefix(name)
        .tempfile_in(&directory)?;
    let unfinished = unfinished.into_temp_path();
    compile(&source, &unfinished)?;
    let program = directory.join(name);
    unfinished.persist(&program)?;
    Ok(program)
}

fn compile(source: &Path, program: &Path) -> Result<()> {
    let status = Command::new("riscv64-linux-gnu-gcc")
        .args([
            "-std=gnu11",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-array-bounds",
            "-static",
            "-pthread",
            "-o",
        ])
        .args([program, source])
        .status()
        .context("riscv64-linux-gnu-gcc cannot be started: run `cargo xtask setup`")?;
    ensure!(status.success(), "{} does not compile", source.display());
    Ok(())
}
