//! U-mode in Bare mode: memory, calls, faults, and the way back and forth a thousand times.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{code, memory, println};

    fn main() {
        let page = memory::page();
        let work = code!(
            "1:",
            "ld t0, 0(a0)",
            "addi t0, t0, 3",
            "sd t0, 0(a0)",
            "amoadd.d t1, t0, (a2)",
            "ecall",
            "j 1b"
        );
        let mut context = work.user().with(10, page).with(12, page + 64);
        for _ in 0..1000 {
            let trap = context.run();
            assert_eq!(trap.cause, 8, "{trap}");
            context.pc += 4;
        }
        println!(
            "1000 calls: {} {}",
            memory::read::<u64>(page),
            memory::read::<u64>(page + 64)
        );
        for (name, snippet) in [
            ("csrr sstatus", code!("csrr a0, sstatus")),
            ("csrw satp", code!("csrw satp, zero")),
            ("sfence.vma", code!("sfence.vma")),
            ("sret", code!("sret")),
            ("wfi", code!("wfi")),
            ("ebreak", code!("ebreak")),
            ("c.ebreak", code!("c.ebreak")),
            ("rdtime", code!("rdtime a0")),
            ("fence.i", code!("fence.i")),
            ("fence", code!("fence rw, rw")),
            ("load from 0", code!("ld a0, 0(zero)")),
            ("store to 8", code!("sd a0, 8(zero)")),
            ("jump to 0", code!("jr zero")),
        ] {
            for _ in 0..3 {
                println!("{name}: {}", snippet.user().run());
            }
        }
    }

    guests::program!(main);
}
