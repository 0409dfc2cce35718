//! What `wfi` does on this host, in S-mode and in U-mode.
//!
//! In U-mode it may raise an illegal-instruction exception, or do nothing, or wait ("Wait for Interrupt").
//! Where it does not trap, a guest's `wfi` would stay the hardware's, which knows nothing of the
//! guest's interrupts. In S-mode firmware may keep it to itself (`mstatus.TW`).

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, Ordering};

use isa::address::GuestPhys;
use isa::csr::{Exception, interrupt};
use isa::satp::{self, Satp};

use super::csr;
use super::exit::INTERRUPT;
use super::gate::{Attempt, attempt};
use super::window::{self, Table};

core::arch::global_asm!(include_str!("wfi.S"));

#[repr(C)]
struct Trapped {
    cause: u64,
    pc: u64,
}

unsafe extern "C" {
    fn run_user_wfi(satp: u64, at: u64) -> Trapped;
    static user_wfi: u8;
}

/// Where U-mode finds the page with the `wfi`: in the first table of each level.
const PAGE: u64 = 0x5000;

/// Whether the harts of the host may wait in S-mode.
static MAY_WAIT: AtomicBool = AtomicBool::new(true);

/// Waits until an interrupt that `sie` enables may be pending. Where firmware keeps `wfi` to itself
/// nothing is waited for.
pub fn wait() {
    if MAY_WAIT.load(Ordering::Relaxed) {
        csr::wait_for_interrupt();
    } else {
        core::hint::spin_loop();
    }
}

/// Finds out what it does, with a timer that ends each wait; `true` when it traps in U-mode. To be called
/// before a guest runs, with interrupts off.
pub fn probe(timebase: u32) -> bool {
    let enabled = csr::read!("sie");
    // SAFETY: interrupts are off in S-mode; U-mode is left by the timer's.
    unsafe { csr::write!("sie", interrupt::STI) };
    let may_wait = may_wait();
    MAY_WAIT.store(may_wait, Ordering::Relaxed);
    let traps = traps(timebase);
    sbi_rt::set_timer(u64::MAX);
    // SAFETY: as it was.
    unsafe { csr::write!("sie", enabled) };
    traps
}

/// Whether `wfi` does not trap in S-mode. It is executed when an interrupt is pending that ends it.
fn may_wait() -> bool {
    sbi_rt::set_timer(0);
    while csr::read!("sip") & interrupt::STI == 0 {
        core::hint::spin_loop();
    }
    attempt(Attempt::Wait).is_some()
}

/// Whether it traps in U-mode. The timer is to go off while it waits. On a slow simulator it may before
/// the `wfi` is reached, which tells nothing; then it gets more time.
fn traps(timebase: u32) -> bool {
    let space = Space::new();
    let mut ticks = u64::from(timebase / 1000).max(1);
    for _ in 0..10 {
        sbi_rt::set_timer(csr::time().saturating_add(ticks));
        // SAFETY: the address space has all that the monitor's own has, and the page at `PAGE`.
        let Trapped { cause, pc } = unsafe { run_user_wfi(space.satp, PAGE) };
        match cause {
            cause if cause == Exception::IllegalInstruction.code() => return true,
            cause if cause & INTERRUPT != 0 && pc == PAGE => ticks *= 2,
            // It went on, or is still to go on, behind it.
            _ => return false,
        }
    }
    false
}

/// The present address space with one page more, which U-mode may execute.
struct Space {
    satp: u64,
    _tables: [Box<Table>; 5],
}

impl Space {
    fn new() -> Self {
        const V: u64 = 1;
        /// V, R, X, U, A.
        const USER_CODE: u64 = 0b101_1011;
        let entry = |host: isa::address::HostPhys, flags| host.0 >> 12 << 10 | flags;
        let present = Satp(csr::read!("satp"));
        let levels = satp::levels(present.mode()).expect("translation is on") as usize;
        let root = window::direct(isa::address::HostPhys(present.root().0)).cast::<Table>();
        let mut tables: [Box<Table>; 5] = core::array::from_fn(|_| Box::new(Table([0; 512])));
        // SAFETY: the table in use, which nothing changes at the moment.
        tables[0].0 = unsafe { root.as_ref() }.0;
        for level in 1..levels {
            tables[level - 1].0[0] = entry(window::host(&raw const *tables[level]), V);
        }
        let page = window::host(&raw const user_wfi);
        tables[levels - 1].0[(PAGE >> 12) as usize] = entry(page, USER_CODE);
        let root = window::host(&raw const *tables[0]);
        Self {
            satp: Satp::new(present.mode(), 0, GuestPhys(root.0)).0,
            _tables: tables,
        }
    }
}
