//! More than 70,000 privileged instructions, one after the other, with every rd and rs1: more sites
//! than there are 16-bit values.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{CSR_FORMS, EBREAK, csr_word, fence_i};
    use guests::context::Context;
    use guests::digest::Digest;
    use guests::{memory, println};

    const PAGES: u64 = 72;
    const PER_PAGE: u64 = 1023;

    /// The instruction at a site: the site's number in mixed radix. scause and stval keep all bits.
    fn word(site: u64) -> u32 {
        let (rd, source) = (site % 32, site / 32 % 32);
        let form = CSR_FORMS[(site / 1024 % 6) as usize].0;
        let csr = if site / 6144 % 2 == 0 { 0x143 } else { 0x142 };
        csr_word(form, csr, rd as usize, source as usize)
    }

    fn main() {
        let pages: [u64; PAGES as usize] = core::array::from_fn(|_| memory::page());
        for (number, &page) in pages.iter().enumerate() {
            for index in 0..PER_PAGE {
                memory::write(page + 4 * index, word(number as u64 * PER_PAGE + index));
            }
            memory::write(page + 4 * PER_PAGE, EBREAK);
        }
        fence_i();
        for round in 0..2u64 {
            let mut all = Digest::new();
            for (number, &page) in pages.iter().enumerate() {
                let mut context = Context::supervisor(page);
                for index in 1..32 {
                    context.x[index] = (0x9e37_79b9_7f4a_7c15_u64 ^ round)
                        .rotate_left(index as u32)
                        & !(1 << 63)
                        & 0xff;
                }
                let trap = context.run();
                assert_eq!(
                    (trap.cause, trap.pc),
                    (3, page + 4 * PER_PAGE),
                    "page {number}: {trap}"
                );
                context.x[0] = 0;
                let mut digest = Digest::new();
                digest.add_all(&context.x);
                all.add_all(&context.x);
                if number % 8 == 0 {
                    println!("round {round}, page {number}: {digest}");
                }
            }
            println!("round {round}: {all}");
        }
        let mut wrong = 0;
        for (number, &page) in pages.iter().enumerate() {
            for index in 0..PER_PAGE {
                let read: u32 = memory::read(page + 4 * index);
                wrong += (read != word(number as u64 * PER_PAGE + index)) as u32;
            }
        }
        println!("sites that read differently: {wrong}");
    }

    guests::program!(main);
}
