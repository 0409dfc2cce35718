//! Random bytes for guests, from a generator that the host seeds.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use spin::Mutex;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport as _;

use super::dma::HostMemory;
use super::host_virtio::{Transport, barrier, negotiate, wait_for};

const SEED: usize = 32;
/// Descriptors of the queue: one is in use.
const RING: usize = 4;
const QUEUE: u16 = 0;

/// The generator.
pub struct Entropy {
    generator: Mutex<Option<ChaCha20Rng>>,
}

impl Entropy {
    /// Seeded with what the host's boot loader left, if that is enough.
    pub fn new(seed: Option<&[u8]>) -> Self {
        let seed = seed.and_then(|seed| seed.first_chunk::<SEED>());
        Self {
            generator: Mutex::new(seed.map(|&seed| ChaCha20Rng::from_seed(seed))),
        }
    }

    /// Seeds it with the host's entropy device (virtio 1.2, section 5.4), together with what it had before.
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
        let mut old = [0; SEED];
        self.fill(&mut old);
        for (byte, old) in fresh.iter_mut().zip(old) {
            *byte ^= old;
        }
        *self.generator.get_mut() = Some(ChaCha20Rng::from_seed(*fresh));
        Ok(())
    }

    /// Whether the host had any.
    pub fn has_entropy(&self) -> bool {
        self.generator.lock().is_some()
    }

    /// Fills `buffer` with bytes that nobody can guess; false, and it is left alone, when the host had no
    /// entropy.
    pub fn fill(&self, buffer: &mut [u8]) -> bool {
        match &mut *self.generator.lock() {
            Some(generator) => {
                generator.fill_bytes(buffer);
                true
            }
            None => false,
        }
    }

    /// Whether nobody is at it at the moment.
    pub fn is_free(&self) -> bool {
        self.generator.try_lock().is_some()
    }
}
