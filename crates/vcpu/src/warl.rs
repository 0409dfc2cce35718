//! What a guest's write leaves in each supervisor CSR: one function per CSR.
//!
//! Each takes the value the CSR holds, the value written and what the hart offers, and gives the
//! value the CSR then holds, which is also what a guest reads. Where the specification leaves
//! a choice (WARL, "write any, read legal"), the choice and its reason stand with the function.
//! Every function gives a legal value whatever `old` is, and gives back a legal value unchanged.

use isa::csr::{interrupt, senvcfg, sstatus, stvec};
use isa::satp::Satp;

use crate::state::Features;

/// What a write does to one CSR: old value, written value, and what is offered, to new value.
pub type Rule = fn(old: u64, written: u64, features: &Features) -> u64;

/// The interrupts that there are: bits that `sie` can hold and `sip` can show.
pub const INTERRUPTS: u64 = interrupt::SSI | interrupt::STI | interrupt::SEI;

/// `sstatus`. FS and VS know Off and Dirty only: the specification lets an implementation report
/// Dirty for any state but Off ("Extension Context Status in mstatus Register"), and so nobody
/// has to watch for the first write to a floating-point register. UXL is 64 bits and UBE little
/// endian, both fixed; XS is 0, and SD follows FS and VS.
#[must_use]
pub fn sstatus(_old: u64, written: u64, features: &Features) -> u64 {
    let plain = sstatus::SIE | sstatus::SPIE | sstatus::SPP | sstatus::SUM | sstatus::MXR;
    let mut value = written & features.sstatus & plain | sstatus::UXL_64;
    for unit in [sstatus::FS, sstatus::VS] {
        if written & features.sstatus & unit != 0 {
            value |= unit | sstatus::SD;
        }
    }
    value
}

/// `sie`: a bit for each interrupt that there is.
#[must_use]
pub fn sie(_old: u64, written: u64, _features: &Features) -> u64 {
    written & INTERRUPTS
}

/// `sip`: the guest sets and clears SSIP alone; the other bits are wires from the devices
/// ("Supervisor Interrupt (sip and sie) Registers").
#[must_use]
pub fn sip(old: u64, written: u64, _features: &Features) -> u64 {
    old & INTERRUPTS & !interrupt::SSI | written & interrupt::SSI
}

/// `stvec`: a write with a reserved MODE (2 or 3) has no effect at all, as on QEMU: there is no
/// telling what address was meant. BASE can hold every address, with no alignment beyond 4 bytes
/// in vectored mode either.
#[must_use]
pub fn stvec(old: u64, written: u64, _features: &Features) -> u64 {
    if written & stvec::MODE <= stvec::VECTORED {
        written
    } else if old & stvec::MODE <= stvec::VECTORED {
        old
    } else {
        old & !stvec::MODE
    }
}

/// `sscratch`: all bits are kept.
#[must_use]
pub fn sscratch(_old: u64, written: u64, _features: &Features) -> u64 {
    written
}

/// `sepc`: bit 0 is 0. Bit 1 is kept, since there are compressed instructions (IALIGN is 16).
#[must_use]
pub fn sepc(_old: u64, written: u64, _features: &Features) -> u64 {
    written & !1
}

/// `scause`: WLRL; all bits are kept, as on QEMU.
#[must_use]
pub fn scause(_old: u64, written: u64, _features: &Features) -> u64 {
    written
}

/// `stval`: all bits are kept.
#[must_use]
pub fn stval(_old: u64, written: u64, _features: &Features) -> u64 {
    written
}

/// `satp`: "if satp is written with an unsupported MODE, the entire write has no effect". All 16
/// bits of ASID and all 44 of PPN are kept, in Bare mode too, where the effect of bits that are
/// not 0 is left open.
#[must_use]
pub fn satp(old: u64, written: u64, features: &Features) -> u64 {
    if features.offers_satp_mode(Satp(written).mode()) {
        written
    } else if features.offers_satp_mode(Satp(old).mode()) {
        old
    } else {
        0
    }
}

/// `scounteren`: 32 bits, of which any may be read-only 0.
#[must_use]
pub fn scounteren(_old: u64, written: u64, features: &Features) -> u64 {
    written & features.scounteren & 0xffff_ffff
}

/// `senvcfg`: the bits of what the hart offers. The reserved value 2 of CBIE leaves CBIE as it
/// was, and the other fields are written all the same: they are WARL fields each for itself.
#[must_use]
pub fn senvcfg(old: u64, written: u64, features: &Features) -> u64 {
    let cbie = |value: u64| value & features.senvcfg & senvcfg::CBIE;
    let is_legal = |cbie: u64| cbie != CBIE_RESERVED;
    let others = written & features.senvcfg & !senvcfg::CBIE;
    if is_legal(cbie(written)) {
        others | cbie(written)
    } else if is_legal(cbie(old)) {
        others | cbie(old)
    } else {
        others
    }
}

/// The reserved value of `senvcfg.CBIE`, in its place.
const CBIE_RESERVED: u64 = 2 << senvcfg::CBIE.trailing_zeros();
