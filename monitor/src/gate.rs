//! The trap gate's assembly, and what Rust needs of it.

use patch::HartBlock;
use patch::block_offset as slot;

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
    fences = const slot!(fences),
    fence_log = const slot!(fence_log),
    fence_log_mask = const patch::block::FENCE_LOG - 1,
    exit = const slot!(exit),
    exit_word = const slot!(exit_word),
    monitor_sp = const slot!(monitor_sp),
    monitor_tp = const slot!(monitor_tp),
    cache_misses = const slot!(cache_misses),
    handle_exit = sym super::exit::handle_exit,
    monitor_fault = sym super::fault::monitor_fault,
);

unsafe extern "C" {
    fn gate_vs();
    fn gate_vs_frame();
    fn gate_vu();
    fn slow_interrupt();
    fn slow_emulate();
    fn fence_address();
    fn gate_fence();
    fn enter_fence();
    fn enter_guest(cache: *mut u8) -> !;
    fn try_senvcfg(value: u64) -> u64;
    fn try_cycle(_: u64) -> u64;
    fn try_time(_: u64) -> u64;
    fn try_instret(_: u64) -> u64;
    fn try_flush_block(at: u64) -> u64;
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
    block.fence_address = fence_address as *const () as u64;
    block.slow_emulate = slow_emulate as *const () as u64;
}

/// Chooses who carries out fences of one address: the gate, or the slow path.
pub fn set_fence(block: &mut HartBlock, by_gate: bool) {
    block.fence_address = if by_gate {
        fence_address as *const () as u64
    } else {
        slow_emulate as *const () as u64
    };
}

/// Addresses of the two instructions that must be `sfence.vma` where ASIDs cannot keep contexts apart.
pub fn fences() -> [u64; 2] {
    [
        gate_fence as *const () as u64,
        enter_fence as *const () as u64,
    ]
}

/// The address that `sscratch` holds while the guest of `block` runs.
pub fn block_address(block: *mut HartBlock) -> *mut u8 {
    block
        .cast::<u8>()
        .wrapping_add(core::mem::offset_of!(HartBlock, cache))
}

/// The block whose site cache is at `cache`.
pub fn block_at(cache: *mut u8) -> *mut HartBlock {
    cache
        .wrapping_sub(core::mem::offset_of!(HartBlock, cache))
        .cast()
}

/// Enters the guest whose state is in `block`, for good: the monitor comes back through `handle_exit`.
///
/// # Safety
/// The block must be complete: gate, views, monitor stack; and its views must contain the window.
pub unsafe fn enter(block: *mut HartBlock) -> ! {
    // SAFETY: the caller's promise.
    unsafe { enter_guest(block_address(block)) }
}

/// An instruction that the processor may not have, or that firmware may deny to S-mode.
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
    /// Writes the cache block at an address in the direct map back to memory.
    FlushBlock(u64),
}

/// What the instruction returns; `None` when it trapped.
pub fn attempt(what: Attempt) -> Option<u64> {
    let (code, operand): (unsafe extern "C" fn(u64) -> u64, u64) = match what {
        Attempt::Senvcfg(value) => (try_senvcfg, value),
        Attempt::Cycle => (try_cycle, 0),
        Attempt::Time => (try_time, 0),
        Attempt::Instret => (try_instret, 0),
        Attempt::FlushBlock(at) => (try_flush_block, at),
    };
    // SAFETY: each piece of code is one instruction that touches no memory of Rust's (a flushed
    // block keeps its contents; `senvcfg` governs U-mode alone), and `probe` comes back from its trap.
    let probed = unsafe { probe(code, operand) };
    (probed.trapped == 0).then_some(probed.value)
}
