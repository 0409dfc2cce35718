//! Timer interrupts at awkward moments: pending before they are enabled, right before an `sret`,
//! enabled by `sret`, by each CSR instruction, by a write of sie; masked; in a `wfi`.
//!
//! The timer is always set to the past and waited for, so that where an interrupt hits is exact.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::Snippet;
    use guests::context::Trap;
    use guests::{code, csr, println, sbi};

    fn pend() {
        sbi::set_timer(0);
        while csr::read!("sip") & csr::TIMER == 0 {}
    }

    fn clear() {
        sbi::set_timer(u64::MAX);
        while csr::read!("sip") & csr::TIMER != 0 {}
    }

    fn go(snippet: Snippet, sie: u64, status: u64) -> Trap {
        pend();
        csr::write!("sie", sie);
        // t0: SIE, t1: sie.STIE, t2: SPIE, t3: SPP|SPIE
        let trap = snippet
            .supervisor()
            .with(5, csr::SIE)
            .with(6, csr::TIMER)
            .with(7, csr::SPIE)
            .with(28, csr::SPP | csr::SPIE)
            .status(status)
            .run();
        csr::write!("sie", 0u64);
        clear();
        trap
    }

    fn main() {
        clear();
        println!("idle: sip.STIP {}", csr::read!("sip") & csr::TIMER != 0);
        pend();
        println!(
            "set to the past: sip.STIP {}",
            csr::read!("sip") & csr::TIMER != 0
        );
        csr::write!("sip", 0u64);
        println!(
            "S cannot clear it: sip.STIP {}",
            csr::read!("sip") & csr::TIMER != 0
        );
        clear();

        let stie = csr::TIMER;
        let nops = || code!("nop", "nop", "nop");
        println!(
            "enabled by the entering sret: {}",
            go(nops(), stie, csr::SPIE)
        );
        println!("masked by sie: {}", go(nops(), 0, csr::SPIE));
        println!(
            "masked by another bit of sie: {}",
            go(nops(), csr::SOFTWARE | csr::EXTERNAL, csr::SPIE)
        );
        println!("masked by SIE: {}", go(nops(), stie, 0));
        let forms = [
            ("csrsi", code!("nop", "csrsi sstatus, 2", "nop", "nop")),
            ("csrs", code!("nop", "csrs sstatus, t0", "nop", "nop")),
            ("csrrs", code!("nop", "csrrs a0, sstatus, t0", "nop", "nop")),
            (
                "csrrsi",
                code!("nop", "csrrsi t1, sstatus, 2", "nop", "nop"),
            ),
            ("csrw", code!("nop", "csrw sstatus, t0", "nop", "nop")),
            (
                "csrrwi",
                code!("nop", "csrrwi sp, sstatus, 2", "nop", "nop"),
            ),
            (
                "csrsi then csrci",
                code!("nop", "csrsi sstatus, 2", "csrci sstatus, 2", "nop"),
            ),
            (
                "csrsi then ecall",
                code!("csrsi sstatus, 2", "ebreak", "nop"),
            ),
            (
                "csrsi, 100 times masked",
                code!(
                    "li a0, 100",
                    "1:",
                    "csrsi sstatus, 2",
                    "csrci sstatus, 2",
                    "addi a0, a0, -1",
                    "bnez a0, 1b"
                ),
            ),
        ];
        for (name, snippet) in forms {
            println!("{name}: {}", go(snippet, stie, 0));
            println!("{name}, sie off: {}", go(snippet, 0, 0));
        }
        println!(
            "csrs sie with SIE on: {}",
            go(code!("nop", "csrs sie, t1", "nop", "nop"), 0, csr::SPIE)
        );
        println!(
            "csrw sie with SIE on: {}",
            go(code!("nop", "csrw sie, t1", "nop", "nop"), 0, csr::SPIE)
        );
        println!(
            "csrs sie with SIE off: {}",
            go(code!("nop", "csrs sie, t1", "nop", "nop"), 0, 0)
        );
        println!(
            "wfi with SIE off wakes: {}",
            go(code!("nop", "wfi", "nop"), stie, 0)
        );
        println!(
            "sret to S with SPIE: {}",
            go(
                code!(
                    "la a0, 1f",
                    "csrw sepc, a0",
                    "csrs sstatus, t3",
                    "sret",
                    "nop",
                    "1:",
                    "nop",
                    "nop"
                ),
                stie,
                0
            )
        );
        println!(
            "sret to S without SPIE: {}",
            go(
                code!(
                    "la a0, 1f",
                    "csrw sepc, a0",
                    "csrc sstatus, t2",
                    "li a1, 0x100",
                    "csrs sstatus, a1",
                    "sret",
                    "nop",
                    "1:",
                    "nop",
                    "nop"
                ),
                stie,
                0
            )
        );
        // U-mode: S interrupts are on whatever SIE says.
        let to_user = code!(
            "la a0, 1f",
            "csrw sepc, a0",
            "li a1, 0x120",
            "csrc sstatus, a1",
            "sret",
            "nop",
            "1:",
            "nop",
            "nop"
        );
        println!("sret to U with SPIE off: {}", go(to_user, stie, 0));
        println!("sret to U, sie off: {}", go(to_user, 0, 0));
        for round in 0..3 {
            pend();
            csr::write!("sie", stie);
            let mut context = code!(
                "li a0, 0",
                "1:",
                "addi a0, a0, 1",
                "csrr a1, sstatus",
                "csrsi sstatus, 2",
                "j 1b"
            )
            .supervisor();
            let first = context.run();
            sbi::set_timer(csr::read!("time") + 20_000);
            context.sstatus |= csr::SPIE;
            // Somewhere in the loop: only what and from where is certain.
            let second = context.run();
            println!("round {round}: {}, then {}", first.name(), second.name());
            csr::write!("sie", 0u64);
            clear();
        }
    }

    guests::program!(main);
}
