//! `sret` with every SPP, SPIE, SIE, and SUM or MXR kept; the sepc it may return to; sret in U.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::Snippet;
    use guests::context::Context;
    use guests::{code, csr, println};

    /// Does an `sret` of its own: a0 is sstatus for it, a1 sepc; the trap at the target tells.
    fn sret() -> Snippet {
        code!(
            "csrw sepc, a1",
            "csrw sstatus, a0",
            "sret",
            "nop",
            "nop",
            "nop"
        )
    }

    fn main() {
        let target = code!("nop", "csrr a2, sstatus", "csrr a3, sepc", "nop");
        for bits in 0..32u64 {
            let spread = [csr::SPP, csr::SPIE, csr::SIE, csr::SUM, csr::MXR];
            let status = (0..5)
                .filter(|bit| bits >> bit & 1 != 0)
                .fold(0, |sum, bit| sum | spread[bit]);
            let mut context = Context::supervisor(sret().start)
                .with(10, status)
                .with(11, target.start);
            context.origin = target.start;
            let trap = context.run();
            println!("sret with {}: {trap}", csr::Status(status | 2 << 32));
            if trap.cause == 3 {
                println!(
                    "  there: {} sepc {:#x}",
                    csr::Status(context.x[12]),
                    context.x[13].wrapping_sub(target.start)
                );
            }
        }
        for offset in [0, 2, 4] {
            let target = code!("c.nop", "c.nop", "c.nop", "c.nop");
            let mut context = Context::supervisor(sret().start)
                .with(10, csr::SPP)
                .with(11, target.start + offset);
            context.origin = target.start;
            println!("sret to an address plus {offset}: {}", context.run());
        }
        // sret to itself until a register counts down: a loop of nothing but returns.
        let around = code!(
            "la t0, 1f",
            "csrw sepc, t0",
            "li t1, 0x100",
            "li a0, 0",
            "1:",
            "csrs sstatus, t1",
            "addi a0, a0, 1",
            "li t2, 1000",
            "bgeu a0, t2, 2f",
            "sret",
            "2:",
            "nop"
        );
        let mut context = around.supervisor();
        println!("1000 times around: {} a0 {}", context.run(), context.x[10]);
        println!("sret in U: {}", sret().user().run());
        println!("sret alone in U: {}", code!("sret").user().run());
    }

    guests::program!(main);
}
