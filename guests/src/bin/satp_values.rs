//! Every CSR instruction form on satp while paging is on, with rd and rs1 of every kind; 16 bits of
//! ASID.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{CSR_FORMS, EBREAK, csr_word, csrr, csrw, write_words};
    use guests::context::Context;
    use guests::digest::Digest;
    use guests::paging::{Mode, Space};
    use guests::{csr, memory, paging, println};

    const SATP: u32 = 0x180;
    const REGISTERS: [usize; 8] = [0, 2, 5, 6, 7, 28, 10, 31];

    fn main() {
        let page = memory::page();
        for mode in Mode::supported() {
            let space = Space::new(mode);
            let own = space.satp(0);
            for (form, name) in CSR_FORMS {
                for rd in REGISTERS {
                    let mut digest = Digest::new();
                    for source in REGISTERS {
                        // Only the ASID changes: registers hold ASID bits, and satp itself for csrrw.
                        let word = match form {
                            5..8 => csr_word(form, SATP, rd, 0),
                            1 if source == 0 => continue,
                            _ => csr_word(form, SATP, rd, source),
                        };
                        if form == 5 {
                            continue; // an immediate is no satp
                        }
                        write_words(
                            page,
                            &[csrw(SATP, 18), word, csrr(19, SATP), csrw(SATP, 0), EBREAK],
                        );
                        let mut context = Context::supervisor(page);
                        for (index, register) in context.x.iter_mut().enumerate() {
                            *register = (0x0123 * index as u64 & 0xffff) << 44;
                        }
                        if source != 0 && form == 1 {
                            context.x[source] |= own;
                        }
                        context.x[18] = own | 0xa5a5 << 44;
                        let trap = context.run();
                        paging::fence();
                        assert_eq!((trap.cause, trap.pc), (3, page + 16), "{trap}");
                        context.x[0] = 0;
                        // Where the table lies is nobody's business, but is the same everywhere.
                        digest.add_all(&context.x);
                    }
                    println!("{mode:?} {name} {}: {digest}", csr::register(rd));
                }
            }
            for bit in 0..16 {
                paging::csr_satp(space.satp(1 << bit));
                println!(
                    "{mode:?} ASID {:#x}: {:#x}",
                    1 << bit,
                    csr::read!("satp") >> 44 & 0xffff
                );
            }
            paging::bare();
        }
    }

    guests::program!(main);
}
