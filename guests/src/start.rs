//! The entry point, the panic handler and the way out.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::{context, println, sbi};

// A Linux "Image" header (Documentation/arch/riscv/boot-image-header.rst), so that the flat binary
// is a kernel to every loader that takes one.
core::arch::global_asm!(
    r#"
    .section .text.start, "ax"
    .globl _start
_start:
    .option push
    .option norvc
    j 1f
    nop
    .option pop
    .quad 0x200000                      /* load offset from the start of RAM */
    .quad _image_end - _image_start
    .quad 0                             /* little endian */
    .long 2                             /* header version 0.2 */
    .long 0
    .quad 0
    .ascii "RISCV\0\0\0"
    .ascii "RSC\x05"
    .long 0
1:
    la t0, {trap}                       /* firmware may leave stvec anywhere: set it first */
    csrw stvec, t0
    csrw sie, zero
    csrw sscratch, zero
    la t0, _bss_start
    la t1, _bss_end
2:
    sd zero, 0(t0)
    addi t0, t0, 8
    bltu t0, t1, 2b
    la sp, _stack_top
    li tp, 0                            /* see harts.rs */
    tail {entry}
"#,
    trap = sym context::trap_entry,
    entry = sym entry,
);

unsafe extern "Rust" {
    fn guest_main();
    static GUEST_NAME: &'static str;
}

static HART: AtomicU64 = AtomicU64::new(0);
static DEVICE_TREE: AtomicU64 = AtomicU64::new(0);

extern "C" fn entry(hart: u64, device_tree: u64) -> ! {
    HART.store(hart, Ordering::Relaxed);
    DEVICE_TREE.store(device_tree, Ordering::Relaxed);
    context::reset();
    // SAFETY: `program!` defines both, once, in the binary that links this library.
    unsafe {
        println!("guest: {}", name());
        guest_main();
    }
    finish()
}

/// The program's name.
pub fn name() -> &'static str {
    // SAFETY: `program!` defines it, once, and nothing writes it.
    unsafe { GUEST_NAME }
}

/// The program's end, on whatever hart.
pub fn finish() -> ! {
    println!("guest: {} done", name());
    sbi::power_off(false)
}

/// The hart that the firmware started the program on.
pub fn hart() -> u64 {
    HART.load(Ordering::Relaxed)
}

/// Physical address of the flattened device tree.
pub fn device_tree() -> u64 {
    DEVICE_TREE.load(Ordering::Relaxed)
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    println!("guest: panic: {}", info.message());
    sbi::power_off(true)
}

/// Names the function that is the program.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        #[unsafe(no_mangle)]
        static GUEST_NAME: &str = env!("CARGO_BIN_NAME");

        #[unsafe(no_mangle)]
        fn guest_main() {
            $main()
        }
    };
}
