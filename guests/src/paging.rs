//! Page tables.

use core::arch::asm;

use crate::code::Snippet;
use crate::context::Context;
use crate::{csr, memory};

pub const V: u64 = 1 << 0;
pub const R: u64 = 1 << 1;
pub const W: u64 = 1 << 2;
pub const X: u64 = 1 << 3;
pub const U: u64 = 1 << 4;
pub const G: u64 = 1 << 5;
pub const A: u64 = 1 << 6;
pub const D: u64 = 1 << 7;
/// A valid leaf that needs no update: all but the permissions.
pub const LEAF: u64 = V | A | D;

/// A translation mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Sv39,
    Sv48,
    Sv57,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::Sv39, Self::Sv48, Self::Sv57];

    /// The modes that the machine has: those that satp takes.
    pub fn supported() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|&mode| {
            csr::write!("satp", Space::new(mode).satp(0));
            let taken = csr::read!("satp") >> 60 == mode.number();
            bare();
            taken
        })
    }

    /// satp.MODE.
    pub const fn number(self) -> u64 {
        self.levels() as u64 + 5
    }

    pub const fn levels(self) -> u32 {
        match self {
            Self::Sv39 => 3,
            Self::Sv48 => 4,
            Self::Sv57 => 5,
        }
    }

    /// Virtual address bits.
    pub const fn bits(self) -> u32 {
        12 + 9 * self.levels()
    }
}

/// An address space. Its first gibibyte of RAM is identity-mapped for S-mode, globally, so that
/// the program runs on under it.
#[derive(Clone, Copy)]
pub struct Space {
    pub mode: Mode,
    pub root: u64,
}

impl Space {
    pub fn new(mode: Mode) -> Self {
        let space = Self {
            mode,
            root: memory::page(),
        };
        space.map_level(0x8000_0000, 0x8000_0000, 2, R | W | X | G | LEAF);
        space
    }

    /// Address of the PTE for `address` at `level` (0: 4 KiB), making tables on the way down.
    pub fn slot(&self, address: u64, level: u32) -> u64 {
        let mut table = self.root;
        for above in (level + 1..self.mode.levels()).rev() {
            let slot = table + 8 * (address >> (12 + 9 * above) & 511);
            let pte: u64 = memory::read(slot);
            assert!(
                pte & (R | W | X) == 0,
                "a leaf is in the way of {address:#x}"
            );
            table = if pte & V != 0 {
                pte >> 10 << 12
            } else {
                let table = memory::page();
                memory::write(slot, table >> 2 | V);
                table
            };
        }
        table + 8 * (address >> (12 + 9 * level) & 511)
    }

    /// Maps one page of 4 KiB shifted by 9 bits a level. No fence.
    pub fn map_level(&self, address: u64, physical: u64, level: u32, flags: u64) {
        memory::write(self.slot(address, level), physical >> 12 << 10 | flags);
    }

    /// Maps a 4 KiB page. No fence.
    pub fn map(&self, address: u64, physical: u64, flags: u64) {
        self.map_level(address, physical, 0, flags);
    }

    /// The PTE of the 4 KiB page at `address`.
    pub fn pte(&self, address: u64) -> u64 {
        memory::read(self.slot(address, 0))
    }

    /// Maps the pages of a snippet for U-mode at `base` and gives a context that runs it there.
    pub fn user(&self, snippet: Snippet, base: u64) -> Context {
        let first = snippet.start & !4095;
        for page in (first..snippet.end).step_by(4096) {
            self.map(base + (page - first), page, R | X | U | LEAF);
        }
        fence();
        Context::user(base + (snippet.start - first))
    }

    /// satp for this space.
    pub const fn satp(&self, asid: u64) -> u64 {
        self.mode.number() << 60 | asid << 44 | self.root >> 12
    }

    /// Makes this the current address space, all old translations forgotten.
    pub fn activate(&self, asid: u64) {
        csr::write!("satp", self.satp(asid));
        fence();
    }
}

/// Writes satp and nothing else.
pub fn csr_satp(value: u64) {
    csr::write!("satp", value);
}

/// Back to Bare.
pub fn bare() {
    csr::write!("satp", 0u64);
    fence();
}

/// `sfence.vma x0, x0`.
pub fn fence() {
    // SAFETY: only drops cached translations.
    unsafe { asm!("sfence.vma") };
}

/// `sfence.vma address, x0`.
pub fn fence_address(address: u64) {
    // SAFETY: only drops cached translations.
    unsafe { asm!("sfence.vma {}, x0", in(reg) address) };
}

/// `sfence.vma x0, asid`.
pub fn fence_asid(asid: u64) {
    // SAFETY: only drops cached translations.
    unsafe { asm!("sfence.vma x0, {}", in(reg) asid) };
}

/// `sfence.vma address, asid`.
pub fn fence_both(address: u64, asid: u64) {
    // SAFETY: only drops cached translations.
    unsafe { asm!("sfence.vma {}, {}", in(reg) address, in(reg) asid) };
}
