//! What a machine may have and guests may not be offered: NAPOT pages (Svnapot), memory types
//! (Svpbmt), split fences (Svinval). Each must work or fault as reserved, and never be ignored; the
//! program prints only whether that holds. Memory type 3, which is reserved, is left out: QEMU 10.0
//! takes it.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::Snippet;
    use guests::paging::{LEAF, Mode, R, Space, W};
    use guests::probe::{Access, Accessor};
    use guests::{code, memory, paging, println};

    const PLACE: u64 = 0x4000_0000;
    const NAPOT: u64 = 1 << 63;

    /// How a load of `address` went: `Ok` with the value, or the cause of its fault.
    fn load(address: u64) -> Result<u8, u64> {
        let context = Accessor::SUPERVISOR.access(Access::Load, address);
        match context.trap().cause {
            3 => Ok(context.x[10] as u8),
            cause => Err(cause),
        }
    }

    /// Runs a fence that may be illegal.
    fn fence(snippet: Snippet, address: u64) -> bool {
        snippet.supervisor().with(11, address).run().cause == 3
    }

    fn main() {
        let block = memory::allocate(0x1_0000);
        for page in 0..16 {
            memory::write(block + page * 4096, 0x40 + page as u8);
        }
        for mode in Mode::supported() {
            let space = Space::new(mode);
            space.activate(1);
            // 64 KiB: the low four bits of the page number say so; each page has the same PTE.
            for page in 0..16u64 {
                space.map(PLACE + page * 4096, block + 0x8000, LEAF | R | W | NAPOT);
            }
            paging::fence();
            let first = load(PLACE);
            let fine = (0..16u64).all(|page| match (first, load(PLACE + page * 4096)) {
                (Ok(_), Ok(value)) => value == 0x40 + page as u8,
                (Err(13), Err(13)) => true,
                _ => false,
            });
            println!("{mode:?} NAPOT of 64 KiB works or faults: {fine}");
            for low in [0, 1, 4, 7, 9, 15] {
                let page = if low == 8 {
                    continue;
                } else {
                    block + low * 4096
                };
                space.map(PLACE, page, LEAF | R | W | NAPOT);
                paging::fence();
                println!(
                    "{mode:?} NAPOT with page number {low:#x}: {:?}",
                    load(PLACE)
                );
            }
            for kind in 1..3u64 {
                space.map(PLACE, block + 0x3000, LEAF | R | W | kind << 61);
                paging::fence();
                let seen = load(PLACE);
                let fine = seen == Ok(0x43) || seen == Err(13);
                println!("{mode:?} memory type {kind} works or faults: {fine}");
            }
            let sinval = code!(".insn r 0x73, 0, 0x0b, x0, a1, x0");
            let before = code!(".insn r 0x73, 0, 0x0c, x0, x0, x0");
            let after = code!(".insn r 0x73, 0, 0x0c, x0, x0, x1");
            let mut fine = true;
            for round in 0..64u64 {
                space.map(PLACE, block + (round % 16) * 4096, LEAF | R | W);
                let all = fence(before, 0) & fence(sinval, PLACE) & fence(after, 0);
                if !all {
                    paging::fence_address(PLACE);
                }
                fine &= load(PLACE) == Ok(0x40 + (round % 16) as u8);
            }
            println!("{mode:?} split fences work or are illegal: {fine}");
            paging::bare();
        }
    }

    guests::program!(main);
}
