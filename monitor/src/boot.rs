//! From the firmware's hand-over to a running guest.

use core::sync::atomic::{AtomicU64, Ordering};

use devices::host_tree::{HostTree, TreeError};
use isa::address::HostPhys;
use mmu::Paging;
use spin::mutex::{SpinMutex, SpinMutexGuard};

use super::console::say;
use super::cpu::Cpu;
use super::entropy::Entropy;
use super::gate::{Attempt, attempt};
use super::window::{Image, Place};
use super::{console, entropy, fault, host, layout, run, start, system, window};

core::arch::global_asm!(
    include_str!("boot.S"),
    boot_stack_size = const 256 << 10,
    prepare = sym prepare,
    start = sym begin,
    start_other = sym begin_other,
    boot_satp = sym BOOT_SATP,
    boot_image = sym BOOT_IMAGE,
    fault_stack = const core::mem::offset_of!(Cpu, fault_stack),
);

unsafe extern "C" {
    static other_hart_start: u8;
}

/// What the first pass of the boot found out about the processor.
#[derive(Clone, Copy, Debug)]
pub struct Translation {
    /// Bit `m` is set where `satp.MODE` may be `m`.
    pub modes: u16,
    /// The largest hardware ASID.
    pub max_asid: u16,
}

/// What `satp` holds from the second pass on.
#[unsafe(link_section = ".bss.kept")]
static BOOT_SATP: AtomicU64 = AtomicU64::new(0);
/// Where the image is from then on.
#[unsafe(link_section = ".bss.kept")]
static BOOT_IMAGE: AtomicU64 = AtomicU64::new(0);

/// Most bytes of a device tree.
const MOST_TREE: usize = 512 << 10;

/// What else the first pass leaves behind.
struct Kept {
    translation: Translation,
    place: Place,
    /// The host's device tree, wherever the firmware had it, and how many bytes there are.
    tree: ([u8; MOST_TREE], usize),
}

#[unsafe(link_section = ".bss.kept")]
static KEPT: SpinMutex<Kept> = SpinMutex::new(Kept {
    translation: Translation {
        modes: 0,
        max_asid: 0,
    },
    place: Place {
        paging: Paging::Bare,
        start: 0,
        below: 0,
    },
    tree: ([0; MOST_TREE], 0),
});

/// The first Rust code of all: translation is off, and nothing stays but what is in `.bss.kept`.
extern "C" fn prepare(device_tree: HostPhys, image: HostPhys) {
    let mut kept = KEPT.lock();
    let size = host::tree_size(device_tree) as usize;
    let Some(copy) = kept.tree.0.get_mut(..size) else {
        fault::stop(&format_args!(
            "the host's device tree has {} KiB, and the monitor has room for {}; give the machine a smaller one",
            size >> 10,
            MOST_TREE >> 10
        ))
    };
    // SAFETY: memory that the firmware set aside for the tree and that nothing else uses.
    let original =
        unsafe { core::slice::from_raw_parts_mut(window::direct(device_tree).as_ptr(), size) };
    copy.copy_from_slice(original);
    kept.tree.1 = size;
    // What is wrong with it, or with the bundle, the second pass says.
    let tree = read_tree(&kept).ok();
    if let Some(tree) = &tree {
        fault::use_finisher(tree);
        entropy::wipe(original, device_tree, tree);
    }
    if image.0 + (1 << 30) > LOADED_BELOW {
        fault::stop(&format_args!(
            "the monitor was loaded at {:#x}; load it below {LOADED_BELOW:#x}",
            image.0
        ));
    }
    let (modes, max_asid) = window::probe(image);
    let Some(paging) = Paging::widest(modes) else {
        fault::stop(&"this processor has no Sv39 address translation; use one that has it")
    };
    let bundle = tree.and_then(|tree| tree.initrd).map(|initrd| {
        let (start, size) = (window::direct(initrd.base), initrd.size as usize);
        // SAFETY: the firmware says that this is memory, and translation is off.
        unsafe { core::slice::from_raw_parts(start.as_ptr(), size) }
    });
    let asked = bundle.and_then(bundle::asked_window);
    let below = monitor_below();
    let start = paging
        .window(asked, below)
        .unwrap_or_else(|error| fault::stop(&error));
    let place = Place {
        paging,
        start,
        below: below.unwrap_or(0),
    };
    BOOT_SATP.store(place.boot_root(image), Ordering::Relaxed);
    BOOT_IMAGE.store(start + image.0 % window::GIGABYTE, Ordering::Relaxed);
    kept.translation = Translation { modes, max_asid };
    kept.place = place;
}

/// What Sv39 can map to itself: the monitor must be in it to switch translation on.
const LOADED_BELOW: u64 = 1 << 38;

/// Behind the window of the monitor whose guest this is, if it is one of this kind.
fn monitor_below() -> Option<u64> {
    if sbi_rt::get_sbi_impl_id() as u64 != sbi::IMPLEMENTATION_ID {
        return None;
    }
    let (error, value): (u64, u64);
    // SAFETY: a call of the firmware that changes nothing but these registers.
    unsafe {
        core::arch::asm!(
            "ecall",
            in("a7") sbi::EID_OWN,
            in("a6") sbi::OWN_WINDOW_END,
            lateout("a0") error,
            lateout("a1") value,
        );
    }
    (error == 0).then_some(value)
}

fn read_tree(kept: &Kept) -> Result<HostTree, TreeError> {
    let (bytes, size) = &kept.tree;
    devices::host_tree::read(&bytes[..*size])
}

/// Translation is on, the image is at its place in the window.
extern "C" fn begin(hart: u64, image: HostPhys) -> ! {
    let kept = SpinMutexGuard::leak(KEPT.lock());
    let Kept {
        translation, place, ..
    } = *kept;
    window::stand_at(place);
    let image = Image::new(image);
    let mut tree = read_tree(kept).unwrap_or_else(|error| fault::stop(&error));
    let left_out = host::leave_out(&mut tree, place.reach());
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
    if left_out > 0 {
        say!(
            "{} MiB of the host's memory lie beyond {:#x}, which is as far as the monitor reaches with {:?}: they are not used",
            left_out >> 20,
            place.reach(),
            place.paging
        );
    }
    let host = host::Host::probe(hart, &tree, translation);
    let (blob, size) = &mut kept.tree;
    let entropy = Entropy::collect(&mut blob[..*size], &tree);
    let layout =
        layout::plan(&image, &tree, place.reach()).unwrap_or_else(|error| fault::stop(&error));
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
