//! sip.SSIP: every CSR form that may set or clear it, with the interrupt enabled and not; the bits
//! of sip that S-mode cannot write; an interrupt to oneself through the firmware.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{CSR_FORMS, EBREAK, addi, csr_word, csrr, write_words};
    use guests::context::Context;
    use guests::{code, csr, memory, println, sbi};

    const SIP: u32 = 0x144;

    fn main() {
        let page = memory::page();
        for (form, name) in CSR_FORMS {
            for start in [0, csr::SOFTWARE] {
                for rd in [0, 2, 5, 6, 10] {
                    for enabled in [false, true] {
                        csr::write!("sip", start);
                        csr::write!("sie", csr::SOFTWARE);
                        let source = if form > 4 { 2 } else { 11 };
                        write_words(
                            page,
                            &[
                                addi(0, 0, 0),
                                csr_word(form, SIP, rd, source),
                                csrr(12, SIP),
                                addi(0, 0, 0),
                                EBREAK,
                            ],
                        );
                        let mut context = Context::supervisor(page).with(11, csr::SOFTWARE | 0xdd0);
                        if enabled {
                            context.sstatus |= csr::SPIE;
                        }
                        let trap = context.run();
                        println!(
                            "{name} {} with SSIP {} {}: {trap} old {:#x} sip {:#x} then {:#x}",
                            csr::register(rd),
                            start >> 1,
                            if enabled { "enabled" } else { "masked" },
                            if rd == 0 { 0 } else { context.x[rd] },
                            context.x[12],
                            csr::read!("sip")
                        );
                        csr::write!("sie", 0u64);
                        csr::write!("sip", 0u64);
                    }
                }
            }
        }
        for value in [0, 2, 0x20, 0x200, 0x222, 0x111, u64::MAX] {
            csr::write!("sip", value);
            println!("sip written {value:#x}: {:#x}", csr::read!("sip"));
        }
        csr::write!("sip", 0u64);
        println!("interrupt to self: {}", sbi::interrupt_self());
        while csr::read!("sip") & csr::SOFTWARE == 0 {}
        println!("sip {:#x}", csr::read!("sip"));
        csr::write!("sie", csr::SOFTWARE);
        let nops = code!("nop", "nop");
        println!("taken: {}", nops.supervisor().status(csr::SPIE).run());
        println!("still there: {}", nops.supervisor().status(csr::SPIE).run());
        println!("from U: {}", nops.user().run());
        csr::write!("sip", 0u64);
        println!("cleared: {}", nops.supervisor().status(csr::SPIE).run());
        csr::write!("sie", 0u64);
        let mut taken = 0;
        for _ in 0..500 {
            sbi::interrupt_self();
            csr::write!("sie", csr::SOFTWARE);
            let trap = code!("1: j 1b").supervisor().status(csr::SPIE).run();
            taken += (trap.is_interrupt() && trap.code() == 1) as u32;
            csr::write!("sip", 0u64);
            csr::write!("sie", 0u64);
        }
        println!("500 interrupts to self: {taken} taken");
    }

    guests::program!(main);
}
