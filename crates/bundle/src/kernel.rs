//! Reads what a guest boots: a Linux `Image` or an ELF executable, as QEMU's `-kernel` does.

use crate::recognise;
use alloc::vec::Vec;
use core::fmt;
use object::LittleEndian;
use object::elf::{ET_DYN, ET_EXEC, FileHeader64, PF_X, PT_INTERP, PT_LOAD, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

/// A kernel, ready to be copied to guest-physical memory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kernel<'a> {
    /// Guest-physical address of the first instruction.
    pub entry: u64,
    /// What to copy, in ascending order of addresses; no two overlap.
    pub segments: Vec<Segment<'a>>,
}

/// A run of memory that a kernel fills.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Segment<'a> {
    /// Guest-physical address of the first byte.
    pub address: u64,
    /// The first bytes.
    pub bytes: &'a [u8],
    /// Length in memory; what goes beyond `bytes` is zero.
    pub memory_size: u64,
}

impl Segment<'_> {
    /// The address after the last byte.
    pub fn end(&self) -> u64 {
        // `parse` has checked that this does not wrap.
        self.address + self.memory_size
    }
}

impl Kernel<'_> {
    /// The lowest and the end of the highest address that the kernel fills.
    pub fn span(&self) -> (u64, u64) {
        let first = self.segments.first().map_or(0, |segment| segment.address);
        (first, self.segments.last().map_or(0, Segment::end))
    }
}

/// Why a file cannot be booted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KernelError {
    /// It is something else, named here.
    NotAKernel {
        /// What it looks like.
        looks_like: &'static str,
    },
    /// The file ends before what its header promises.
    CutShort {
        /// Bytes that are there.
        have: u64,
        /// Bytes that there should be.
        need: u64,
    },
    /// It is for RISC-V, but not for this machine.
    Unsuitable(&'static str),
    /// The header contradicts itself.
    Malformed(&'static str),
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAKernel { looks_like } => write!(
                f,
                "the kernel is no RISC-V Image but {looks_like}: {}",
                recognise::instead(looks_like)
            ),
            Self::CutShort { have, need } => write!(
                f,
                "the kernel is cut short, {have} of {need} bytes are there: get the whole file"
            ),
            Self::Unsuitable(why) => {
                write!(f, "the kernel cannot run here, {why}: give another kernel")
            }
            Self::Malformed(what) => {
                write!(
                    f,
                    "the kernel's header is malformed, {what}: build or get it again"
                )
            }
        }
    }
}

impl core::error::Error for KernelError {}

/// Where in RAM a program goes that runs anywhere, in bytes from its start: where QEMU puts a bare one, and as a
/// multiple what no segment needs to be aligned better than.
const PLACE: u64 = 2 << 20;

/// Reads a kernel that will boot in RAM that begins at guest-physical `memory_base`.
///
/// An `Image` goes to `memory_base` plus its `text_offset`; an ELF executable goes to the physical
/// addresses of its program headers. One that relocates itself (static PIE) and is linked below RAM, at 0 as a
/// rule, goes 2 MiB into it.
///
/// # Errors
/// When `bytes` are neither, or not whole.
pub fn parse(bytes: &[u8], memory_base: u64) -> Result<Kernel<'_>, KernelError> {
    // The order matters: an Image with an EFI stub begins with "MZ", as other EFI programs do.
    if bytes.get(0x38..0x3c) == Some(b"RSC\x05") {
        image(bytes, memory_base)
    } else if bytes.starts_with(b"\x7fELF") {
        elf(bytes, memory_base)
    } else {
        Err(KernelError::NotAKernel {
            looks_like: recognise::looks_like(bytes),
        })
    }
}

/// Linux, Documentation/arch/riscv/boot-image-header.rst.
fn image(bytes: &[u8], memory_base: u64) -> Result<Kernel<'_>, KernelError> {
    const HEADER: usize = 64;
    let have = bytes.len() as u64;
    let header: &[u8; HEADER] = bytes.first_chunk().ok_or(KernelError::CutShort {
        have,
        need: HEADER as u64,
    })?;
    let double = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(word)
    };
    let (text_offset, image_size, flags) = (double(8), double(16), double(24));
    if flags & 1 != 0 {
        return Err(KernelError::Unsuitable("it is big-endian"));
    }
    if let Some(need) = efi_file_size(bytes)
        && need > have
    {
        return Err(KernelError::CutShort { have, need });
    }
    let segment = Segment {
        address: memory_base
            .checked_add(text_offset)
            .ok_or(KernelError::Malformed("its text_offset is out of range"))?,
        bytes,
        // It counts the bss; kernels before 3.17 of other architectures left it 0.
        memory_size: image_size.max(have),
    };
    if segment
        .address
        .checked_add(segment.memory_size)
        .is_none_or(|end| end > 1 << 56)
    {
        return Err(KernelError::Malformed("its image_size is out of range"));
    }
    Ok(Kernel {
        entry: segment.address,
        segments: alloc::vec![segment],
    })
}

