//! Six user programs in address spaces of their own, preempted by a timer wherever they are, with
//! system calls and page faults between; each computes a sum with all its registers.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::Snippet;
    use guests::context::Context;
    use guests::paging::{LEAF, Mode, R, Space, U, W};
    use guests::{code, csr, memory, paging, println, sbi};

    const HEAP: u64 = 0x2000_0000;

    fn main() {
        let work = code!(
            "1:",
            "add a0, a0, a1",
            "xor a1, a1, a0",
            "slli t0, a0, 3",
            "add a2, a2, t0",
            "srli t1, a1, 5",
            "xor a3, a3, t1",
            "add s0, s0, a2",
            "add s1, s1, s0",
            "xor s2, s2, s1",
            "add s3, s3, s2",
            "add s4, s4, s3",
            "xor s5, s5, s4",
            "add t3, t3, s5",
            "add t4, t4, t3",
            "xor t5, t5, t4",
            "add t6, t6, t5",
            "add sp, sp, t6",
            "add gp, gp, sp",
            "add tp, tp, gp",
            "add ra, ra, tp",
            "slli t2, a7, 54",
            "bnez t2, 2f",
            "sd ra, 0(a6)",
            "add a6, a6, s11",
            "slli t2, a7, 48",
            "bnez t2, 2f",
            "ecall",
            "2:",
            "addi a7, a7, -1",
            "bnez a7, 1b",
            "ecall",
        );
        for mode in Mode::supported() {
            let spaces: [Space; 6] = core::array::from_fn(|_| Space::new(mode));
            for (name, period) in [
                ("not preempted", 0),
                ("preempted", 3000),
                ("preempted often", 1000),
            ] {
                // A fast machine may be done before the timer; then it is done once more.
                let contexts = loop {
                    let (contexts, interrupts) = run_all(&spaces, work, period);
                    if period == 0 || interrupts > 0 {
                        break contexts;
                    }
                };
                println!("{mode:?} {name}:");
                for context in &contexts {
                    println!(
                        "  {:x} {:x} {:x} {:x}",
                        context.x[1], context.x[2], context.x[31], context.x[16]
                    );
                }
            }
        }
    }

    /// Runs all programs to their ends in turn; gives their last states and how often they were
    /// interrupted.
    fn run_all(spaces: &[Space; 6], work: Snippet, period: u64) -> ([Context; 6], u64) {
        let mut contexts: [Context; 6] = core::array::from_fn(|index| {
            let mut context = spaces[index].user(work, 0x1_0000);
            for register in 1..32 {
                context.x[register] = (index as u64 + 3) * register as u64;
            }
            context.with(16, HEAP).with(17, 12 << 14).with(27, 64)
        });
        let mut done = [false; 6];
        let (mut interrupts, mut turn) = (0, 0);
        csr::write!("sie", if period > 0 { csr::TIMER } else { 0 });
        while done.contains(&false) {
            turn = (turn + 1) % 6;
            if done[turn] {
                continue;
            }
            paging::csr_satp(spaces[turn].satp(turn as u64 + 1));
            sbi::set_timer(match period {
                0 => u64::MAX,
                _ => csr::read!("time") + period,
            });
            let context = &mut contexts[turn];
            let trap = context.run();
            match trap.cause {
                8 => {
                    context.pc += 4;
                    done[turn] = context.x[17] == 0;
                }
                15 => {
                    let page = memory::page();
                    spaces[turn].map(trap.value & !0xfff, page, LEAF | R | W | U);
                    paging::fence_address(trap.value);
                }
                _ if trap.is_interrupt() => interrupts += 1,
                _ => panic!("program {turn}: {trap}"),
            }
        }
        csr::write!("sie", 0u64);
        sbi::set_timer(u64::MAX);
        paging::bare();
        (contexts, interrupts)
    }

    guests::program!(main);
}
