//! A privileged instruction of four bytes that lies across two pages, whose second page is remapped,
//! made inaccessible, rewritten; and the same at the very end of what is mapped.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::{EBREAK, csrr};
    use guests::context::Context;
    use guests::paging::{LEAF, Mode, R, Space, W, X, fence, fence_address};
    use guests::{csr, memory, paging, println};

    const PLACE: u64 = 0x30_0000;

    /// Writes a word in halves, as it may straddle.
    fn put(space: &Space, address: u64, word: u32) {
        for (offset, half) in [(0, word as u16), (2, (word >> 16) as u16)] {
            let at = address + offset;
            memory::write((space.pte(at) >> 10 << 12) + (at & 4095), half);
        }
        guests::code::fence_i();
    }

    fn show(what: &str, times: u32) {
        let mut last = None;
        for round in 0..times {
            csr::write!("scause", 0x8u64);
            csr::write!("stval", 0x77u64);
            let mut context = Context::supervisor(PLACE + 0xffe);
            let trap = context.run();
            let seen = (trap.cause, trap.pc, trap.value, context.x[10]);
            if last != Some(seen) {
                println!("{what}, round {round}: {trap} a0 {:#x}", context.x[10]);
            }
            last = Some(seen);
        }
    }

    fn main() {
        const SCAUSE: u32 = 0x142;
        const STVAL: u32 = 0x143;
        let space = Space::new(Mode::Sv39);
        let (first, one, other) = (memory::page(), memory::page(), memory::page());
        space.map(PLACE, first, LEAF | R | W | X);
        // The lower halves of `csrr a0, scause` and `csrr a0, stval` are the same.
        for (page, csr) in [(one, SCAUSE), (other, STVAL)] {
            space.map(PLACE + 0x1000, page, LEAF | R | W | X);
            put(&space, PLACE + 0xffe, csrr(10, csr));
            put(&space, PLACE + 0x1002, EBREAK);
        }
        space.activate(0);
        for round in 0..6 {
            let page = if round & 1 == 0 { one } else { other };
            space.map(PLACE + 0x1000, page, LEAF | R | W | X);
            if round < 3 {
                fence_address(PLACE + 0x1000)
            } else {
                fence()
            }
            show(if round & 1 == 0 { "scause" } else { "stval" }, 300);
        }
        for (name, flags) in [
            ("absent", 0),
            ("no X", LEAF | R | W),
            ("back", LEAF | R | W | X),
        ] {
            space.map(PLACE + 0x1000, other, flags);
            fence_address(PLACE + 0x1000);
            show(name, 5);
        }
        for (name, flags) in [
            ("first absent", 0),
            ("first no X", LEAF | R | W),
            ("first back", LEAF | R | X),
        ] {
            space.map(PLACE, first, flags);
            fence_address(PLACE);
            show(name, 5);
        }
        // The upper half is rewritten, then the lower.
        memory::write(other, (csrr(10, SCAUSE) >> 16) as u16);
        guests::code::fence_i();
        show("upper half rewritten", 300);
        memory::write(first + 0xffe, csrr(11, SCAUSE) as u16);
        guests::code::fence_i();
        show("lower half rewritten", 300);
        memory::write(first + 0xffe, csrr(10, SCAUSE) as u16);
        guests::code::fence_i();
        show("and back", 300);
        let halves: [u16; 2] = [memory::read(PLACE + 0xffe), memory::read(PLACE + 0x1000)];
        println!("read back: {halves:04x?}");
        paging::bare();
    }

    guests::program!(main);
}
