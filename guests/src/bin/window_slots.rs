//! A page in each of the gibibyte slots at 0xffffffc000000000, the first addresses of the upper half of Sv39, in
//! all modes.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::paging::{LEAF, Mode, R, Space, W, fence_address};
    use guests::{memory, paging, println};

    fn main() {
        for mode in Mode::supported() {
            let space = Space::new(mode);
            let page = memory::page();
            space.activate(1);
            for slot in 0..4u64 {
                let place = 0xffff_ffc0_0000_0000 + (slot << 30) + 0x12_3000;
                println!("{mode:?} {place:#x}");
                space.map(place, page, LEAF | R | W);
                fence_address(place);
                memory::write(place + 8 * slot, slot + 5);
                println!("  {}", memory::read::<u64>(page + 8 * slot));
            }
            paging::bare();
        }
    }

    guests::program!(main);
}
