//! Finds the privileged instructions in a kernel's code, and says which of them can be patched.

use anyhow::{Result, bail};
use isa::address::PAGE_SIZE;
use isa::csr;
use isa::decode::{self, Instruction, decode};
use object::read::{Object, ObjectSection, ObjectSegment};
use object::{SectionFlags, SegmentFlags, elf, pe};
use patch::template::KIND_NAMES;
use patch::{Kind, Maker, patcher};
use serde::Serialize;
use std::collections::BTreeMap;

/// What was found in a kernel.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Scan {
    /// The code that was read.
    pub code: Vec<Code>,
    /// Whether the code is marked as such in the file. If not, every halfword was taken for the start
    /// of an instruction, so that data are counted too.
    pub marked: bool,
    /// What was found, by kind.
    pub kinds: BTreeMap<String, Count>,
}

/// A stretch of code.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Code {
    /// Its section; empty for a segment or a whole file.
    pub name: String,
    /// Address of the first byte, as the file says.
    pub address: u64,
    /// Bytes.
    pub size: u64,
}

/// How many instructions of a kind there are, and what becomes of them when they are executed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Count {
    /// All of them.
    pub found: u64,
    /// Those that can be patched on a host that lacks nothing.
    pub patchable: u64,
    /// Those left to the reference emulator because they straddle two pages.
    pub straddling: u64,
    /// Those left to the reference emulator because there is no template for them.
    pub without_template: u64,
}

impl Scan {
    /// All kinds together.
    pub fn total(&self) -> Count {
        let add = |sum: Count, count: &Count| Count {
            found: sum.found + count.found,
            patchable: sum.patchable + count.patchable,
            straddling: sum.straddling + count.straddling,
            without_template: sum.without_template + count.without_template,
        };
        self.kinds.values().fold(Count::default(), add)
    }

    /// Reads a stretch of code instruction by instruction, or at every halfword.
    fn read(&mut self, name: &str, address: u64, bytes: &[u8], every_halfword: bool) {
        self.code.push(Code {
            name: name.to_owned(),
            address,
            size: bytes.len() as u64,
        });
        let maker = maker();
        let mut at = 0;
        while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            let word = u32::from_le_bytes(*word);
            if let Some(instruction) = decode(word)
                && let Some(kind) = privileged(&instruction)
            {
                let count = self.kinds.entry(kind).or_default();
                count.found += 1;
                if patcher::straddles(address.wrapping_add(at as u64) % PAGE_SIZE) {
                    count.straddling += 1;
                } else if maker.make(&instruction, word).is_some() {
                    count.patchable += 1;
                } else {
                    count.without_template += 1;
                }
            }
            at += match every_halfword {
                true => 2,
                false => decode::length(word as u16) as usize,
            };
        }
    }
}

/// Scans an unpacked kernel.
///
/// The code of an ELF file is in its executable sections, or segments if it has no sections; that of
/// an `Image` with an EFI stub in the executable sections of its PE header. Any other `Image` is
/// scanned as a whole.
///
/// # Errors
/// When an ELF file is defective.
pub fn scan(kernel: &[u8]) -> Result<Scan> {
    let mut scan = Scan::default();
    match object::File::parse(kernel) {
        Ok(file) => {
            for section in file.sections().filter(|it| executes(it.flags())) {
                let name = section.name().unwrap_or_default();
                scan.read(name, section.address(), section.data()?, false);
            }
            if scan.code.is_empty() {
                for segment in file.segments().filter(|it| segment_executes(it.flags())) {
                    scan.read("", segment.address(), segment.data()?, false);
                }
            }
        }
        // The header of an Image with no EFI stub is no format of its own.
        Err(_) if !kernel.starts_with(b"\x7fELF") => {}
        Err(error) => bail!("the ELF file cannot be read, {error}: build or get it again"),
    }
    scan.marked = !scan.code.is_empty();
    if !scan.marked {
        scan.read("", 0, kernel, true);
    }
    Ok(scan)
}

fn executes(flags: SectionFlags) -> bool {
    match flags {
        SectionFlags::Elf { sh_flags, .. } => sh_flags.contains(elf::SHF_EXECINSTR),
        SectionFlags::Coff { characteristics } => {
            characteristics.contains(pe::IMAGE_SCN_MEM_EXECUTE)
        }
        _ => false,
    }
}

fn segment_executes(flags: SegmentFlags) -> bool {
    matches!(flags, SegmentFlags::Elf { p_flags, .. } if p_flags.contains(elf::PF_X))
}

