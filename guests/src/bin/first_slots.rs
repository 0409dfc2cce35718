//! A page in the first entry of the upper half of the root, where the monitor stands by default: in each
//! mode from the narrowest on. In the widest that the machine has, a monitor cannot make room.
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
            let place = (!0u64 << (mode.bits() - 1)) + 0x12_3000;
            println!("{mode:?} {place:#x}");
            space.activate(1);
            space.map(place, page, LEAF | R | W);
            fence_address(place);
            memory::write(place + 8, 5u64);
            println!("  {}", memory::read::<u64>(page + 8));
            paging::bare();
        }
    }

    guests::program!(main);
}