/// How long a file with an EFI stub must be: the end of the last section that its PE header lists.
///
/// `image_size` cannot tell, for it counts the bss. `None` where there is no stub.
fn efi_file_size(bytes: &[u8]) -> Option<u64> {
    let half = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    if !bytes.starts_with(b"MZ") {
        return None;
    }
    let pe = word(0x3c)? as usize;
    if bytes.get(pe..)?.first_chunk() != Some(b"PE\0\0") {
        return None;
    }
    let sections = pe + 24 + usize::from(half(pe + 20)?);
    (0..usize::from(half(pe + 6)?))
        .map(|index| {
            let section = sections + 40 * index;
            Some(u64::from(word(section + 16)?) + u64::from(word(section + 20)?))
        })
        .try_fold(0, |end, section: Option<u64>| Some(section?.max(end)))
}

/// The ELF specification, and the RISC-V psABI for `e_machine`.
fn elf(bytes: &[u8], memory_base: u64) -> Result<Kernel<'_>, KernelError> {
    const OURS: &str = "a RISC-V ELF file";
    let endian = LittleEndian;
    let have = bytes.len() as u64;
    let need = size_of::<FileHeader64<LittleEndian>>() as u64;
    if have < need {
        return Err(KernelError::CutShort { have, need });
    }
    let looks_like = recognise::looks_like(bytes);
    let header = FileHeader64::<LittleEndian>::parse(bytes);
    let (OURS, Ok(header)) = (looks_like, header) else {
        return Err(KernelError::NotAKernel { looks_like });
    };
    if ![ET_EXEC, ET_DYN].contains(&header.e_type(endian)) {
        return Err(KernelError::Unsuitable("it is an ELF file but no program"));
    }
    let headers = header
        .program_headers(endian, bytes)
        .map_err(|_| KernelError::Malformed("its program headers lie outside of the file"))?;
    let mut entry = header.e_entry(endian);
    let mut segments = Vec::new();
    let lowest = headers.iter().filter(|load| is_loaded(load));
    let lowest = lowest.map(|load| load.p_paddr(endian)).min();
    let shift = match lowest {
        Some(lowest) if header.e_type(endian) == ET_DYN && lowest < memory_base => {
            if headers.iter().any(|it| it.p_type(endian) == PT_INTERP) {
                return Err(KernelError::Unsuitable(
                    "it is a program of an operating system, for it names an interpreter",
                ));
            }
            memory_base + PLACE - lowest / PLACE * PLACE
        }
        _ => 0,
    };
    for load in headers {
        if !is_loaded(load) {
            continue;
        }
        let segment = segment(load, bytes, shift)?;
        // Linux's vmlinux and others are linked high: the entry is a virtual address then.
        let into = header.e_entry(endian).wrapping_sub(load.p_vaddr(endian));
        if load.p_flags(endian).contains(PF_X) && into < load.p_memsz(endian) {
            entry = segment.address + into;
        }
        segments.push(segment);
    }
    segments.sort_by_key(|segment| segment.address);
    if segments
        .windows(2)
        .any(|pair| pair[0].end() > pair[1].address)
    {
        return Err(KernelError::Malformed("its segments overlap"));
    }
    if !segments
        .iter()
        .any(|segment| (segment.address..segment.end()).contains(&entry))
    {
        return Err(KernelError::Malformed("its entry lies in no segment"));
    }
    Ok(Kernel { entry, segments })
}

fn is_loaded(load: &ProgramHeader64<LittleEndian>) -> bool {
    load.p_type(LittleEndian) == PT_LOAD && load.p_memsz(LittleEndian) != 0
}

/// One `PT_LOAD`, `shift` bytes after its physical address.
fn segment<'a>(
    load: &ProgramHeader64<LittleEndian>,
    bytes: &'a [u8],
    shift: u64,
) -> Result<Segment<'a>, KernelError> {
    let endian = LittleEndian;
    let (offset, file_size) = load.file_range(endian);
    let need = offset
        .checked_add(file_size)
        .ok_or(KernelError::Malformed("a segment's size is out of range"))?;
    let data = load
        .data(endian, bytes)
        .map_err(|()| KernelError::CutShort {
            have: bytes.len() as u64,
            need,
        })?;
    let segment = Segment {
        address: load
            .p_paddr(endian)
            .checked_add(shift)
            .ok_or(KernelError::Malformed(
                "a segment's address is out of range",
            ))?,
        bytes: data,
        memory_size: load.p_memsz(endian),
    };
    if file_size > segment.memory_size {
        return Err(KernelError::Malformed(
            "a segment is longer than its memory",
        ));
    }
    if segment
        .address
        .checked_add(segment.memory_size)
        .is_none_or(|end| end > 1 << 56)
    {
        return Err(KernelError::Malformed(
            "a segment's address is out of range",
        ));
    }
    Ok(segment)
}
