//! The machines of QEMU: what their device trees say of them.

use super::machine::{check_tree, made_tree, program};
use crate::quote::quoted;
use anyhow::{Context, Result, ensure};
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use std::path::Path;

/// QEMU's own, where harts, processor and memory are free.
const VIRT: &str = "virt";

/// A machine that the monitor can run on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Board {
    /// What `-M` takes.
    name: String,
    /// Its harts with S-mode, and all that QEMU is asked for, where it has its own.
    harts: Option<(u32, u32)>,
    /// Serial lines before the one that is the console.
    other_lines: usize,
    /// Bytes of memory that its tree names, where QEMU did not make it.
    least_memory: u64,
    /// Whether its firmware can power it off.
    powers_off: bool,
    /// Virtio devices that it has room for.
    slots: usize,
}

/// What a board needs that cannot be asked of QEMU.
struct Need {
    name: &'static str,
    /// How many harts QEMU gives it at most, where it makes a tree of fewer unless it is asked.
    harts: Option<u32>,
    /// Where Debian's `linux-image` packages have its device tree, where QEMU makes none.
    tree: Option<&'static str>,
}

const NEEDS: &[Need] = &[
    Need {
        name: "sifive_u",
        harts: Some(5),
        tree: None,
    },
    Need {
        name: "microchip-icicle-kit",
        harts: None,
        tree: Some("microchip/mpfs-icicle-kit.dtb"),
    },
];

impl Default for Board {
    fn default() -> Self {
        Self::virt(VIRT)
    }
}

impl Board {
    fn virt(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            harts: None,
            other_lines: 0,
            least_memory: 0,
            powers_off: true,
            // `virtio-mmio-bus.N` is at 0x10001000 + N * 0x1000.
            slots: 8,
        }
    }

    /// The machine that `-M` names so, with this device tree or the one that QEMU makes.
    ///
    /// # Errors
    /// When there is no such machine, no tree of it, or no hart with S-mode in the tree.
    pub fn find(name: &str, tree: Option<&Path>) -> Result<Self> {
        let kind = name.split(',').next().unwrap_or_default();
        if kind == VIRT {
            return Ok(Self::virt(name));
        }
        let need = NEEDS.iter().find(|need| need.name == kind);
        let Some(tree) = tree else {
            let harts = need.and_then(|need| need.harts);
            let harts =
                harts.map_or_else(Vec::new, |harts| vec!["-smp".to_owned(), harts.to_string()]);
            let arguments = ["-M".to_owned(), name.to_owned()].into_iter().chain(harts);
            let made = made_tree(&program(), arguments)?;
            let bytes = made.map_err(|complaint| no_tree(name, need, &complaint))?;
            return Self::of_tree(name, &bytes, false);
        };
        check_tree(tree)?;
        let bytes = std::fs::read(tree).with_context(|| tree.display().to_string())?;
        Self::of_tree(name, &bytes, true).with_context(|| tree.display().to_string())
    }

    /// Reads what a tree says. One that was `given` says how much memory there is, too.
    fn of_tree(name: &str, tree: &[u8], given: bool) -> Result<Self> {
        let tree = Fdt::new(tree).context("the device tree is damaged: make or get it again")?;
        let cpus = tree
            .find_node("/cpus")
            .context("the device tree names no processors")?;
        let cpus: Vec<_> = cpus
            .children()
            .filter(|node| node.name_without_address() == "cpu")
            .collect();
        let supervisors = cpus.iter().filter(|cpu| {
            let is_on = text(cpu, "status").is_none_or(|status| status != "disabled");
            is_on && cpu.property("mmu-type").is_some()
        });
        let supervisors = supervisors.count() as u32;
        ensure!(
            supervisors > 0,
            "no processor of {name} has S-mode and an MMU, which the monitor needs: choose another board"
        );
        Ok(Self {
            name: name.to_owned(),
            harts: Some((supervisors, cpus.len() as u32)),
            other_lines: console_line(&tree).unwrap_or(0),
            least_memory: if given { memory(&tree) } else { 0 },
            powers_off: false,
            slots: 0,
        })
    }

    /// What `-M` takes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many harts it has that can run guests, if the board says so.
    pub fn harts(&self) -> Option<u32> {
        self.harts.map(|(supervisor, _)| supervisor)
    }

    /// Whether the machine ends when the firmware is asked to power it off.
    pub(super) fn powers_off(&self) -> bool {
        self.powers_off
    }

    /// `-M`, and the processors: `cpu` and `harts` where the board leaves the choice.
    pub(super) fn processors(&self, cpu: &str, harts: u32) -> Vec<String> {
        let mut arguments = vec!["-M".to_owned(), self.name.clone()];
        let count = match self.harts {
            Some((_, all)) => all,
            None => {
                arguments.extend(["-cpu".to_owned(), cpu.to_owned()]);
                harts
            }
        };
        arguments.extend(["-smp".to_owned(), count.to_string()]);
        arguments
    }

    /// How many virtio devices it has room for.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// How much memory it has when it is asked for so many bytes.
    pub(super) fn memory(&self, bytes: u64) -> u64 {
        bytes.max(self.least_memory)
    }

    /// `-serial` for each line: `console` for the one that is the console.
    pub(super) fn serial_lines(
        &self,
        console: &'static str,
    ) -> impl Iterator<Item = &'static str> + use<> {
        let others = std::iter::repeat_n("null", self.other_lines);
        let lines = others.chain(std::iter::once(console));
        lines.flat_map(|line| ["-serial", line])
    }
}

