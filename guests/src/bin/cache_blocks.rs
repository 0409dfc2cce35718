//! `cbo.zero` in S-mode, which `senvcfg` does not govern: thousands before any code has run in U-mode, which
//! is denied it then, and three after that.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{code, csr, memory, println};

    fn zero(at: u64, bytes: u64) {
        for block in (at..at + bytes).step_by(64) {
            // SAFETY: a block of a page that is the caller's.
            unsafe { core::arch::asm!(".insn i 0x0f, 2, x0, {}, 4", in(reg) block) };
        }
    }

    fn main() {
        let pages = memory::allocate(0x4_0000);
        for value in [0u64, 0x80, 0] {
            csr::write!("senvcfg", value);
            for at in (pages..pages + 0x4_0000).step_by(64) {
                memory::write(at, 0x55u64);
            }
            zero(pages, 0x4_0000);
            let left = (pages..pages + 0x4_0000)
                .step_by(64)
                .filter(|&at| memory::read::<u64>(at) != 0)
                .count();
            println!("senvcfg {:#x}: {left} blocks left", csr::read!("senvcfg"));
        }
        let user = code!(".insn i 0x0f, 2, x0, a0, 4");
        println!("in U: {}", user.user().with(10, pages).run());
        memory::write(pages, 0x55u64);
        zero(pages, 3 * 64);
        println!("after it: {:#x}", memory::read::<u64>(pages));
        csr::write!("senvcfg", 0x80u64);
        println!("in U, granted: {}", user.user().with(10, pages).run());
        zero(pages, 3 * 64);
        csr::write!("senvcfg", 0u64);
        println!("in U, denied: {}", user.user().with(10, pages).run());
    }

    guests::program!(main);
}
