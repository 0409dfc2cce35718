//! From the firmware's hand-over to a running guest.

use isa::address::HostPhys;

use super::console::say;
use super::cpu::Cpu;
use super::entropy::Entropy;
use super::gate::{Attempt, attempt};
use super::window::Image;
use super::{console, fault, host, layout, run, start, system, window};

core::arch::global_asm!(
    include_str!("boot.S"),
    window = const window::WINDOW,
    window_slot = const (window::WINDOW >> 30) & 511 - 256,
    direct_slots = const window::DIRECT_SLOTS,
    boot_stack_size = const 256 << 10,
    start = sym begin,
    start_other = sym begin_other,
    fault_stack = const core::mem::offset_of!(Cpu, fault_stack),
);

unsafe extern "C" {
    static other_hart_start: u8;
}

/// What the boot code found out about the processor.
#[derive(Clone, Copy, Debug)]
pub struct Translation {
    /// Bit `m` is set where `satp.MODE` may be `m`.
    pub modes: u16,
    /// The largest hardware ASID.
    pub max_asid: u16,
}

/// The first Rust code: translation is on, the image is at its place in the window.
extern "C" fn begin(
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
    fault::use_finisher(&tree);
    if attempt(Attempt::Time).is_none() {
        fault::stop(
            &"S-mode cannot read `time` here: the processor has no Zicntr, or the firmware keeps it (mcounteren.TM); \
              use a processor with Zicntr, or firmware that lets S-mode read it",
        );
    }
    let host = host::Host::probe(hart, &tree, translation);
    let entropy = Entropy::collect(device_tree, &tree);
    let layout =
        layout::plan(&image, device_tree, &tree).unwrap_or_else(|error| fault::stop(&error));
    start::start(image, &tree, &host, layout, entropy)
}

/// The first Rust code on another hart of the host.
extern "C" fn begin_other(cpu: &'static Cpu) -> ! {
    use_cpu(cpu);
    if attempt(Attempt::Time).is_none() {
        say!(
            "hart {} of the host cannot read `time` in S-mode; guests run on the others",
            cpu.hart
        );
        loop {
            attempt(Attempt::Wait);
        }
    }
    cpu.start();
    run::run(cpu)
}

/// Has the firmware start a hart of the host, which runs guests then.
pub fn start_cpu(cpu: &'static Cpu, image: &Image) {
    let offset = (&raw const other_hart_start) as u64 - image.start;
    let entry = image.physical.0 + offset;
    let started = sbi_rt::hart_start(
        cpu.hart as usize,
        entry as usize,
        cpu as *const Cpu as usize,
    );
    if started.is_err() {
        say!(
            "hart {} of the host cannot be started ({:?}); guests run on the others",
            cpu.hart,
            started
        );
    }
}

/// This hart of the host is `cpu` from now on.
pub fn use_cpu(cpu: &'static Cpu) {
    // SAFETY: `tp` is the monitor's own: code for this target has no thread-local data.
    unsafe { core::arch::asm!("mv tp, {}", in(reg) cpu, options(nomem, nostack)) };
}

/// Which hart of the host this is; `None` early in the boot.
pub fn this_cpu() -> Option<&'static Cpu> {
    let cpu: *const Cpu;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mv {}, tp", out(reg) cpu, options(nomem, nostack)) };
    system::try_get().and_then(|system| system.cpus.iter().find(|own| core::ptr::eq(*own, cpu)))
}
