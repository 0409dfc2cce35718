//! Calls to the Supervisor Binary Interface, by numbers so that a program can also make wrong ones.

use core::arch::asm;

pub const BASE: u64 = 0x10;
pub const TIME: u64 = 0x5449_4d45;
pub const IPI: u64 = 0x73_5049;
pub const RFENCE: u64 = 0x5246_4e43;
pub const HSM: u64 = 0x48_534d;
pub const SRST: u64 = 0x5352_5354;
pub const DBCN: u64 = 0x4442_434e;
pub const PMU: u64 = 0x50_4d55;
pub const SUSP: u64 = 0x5355_5350;
pub const STA: u64 = 0x53_5441;
pub const FWFT: u64 = 0x4657_4654;

/// What a call gives back in a0 and a1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    pub error: i64,
    pub value: u64,
}

impl core::fmt::Display for Reply {
    fn fmt(&self, out: &mut core::fmt::Formatter) -> core::fmt::Result {
        write!(out, "error {} value {:#x}", self.error, self.value)
    }
}

/// One SBI call. Legacy calls leave `value` as whatever a1 held.
pub fn call(extension: u64, function: u64, arguments: [u64; 6]) -> Reply {
    let [a0, a1, a2, a3, a4, a5] = arguments;
    let (error, value);
    // SAFETY: the binding preserves every register but a0 and a1 (SBI chapter 3). What the call
    // itself does to the machine is the caller's business: it is alone on it.
    unsafe {
        asm!("ecall",
            inlateout("a0") a0 => error, inlateout("a1") a1 => value,
            in("a2") a2, in("a3") a3, in("a4") a4, in("a5") a5,
            in("a6") function, in("a7") extension);
    }
    Reply { error, value }
}

/// Sets the timer to go off at the absolute time `at`.
pub fn set_timer(at: u64) -> Reply {
    call(TIME, 0, [at, 0, 0, 0, 0, 0])
}

/// Sends a software interrupt to the hart the program runs on.
pub fn interrupt_self() -> Reply {
    call(IPI, 0, [1, crate::start::hart(), 0, 0, 0, 0])
}

/// Powers the machine off; never returns.
pub fn power_off(failed: bool) -> ! {
    crate::console::flush();
    call(SRST, 0, [0, failed as u64, 0, 0, 0, 0]);
    call(8, 0, [0; 6]);
    loop {
        core::hint::spin_loop();
    }
}
