//! What a core starts with: its ROM, OpenSBI and the device tree.

use super::{Core, build};
use crate::fetch::{self, Suite};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where firmware goes, and where it goes on; OpenSBI's `fw_dynamic` runs anywhere.
const FIRMWARE: u64 = 0x8000_0000;
pub const PAYLOAD: u64 = 0x8020_0000;
/// Above what the small guests hand out to themselves, below the bundle.
const TREE: u64 = 0x87f0_0000;

/// The machine CSRs `mhpmevent3` to `mhpmevent31`.
const MHPMEVENT: std::ops::RangeInclusive<u32> = 0x323..=0x33f;

/// A file and where it goes.
pub type Placed = (PathBuf, u64);

/// Writes what the core starts with into a directory.
///
/// # Errors
/// When OpenSBI cannot be had, or has another form than it should.
pub fn files(core: Core, directory: &Path) -> Result<Vec<Placed>> {
    let rom_base = match core {
        Core::Rocket => 0x1000_0000,
        Core::Cva6 => 0x1_0000,
    };
    let rom_file = directory.join("rom");
    std::fs::write(&rom_file, rom())?;
    let tree = directory.join("tree");
    let source = build::directory()?.join(format!("{}.dts", core.name()));
    let compiled = Command::new("dtc")
        .args(["-q", "-I", "dts", "-O", "dtb", "-o"])
        .args([&tree, &source])
        .output()
        .context("dtc cannot be started: run `cargo xtask setup`")?;
    ensure!(
        compiled.status.success(),
        "dtc {}: {}",
        source.display(),
        String::from_utf8_lossy(&compiled.stderr).trim()
    );
    // OpenSBI 1.1 finds the finisher by the tree alone; later ones of Debian do not.
    let opensbi = fetch::opensbi(Suite::Bookworm)?;
    let firmware = match core {
        Core::Rocket => opensbi,
        Core::Cva6 => {
            let mut bytes = std::fs::read(&opensbi)?;
            let replaced = replace_event_selectors(&mut bytes)
                .with_context(|| opensbi.display().to_string())?;
            ensure!(
                replaced > 0,
                "{} has no accesses of mhpmevent: it may boot as it is",
                opensbi.display()
            );
            let changed = directory.join("firmware");
            std::fs::write(&changed, bytes)?;
            changed
        }
    };
    Ok(vec![
        (rom_file, rom_base),
        (firmware, FIRMWARE),
        (tree, TREE),
    ])
}

/// Calls OpenSBI's `fw_dynamic` with the tree and, in a2, the address of its description of what comes next
/// (OpenSBI, `docs/firmware/fw_dynamic.md`).
fn rom() -> Vec<u8> {
    const CODE: [u32; 8] = [
        0x0000_0297, // auipc t0, 0
        0x0000_0513, // li a0, 0
        0x0202_b583, // ld a1, 32(t0)
        0x0282_b303, // ld t1, 40(t0)
        0x0302_8613, // addi a2, t0, 48
        0x0003_0067, // jr t1
        0,
        0,
    ];
    // Magic, version, address, mode (S), options, hart.
    const DATA: [u64; 8] = [TREE, FIRMWARE, 0x4942_534f, 2, PAYLOAD, 1, 0, 0];
    let code = CODE.iter().flat_map(|word| word.to_le_bytes());
    code.chain(DATA.iter().flat_map(|word| word.to_le_bytes()))
        .collect()
}

/// Replaces each access of a `mhpmevent` CSR, which CVA6 lacks although it must be there (privileged specification,
/// "Hardware Performance Monitor"): a read gives 0, a write does nothing, as with selectors that are hardwired to 0.
/// Gives how many there were.
///
/// # Errors
/// When something looks like such an access but is not where an instruction begins.
fn replace_event_selectors(code: &mut [u8]) -> Result<usize> {
    let instructions = instructions(code);
    let anywhere = (0..code.len().saturating_sub(3))
        .step_by(2)
        .filter(|&at| selects_event(word(code, at)));
    let anywhere: Vec<_> = anywhere.collect();
    if let Some(odd) = anywhere.iter().find(|at| !instructions.contains(at)) {
        anyhow::bail!("the bytes at {odd:#x} may be an access of mhpmevent, or not");
    }
    for &at in &anywhere {
        // li rd, 0; a nop where rd is x0.
        let instead = word(code, at) & 0xf80 | 0x13;
        code[at..at + 4].copy_from_slice(&instead.to_le_bytes());
    }
    Ok(anywhere.len())
}

/// Where instructions of four bytes begin, if one follows the other from the start.
fn instructions(code: &[u8]) -> std::collections::BTreeSet<usize> {
    let mut found = std::collections::BTreeSet::new();
    let mut at = 0;
    while at + 4 <= code.len() {
        if code[at] & 3 == 3 {
            found.insert(at);
            at += 4;
        } else {
            at += 2;
        }
    }
    found
}

fn word(code: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([code[at], code[at + 1], code[at + 2], code[at + 3]])
}

/// Whether this is a CSR instruction of a `mhpmevent` CSR.
fn selects_event(word: u32) -> bool {
    word & 0x7f == 0x73 && word >> 12 & 3 != 0 && MHPMEVENT.contains(&(word >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Of `csrr a0, csr` and the like.
    fn csr(csr: u32, form: u32, rd: u32) -> u32 {
        csr << 20 | form << 12 | rd << 7 | 0x73
    }

    #[test]
    fn accesses_of_event_selectors_become_loads_of_zero() {
        let mut bytes = code(&[
            csr(0x323, 2, 10),
            csr(0x33f, 1, 0),
            csr(0x340, 1, 0),
            csr(0x322, 2, 10),
            0x3230_0073, // not a CSR instruction
        ]);
        assert_eq!(replace_event_selectors(&mut bytes).unwrap(), 2);
        let expected = code(&[
            0x0000_0513,
            0x0000_0013,
            csr(0x340, 1, 0),
            csr(0x322, 2, 10),
            0x3230_0073,
        ]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn compressed_instructions_move_what_follows() {
        let mut bytes = vec![1, 0]; // c.nop
        bytes.extend(code(&[csr(0x324, 5, 0)]));
        assert_eq!(replace_event_selectors(&mut bytes).unwrap(), 1);
        assert_eq!(bytes[2..], code(&[0x13]));
    }

    #[test]
    fn what_is_within_other_instructions_is_refused() {
        // lui a0, 0x73xxx and a word whose low half is 0x3230.
        let access = csr(0x323, 2, 10);
        let mut bytes = code(&[access << 16 | 0x537, access >> 16 | 3]);
        assert!(replace_event_selectors(&mut bytes).is_err());
    }
}
