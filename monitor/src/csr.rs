//! The hardware's supervisor CSRs.

/// Reads a CSR, named as in assembly.
macro_rules! read {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading a supervisor CSR has no effect on memory.
        unsafe { core::arch::asm!(concat!("csrr {}, ", $name), out(reg) value, options(nomem, nostack)) };
        value
    }};
}

/// Writes a CSR, named as in assembly. The expansion is unsafe: the caller argues why the new value is right.
macro_rules! write {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        core::arch::asm!(concat!("csrw ", $name, ", {}"), in(reg) value, options(nostack))
    }};
}

/// Sets bits of a CSR.
macro_rules! set {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        core::arch::asm!(concat!("csrs ", $name, ", {}"), in(reg) value, options(nostack))
    }};
}

/// Clears bits of a CSR.
macro_rules! clear {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        core::arch::asm!(concat!("csrc ", $name, ", {}"), in(reg) value, options(nostack))
    }};
}

pub(crate) use {clear, read, set, write};

/// Orders and drops all address translations of this hart.
pub fn fence_all() {
    // SAFETY: a fence changes no state that the compiler knows of; dropping cached translations is always allowed.
    unsafe { core::arch::asm!("sfence.vma", options(nostack)) };
}

/// What `satp` holds after `value` was written to it; translation is off then, as it was before.
///
/// # Safety
/// If the processor takes `value`, its tables map this code to itself.
pub unsafe fn try_satp(value: u64) -> u64 {
    let found: u64;
    // SAFETY: the caller's promise; no memory is accessed in between.
    unsafe {
        core::arch::asm!(
            "sfence.vma",
            "csrw satp, {value}",
            "csrr {found}, satp",
            "csrw satp, zero",
            "sfence.vma",
            value = in(reg) value,
            found = out(reg) found,
            options(nostack)
        );
    }
    found
}

/// Drops cached translations of one hardware ASID.
pub fn fence_asid(asid: u64) {
    // SAFETY: as for `fence_all`.
    unsafe { core::arch::asm!("sfence.vma x0, {}", in(reg) asid, options(nostack)) };
}

/// Drops cached translations of one address, in all address spaces.
pub fn fence_address(address: u64) {
    // SAFETY: as for `fence_all`.
    unsafe { core::arch::asm!("sfence.vma {}, x0", in(reg) address, options(nostack)) };
}

/// Makes earlier stores visible to this hart's instruction fetches.
pub fn fence_i() {
    // SAFETY: as for `fence_all`.
    unsafe { core::arch::asm!("fence.i", options(nostack)) };
}

/// Waits until an interrupt that `sie` enables is pending. Where firmware denies that, it traps.
pub fn wait_for_interrupt() {
    // SAFETY: interrupts are off in S-mode: `wfi` resumes without an interrupt.
    unsafe { core::arch::asm!("wfi", options(nomem, nostack)) };
}

/// The hardware's `time`, in timebase ticks. Reports of faults go without.
pub fn time() -> u64 {
    read!("time")
}
