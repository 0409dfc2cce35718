//! `lr`/`sc` loops and atomics with privileged instructions, traps and page faults between them.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::paging::{A, D, Mode, R, Space, U, V, W};
    use guests::{code, csr, memory, paging, println, sbi};

    const DATA: u64 = 0x50_0000;

    fn main() {
        let page = memory::page();
        let space = Space::new(Mode::Sv39);
        let count = code!(
            "1:",
            "2: lr.d t0, (a1)",
            "addi t0, t0, 1",
            "sc.d t1, t0, (a1)",
            "bnez t1, 2b",
            "amoadd.w t2, a0, (a2)",
            "addi a0, a0, 1",
            "ecall",
            "j 1b"
        );
        let mut context = space
            .user(count, 0x1_0000)
            .with(11, DATA)
            .with(12, DATA + 64);
        space.activate(4);
        let mut faults = 0;
        for round in 0..2000u64 {
            if round % 10 == 0 {
                // Read-only, so that the store of lr/sc or the atomic faults.
                space.map(
                    DATA,
                    page,
                    V | R | U | A | if round % 20 == 0 { 0 } else { W },
                );
                paging::fence_address(DATA);
            }
            loop {
                let trap = context.run();
                if trap.cause == 8 {
                    break;
                }
                assert!(
                    (trap.cause, trap.value) == (15, DATA)
                        || (trap.cause, trap.value) == (15, DATA + 64),
                    "{trap}"
                );
                faults += 1;
                space.map(DATA, page, V | R | W | U | A | D);
                paging::fence_address(DATA);
            }
            context.pc += 4;
        }
        println!(
            "2000 rounds: {} {}, faulted {}",
            memory::read::<u64>(page),
            memory::read::<u32>(page + 64),
            faults > 0
        );
        let between = code!(
            "lr.d t0, (a1)",
            "csrr t3, sstatus",
            "addi t0, t0, 1",
            "2: lr.d t0, (a1)",
            "addi t0, t0, 1",
            "sc.d t1, t0, (a1)",
            "bnez t1, 2b"
        );
        for _ in 0..500 {
            between.supervisor().with(11, page).run();
        }
        println!(
            "with privileged instructions before: {}",
            memory::read::<u64>(page)
        );
        // A loop that a timer keeps interrupting.
        let busy = code!(
            "1:",
            "2: lr.d t0, (a1)",
            "addi t0, t0, 1",
            "sc.d t1, t0, (a1)",
            "bnez t1, 2b",
            "addi a0, a0, -1",
            "bnez a0, 1b"
        );
        memory::write(page, 0u64);
        let mut context = busy
            .supervisor()
            .status(csr::SPIE)
            .with(10, 50_000)
            .with(11, page);
        csr::write!("sie", csr::TIMER);
        sbi::set_timer(csr::read!("time") + 200);
        while context.run().is_interrupt() {
            sbi::set_timer(csr::read!("time") + 200);
        }
        csr::write!("sie", 0u64);
        sbi::set_timer(u64::MAX);
        println!(
            "interrupted loop: {} {}",
            context.trap(),
            memory::read::<u64>(page)
        );
        paging::bare();
    }

    guests::program!(main);
}
