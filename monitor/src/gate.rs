//! The trap gate's assembly, and what Rust needs of it.

use patch::HartBlock;
use patch::block_offset as slot;

use super::cpu::Cpu;
use super::{csr, window};

core::arch::global_asm!(
    include_str!("gate.S"),
    T1 = const slot!(t1),
    T2 = const slot!(t2),
    T3 = const slot!(t3),
    T4 = const slot!(t4),
    T5 = const slot!(t5),
    T6 = const slot!(t6),
    X0 = const slot!(hart.x),
    pc = const slot!(hart.pc),
    mode = const slot!(hart.mode),
    sstatus = const slot!(hart.sstatus),
    stvec = const slot!(hart.stvec),
    sepc = const slot!(hart.sepc),
    scause = const slot!(hart.scause),
    stval = const slot!(hart.stval),
    satp = const slot!(hart.satp),
    satp_vs = const slot!(satp_vs),
    satp_vu = const slot!(satp_vu),
    gate_vs = const slot!(gate_vs),
    gate_vu = const slot!(gate_vu),
    root = const slot!(root),
    root_shift = const slot!(root_shift),
    direct_map = const slot!(direct_map),
    emulation_map = const slot!(emulation_map),
    ram_base = const slot!(ram_base),
    ram_size = const slot!(ram_size),
    ram_offset = const slot!(ram_offset),
    pieces = const mmu::PIECES | isa::pte::Pte::G,
    pieces_or_execute = const mmu::PIECES | isa::pte::Pte::G | isa::pte::Pte::X,
    filling = const slot!(filling),
    fences = const slot!(fences),
    fence_log = const slot!(fence_log),
    fence_log_mask = const patch::block::FENCE_LOG - 1,
    exit = const slot!(exit),
    exit_word = const slot!(exit_word),
    monitor_sp = const slot!(monitor_sp),
    monitor_tp = const slot!(monitor_tp),
    routine_changes = const slot!(routine_changes),
    routine_changes_seen = const slot!(routine_changes_seen),
    fault_stack = const core::mem::offset_of!(super::cpu::Cpu, fault_stack),
    cache_misses = const slot!(cache_misses),
    handle_exit = sym super::run::handle_exit,
    monitor_fault = sym super::fault::monitor_fault,
);

unsafe extern "C" {
    fn gate_vs();
    fn gate_vs_frame();
    fn gate_vu();
    fn slow_interrupt();
    fn slow_emulate();
    fn fence_address();
    fn fence_address_shared();
    fn gate_fence();
    fn enter_fence();
    fn restart(stack: u64, code: extern "C" fn(&'static Cpu) -> !, cpu: &'static Cpu) -> !;
    fn enter_guest(cache: *mut u8) -> !;
    fn try_senvcfg(value: u64) -> u64;
    fn try_cycle(_: u64) -> u64;
    fn try_time(_: u64) -> u64;
    fn try_instret(_: u64) -> u64;
    fn try_wfi(_: u64) -> u64;
    fn try_th_sxstatus(_: u64) -> u64;
    fn try_interrupt_file(highest: u64) -> u64;
    fn try_flush_block(at: u64) -> u64;
    fn try_thead_flush_line(at: u64) -> u64;
    fn try_thead_flush_all(_: u64) -> u64;
    fn probe(code: unsafe extern "C" fn(u64) -> u64, argument: u64) -> Probed;
}

/// What `probe` returns, in `a0` and `a1`.
#[repr(C)]
struct Probed {
    value: u64,
    trapped: u64,
}

/// Fills in the addresses of the gate. `frame`: every patch saves a trap frame all the same.
pub fn set_addresses(block: &mut HartBlock, frame: bool) {
    block.gate_vs = if frame {
        gate_vs_frame as *const () as u64
    } else {
        gate_vs as *const () as u64
    };
    block.gate_vu = gate_vu as *const () as u64;
    block.slow_interrupt = slow_interrupt as *const () as u64;
    block.slow_emulate = slow_emulate as *const () as u64;
}

/// Who carries out fences of one address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fence {
    /// The slow path.
    Slow,
    /// The gate, for the only hart of its machine.
    Alone,
    /// The gate, for one of several.
    Shared,
}