/// Why QEMU has made no tree, and what to do.
fn no_tree(name: &str, need: Option<&Need>, complaint: &str) -> anyhow::Error {
    if complaint.contains("unsupported machine type") {
        return anyhow::anyhow!(
            "QEMU has no machine {}: `qemu-system-riscv64 -M help` lists them",
            quoted(name)
        );
    }
    let brings = need
        .and_then(|need| need.tree)
        .map_or_else(String::new, |tree| {
            format!(
                "; Debian's package linux-image-riscv64 brings it, as usr/lib/linux-image-*/{tree}"
            )
        });
    anyhow::anyhow!(
        "QEMU makes no device tree for {name}: give the board's with --dtb{brings}\n{}",
        complaint.trim()
    )
}

fn text(node: &FdtNode<'_>, property: &str) -> Option<String> {
    let property = node.property(property)?;
    let value = property.value();
    let text = value.split(|&byte| byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

/// Which serial line the console is: the number of its alias, which is QEMU's order of lines too.
///
/// Devicetree Specification, "/aliases node" and "/chosen node".
fn console_line(tree: &Fdt<'_>) -> Option<usize> {
    let path = text(&tree.find_node("/chosen")?, "stdout-path")?;
    let path = path.split(':').next()?;
    let number = |alias: &str| alias.strip_prefix("serial")?.parse().ok();
    if !path.starts_with('/') {
        return number(path);
    }
    let aliases = tree.find_node("/aliases")?;
    let mut names = aliases.properties();
    names.find_map(|alias| {
        let is_it = alias.value().strip_suffix(&[0]) == Some(path.as_bytes());
        number(alias.name()).filter(|_| is_it)
    })
}

/// The bytes of all memory nodes. Devicetree Specification, "/memory node".
fn memory(tree: &Fdt<'_>) -> u64 {
    let root = tree.root();
    let cells = |name: &str, default: usize| {
        let last = root
            .property(name)
            .and_then(|it| it.value().last().copied());
        last.map_or(default, usize::from)
    };
    let (address, size) = (cells("#address-cells", 2), cells("#size-cells", 1));
    let nodes = root
        .children()
        .filter(|node| text(node, "device_type").as_deref() == Some("memory"));
    let registers = nodes.filter_map(|node| node.property("reg"));
    registers.fold(0, |sum: u64, reg| {
        let pieces = reg.value().chunks_exact((4 * (address + size)).max(4));
        let sizes = pieces.map(|piece| {
            let bytes = piece[4 * address..].iter();
            bytes.fold(0_u64, |size, &byte| size << 8 | u64::from(byte))
        });
        sizes.fold(sum, u64::saturating_add)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::Machine;
    use crate::qemu::devices::Devices;

    fn line(board: Board) -> String {
        let command = Machine::new()
            .cpu("max")
            .harts(2)
            .board(board)
            .command()
            .unwrap();
        let arguments: Vec<_> = command
            .get_args()
            .map(|argument| argument.to_string_lossy())
            .collect();
        arguments.join(" ")
    }

    /// A tree with 2 GiB in two pieces, a monitor core, two harts with S-mode and one that is switched off, and its
    /// console where `chosen` says.
    fn tree(chosen: &str) -> tempfile::NamedTempFile {
        let source = format!(
            "/dts-v1/; / {{ #address-cells=<2>; #size-cells=<2>; chosen {{ stdout-path=\"{chosen}\"; }};
             aliases {{ serial0=\"/soc/serial@1000\"; serial1=\"/soc/serial@2000\"; }};
             memory@0 {{ device_type=\"memory\"; reg=<0 0 0 0x40000000>, <1 0 0 0x40000000>; }};
             cpus {{ #address-cells=<1>; #size-cells=<0>; cpu-map {{ }};
              cpu@0 {{ reg=<0>; }};
              cpu@1 {{ reg=<1>; mmu-type=\"riscv,sv39\"; }}; cpu@2 {{ reg=<2>; mmu-type=\"riscv,sv39\"; }};
              cpu@3 {{ reg=<3>; mmu-type=\"riscv,sv39\"; status=\"disabled\"; }}; }}; }};"
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut dtc = std::process::Command::new("dtc");
        dtc.args(["-q", "-I", "dts", "-O", "dtb", "-o"])
            .arg(file.path());
        let mut dtc = dtc.stdin(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut dtc.stdin.take().unwrap(), source.as_bytes()).unwrap();
        assert!(dtc.wait().unwrap().success());
        file
    }

    #[test]
    fn a_board_that_nobody_listed_is_what_its_tree_says() {
        let file = tree("serial1:115200n8");
        let board = Board::find("new-board,option=x", Some(file.path())).unwrap();
        assert_eq!(
            (board.harts(), board.slots(), board.powers_off()),
            (Some(2), 0, false)
        );
        assert_eq!(line(board.clone()), "-M new-board,option=x -smp 4 -m 2048M");
        let lines: Vec<_> = board.serial_lines("stdio").collect();
        assert_eq!(lines, ["-serial", "null", "-serial", "stdio"]);
        for (chosen, others) in [
            ("/soc/serial@2000", 1),
            ("/soc/serial@1000", 0),
            ("/soc/other", 0),
        ] {
            let file = tree(chosen);
            assert_eq!(
                Board::find("x", Some(file.path())).unwrap().other_lines,
                others,
                "{chosen}"
            );
        }
    }

    #[test]
    fn qemu_is_asked_for_the_tree_of_a_board() {
        let board = Board::find("sifive_u", None).unwrap();
        assert_eq!(board.harts(), Some(4));
        assert_eq!(line(board.clone()), "-M sifive_u -smp 5 -m 1024M");
        let mut devices = Devices::default();
        devices.check(&board).unwrap();
        devices.entropy = true;
        let error = devices.check(&board).unwrap_err().to_string();
        assert!(error.contains("sifive_u has no virtio"), "{error}");
        let virt = Board::find("virt,aclint=on", None).unwrap();
        assert_eq!(line(virt), "-M virt,aclint=on -cpu max -smp 2 -m 1024M");
    }

    #[test]
    fn a_board_without_a_tree_or_an_mmu_says_what_to_do() {
        let message = |name| Board::find(name, None).unwrap_err().to_string();
        let icicle = message("microchip-icicle-kit");
        assert!(
            icicle.contains("--dtb") && icicle.contains("microchip/"),
            "{icicle}"
        );
        assert!(message("no-board").contains("-M help"));
        assert!(message("shakti_c").contains("--dtb"));
        let error = Board::find("x", Some(Path::new("/dev/null")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("no compiled device tree"), "{error}");
    }
}
