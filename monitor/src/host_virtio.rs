//! The host's virtio devices: found in its device tree, and handed to their drivers.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use devices::host_tree::{HostInterrupt, HostTree, HostVirtio};
use virtio_drivers::transport::mmio::{MmioError, MmioTransport};
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport as _};

use super::console::say;
use super::entropy::Entropy;
use super::host_disk::HostDisk;
use super::host_net::HostNet;
use super::{csr, window};

/// The registers of a device.
pub type Transport = MmioTransport<'static>;

/// Requests may lie in a table of their own (virtio 1.2, section 6).
pub const INDIRECT: u64 = 1 << 28;
/// Both sides say when they want to be notified.
pub const EVENT_INDEX: u64 = 1 << 29;
/// The device is as virtio 1.0 has it.
const VERSION_1: u64 = 1 << 32;

/// Seconds after which a device is thought to be dead.
const PATIENCE: u64 = 10;

/// The host's devices that guests have a part of.
pub struct HostDevices {
    /// In the order of their addresses.
    pub disks: &'static [HostDisk],
    /// The one with the lowest address.
    pub net: Option<HostNet>,
    pub entropy: Entropy,
}

impl HostDevices {
    /// Finds them. `pieces` is how many pieces of the disk with a number there will be.
    pub fn probe(tree: &HostTree, mut entropy: Entropy, pieces: impl Fn(usize) -> usize) -> Self {
        let patience = u64::from(tree.timebase_frequency) * PATIENCE;
        let mut disks = Vec::new();
        let mut net = None;
        for device in &tree.virtio {
            let at = device.registers.base.0;
            let skipped =
                |error: String| say!("the host's virtio device at {at:#x} is not used: {error}");
            let transport = match open(device) {
                Ok(Some(transport)) => transport,
                Ok(None) => continue,
                Err(error) => {
                    skipped(error);
                    continue;
                }
            };
            let made = match transport.device_type() {
                DeviceType::Block => {
                    let number = disks.len();
                    HostDisk::new(transport, device, number, pieces(number), patience)
                        .map(|disk| disks.push(disk))
                }
                DeviceType::Network if net.is_none() => {
                    HostNet::new(transport, device).map(|device| net = Some(device))
                }
                DeviceType::EntropySource => entropy.seed(transport, patience),
                _ => Ok(()),
            };
            if let Err(error) = made {
                skipped(error);
            }
        }
        Self {
            disks: Box::leak(disks.into_boxed_slice()),
            net,
            entropy,
        }
    }

    /// The interrupt of each, if it arrives.
    pub fn interrupts(&self) -> impl Iterator<Item = Option<HostInterrupt>> {
        let disks = self.disks.iter().map(|disk| disk.interrupt);
        disks.chain(self.net.iter().map(|net| net.interrupt))
    }

    /// Serves the device behind a source; false when there is none.
    pub fn serve(&self, source: u32) -> bool {
        let is_it = |interrupt: Option<HostInterrupt>| {
            interrupt.is_some_and(|interrupt| interrupt.source == source)
        };
        if let Some(disk) = self.disks.iter().find(|disk| is_it(disk.interrupt)) {
            disk.serve();
            return true;
        }
        let net = self.net.iter().find(|net| is_it(net.interrupt));
        net.map(HostNet::serve).is_some()
    }

    /// Serves all of them.
    pub fn serve_all(&self) {
        self.disks.iter().for_each(HostDisk::serve);
        self.net.iter().for_each(HostNet::serve);
    }

    /// Whether nobody is at one of them at the moment.
    pub fn are_free(&self) -> bool {
        self.disks.iter().all(HostDisk::is_free)
            && self.net.iter().all(HostNet::is_free)
            && self.entropy.is_free()
    }
}

/// The registers of a device; `None` where none is.
fn open(device: &HostVirtio) -> Result<Option<Transport>, String> {
    let (base, size) = (device.registers.base, device.registers.size);
    if !base.is_aligned(4) {
        return Err("its registers are not aligned".into());
    }
    // SAFETY: the host's device tree says that a device's registers are here; they stay, and each device
    // is opened once.
    let transport = unsafe { MmioTransport::new(window::direct(base).cast(), size as usize) };
    match transport {
        Ok(transport) => Ok(Some(transport)),
        // The place of a device, and none of those that there are drivers for.
        Err(MmioError::InvalidDeviceID(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Resets a device and agrees on features, at most those `wanted` (virtio 1.2, section 3.1.1). The driver
/// sets up its queues then, and calls `finish_init`.
pub fn negotiate(transport: &mut Transport, wanted: u64) -> Result<u64, String> {
    transport.set_status(DeviceStatus::empty());
    transport.set_status(DeviceStatus::ACKNOWLEDGE);
    let mut status = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
    transport.set_status(status);
    let features = transport.read_device_features() & (wanted | VERSION_1);
    transport.write_driver_features(features);
    if !transport.requires_legacy_layout() {
        if features & VERSION_1 == 0 {
            return Err("it does not offer VERSION_1".into());
        }
        status |= DeviceStatus::FEATURES_OK;
        transport.set_status(status);
        if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
            return Err(format!("it refuses the features {features:#x}"));
        }
    }
    transport.set_guest_page_size(virtio_drivers::PAGE_SIZE as u32);
    Ok(features)
}

/// Orders memory and registers: what was written before is seen by whoever is told after. The queue's own
/// barriers order neither registers, nor a store before a later load.
pub fn barrier() {
    // SAFETY: a barrier changes nothing.
    unsafe { core::arch::asm!("fence iorw, iorw", options(nostack, preserves_flags)) };
}

/// Waits until `ready`, at most `patience` ticks of `time`; whether it came.
pub fn wait_for(patience: u64, mut ready: impl FnMut() -> bool) -> bool {
    let start = csr::time();
    loop {
        if ready() {
            return true;
        }
        if csr::time().wrapping_sub(start) > patience {
            return false;
        }
        core::hint::spin_loop();
    }
}
