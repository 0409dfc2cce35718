//! The host's interrupt controller, as the hart that booted uses it: its registers, and the hart's own
//! interrupt file where there are IMSICs.

use alloc::string::{String, ToString};

use devices::host_controller::{Controller, InterruptFile, Registers};
use devices::host_tree::{HostInterrupt, HostTree};
use isa::address::HostPhys;

use super::console::say;
use super::gate::{Attempt, attempt};
use super::window;

/// The controller, for the hart that booted.
pub type HostController = Controller<Mmio, File>;

/// How often a second what has no interrupt is looked at.
pub const POLLS: u64 = 100;

/// Lets the interrupts of the host's devices through: `wanted` has one for each of them, `None` for one whose
/// interrupt goes elsewhere. The controller, if it can be used, and whether there is a device that it does
/// not serve, which has to be polled then.
pub fn connect(
    tree: &HostTree,
    hart: u64,
    wanted: &[Option<HostInterrupt>],
) -> (Option<HostController>, bool) {
    let mut controller = match open(tree, hart) {
        Ok(controller) => controller,
        Err(error) => {
            say!(
                "the host's interrupt controller is not used ({error}): its devices are polled {POLLS} times a second"
            );
            return (None, true);
        }
    };
    let enabled = wanted.iter().flatten();
    let served = enabled
        .filter(|&&interrupt| controller.enable(interrupt))
        .count();
    let unserved = wanted.len() - served;
    if unserved > 0 {
        say!(
            "{unserved} of the host's devices have no interrupt that arrives: all are polled {POLLS} times a second"
        );
    }
    (Some(controller), unserved > 0)
}

fn open(tree: &HostTree, hart: u64) -> Result<HostController, String> {
    let described = tree.controller.as_ref().map_err(ToString::to_string)?;
    let range = described.registers;
    if !range.base.is_aligned(4) {
        return Err("its registers are not aligned".into());
    }
    Controller::new(described, hart, Mmio(range.base), File).map_err(|error| error.to_string())
}

/// The registers of the controller that the host's device tree describes.
#[derive(Clone, Debug)]
pub struct Mmio(HostPhys);

impl Mmio {
    fn register(&self, offset: u64) -> *mut u32 {
        window::direct(self.0.add(offset)).cast::<u32>().as_ptr()
    }
}

impl Registers for Mmio {
    fn read(&self, offset: u64) -> u32 {
        // SAFETY: the host's device tree says that the controller's registers are here, and `open` that the
        // direct map reaches them.
        u32::from_le(unsafe { self.register(offset).read_volatile() })
    }

    fn write(&self, offset: u64, value: u32) {
        // SAFETY: as for `read`.
        unsafe { self.register(offset).write_volatile(value.to_le()) };
    }
}

/// The interrupt file of this hart.
#[derive(Clone, Debug)]
pub struct File;

impl InterruptFile for File {
    fn open(&self, highest: u32) -> bool {
        let enabled = (1 << (highest + 1)) - 2;
        attempt(Attempt::InterruptFile(highest.into())) == Some(enabled)
    }

    fn claim(&self) -> u32 {
        let claimed: u64;
        // SAFETY: claims an interrupt, which the caller serves; the CSR is there, for `open` used it.
        unsafe {
            core::arch::asm!("csrrw {}, 0x15c, zero", out(reg) claimed, options(nomem, nostack));
        }
        claimed as u32
    }
}
