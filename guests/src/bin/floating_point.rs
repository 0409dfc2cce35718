//! FS Off, Initial and Dirty; the registers and fcsr kept over traps, interrupts and system calls;
//! illegal while Off; fcsr, frm and fflags by every form.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{CSR_FORMS, EBREAK, csr_word, csrr, write_words};
    use guests::context::Context;
    use guests::{code, csr, memory, println, sbi};

    const INITIAL: u64 = 1 << 13;

    fn main() {
        let add = code!(
            "fcvt.d.l fa0, a0",
            "fcvt.d.l fa1, a1",
            "fdiv.d fa2, fa0, fa1",
            "fmv.x.d a2, fa2",
            "csrr a3, fcsr",
            "csrr a4, sstatus"
        );
        for (mode, status) in [("S", csr::SPP), ("U", 0)] {
            for fs in [0, INITIAL, 2 * INITIAL, 3 * INITIAL] {
                let mut context = add.supervisor().with(10, 22).with(11, 7);
                context.sstatus = status | fs;
                if mode == "U" {
                    context = code!(
                        "fcvt.d.l fa0, a0",
                        "fcvt.d.l fa1, a1",
                        "fdiv.d fa2, fa0, fa1",
                        "fmv.x.d a2, fa2"
                    )
                    .user();
                    context = context.with(10, 22).with(11, 7).status(fs);
                }
                let trap = context.run();
                println!(
                    "FS {} in {mode}: {trap} a2 {:#x} fcsr {:#x} {}",
                    fs >> 13,
                    context.x[12],
                    context.x[13],
                    csr::Status(context.x[14])
                );
            }
        }
        let fill = code!(
            "fscsr a1",
            "fmv.d.x f0, a0",
            "addi a0, a0, 1",
            "fmv.d.x f1, a0",
            "fmv.d.x f31, a2",
            "fmv.d.x f15, a3",
            "1: ecall",
            "2: ebreak",
            "csrr a4, fcsr",
            "fmv.x.d a5, f0",
            "fmv.x.d a6, f1",
            "fmv.x.d a7, f31",
            "fmv.x.d s2, f15"
        );
        let mut context = fill
            .user()
            .status(csr::FS)
            .with(10, 0x1111)
            .with(11, 0xff)
            .with(12, 0x2222)
            .with(13, 0x3333);
        let mut trap = context.run();
        println!("filled: {trap}");
        // The kernel looks at the user's registers, works with others, turns FS off and on.
        for _ in 0..200 {
            let mut kernel = code!("fmv.x.d a0, f1", "fmv.d.x f5, a0", "csrw fflags, zero")
                .supervisor()
                .status(csr::FS);
            kernel.run();
            assert_eq!(kernel.x[10], 0x1112);
            context.sstatus = context.sstatus & !csr::FS | INITIAL;
            code!("nop").supervisor().run();
        }
        csr::write!("sstatus", csr::FS);
        csr::write!("fcsr", 0x7fu64);
        csr::write!("sstatus", 0u64);
        sbi::set_timer(0);
        context.pc += 4;
        while csr::read!("sip") & csr::TIMER == 0 {}
        csr::write!("sie", csr::TIMER);
        trap = context.run();
        println!("interrupted: {}", trap.name());
        csr::write!("sie", 0u64);
        sbi::set_timer(u64::MAX);
        println!("then {}", context.run());
        context.skip();
        println!(
            "then {}: {:x?} {:#x}",
            context.run(),
            &context.x[14..18],
            context.x[18]
        );
        let page = memory::page();
        for number in 1..4 {
            for (form, name) in CSR_FORMS {
                for source in [0, 2, 5, 21, 31] {
                    write_words(
                        page,
                        &[
                            csr_word(form, number, 10, source),
                            csrr(12, number),
                            csrr(13, 3),
                            EBREAK,
                        ],
                    );
                    csr::write!("sstatus", csr::FS);
                    csr::write!("fcsr", 0x53u64);
                    let mut context = Context::supervisor(page).status(csr::FS);
                    for index in 1..32 {
                        context.x[index] = 0xfedc_ba98_7654_3210 >> index;
                    }
                    let trap = context.run();
                    println!(
                        "{name} {number} from {source}: {} {:x?}",
                        trap.name(),
                        &context.x[10..14]
                    );
                }
            }
        }
        let off_and_on = code!(
            "li t0, 0x6000",
            "li a1, 500",
            "1: csrc sstatus, t0",
            "csrs sstatus, t0",
            "fcvt.d.l fa0, a1",
            "fadd.d fa1, fa1, fa0",
            "addi a1, a1, -1",
            "bnez a1, 1b",
            "fmv.x.d a0, fa1"
        );
        let mut context = off_and_on.supervisor().status(csr::FS);
        code!("fmv.d.x fa1, zero")
            .supervisor()
            .status(csr::FS)
            .run();
        println!(
            "FS off and on 500 times: {} {:#x}",
            context.run(),
            context.x[10]
        );
    }

    guests::program!(main);
}
