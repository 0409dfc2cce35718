//! Reboots the machine, by a cold and by a warm reset, each time after its privileged instructions
//! ran often enough to be patched and its text and data have been changed: after each the program
//! must be as it was loaded. Memory outside of the image may survive or not.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::sync::atomic::{AtomicU64, Ordering};
    use guests::code::{EBREAK, csrr, write_words};
    use guests::context::Context;
    use guests::{code, console, csr, memory, println, sbi};

    /// Changes with every boot; in the image, so that a reboot puts it back.
    static DATA: AtomicU64 = AtomicU64::new(0x600d);
    static ZERO: AtomicU64 = AtomicU64::new(0);

    /// Where the number of boots is kept: not in the image, which a reset restores.
    const COUNT: u64 = 0x85ff_f000;
    const MAGIC: u64 = 0x7265_626f_6f74_2100;

    fn main() {
        let kept: u64 = memory::read(COUNT);
        let boots = if kept & !0xff == MAGIC {
            kept & 0xff
        } else {
            0
        };
        println!(
            "boot {boots}: data {:#x} zero {:#x}",
            DATA.load(Ordering::Relaxed),
            ZERO.load(Ordering::Relaxed)
        );
        println!(
            "sie {:#x} sip {:#x} satp {:#x} sstatus {}",
            csr::read!("sie"),
            csr::read!("sip"),
            csr::read!("satp"),
            csr::Status(csr::read!("sstatus"))
        );
        let snippet = code!(
            "csrr a0, scause",
            "csrr a1, sie",
            "sfence.vma",
            "csrr a2, sscratch"
        );
        for _ in 0..300 {
            let mut context = snippet.supervisor();
            csr::write!("scause", 5u64);
            let trap = context.run();
            assert_eq!((trap.cause, context.x[10]), (3, 5), "{trap}");
        }
        println!(
            "text: {:04x?}",
            [
                memory::read::<u16>(snippet.start),
                memory::read::<u16>(snippet.start + 4)
            ]
        );
        write_words(snippet.start, &[csrr(10, 0x143), EBREAK]);
        csr::write!("stval", 0x99u64);
        let mut context = Context::supervisor(snippet.start);
        context.run();
        println!("changed: {:#x}", context.x[10]);
        DATA.store(0xbad, Ordering::Relaxed);
        ZERO.store(0xbad, Ordering::Relaxed);
        if boots < 4 {
            memory::write(COUNT, MAGIC | (boots + 1));
            csr::write!("sie", csr::TIMER | csr::SOFTWARE);
            csr::write!("sip", csr::SOFTWARE);
            println!("guest: reboot resets");
            console::flush();
            sbi::call(sbi::SRST, 0, [1 + (boots & 1), 0, 0, 0, 0, 0]);
            panic!("no reset");
        }
    }

    guests::program!(main);
}
