//! What the machine is: the command line of QEMU.

use super::board::Board;
use super::console::Show;
use super::devices::Devices;
use super::logs::Logs;
use super::run::{Console, Run};
use crate::disk::Image;
use crate::quote::quoted;
use anyhow::{Context, Result, bail};
use dtoolkit::fdt::Fdt;
use dtoolkit::{Node, Property};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The program that emulates the host, overridden by the environment variable `QEMU`.
const QEMU: &str = "qemu-system-riscv64";

/// The oldest QEMU, major and minor version, on which guests run: Debian 6.12 boots, with the OpenSBI
/// 1.1 that it brings. Whatever else asks for a version asks here.
pub const OLDEST: (u32, u32) = (7, 2);

/// The oldest QEMU that tests run on, and figures are of: they need its processors and boards.
pub const TESTED: (u32, u32) = (10, 0);

/// A processor without the H extension, which is what Patchvisor is for.
pub const DEFAULT_CPU: &str = "rv64,h=false";

/// Description of a machine; each method sets one thing and returns the machine.
#[derive(Clone, Debug)]
pub struct Machine {
    program: PathBuf,
    board: Board,
    cpu: String,
    harts: u32,
    memory: u64,
    bios: Option<PathBuf>,
    dtb: Option<PathBuf>,
    kernel: Option<PathBuf>,
    initrd: Option<PathBuf>,
    append: Option<String>,
    icount_shift: Option<u32>,
    reboot: bool,
    devices: Devices,
    extra: Vec<OsString>,
    live: bool,
    vms: Vec<String>,
    logs: Option<PathBuf>,
}

/// A QEMU that was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// Its major and minor version.
    pub version: (u32, u32),
}

/// Finds QEMU and asks for its version.
///
/// # Errors
/// When it is absent or does not answer as QEMU does.
pub fn find() -> Result<Program> {
    let path = program();
    let output = Command::new(&path)
        .arg("--version")
        .output()
        .with_context(|| cannot_start(&path))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let name = path.display();
    let Some(version) = version(&text) else {
        let said = text.lines().next().unwrap_or_default();
        bail!("{name} is no QEMU: its --version says {said:?}");
    };
    // Each of QEMU's programs gives the same version.
    let processors = Command::new(&path).args(["-cpu", "help"]).output();
    let has_ours = |list: &[u8]| {
        String::from_utf8_lossy(list)
            .split_whitespace()
            .any(|name| name.starts_with("rv64"))
    };
    if !processors.is_ok_and(|output| has_ours(&output.stdout)) {
        bail!("{name} emulates no 64-bit RISC-V processors: it is not {QEMU}");
    }
    Ok(Program { path, version })
}

/// Reads `QEMU emulator version 10.0.2 (Debian ...)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_once(" version ")?.1.split(['.', ' ', '\n']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(super) fn program() -> PathBuf {
    std::env::var_os("QEMU").map_or_else(|| QEMU.into(), PathBuf::from)
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            program: program(),
            board: Board::default(),
            cpu: DEFAULT_CPU.into(),
            harts: 1,
            memory: 1 << 30,
            bios: None,
            dtb: None,
            kernel: None,
            initrd: None,
            append: None,
            icount_shift: None,
            reboot: true,
            devices: Devices::default(),
            extra: Vec::new(),
            live: false,
            vms: Vec::new(),
            logs: None,
        }
    }
}

impl Machine {
    /// One hart of [`DEFAULT_CPU`], 1 GiB of memory, QEMU's own firmware, nothing to boot.
    pub fn new() -> Self {
        Self::default()
    }

    /// The program that emulates it, instead of the one in `$PATH` or `$QEMU`.
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// The board. One with processors of its own takes no others.
    pub fn board(mut self, board: Board) -> Self {
        self.board = board;
        self
    }

    /// The processor, as `-cpu` takes it.
    pub fn cpu(mut self, cpu: impl Into<String>) -> Self {
        self.cpu = cpu.into();
        self
    }

