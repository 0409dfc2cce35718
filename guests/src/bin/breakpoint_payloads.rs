//! The program's own `c.ebreak`, followed by each of the 65,536 parcels there are, from S and from
//! U, on a page whose privileged instructions have been made patches.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{C_EBREAK, EBREAK, csrr, fence_i, write_words};
    use guests::context::Context;
    use guests::digest::Digest;
    use guests::{csr, memory, println};

    fn main() {
        let page = memory::page();
        let mut words = [0; 65];
        for (index, word) in words.iter_mut().enumerate() {
            *word = csrr(index & 31, [0x100, 0x104, 0x140, 0x142][index & 3]);
        }
        words[64] = EBREAK;
        write_words(page, &words);
        for _ in 0..200 {
            // sscratch is the runner's own while it runs: what is read goes nowhere.
            let trap = Context::supervisor(page).run();
            assert_eq!((trap.cause, trap.pc), (3, page + 256));
        }
        let place = page + 512;
        memory::write(place, C_EBREAK);
        for (mode, status) in [("S", csr::SPP), ("U", 0)] {
            for high in 0..16u32 {
                let mut digest = Digest::new();
                for low in 0..0x1000u32 {
                    memory::write(place + 2, (high << 12 | low) as u16);
                    fence_i();
                    let mut context = Context::supervisor(place).with(2, low as u64);
                    context.sstatus = status;
                    let trap = context.run();
                    let told = (trap.cause, trap.pc, trap.value, context.x[2]);
                    if told != (3, place, place, low as u64) {
                        println!("payload {:#06x}: {trap}", high << 12 | low);
                    }
                    digest.add_all(&[told.0, told.1, told.2, told.3]);
                }
                println!("{mode}, payloads {high:x}000 to {high:x}fff: {digest}");
            }
        }
    }

    guests::program!(main);
}
