//! Pieces of code under test.

use crate::context::{Context, Trap};
use crate::memory;

/// A piece of code in the program's text, made by [`code!`](crate::code). It ends in an `ebreak`.
#[derive(Clone, Copy)]
pub struct Snippet {
    pub start: u64,
    pub end: u64,
}

impl Snippet {
    /// The code's bytes in 16-bit parcels.
    pub fn parcels(&self) -> impl Iterator<Item = u16> + use<> {
        (self.start..self.end).step_by(2).map(memory::read::<u16>)
    }

    /// Copies the code to `address` and makes it visible to instruction fetch there.
    pub fn copy_to(&self, address: u64) {
        for (index, parcel) in self.parcels().enumerate() {
            memory::write(address + 2 * index as u64, parcel);
        }
        fence_i();
    }

    /// The snippet's code in S-mode.
    pub fn supervisor(&self) -> Context {
        Context::supervisor(self.start)
    }

    /// The snippet's code in U-mode, where it stands.
    pub fn user(&self) -> Context {
        Context::user(self.start)
    }

    /// Runs in S-mode with registers zero.
    pub fn run(&self) -> Trap {
        self.supervisor().run()
    }
}

/// Writes instruction words at `address` and makes them visible to instruction fetch.
pub fn write_words(address: u64, words: &[u32]) {
    for (index, &word) in words.iter().enumerate() {
        let address = address + 4 * index as u64;
        memory::write(address, word as u16);
        memory::write(address + 2, (word >> 16) as u16);
    }
    fence_i();
}

/// Makes earlier stores visible to instruction fetch on this hart.
pub fn fence_i() {
    // SAFETY: only orders memory.
    unsafe { core::arch::asm!("fence.i") };
}

/// `ebreak`, uncompressed.
pub const EBREAK: u32 = 0x0010_0073;
/// `c.ebreak`.
pub const C_EBREAK: u16 = 0x9002;

/// The six CSR instruction forms, by funct3, with their names.
pub const CSR_FORMS: [(u32, &str); 6] = [
    (1, "csrrw"),
    (2, "csrrs"),
    (3, "csrrc"),
    (5, "csrrwi"),
    (6, "csrrsi"),
    (7, "csrrci"),
];

/// The word of a CSR instruction; `source` is a register or a 5-bit immediate as `form` says.
pub const fn csr_word(form: u32, csr: u32, rd: usize, source: usize) -> u32 {
    csr << 20 | (source as u32) << 15 | form << 12 | (rd as u32) << 7 | 0x73
}

/// `csrrw x0, csr, rs1`.
pub const fn csrw(csr: u32, rs1: usize) -> u32 {
    csr_word(1, csr, 0, rs1)
}

/// `csrrs rd, csr, x0`.
pub const fn csrr(rd: usize, csr: u32) -> u32 {
    csr_word(2, csr, rd, 0)
}

/// `addi rd, rs1, immediate`.
pub const fn addi(rd: usize, rs1: usize, immediate: i32) -> u32 {
    (immediate as u32) << 20 | (rs1 as u32) << 15 | (rd as u32) << 7 | 0x13
}

/// Assembles its lines out of line, followed by an `ebreak`, and gives the [`Snippet`]. Operands
/// (`const`, `sym`) may follow after a semicolon.
#[macro_export]
macro_rules! code {
    ($($line:expr),+ $(,)? $(; $($operand:tt)*)?) => {{
        let start: u64;
        let end: u64;
        // SAFETY: only takes two addresses; the lines themselves run when the program runs them.
        unsafe {
            core::arch::asm!(
                "la {snippet_start}, 77770f",
                "la {snippet_end}, 77771f",
                ".pushsection .snippets, \"ax\"",
                ".balign 4",
                ".option push",
                ".option arch, +a, +c, +d, +v, +zicsr, +zifencei",
                "77770:",
                $($line,)+
                ".option norvc",
                "ebreak",
                "77771:",
                ".option pop",
                ".popsection",
                snippet_start = out(reg) start,
                snippet_end = out(reg) end,
                $($($operand)*)?
            );
        }
        $crate::code::Snippet { start, end }
    }};
}