    /// How many harts.
    pub fn harts(mut self, harts: u32) -> Self {
        self.harts = harts;
        self
    }

    /// Memory in bytes, rounded up to whole MiB.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// The firmware, instead of the OpenSBI that comes with QEMU.
    pub fn bios(mut self, file: impl Into<PathBuf>) -> Self {
        self.bios = Some(file.into());
        self
    }

    /// The device tree, instead of the one that QEMU makes.
    pub fn dtb(mut self, file: impl Into<PathBuf>) -> Self {
        self.dtb = Some(file.into());
        self
    }

    /// What firmware starts in S-mode: a kernel natively, else the monitor.
    pub fn kernel(mut self, file: impl Into<PathBuf>) -> Self {
        self.kernel = Some(file.into());
        self
    }

    /// The initrd: a kernel's own natively, else a bundle.
    pub fn initrd(mut self, file: impl Into<PathBuf>) -> Self {
        self.initrd = Some(file.into());
        self
    }

    /// The kernel's command line.
    pub fn append(mut self, line: impl Into<String>) -> Self {
        self.append = Some(line.into());
        self
    }

    /// Counts instructions: one takes `2^shift` ns of guest time, so that time is deterministic.
    pub fn icount(mut self, shift: u32) -> Self {
        self.icount_shift = Some(shift);
        self
    }

    /// Ends QEMU where the machine would start again.
    pub fn no_reboot(mut self) -> Self {
        self.reboot = false;
        self
    }

    /// The disks, numbered in this order.
    pub fn disks(mut self, images: impl IntoIterator<Item = Image>) -> Self {
        self.devices.disks = images.into_iter().collect();
        self
    }

    /// A network device that reaches `backend`, as `-netdev` takes it without `id=`: `user`,
    /// `user,hostfwd=tcp::2222-:22`.
    pub fn uplink(mut self, backend: impl Into<String>) -> Self {
        self.devices.uplink = Some(backend.into());
        self
    }

    /// No network device from [`Self::uplink`].
    pub fn no_uplink(mut self) -> Self {
        self.devices.uplink = None;
        self
    }

    /// Whether it has an entropy device.
    pub fn entropy(mut self, entropy: bool) -> Self {
        self.devices.entropy = entropy;
        self
    }

