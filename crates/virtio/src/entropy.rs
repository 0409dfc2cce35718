//! The entropy device (virtio 1.2, section 5.4).

use alloc::vec;

use crate::mmio::CONFIG_SIZE;
use crate::segments;
use crate::{Broken, Device, Memory, Mmio};

/// The only queue.
const QUEUE: usize = 0;
/// Most bytes that a request gets; the driver asks again for the rest.
const MOST_EACH: usize = 4096;
/// Most requests that [`Mmio::serve`] answers: 64 KiB.
const BATCH: usize = 16;

/// An entropy device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entropy;

impl Device for Entropy {
    const ID: u32 = 4;
    const QUEUES: usize = 1;

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> [u8; CONFIG_SIZE] {
        [0; CONFIG_SIZE]
    }

    fn reset(&mut self) {}
}

impl Mmio<Entropy> {
    /// Answers requests with bytes that `fill` makes random, and decides upon an interrupt. Call it after
    /// a doorbell.
    ///
    /// It ends after 64 KiB, and is true when there may be more: call it again, after other work.
    #[must_use]
    pub fn serve(&mut self, fill: &mut dyn FnMut(&mut [u8]), memory: &mut dyn Memory) -> bool {
        let mut buffer = vec![0; MOST_EACH];
        let mut may_be_more = true;
        for _ in 0..BATCH {
            let Some(chain) = self.pop(QUEUE, memory) else {
                may_be_more = false;
                break;
            };
            let size = segments::total(&chain.writable).min(MOST_EACH as u64) as usize;
            if size == 0 {
                self.fail(Broken::Request);
                return false;
            }
            let bytes = &mut buffer[..size];
            fill(bytes);
            let written = segments::write(&chain.writable, bytes, memory);
            self.push_used(QUEUE, chain.head, written as u32, memory);
        }
        self.settle(QUEUE, memory);
        may_be_more
    }
}
