//! What a core executes for one privileged instruction and for one system call, instruction by instruction.

use super::simulator::Trace;
use crate::build;
use crate::demo::table::align;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// Where the monitor's image stands in the window (`monitor/src/window.rs`), whose first slot maps memory from its
/// start: firmware has loaded it 2 MiB above that.
const IMAGE: u64 = 0xffff_ffc0_0020_0000;

/// Something that the guest executes at addresses that are known (`guests/src/bin/bench_cycles.rs`).
pub struct Followed {
    pub name: &'static str,
    from: u64,
}

/// The execution that is followed: patches and caches are as they stay by then.
const COUNT: u64 = 10;

pub const FOLLOWED: [Followed; 2] = [
    Followed {
        name: "csrci-sstatus",
        from: 0x5000_0000,
    },
    Followed {
        name: "user-ecall",
        from: 0x5000_1000,
    },
];

impl Followed {
    /// From the instruction to the one after it.
    pub fn request(&self, path: &Path) -> Trace {
        Trace {
            path: path.to_owned(),
            from: self.from,
            to: self.from + 4,
            count: COUNT,
        }
    }
}

/// The monitor's functions and labels, by address in its image.
pub struct Symbols(Vec<(u64, String)>);

impl Symbols {
    pub fn read() -> Result<Self> {
        let elf = build::monitor_elf()?;
        let output = Command::new("riscv64-linux-gnu-nm")
            .args(["-n", "-C", "--defined-only"])
            .arg(&elf)
            .output()
            .context("riscv64-linux-gnu-nm cannot be started: run `cargo xtask setup`")?;
        ensure!(output.status.success(), "nm fails on {}", elf.display());
        Ok(Self::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    fn parse(text: &str) -> Self {
        let symbol = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let kind = words.next()?;
            let name = words.next()?;
            // Compilers' own labels say nothing.
            let code = kind.eq_ignore_ascii_case("t") && !name.starts_with(['.', '$']);
            code.then(|| (address, name.to_owned()))
        };
        Self(text.lines().filter_map(symbol).collect())
    }

    /// The symbol before an address in the window.
    fn find(&self, pc: u64) -> Option<String> {
        let offset = pc.checked_sub(IMAGE)?;
        let end = self.0.last()?.0;
        let at = self.0.partition_point(|(address, _)| *address <= offset);
        let (address, name) = self.0.get(at.checked_sub(1)?)?;
        (offset <= end).then(|| format!("{name}+{:#x}", offset - address))
    }
}

/// The simulator's lines as a table: the cycles until the next instruction, privilege, address, word, and where in
/// the monitor that is.
///
/// # Errors
/// When a line is not as the simulator writes them.
pub fn render(text: &str, symbols: Option<&Symbols>) -> Result<String> {
    let lines: Option<Vec<_>> = text.lines().map(parse).collect();
    let mut lines = lines.context("the simulator wrote another trace than it should")?;
    // A core says an instruction again that has to wait.
    lines.dedup_by_key(|line| line.pc);
    let (first, last) = lines.first().zip(lines.last()).context("an empty trace")?;
    let total = last.cycle - first.cycle;
    let mut rows = vec![
        ["cycles", "from", "address", "word", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    for pair in lines.windows(2) {
        let [line, next] = pair else { continue };
        let privilege = match line.privilege {
            0 => "U",
            1 => "S",
            _ => "M",
        };
        let word = match line.word {
            0 => "-".to_owned(),
            word => format!("{word:08x}"),
        };
        let place = symbols.and_then(|symbols| symbols.find(line.pc));
        rows.push(vec![
            (next.cycle - line.cycle).to_string(),
            privilege.to_owned(),
            format!("{:x}", line.pc),
            word,
            place.unwrap_or_default(),
        ]);
    }
    let count = lines.len() - 1;
    Ok(format!(
        "{total} cycles, {count} instructions\n\n{}",
        align(&rows)
    ))
}

struct Line {
    cycle: u64,
    pc: u64,
    word: u32,
    privilege: u8,
}

/// Reads `CYCLE PC WORD PRIVILEGE`.
fn parse(line: &str) -> Option<Line> {
    let words: Vec<_> = line.split(' ').collect();
    let [cycle, pc, word, privilege] = words[..] else {
        return None;
    };
    Some(Line {
        cycle: cycle.parse().ok()?,
        pc: u64::from_str_radix(pc, 16).ok()?,
        word: u32::from_str_radix(word, 16).ok()?,
        privilege: privilege.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_says_how_long_each_instruction_keeps_the_next_waiting() {
        let symbols = Symbols::parse(
            "0000000000000100 t gate_vs\n0000000000000110 t .L1\n0000000000000200 T later\n\
             0000000000000300 d data\n",
        );
        let text = "100 50000000 100073 0\n105 ffffffc000200118 140292f3 1\n\
                    107 ffffffc000200118 140292f3 1\n108 50000004 0 0\n";
        let rendered = render(text, Some(&symbols)).unwrap();
        let lines: Vec<Vec<_>> = rendered
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0], ["8", "cycles,", "2", "instructions"]);
        assert_eq!(lines[3], ["5", "U", "50000000", "00100073"]);
        assert_eq!(
            lines[4],
            ["3", "S", "ffffffc000200118", "140292f3", "gate_vs+0x18"]
        );
        assert!(render("nonsense\n", None).is_err());
    }
}
