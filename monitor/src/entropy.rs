//! Random bytes for guests, from a generator that is seeded with what the host has.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use bundle::fresh;
use devices::Seeds;
use devices::host_tree::{HostRange, HostTree};
use entropy::Generator;
use isa::address::HostPhys;
use spin::Mutex;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport as _;

use super::dma::HostMemory;
use super::gate::{Attempt, attempt};
use super::host_virtio::{Transport, barrier, negotiate, wait_for};
use super::window;

/// Bytes that the host's entropy device is asked for.
const SEED: usize = 32;
/// Descriptors of the queue: one is in use.
const RING: usize = 4;
const QUEUE: u16 = 0;

/// The generator.
pub struct Entropy {
    generator: Mutex<Generator>,
    /// Whether the host's loader gives kernels a seed for where they place themselves.
    pub places_kernels: bool,
}

impl Entropy {
    /// Seeded with what the loader left in the device tree, of which `blob` is a copy, and behind the bundle. It is
    /// wiped there, for nobody to find it later: a guest may be given the memory.
    pub fn collect(blob: &mut [u8], tree: &HostTree) -> Self {
        let mut generator = Generator::default();
        let counters = [Attempt::Time, Attempt::Cycle].map(|counter| attempt(counter).unwrap_or(0));
        generator.stir("counters", counters.map(u64::to_le_bytes).as_flattened());
        let seeds = Seeds::of(blob).unwrap_or_default();
        let places_kernels = seeds.kaslr.is_some();
        for place in seeds.places() {
            generator.mix("device tree", &blob[place.clone()]);
            blob[place].fill(0);
        }
        let reach = window::place().reach();
        let reached = |range: &HostRange| range.base.0.saturating_add(range.size) <= reach;
        if let Some(initrd) = tree.initrd.filter(reached) {
            // SAFETY: where the firmware left the initrd, in the direct map; nothing refers to it yet.
            let initrd = unsafe { bytes_at(initrd.base, initrd.size) };
            if let Some(place) = fresh::find(initrd) {
                generator.mix("fresh", &initrd[place.clone()]);
                initrd[place].fill(0);
            }
        }
        Self {
            generator: Mutex::new(generator),
            places_kernels,
        }
    }

    /// Mixes in the time of day, which keeps two boots apart whose sources are the same.
    pub fn stir(&self, now: u64) {
        self.generator.lock().stir("day", &now.to_le_bytes());
    }

    /// Mixes in bytes of the host's entropy device (virtio 1.2, section 5.4).
    pub fn seed(&mut self, mut transport: Transport, patience: u64) -> Result<(), String> {
        negotiate(&mut transport, 0)?;
        let mut queue = VirtQueue::<HostMemory, RING>::new(&mut transport, QUEUE, false, false)
            .map_err(|error| format!("{error}"))?;
        transport.finish_init();
        let mut fresh = Box::new([0; SEED]);
        let mut filled = 0;
        while filled < SEED {
            let buffer = &mut fresh[filled..];
            let room = buffer.len();
            // SAFETY: the buffer stays until it is popped, or until the device is reset.
            let token = unsafe { queue.add(&[], &mut [&mut *buffer]) };
            let token = token.map_err(|error| format!("{error}"))?;
            barrier();
            transport.notify(QUEUE);
            if !wait_for(patience, || queue.can_pop()) {
                // Dropping it resets the device, which lets go of the buffer.
                drop(transport);
                return Err("it gives no random bytes".into());
            }
            // SAFETY: the buffer is the one that was added.
            let size = unsafe { queue.pop_used(token, &[], &mut [buffer]) };
            let size = size.map_err(|error| format!("{error}"))? as usize;
            if size == 0 || size > room {
                return Err("it gives no random bytes".into());
            }
            filled += size;
        }
        drop(transport);
        self.generator.get_mut().mix("device", &*fresh);
        fresh.fill(0);
        Ok(())
    }

    /// Whether the host had any.
    pub fn has_entropy(&self) -> bool {
        self.generator.lock().is_seeded()
    }

    /// Fills `buffer` with bytes that nobody can guess; false, and it is left alone, when the host had no
    /// entropy.
    pub fn fill(&self, buffer: &mut [u8]) -> bool {
        self.generator.lock().fill(buffer)
    }

    /// Whether nobody is at it at the moment.
    pub fn is_free(&self) -> bool {
        self.generator.try_lock().is_some()
    }
}

/// Whether a range has `size` bytes at `at`.
/// Wipes the seeds in `original`, the firmware's own tree at `at`, of which there is a copy.
pub fn wipe(original: &mut [u8], at: HostPhys, tree: &HostTree) {
    let size = original.len() as u64;
    // A tree in read-only memory cannot be wiped, and no guest gets that.
    if tree.memory.iter().any(|memory| has(memory, at, size)) {
        let seeds = Seeds::of(original).unwrap_or_default();
        seeds.places().for_each(|place| original[place].fill(0));
    }
}

fn has(range: &HostRange, at: HostPhys, size: u64) -> bool {
    let offset = at.0.checked_sub(range.base.0);
    let room = offset.and_then(|offset| range.size.checked_sub(offset));
    room.is_some_and(|room| size <= room)
}

/// Host memory.
///
/// # Safety
/// It must be in the direct map, and nothing else must refer to it as long as the result is used.
unsafe fn bytes_at(at: HostPhys, size: u64) -> &'static mut [u8] {
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts_mut(window::direct(at).as_ptr(), size as usize) }
}
