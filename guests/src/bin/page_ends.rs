//! Code at the very end of a page, before one that is not there, at every length of instruction;
//! privileged instructions there, often enough to be patched; loads and stores that reach over.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{C_EBREAK, csr_word, csrr};
    use guests::context::Context;
    use guests::paging::{LEAF, Mode, R, Space, U, W, X};
    use guests::{csr, memory, paging, println};

    const PLACE: u64 = 0x12_3000;

    fn run(page: u64, words: &[u32], parcels: &[u16], status: u64) {
        let length = 4 * words.len() as u64 + 2 * parcels.len() as u64;
        let start = 4096 - length;
        let mut at = page + start;
        for &word in words {
            memory::write(at, word as u16);
            memory::write(at + 2, (word >> 16) as u16);
            at += 4;
        }
        for &parcel in parcels {
            memory::write(at, parcel);
            at += 2;
        }
        guests::code::fence_i();
        let mut last = None;
        for round in 0..300 {
            csr::write!("stval", 0x4321u64);
            let mut context = Context::supervisor(PLACE + start).with(11, 7);
            context.sstatus = status;
            let trap = context.run();
            let seen = (trap.cause, trap.pc, trap.value, context.x[10]);
            if last != Some(seen) {
                println!(
                    "  round {round}: {trap} a0 {:#x}",
                    csr::normal(context.x[10])
                );
            }
            last = Some(seen);
        }
    }

    fn main() {
        let space = Space::new(Mode::Sv39);
        let page = memory::page();
        for (mode, flags, status) in [("S", R | W | X, csr::SPP), ("U", R | W | X | U, 0)] {
            space.map(PLACE, page, LEAF | flags);
            space.activate(0);
            println!("{mode}: c.nop last");
            run(page, &[], &[0x0001], status);
            println!("{mode}: c.ebreak last");
            run(page, &[], &[C_EBREAK], status);
            println!("{mode}: csrr last");
            run(page, &[csrr(10, 0x143)], &[], status);
            println!("{mode}: csrci last");
            run(page, &[csr_word(7, 0x100, 10, 2)], &[], status);
            println!("{mode}: ecall or sfence last");
            run(
                page,
                &[if mode == "U" { 0x73 } else { 0x1200_0073 }],
                &[],
                status,
            );
            println!("{mode}: csrr, then half an instruction");
            run(page, &[csrr(10, 0x143)], &[0x2573], status);
            println!("{mode}: csrr, c.nop, c.ebreak");
            run(page, &[csrr(10, 0x143)], &[0x0001, C_EBREAK], status);
            println!("{mode}: jump to the last parcel, half an instruction");
            run(page, &[0x0040_006f], &[0x0073], status);
        }
        paging::bare();
    }

    guests::program!(main);
}
