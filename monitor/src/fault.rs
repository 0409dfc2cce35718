//! The end: of a machine that cannot go on, and of a monitor that has a bug.

use core::fmt::Display;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use devices::host_tree::HostTree;
use devices::syscon;
use isa::address::HostPhys;

use super::console::{self, say};
use super::cpu::Cpu;
use super::gate::{Attempt, attempt};
use super::system::{self, System};
use super::{boot, csr, gate, heap, run, window};

/// Says what is wrong and powers off with a failure.
pub fn stop(error: &dyn Display) -> ! {
    say!("error: {error}");
    power_off(false)
}

/// Host-physical address of the host's test finisher; 0 without one, or when it has been tried.
static FINISHER: AtomicU64 = AtomicU64::new(0);

/// Reports failures to the host's test finisher, if it has one, from now on.
pub fn use_finisher(tree: &HostTree) {
    let registers = tree.finisher.map_or(0, |registers| registers.base.0);
    FINISHER.store(registers, Ordering::Relaxed);
}

/// Powers the board off; one whose firmware cannot stays on, and its harts wait for ever.
///
/// Firmware is told that it is a failure. On a simulator the simulator should learn of it too, for its
/// own exit status: OpenSBI's code for a failure is one that QEMU takes for success, so the finisher is
/// written first.
pub fn power_off(success: bool) -> ! {
    /// The legacy extension's number of the shutdown.
    const SHUTDOWN: usize = 8;

    // Should the access fault, the next attempt goes without.
    let finisher = FINISHER.swap(0, Ordering::SeqCst);
    if !success && finisher != 0 {
        let register = window::direct(HostPhys(finisher)).cast::<u32>();
        // SAFETY: the host's device tree says that the finisher's register is here.
        unsafe { register.write_volatile(syscon::FAIL | EXIT_CODE << 16) };
        // The simulator ends a moment later; firmware would tell it another status until then.
        let mut patience = Patience::new(END_TICKS);
        while !patience.is_over() {
            core::hint::spin_loop();
        }
    }
    let reason = u32::from(!success);
    sbi_rt::system_reset(RawType(0), RawType(reason));
    // What this hart holds it never gives up.
    if console::is_free() && heap::is_free() {
        say!(
            "all has ended with status {reason}; the firmware may leave the board on: switch it off"
        );
    }
    loop {
        // SAFETY: a firmware without the system reset extension has the legacy call; one that has neither
        // answers with an error in `a0`.
        unsafe {
            core::arch::asm!("ecall", in("a7") SHUTDOWN, lateout("a0") _, lateout("a1") _);
        }
        // Nothing is left to be done but to wait, where firmware lets S-mode.
        attempt(Attempt::Wait);
    }
}

/// The simulator's exit status after a failure.
const EXIT_CODE: u32 = 1;

/// How long the simulator is given to end, in ticks of `time`: a second on QEMU.
const END_TICKS: u64 = 10_000_000;

/// How long something is waited for. A fault is reported on hosts that cannot read `time`, too.
struct Patience {
    /// The last tick, if the host has any.
    end: Option<u64>,
    /// How many looks more there are, if it has not.
    looks: u64,
}

impl Patience {
    /// For so many ticks of `time`.
    fn new(ticks: u64) -> Self {
        const LOOKS: u64 = 1 << 22;
        let end = attempt(Attempt::Time).map(|now| now.saturating_add(ticks));
        Self { end, looks: LOOKS }
    }

