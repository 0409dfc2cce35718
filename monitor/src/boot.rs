//! From the firmware's hand-over to a running guest.

use super::window;
use super::{console, fault, host, layout, vm};
use isa::address::HostPhys;

core::arch::global_asm!(
    include_str!("boot.S"),
    window = const window::WINDOW,
    window_slot = const (window::WINDOW >> 30) & 511 - 256,
    direct_slots = const window::DIRECT_SLOTS,
    boot_stack_size = const 64 << 10,
    start = sym start,
);

/// What the boot code found out about the processor.
#[derive(Clone, Copy, Debug)]
pub struct Translation {
    /// Bit `m` is set where `satp.MODE` may be `m`.
    pub modes: u16,
    /// The largest hardware ASID.
    pub max_asid: u16,
}

/// The first Rust code: translation is on, the image is at its place in the window.
extern "C" fn start(
    hart: u64,
    device_tree: HostPhys,
    image: HostPhys,
    modes: u64,
    max_asid: u64,
) -> ! {
    let image = window::Image::new(image);
    let translation = Translation {
        modes: modes as u16,
        max_asid: max_asid as u16,
    };
    let tree = host::read_tree(device_tree).unwrap_or_else(|error| fault::stop(&error));
    if let Some(uart) = &tree.uart {
        console::use_uart(uart);
    }
    let host = host::Host::probe(hart, &tree, translation);
    let layout =
        layout::plan(&image, device_tree, &tree).unwrap_or_else(|error| fault::stop(&error));
    vm::run(image, &tree, &host, layout)
}