    /// One more argument for QEMU.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.extra.push(argument.into());
        self
    }

    /// More arguments for QEMU.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.extra.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Whether the console is also shown on this process's standard error as it appears.
    pub fn live(mut self, live: bool) -> Self {
        self.live = live;
        self
    }

    /// Says that the VMs of these names share the console, each line with the name of its VM before it.
    pub fn prefixed(mut self, vms: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.vms = vms.into_iter().map(Into::into).collect();
        self
    }

    /// Writes a prefixed console to files in this directory too: one for each VM, and `monitor.log`.
    pub fn logs(mut self, directory: impl Into<PathBuf>) -> Self {
        self.logs = Some(directory.into());
        self
    }

    /// The command that [`Self::spawn`] runs, without the console's arguments.
    ///
    /// # Errors
    /// When an image cannot be a disk.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(&self.program);
        let mebibytes = self.board.memory(self.memory).div_ceil(1 << 20);
        command.args(self.board.processors(&self.cpu, self.harts));
        command.args(["-m", &format!("{mebibytes}M")]);
        let mut file = |flag: &str, path: &Option<PathBuf>| {
            if let Some(path) = path {
                command.arg(flag).arg(path);
            }
        };
        file("-bios", &self.bios);
        file("-dtb", &self.dtb);
        file("-kernel", &self.kernel);
        file("-initrd", &self.initrd);
        if let Some(line) = &self.append {
            command.args(["-append", line]);
        }
        if let Some(shift) = self.icount_shift {
            command.args(["-icount", &format!("shift={shift},sleep=off")]);
        }
        if !self.reboot {
            command.arg("-no-reboot");
        }
        command.args(self.devices.arguments()?);
        command.args(&self.extra);
        Ok(command)
    }

    /// Starts QEMU with its console captured, and fed only by [`Run::send`].
    ///
    /// # Errors
    /// When a file is missing or QEMU cannot be started.
    pub fn spawn(&self) -> Result<Run> {
        self.check()?;
        let mut command = self.command()?;
        command.args(["-display", "none", "-monitor", "none"]);
        command.args(self.board.serial_lines("stdio"));
        let show = self.live.then_some(Show::StandardError);
        Run::start(&command, self.console(false, show)?)
    }

    /// Starts QEMU with its keyboard on this process's terminal and its output shown at `show`.
    /// Ctrl-A x leaves.
    ///
    /// # Errors
    /// When a file is missing or QEMU cannot be started.
    pub fn spawn_interactive(&self, show: Show) -> Result<Run> {
        self.check()?;
        let mut command = self.command()?;
        command.arg("-nographic");
        command.args(self.board.serial_lines("mon:stdio"));
        Run::start(&command, self.console(true, Some(show))?)
    }

    fn console(&self, keyboard: bool, show: Option<Show>) -> Result<Console> {
        let logs = self.logs.as_deref();
        Ok(Console {
            stays_on: !self.board.powers_off(),
            keyboard,
            show,
            vms: self.vms.clone(),
            logs: logs
                .map(|directory| Logs::create(directory, &self.vms))
                .transpose()?,
        })
    }

    fn check(&self) -> Result<()> {
        let files = [&self.bios, &self.dtb, &self.kernel, &self.initrd];
        let names = ["firmware", "device tree", "kernel", "initrd"];
        for (name, file) in names.iter().zip(files) {
            let Some(path) = file else { continue };
            // Names such as "default" and "none" are QEMU's own.
            if *name == "firmware" && path.components().count() == 1 && !path.exists() {
                continue;
            }
            readable(path).with_context(|| format!("the {name} {}", path.display()))?;
        }
        if let Some(tree) = &self.dtb {
            check_tree(tree)?;
        }
        self.devices.check(&self.board)?;
        if self.board.harts().is_none() && self.cpu != DEFAULT_CPU {
            self.check_processor()?;
        }
        Ok(())
    }

    /// Refuses a processor without the C extension: the firmware, which is made of compressed
    /// instructions too, would stop before it could print a word. What QEMU itself complains of is
    /// left to the run. Each processor is asked for once.
    fn check_processor(&self) -> Result<()> {
        static CHECKED: Mutex<BTreeSet<(PathBuf, String)>> = Mutex::new(BTreeSet::new());
        let processor = (self.program.clone(), self.cpu.clone());
        let checked = || CHECKED.lock().unwrap_or_else(PoisonError::into_inner);
        if checked().contains(&processor) {
            return Ok(());
        }
        let Ok(tree) = made_tree(&self.program, self.board.processors(&self.cpu, self.harts))?
        else {
            return Ok(());
        };
        match isa(&tree) {
            Some(isa) if !isa.starts_with("rv64") => bail!(
                "the processor {} has not 64 bits but is {}: give --cpu one of 64 bits, such as {DEFAULT_CPU}",
                self.cpu,
                isa.split('_').next().unwrap_or_default()
            ),
            Some(isa) if !has_c(&isa) => bail!(
                "the processor {} has no C extension, which firmware, monitor and patches need: \
                 give --cpu one that has it, such as {DEFAULT_CPU}",
                self.cpu
            ),
            _ => {
                checked().insert(processor);
                Ok(())
            }
        }
    }
}

/// The device tree that a QEMU makes for these arguments, or its complaint if it makes none.
///
/// # Errors
/// When there is no room for a file, or it cannot be started.
pub(super) fn made_tree(
    program: &Path,
    arguments: impl IntoIterator<Item = String>,
) -> Result<Result<Vec<u8>, String>> {
    let file = tempfile::NamedTempFile::new().context("making a file for a device tree")?;
    let mut dump = OsString::from("dumpdtb=");
    // A comma ends a value, and two are one.
    dump.push(file.path().to_string_lossy().replace(',', ",,"));
    let mut command = Command::new(program);
    command.args(arguments).args(["-display", "none"]);
    command.arg("-machine").arg(dump);
    let made = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| cannot_start(program))?;
    let tree = std::fs::read(file.path()).context("reading the device tree that QEMU made")?;
    Ok(match made.status.success() && !tree.is_empty() {
        true => Ok(tree),
        false => Err(String::from_utf8_lossy(&made.stderr).into_owned()),
    })
}

