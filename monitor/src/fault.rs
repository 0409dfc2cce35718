//! The end: of a machine that cannot go on, and of a monitor that has a bug.

use core::fmt::Display;
use core::panic::PanicInfo;

use super::console::{self, say};
use super::csr;

/// Says what is wrong and powers off with a failure.
pub fn stop(error: &dyn Display) -> ! {
    say!("error: {error}");
    power_off(false)
}

/// Powers the board off.
pub fn power_off(success: bool) -> ! {
    let reason = u32::from(!success);
    sbi_rt::system_reset(RawType(0), RawType(reason));
    // A firmware without the system reset extension has the legacy call.
    #[expect(deprecated, reason = "the last resort")]
    sbi_rt::legacy::shutdown()
}

/// A number for the firmware's system reset call.
struct RawType(u32);

impl sbi_rt::ResetType for RawType {
    fn raw(&self) -> u32 {
        self.0
    }
}

impl sbi_rt::ResetReason for RawType {
    fn raw(&self) -> u32 {
        self.0
    }
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    // SAFETY: this hart, the only one that runs, may hold the console's lock and will not go on.
    unsafe { console::force_unlock() };
    say!("error: the monitor has a bug and stops; please report these lines");
    match info.location() {
        Some(at) => say!("panic at {}:{}: {}", at.file(), at.line(), info.message()),
        None => say!("panic: {}", info.message()),
    }
    power_off(false)
}

/// A trap taken while the monitor itself ran.
pub extern "C" fn monitor_fault(cause: u64, pc: u64, value: u64, return_address: u64) -> ! {
    let root = csr::read!("satp");
    panic!(
        "trap in the monitor: scause {cause:#x}, sepc {pc:#x}, stval {value:#x}, ra {return_address:#x}, satp {root:#x}"
    );
}
