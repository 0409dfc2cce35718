//! Words that are no instruction, or none for the mode: cause, sepc and stval, from S and from U.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{EBREAK, write_words};
    use guests::context::Context;
    use guests::{csr, memory, println};

    const WORDS: [(u32, &str); 40] = [
        (0x0000_0000, "all zeros"),
        (0xffff_ffff, "all ones"),
        (0x0000_0010, "c.addi4spn with no immediate"),
        (0x0000_8002, "c.jr x0"),
        (0x0000_2001, "c.addiw x0"),
        (0x0000_6101, "c.addi16sp 0"),
        (0x0000_4002, "c.lwsp x0"),
        (0x0000_9c41, "c.subw reserved"),
        (0x0000_001b, "addiw x0"),
        (0x0000_007b, "custom-3"),
        (0x0000_005b, "custom-2"),
        (0x0000_002b, "custom-1"),
        (0x0000_000b, "custom-0"),
        (0x0000_006b, "reserved opcode"),
        (0x0000_007f, "longer than 64 bits"),
        (0x0000_703f, "64 bits"),
        (MRET, "mret"),
        (0x1020_0073, "sret with its own bits only in S"),
        (0x1020_00f3, "sret with rd"),
        (0x1020_8073, "sret with rs1"),
        (0x0020_0073, "uret"),
        (0x7020_0073, "mnret"),
        (0x7b20_0073, "dret"),
        (0x1050_00f3, "wfi with rd"),
        (0x1050_8073, "wfi with rs1"),
        (0x1200_00f3, "sfence.vma with rd"),
        (0x1040_0073, "sfence.vm, dropped long ago"),
        (0x2200_0073, "hfence.vvma"),
        (0x6200_0073, "hfence.gvma"),
        (0x6c00_4073, "hlv.w"),
        (0x6000_4073, "hlv.b"),
        (0x6a00_c073, "hsv.w"),
        (0x1020_4073, "system funct3 4"),
        (0x0000_4073, "system funct3 4 zero"),
        (0x0010_00f3, "ebreak with rd"),
        (0x0000_00f3, "ecall with rd"),
        (0x1000_202f, "lr.w"),
        (0xf800_302f, "amo funct5 31"),
        (0x0000_102f, "amo funct3 1"),
        (0x0000_7067, "jalr funct3 7"),
    ];

    /// QEMU 10.0 leaves a stale word in stval for this one.
    const MRET: u32 = 0x3020_0073;

    fn main() {
        let page = memory::page();
        for (word, name) in WORDS {
            for (mode, status) in [("S", csr::SPP), ("U", 0)] {
                // The data of lr and jumps is the page itself.
                write_words(page, &[word, EBREAK, EBREAK]);
                let mut context = Context::supervisor(page);
                context.sstatus = status;
                if word == 0x1020_0073 && mode == "S" {
                    continue;
                }
                let trap = context.run();
                if word == MRET {
                    println!(
                        "{word:#010x} {name} in {mode}: {} at {:#x}",
                        trap.name(),
                        trap.pc
                    );
                } else {
                    println!("{word:#010x} {name} in {mode}: {trap}");
                }
            }
        }
        for word in [
            0x1050_0073,
            0x1200_0073,
            0x1000_2573,
            0x1005_1573,
            0x1000_6573,
            0x1401_1173,
        ] {
            write_words(page, &[word, EBREAK]);
            let trap = Context::user(page).run();
            println!("privileged {word:#010x} in U: {trap}");
        }
        println!("with FS off:");
        for (word, name) in [
            (0x0000_7053, "fadd.s"),
            (0x0000_3007, "fld"),
            (0x0000_3027, "fsd"),
            (0x0000_2000, "c.fld"),
            (0x0000_a000, "c.fsd"),
            (0x0000_2002, "c.fldsp"),
            (0x0030_2573, "csrr fcsr"),
            (0x0010_1573, "csrw fflags"),
            (0x0000_7057, "vsetvli"),
            (0x0000_0057, "vadd.vv"),
        ] {
            for (mode, status) in [("S", csr::SPP), ("U", 0)] {
                write_words(page, &[word, EBREAK, EBREAK]);
                let mut context = Context::supervisor(page)
                    .with(2, page + 64)
                    .with(8, page + 64);
                context.sstatus = status;
                println!("{word:#010x} {name} in {mode}: {}", context.run());
            }
        }
    }

    guests::program!(main);
}