/// Chooses who carries out fences of one address.
pub fn set_fence(block: &mut HartBlock, fence: Fence) {
    block.fence_address = match fence {
        Fence::Slow => slow_emulate as *const () as u64,
        Fence::Alone => fence_address as *const () as u64,
        Fence::Shared => fence_address_shared as *const () as u64,
    };
}

/// Makes the two instructions after a change of `satp` fences, because the host has too few ASIDs to
/// keep contexts apart. To be called before a guest runs.
pub fn fence_on_switch() {
    for at in [gate_fence as *const (), enter_fence as *const ()] {
        let at = window::direct(window::host(at.cast::<u32>())).cast::<u32>();
        let fence = isa::encode::sfence_vma(isa::reg::Reg::X0, isa::reg::Reg::X0);
        // SAFETY: a 4-byte nop of the gate, reached through the direct map; no guest runs yet.
        unsafe { at.write_volatile(fence) };
    }
    csr::fence_i();
}

/// The address that `sscratch` holds while the guest of `block` runs.
pub fn block_address(block: *mut HartBlock) -> *mut u8 {
    block
        .cast::<u8>()
        .wrapping_add(core::mem::offset_of!(HartBlock, cache))
}

/// Enters the guest whose block's site cache is at `cache`, for good: the monitor comes back through
/// `handle_exit`.
///
/// # Safety
/// The block must be complete: gate, views, monitor stack; and its views must contain the window.
pub unsafe fn enter(cache: *mut u8) -> ! {
    // SAFETY: the caller's promise.
    unsafe { enter_guest(cache) }
}

/// Goes on with `code` on the host hart's stack, which is empty then.
///
/// # Safety
/// Nothing that is on the stack, locks that are held among it, may be needed any more.
pub unsafe fn start_over(cpu: &'static Cpu, code: extern "C" fn(&'static Cpu) -> !) -> ! {
    // SAFETY: the stack is this host hart's, and the caller needs nothing on it.
    unsafe { restart(cpu.stack, code, cpu) }
}

/// Instructions that the processor may not have, or that firmware may deny to S-mode.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attempt {
    /// Writes `senvcfg`, reads it back, and leaves it 0.
    Senvcfg(u64),
    /// Reads `cycle`.
    Cycle,
    /// Reads `time`.
    Time,
    /// Reads `instret`.
    Instret,
    /// Waits for an interrupt.
    Wait,
    /// Reads `th.sxstatus`.
    ThSxstatus,
    /// Opens the hart's interrupt file for the identities from 1 to this one, at most 62, and reads `stopei`;
    /// returns `eie0`.
    InterruptFile(u64),
    /// Writes the cache block at an address in the direct map back to memory.
    FlushBlock(u64),
    /// On T-Head's processors, writes the line at a host-physical address back to memory, and drops it.
    TheadFlushLine(u64),
    /// The same for all of the data cache.
    TheadFlushAll,
}

/// What the instruction returns; `None` when it trapped.
pub fn attempt(what: Attempt) -> Option<u64> {
    let (code, operand): (unsafe extern "C" fn(u64) -> u64, u64) = match what {
        Attempt::Senvcfg(value) => (try_senvcfg, value),
        Attempt::Cycle => (try_cycle, 0),
        Attempt::Time => (try_time, 0),
        Attempt::Instret => (try_instret, 0),
        Attempt::Wait => (try_wfi, 0),
        Attempt::ThSxstatus => (try_th_sxstatus, 0),
        Attempt::InterruptFile(highest) => (try_interrupt_file, highest),
        Attempt::FlushBlock(at) => (try_flush_block, at),
        Attempt::TheadFlushLine(at) => (try_thead_flush_line, at),
        Attempt::TheadFlushAll => (try_thead_flush_all, 0),
    };
    // SAFETY: each piece of code touches no memory of Rust's (a flushed block keeps its contents;
    // `senvcfg` governs U-mode alone, an interrupt file the hart's interrupts, which are off), and `probe`
    // comes back from its trap.
    let probed = unsafe { probe(code, operand) };
    (probed.trapped == 0).then_some(probed.value)
}
