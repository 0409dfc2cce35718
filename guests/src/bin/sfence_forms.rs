//! The four forms of `sfence.vma`: after each, remapped pages read as what they now are; pages of
//! another address space, and global ones, as what they should.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::paging::{
        G, LEAF, Mode, R, Space, W, fence, fence_address, fence_asid, fence_both,
    };
    use guests::{memory, paging, println};

    const PLACE: u64 = 0x1234_5000;

    fn page_with(value: u64) -> u64 {
        let page = memory::page();
        memory::write(page, value);
        page
    }

    fn main() {
        for mode in Mode::supported() {
            let pages = [page_with(0xaaaa), page_with(0xbbbb), page_with(0xcccc)];
            let spaces = [Space::new(mode), Space::new(mode)];
            for (index, space) in spaces.iter().enumerate() {
                space.map(PLACE, pages[index], LEAF | R | W);
                space.map(PLACE + 0x1000, pages[2], LEAF | R | W | G);
            }
            for (asid, space) in spaces.iter().enumerate() {
                space.activate(asid as u64 + 1);
                let (own, global): (u64, u64) = (memory::read(PLACE), memory::read(PLACE + 0x1000));
                println!("{mode:?} space {asid}: {own:#x} {global:#x}");
            }
            let forms: [(&str, fn()); 4] = [
                ("x0, x0", fence),
                ("address, x0", || fence_address(PLACE)),
                ("x0, asid", || fence_asid(2)),
                ("address, asid", || fence_both(PLACE, 2)),
            ];
            for (name, form) in forms {
                for (step, &page) in pages.iter().cycle().take(30).enumerate() {
                    spaces[1].map(PLACE, page, LEAF | R | W);
                    form();
                    let seen: u64 = memory::read(PLACE);
                    assert_eq!(seen, memory::read(page), "step {step} of {name}");
                    memory::write(PLACE + 8, step as u64);
                }
                println!(
                    "{mode:?} remapped 30 times with {name}: {:#x}",
                    memory::read::<u64>(PLACE)
                );
            }
            for &page in &pages {
                println!("  last step stored: {}", memory::read::<u64>(page + 8));
            }
            // The other space was never fenced and never changed.
            paging::csr_satp(spaces[0].satp(1));
            println!(
                "{mode:?} back in space 0: {:#x}",
                memory::read::<u64>(PLACE)
            );
            // A global page that moves: fenced for all address spaces.
            for space in &spaces {
                space.map(PLACE + 0x1000, pages[0], LEAF | R | W | G);
            }
            fence_address(PLACE + 0x1000);
            for (asid, space) in spaces.iter().enumerate() {
                paging::csr_satp(space.satp(asid as u64 + 1));
                println!(
                    "{mode:?} global page in space {asid}: {:#x}",
                    memory::read::<u64>(PLACE + 0x1000)
                );
            }
            paging::bare();
        }
    }

    guests::program!(main);
}