/// The template map of a host that lacks nothing.
fn maker() -> Maker {
    Maker {
        features: vcpu::Features::ALL,
        // cycle, time and instret.
        counters: 0b111,
        count: false,
        fence_on_switch: false,
    }
}

/// What an instruction that traps in U-mode is called; `None` if it does not trap.
fn privileged(instruction: &Instruction) -> Option<String> {
    let name = match instruction {
        Instruction::Csr(access) => {
            let is_counter = (csr::CYCLE..csr::CYCLE + 32).contains(&access.csr);
            if !is_counter && csr::lowest_privilege(access.csr) == 0 {
                return None;
            }
            match (Kind::of(instruction), csr::name(access.csr)) {
                (Kind::Other, _) if is_counter => "hpmcounters".into(),
                (Kind::Other, Some(name)) => format!("csr {name}"),
                (Kind::Other, None) => format!("csr {:#x}", access.csr),
                (kind, _) => KIND_NAMES[kind as usize].into(),
            }
        }
        Instruction::SinvalVma { .. } => "sinval.vma".into(),
        Instruction::SfenceWInval => "sfence.w.inval".into(),
        Instruction::SfenceInvalIr => "sfence.inval.ir".into(),
        Instruction::Sret | Instruction::Wfi | Instruction::SfenceVma { .. } => {
            KIND_NAMES[Kind::of(instruction) as usize].into()
        }
        _ => return None,
    };
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use isa::encode as e;
    use isa::reg::Reg;

    const NOP: u16 = 1;

    fn scanned(address: u64, words: &[u32], every_halfword: bool) -> Scan {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut scan = Scan::default();
        scan.read(".text", address, &bytes, every_halfword);
        scan
    }

    fn count(scan: &Scan, kind: &str) -> [u64; 4] {
        let count = scan.kinds[kind];
        [
            count.found,
            count.patchable,
            count.straddling,
            count.without_template,
        ]
    }

    #[test]
    fn privileged_instructions_are_told_from_others() {
        let words = [
            e::csrrs(Reg::A0, csr::SSTATUS, Reg::X0),
            e::csrrs(Reg::A0, csr::TIME, Reg::X0),
            e::csrrs(Reg::A0, 0x003, Reg::X0), // fcsr
            e::csrrw(Reg::X0, csr::SSTATUS, Reg::A0),
            e::addi(Reg::A0, Reg::A0, 1),
            e::sfence_vma(Reg::A0, Reg::X0),
            e::sret(),
            e::csrrs(Reg::A0, 0x300, Reg::X0), // mstatus
        ];
        let scan = scanned(0, &words, false);
        let found: Vec<_> = scan.kinds.keys().map(String::as_str).collect();
        let kinds = [
            "counters",
            "csr mstatus",
            "csr sstatus",
            "sfence.vma",
            "sret",
        ];
        assert_eq!(found, kinds);
        assert_eq!(count(&scan, "csr sstatus"), [2, 2, 0, 0]);
        assert_eq!(count(&scan, "csr mstatus"), [1, 0, 0, 1]);
        let total = scan.total();
        assert_eq!((total.found, total.patchable), (6, 5));
    }

    #[test]
    fn what_straddles_two_pages_is_left_alone() {
        let sret = [e::sret()];
        let straddling = |address| scanned(address, &sret, false).total().straddling;
        assert_eq!(straddling(0x1ffe), 1);
        assert_eq!(straddling(0x1ffc), 0);
        assert_eq!(straddling(0x2000), 0);
    }

    #[test]
    fn the_second_half_of_an_instruction_counts_only_where_code_is_not_marked() {
        // Its upper half and the word after it look like `sret`.
        let [low, high] = [e::sret() as u16, (e::sret() >> 16) as u16];
        let lui = u32::from(low) << 16 | e::lui(Reg::A0, 0) & 0xffff;
        let rest = u32::from(high) | u32::from(NOP) << 16;
        let found = |every| scanned(0, &[lui, rest], every).total().found;
        assert_eq!((found(false), found(true)), (0, 1));
    }

    #[test]
    fn a_file_that_marks_no_code_is_scanned_as_a_whole() {
        let mut image = vec![0; 64];
        image[56..60].copy_from_slice(b"RSC\x05");
        image.extend(e::sret().to_le_bytes());
        let found = scan(&image).unwrap();
        assert!(!found.marked);
        assert_eq!(count(&found, "sret"), [1, 1, 0, 0]);
        assert!(scan(b"\x7fELF\x02\x01\x01 and so on").is_err());
    }
}
