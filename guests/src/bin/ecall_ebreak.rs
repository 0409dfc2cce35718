//! `ecall` from U, `ebreak` and `c.ebreak` from U and S, and what the other registers hold then.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::Snippet;
    use guests::context::Context;
    use guests::{code, csr, println};

    fn all_registers(snippet: Snippet, status: u64) -> Context {
        let mut context = Context::supervisor(snippet.start);
        context.sstatus = status;
        for index in 1..32 {
            context.x[index] = 0x1111_1111_1111_1111 * (index as u64 & 15) + index as u64;
        }
        let before = context.clone();
        context.run();
        assert_eq!(context.x[1..], before.x[1..], "a trap changed a register");
        context
    }

    fn main() {
        let snippets = [
            ("ecall", code!(".option norvc", "nop", "ecall", "nop")),
            ("ebreak", code!(".option norvc", "nop", "ebreak", "nop")),
            ("c.ebreak", code!("c.nop", "c.ebreak", "c.nop")),
            (
                "c.ebreak, odd parcel",
                code!("c.nop", "c.nop", "c.nop", "c.ebreak", "c.nop", "c.nop"),
            ),
        ];
        for (name, snippet) in snippets {
            for (mode, status) in [
                ("U", 0),
                ("U", csr::SPIE),
                ("S", csr::SPP),
                ("S", csr::SPP | csr::SPIE),
            ] {
                if name == "ecall" && mode == "S" {
                    continue;
                }
                println!(
                    "{name} in {mode}: {}",
                    all_registers(snippet, status).trap()
                );
            }
        }
        // Goes on after each: 100 system calls that count.
        let mut context = code!("1:", "addi a0, a0, 1", "ecall", "j 1b").user();
        for _ in 0..100 {
            let trap = context.run();
            assert_eq!(trap.cause, 8, "{trap}");
            context.pc += 4;
        }
        println!("100 system calls: a0 {}", context.x[10]);
        let mut context = code!("1:", "addi a0, a0, 3", "c.ebreak", "j 1b").supervisor();
        for _ in 0..100 {
            let trap = context.run();
            assert_eq!(trap.cause, 3, "{trap}");
            context.pc += 2;
        }
        println!("100 breakpoints: a0 {}", context.x[10]);
        // An ecall from S is the firmware's: it must give all but a0 and a1 back.
        let mut context = code!("ecall").supervisor();
        for index in 1..32 {
            context.x[index] = 0x0101_0101_0101_0101 * index as u64;
        }
        context.x[16] = 3;
        context.x[17] = 0x10;
        context.x[10] = 0x10;
        let before = context.clone();
        println!("ecall in S: {}", context.run());
        for index in 1..32 {
            if context.x[index] != before.x[index] {
                println!("  {}: {:#x}", csr::register(index), context.x[index]);
            }
        }
    }

    guests::program!(main);
}