/// What is said of a QEMU that is not there.
pub(super) fn cannot_start(program: &Path) -> String {
    format!(
        "{} cannot be started: `patchvisor doctor` says what to install, or name another in $QEMU",
        program.display()
    )
}

/// The ISA string of the first processor of a device tree.
fn isa(tree: &[u8]) -> Option<String> {
    let tree = Fdt::new(tree).ok()?;
    let cpus = tree.find_node("/cpus")?;
    let isa = cpus.children().find_map(|cpu| cpu.property("riscv,isa"))?;
    Some(isa.value_as::<&str>().ok()?.to_owned())
}

/// Whether the single letters of an ISA string, which come first, have C.
fn has_c(isa: &str) -> bool {
    let letters = isa.trim_start_matches("rv64").split('_').next();
    letters.is_some_and(|letters| letters.contains('c'))
}

/// Refuses a device tree that is not compiled.
///
/// # Errors
/// When it is none, or cannot be read.
pub(crate) fn check_tree(path: &Path) -> Result<()> {
    // Devicetree Specification, "Flattened Devicetree (DTB) Format", "Header": magic.
    const MAGIC: [u8; 4] = 0xd00d_feed_u32.to_be_bytes();
    let mut start = [0; MAGIC.len()];
    let file = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    match file {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => {
            Err(error).context(path.display().to_string())
        }
        Ok(()) if start == MAGIC => Ok(()),
        _ => bail!(
            "{} is no compiled device tree: `dtc -I dts -O dtb` makes one of its source, with -@ too for an overlay",
            quoted(path)
        ),
    }
}

/// Fails as opening the file for reading does.
fn readable(path: &Path) -> Result<()> {
    File::open(path).map(drop).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(machine: &Machine) -> String {
        let command = machine.command().unwrap();
        let arguments: Vec<_> = command
            .get_args()
            .map(|argument| argument.to_string_lossy())
            .collect();
        arguments.join(" ")
    }

    #[test]
    fn the_default_machine_has_one_hart_without_h() {
        assert_eq!(
            line(&Machine::new()),
            "-M virt -cpu rv64,h=false -smp 1 -m 1024M"
        );
    }

    #[test]
    fn every_setting_reaches_the_command_line() {
        let machine = Machine::new()
            .cpu("max")
            .harts(4)
            .memory((256 << 20) + 1)
            .bios("fw.bin")
            .kernel("Image")
            .initrd("bundle")
            .append("a=1 b")
            .icount(0)
            .no_reboot()
            .args(["-d", "int"]);
        assert_eq!(
            line(&machine),
            "-M virt -cpu max -smp 4 -m 257M -bios fw.bin -kernel Image -initrd bundle -append a=1 b \
             -icount shift=0,sleep=off -no-reboot -d int"
        );
    }

    #[test]
    fn c_is_found_among_the_single_letters_alone() {
        assert!(has_c("rv64imafdch_zic64b_zicsr"));
        assert!(has_c("rv64gc"));
        assert!(!has_c("rv64imafd_zicbom_zicsr_zca"));
    }

    #[test]
    fn versions_of_debian_and_upstream_are_read() {
        let debian = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\n";
        assert_eq!(version(debian), Some((10, 0)));
        assert_eq!(version("QEMU emulator version 7.2.22\n"), Some((7, 2)));
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn a_missing_kernel_is_named_before_qemu_starts() {
        let error = Machine::new().kernel("/nonexistent/Image").spawn();
        let message = format!("{:#}", error.err().unwrap());
        assert!(
            message.contains("the kernel /nonexistent/Image"),
            "{message}"
        );
    }
}