    /// Whether it has come to its end.
    fn is_over(&mut self) -> bool {
        if let Some(end) = self.end {
            return attempt(Attempt::Time).is_none_or(|now| now > end);
        }
        self.looks = self.looks.saturating_sub(1);
        self.looks == 0
    }
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

/// A fault in a fault: there is nothing left to be said.
static FAULTS: AtomicUsize = AtomicUsize::new(0);

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    let cpu = boot::this_cpu();
    let work = cpu.zip(system::try_get());
    // A leaf lock that stays taken is this hart's own, and what it protects is half changed.
    let is_whole = work.is_some_and(|(_, system)| leaf_locks_are_free(system));
    if FAULTS.fetch_add(1, Ordering::SeqCst) >= MOST_FAULTS {
        power_off(false);
    }
    if work.is_some() && !is_whole {
        // Neither the heap nor the console may be used as usual.
        // SAFETY: this hart may hold the console's lock and will not go on.
        unsafe {
            console::emergency(format_args!(
                "error: the monitor has a bug and stops: {info}"
            ))
        };
        power_off(false);
    }
    heap::release();
    match info.location() {
        Some(at) => say!("panic at {}:{}: {}", at.file(), at.line(), info.message()),
        None => say!("panic: {}", info.message()),
    }
    if let Some((cpu, system)) = work {
        report(cpu, system);
    }
    match work {
        // Who cannot read `time` any more cannot go on with the others either.
        Some((cpu, system))
            if is_whole && cpu.current().is_some() && attempt(Attempt::Time).is_some() =>
        {
            bury(cpu, system)
        }
        _ => {
            say!("error: the monitor has a bug and stops; please report these lines");
            power_off(false)
        }
    }
}

/// Faults after which the monitor stops, whatever they were.
const MOST_FAULTS: usize = 16;

/// How long a lock is tried before it is taken to be held by whoever had the fault, in seconds: a hart
/// may be sending a long text on a slow line.
const PATIENCE: u64 = 2;

fn leaf_locks_are_free(system: &System) -> bool {
    let mut patience = Patience::new(PATIENCE * system.clock.timebase);
    let mut is_free = |lock: &dyn Fn() -> bool| loop {
        if lock() {
            return true;
        }
        if patience.is_over() {
            return false;
        }
    };
    is_free(&|| system.scheduler.try_lock().is_some())
        && is_free(&console::is_free)
        && is_free(&heap::is_free)
        && is_free(&|| system.devices.are_free())
        && is_free(&|| system.queues_are_free())
}

/// Says which harts were at work, and with what.
fn report(cpu: &Cpu, system: &System) {
    let Some((vm, index)) = cpu.current().map(|current| system.virtual_hart(current)) else {
        return say!("on hart {}, which ran no guest", cpu.hart);
    };
    let (x, pc, mode) = vm.last_registers(index);
    say!(
        "on hart {}, at work for {} hart {index}, whose last exit was at pc {pc:#x}, mode {mode}; registers from x1 on:",
        cpu.hart,
        vm.name
    );
    for row in x[1..].chunks(4) {
        let [a, b, c, d] = core::array::from_fn(|column| row.get(column).copied().unwrap_or(0));
        say!("{a:016x} {b:016x} {c:016x} {d:016x}");
    }
}

/// Ends the machine that the monitor was at work for, and goes on with the others.
fn bury(cpu: &'static Cpu, system: &'static System) -> ! {
    let current = cpu.current().expect("a guest ran");
    let (vm, _) = system.virtual_hart(current);
    let victim = cpu.holds().map_or(vm, |held| &system.vms[held]);
    say!(
        "error: the monitor has a bug; it goes on without {}; please report these lines",
        victim.name
    );
    // SAFETY: this hart set the mark when it got the lock, and does not go on.
    unsafe { victim.bury(cpu.holds().is_some()) };
    cpu.set_holds(None);
    window::enter_own();
    let cpus = {
        let mut scheduler = system.scheduler.lock();
        let cpus = scheduler.stop(victim.number, csr::time());
        if victim.number == vm.number {
            scheduler.block(cpu.index, csr::time());
        }
        cpus
    };
    system.ask_to_choose(cpus & !(1 << cpu.index));
    if victim.number == vm.number {
        cpu.set_current(None);
    }
    if system.is_alive(victim.number) {
        system.ended(victim.number, false);
    }
    heap::reserve();
    // SAFETY: the only lock that was held is given up, and nothing else on the stack is needed.
    unsafe { gate::start_over(cpu, run::run) }
}

/// A trap taken while the monitor itself ran.
pub extern "C" fn monitor_fault(cause: u64, pc: u64, value: u64, return_address: u64) -> ! {
    let root = csr::read!("satp");
    panic!(
        "trap in the monitor: scause {cause:#x}, sepc {pc:#x}, stval {value:#x}, ra {return_address:#x}, satp {root:#x}"
    );
}
