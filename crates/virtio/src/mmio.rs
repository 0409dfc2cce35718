//! The registers of a device over MMIO, version 2 (virtio 1.2, section 4.2.2), and what all devices
//! have in common: status, features, queues, interrupts.
//!
//! The monitor hands each access of a guest to [`Mmio::read`] and [`Mmio::write`] and does what the
//! latter says ([`Action`]). Afterwards the level of the interrupt may be another
//! ([`Mmio::interrupt`]).

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use isa::address::GuestPhys;

use crate::Memory;
use crate::queue::{Broken, Chain, MOST_ENTRIES, Queue, Setup};

/// Bytes of a device's configuration space; behind its fields all are 0.
pub const CONFIG_SIZE: usize = 64;

/// "virt", as the register holds it.
const MAGIC_VALUE: u32 = u32::from_le_bytes(*b"virt");
const VERSION: u32 = 2;
/// "QEMU": nobody assigns these numbers, and drivers that are taught with QEMU ask for this one.
const VENDOR: u32 = u32::from_le_bytes(*b"QEMU");

/// Features that all devices offer (section 6).
const INDIRECT_DESC: u64 = 1 << 28;
const EVENT_IDX: u64 = 1 << 29;
pub(crate) const VERSION_1: u64 = 1 << 32;

/// Bits of the status (section 2.1).
const FEATURES_OK: u32 = 8;
const DRIVER_OK: u32 = 4;
const NEEDS_RESET: u32 = 64;
/// ACKNOWLEDGE, DRIVER and FAILED: the driver's remarks.
const REMARKS: u32 = 1 | 2 | 128;

/// Bits of the interrupt status.
const USED_BUFFER: u32 = 1;
const CONFIG_CHANGE: u32 = 2;

/// Offsets of the registers (section 4.2.2).
pub mod register {
    pub const MAGIC_VALUE: u64 = 0x000;
    pub const VERSION: u64 = 0x004;
    pub const DEVICE_ID: u64 = 0x008;
    pub const VENDOR_ID: u64 = 0x00c;
    pub const DEVICE_FEATURES: u64 = 0x010;
    pub const DEVICE_FEATURES_SEL: u64 = 0x014;
    pub const DRIVER_FEATURES: u64 = 0x020;
    pub const DRIVER_FEATURES_SEL: u64 = 0x024;
    pub const QUEUE_SEL: u64 = 0x030;
    pub const QUEUE_NUM_MAX: u64 = 0x034;
    pub const QUEUE_NUM: u64 = 0x038;
    pub const QUEUE_READY: u64 = 0x044;
    pub const QUEUE_NOTIFY: u64 = 0x050;
    pub const INTERRUPT_STATUS: u64 = 0x060;
    pub const INTERRUPT_ACK: u64 = 0x064;
    pub const STATUS: u64 = 0x070;
    pub const QUEUE_DESC_LOW: u64 = 0x080;
    pub const QUEUE_DESC_HIGH: u64 = 0x084;
    pub const QUEUE_DRIVER_LOW: u64 = 0x090;
    pub const QUEUE_DRIVER_HIGH: u64 = 0x094;
    pub const QUEUE_DEVICE_LOW: u64 = 0x0a0;
    pub const QUEUE_DEVICE_HIGH: u64 = 0x0a4;
    pub const SHM_LEN_LOW: u64 = 0x0b0;
    pub const SHM_LEN_HIGH: u64 = 0x0b4;
    pub const SHM_BASE_LOW: u64 = 0x0b8;
    pub const SHM_BASE_HIGH: u64 = 0x0bc;
    pub const CONFIG_GENERATION: u64 = 0x0fc;
    pub const CONFIG: u64 = 0x100;
}

/// What is not the same for all devices.
pub trait Device {
    /// The device's number (section 5).
    const ID: u32;
    /// How many queues it has.
    const QUEUES: usize;

    /// The features of its kind that it offers: bits 0 to 23 and from 50 on.
    fn features(&self) -> u64;

    /// Its configuration space.
    fn config(&self) -> [u8; CONFIG_SIZE];

    /// Takes a write to the configuration space: `bytes` at `offset`, all in it.
    fn write_config(&mut self, offset: usize, bytes: &[u8]) {
        let _ = (offset, bytes);
    }

    /// Forgets everything that a driver made it know.
    fn reset(&mut self);
}

/// What there is to do after a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Action {
    /// Nothing.
    None,
    /// The driver is ready (DRIVER_OK): all queues want to be looked at.
    Started,
    /// The doorbell of this queue, which is ready.
    Notify(usize),
    /// The driver wants a reset, and nothing is changed yet. Wait until no request is in flight, then
    /// call [`Mmio::reset`], and let the hart go on only then.
    Reset,
}

/// What a driver asked for that the device has not done. Nothing else comes of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// FEATURES_OK, with features that were not offered (section 2.2.1), or after DRIVER_OK.
    Features,
    /// A queue that has a size or an address that no queue may have (section 2.7), or that takes the place
    /// of one with chains in flight.
    Queue,
    /// To move a queue that is ready (section 4.2.2.2).
    Move,
    /// The doorbell of a queue that is not ready, or before DRIVER_OK (section 3.1.1).
    Doorbell,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Features => "FEATURES_OK, with features that were not offered or after DRIVER_OK, is not set",
            Self::Queue => "a queue of this size, at these addresses or with chains in flight is not made ready",
            Self::Move => "a queue that is ready stays where it is",
            Self::Doorbell => "the doorbell of a queue that is not ready, or before DRIVER_OK, is not heard",
        })
    }
}

/// What a place for a device that has none reads as (sections 4.2.2 and 4.2.3.1: device 0), in `width` (1, 2
/// or 4) bytes at `offset`. It ignores what is written.
#[must_use]
pub fn read_empty(offset: u64, width: u8) -> u64 {
    let value = match offset {
        register::MAGIC_VALUE => MAGIC_VALUE,
        register::VERSION => VERSION,
        register::VENDOR_ID => VENDOR,
        _ => 0,
    };
    u64::from(value) & ((1 << (8 * u32::from(width))) - 1)
}

#[derive(Clone, Debug, Default)]
struct Slot {
    setup: Setup,
    ready: bool,
    /// The queue that is ready, or that was and has chains in flight still.
    queue: Option<Queue>,
}

/// A device with its registers.
#[derive(Clone, Debug)]
pub struct Mmio<D> {
    device: D,
    slots: Vec<Slot>,
    status: u32,
    interrupt_status: u32,
    generation: u32,
    /// Those that the driver has acknowledged; of four words, as the selector has it.
    driver_features: u128,
    device_features_sel: u32,
    driver_features_sel: u32,
    queue_sel: u32,
    broken: Option<Broken>,
    /// The interrupt line was set and up.
    raised: bool,
    /// What was refused, and is still to be told.
    refused: Option<Refused>,
    /// A bit for each kind of refusal that was noted already.
    noted: u8,
}

impl<D: Device> Mmio<D> {
    /// The device as it is after reset.
    #[must_use]
    pub fn new(device: D) -> Self {
        Self {
            device,
            slots: vec![Slot::default(); D::QUEUES],
            status: 0,
            interrupt_status: 0,
            generation: 0,
            driver_features: 0,
            device_features_sel: 0,
            driver_features_sel: 0,
            queue_sel: 0,
            broken: None,
            raised: false,
            refused: None,
            noted: 0,
        }
    }

    /// The device itself.
    #[must_use]
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The device itself.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// The level of the interrupt line.
    #[must_use]
    pub fn interrupt(&self) -> bool {
        self.interrupt_status != 0
    }

    /// Whether the interrupt line was set and up since this was last called: with used buffers for which the
    /// driver wants an interrupt, a changed configuration, and an acknowledgement that leaves something.
    pub fn take_raised(&mut self) -> bool {
        core::mem::take(&mut self.raised)
    }

    /// What the driver asked for that the device has not done: each kind once.
    pub fn take_refused(&mut self) -> Option<Refused> {
        self.refused.take()
    }

    fn refuse(&mut self, refused: Refused) {
        let bit = 1 << refused as u8;
        if self.noted & bit == 0 && self.refused.is_none() {
            self.noted |= bit;
            self.refused = Some(refused);
        }
    }

    /// What the driver did wrong, if the device waits to be reset for that.
    #[must_use]
    pub fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// Whether driver and device have agreed upon a feature, or several.
    #[must_use]
    pub fn has_feature(&self, bits: u64) -> bool {
        let bits = u128::from(bits);
        self.status & FEATURES_OK != 0 && self.driver_features & bits == bits
    }

    /// Resets the device (section 2.4). No request may be in flight.
    pub fn reset(&mut self) {
        self.device.reset();
        self.slots.fill(Slot::default());
        self.status = 0;
        self.interrupt_status = 0;
        self.driver_features = 0;
        self.device_features_sel = 0;
        self.driver_features_sel = 0;
        self.queue_sel = 0;
        self.broken = None;
        self.raised = false;
    }

    /// Says that the configuration space has changed (section 2.5).
    pub fn config_changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.status & DRIVER_OK != 0 {
            self.interrupt_status |= CONFIG_CHANGE;
            self.raised = true;
        }
    }

    fn offered(&self) -> u64 {
        self.device.features() | INDIRECT_DESC | EVENT_IDX | VERSION_1
    }

    fn selected(&self) -> Option<&Slot> {
        self.slots.get(self.queue_sel as usize)
    }

    /// Reads `width` (1, 2, 4 or 8) bytes at `offset`. What cannot be read is 0.
    #[must_use]
    pub fn read(&self, offset: u64, width: u8) -> u64 {
        if let Some(at) = offset.checked_sub(register::CONFIG) {
            return self.read_config(at, width);
        }
        if width != 4 {
            return 0;
        }
        u64::from(match offset {
            register::MAGIC_VALUE => MAGIC_VALUE,
            register::VERSION => VERSION,
            register::DEVICE_ID => D::ID,
            register::VENDOR_ID => VENDOR,
            register::DEVICE_FEATURES => {
                let shift = self.device_features_sel.saturating_mul(32);
                self.offered().checked_shr(shift).unwrap_or(0) as u32
            }
            register::QUEUE_NUM_MAX if self.selected().is_some() => u32::from(MOST_ENTRIES),
            register::QUEUE_READY => u32::from(self.selected().is_some_and(|slot| slot.ready)),
            register::INTERRUPT_STATUS => self.interrupt_status,
            register::STATUS => self.status,
            register::SHM_LEN_LOW
            | register::SHM_LEN_HIGH
            | register::SHM_BASE_LOW
            | register::SHM_BASE_HIGH => u32::MAX,
            register::CONFIG_GENERATION => self.generation,
            _ => 0,
        })
    }

    fn read_config(&self, at: u64, width: u8) -> u64 {
        let config = self.device.config();
        let mut value = [0; 8];
        for (byte, at) in value.iter_mut().zip(at..).take(usize::from(width)) {
            *byte = usize::try_from(at)
                .ok()
                .and_then(|at| config.get(at).copied())
                .unwrap_or(0);
        }
        u64::from_le_bytes(value)
    }

    /// Writes the low `width` (1, 2, 4 or 8) bytes of `value` at `offset`. What cannot be written is
    /// ignored.
    pub fn write(&mut self, offset: u64, width: u8, value: u64) -> Action {
        if let Some(at) = offset.checked_sub(register::CONFIG) {
            self.write_config(at, width, value);
            return Action::None;
        }
        if width != 4 {
            return Action::None;
        }
        let value = value as u32;
        match offset {
            register::DEVICE_FEATURES_SEL => self.device_features_sel = value,
            register::DRIVER_FEATURES_SEL => self.driver_features_sel = value,
            register::DRIVER_FEATURES => self.write_features(value),
            register::QUEUE_SEL => self.queue_sel = value,
            register::QUEUE_READY => self.write_ready(value & 1 != 0),
            register::QUEUE_NOTIFY => return self.notify(value),
            register::INTERRUPT_ACK => {
                self.interrupt_status &= !value;
                self.raised |= self.interrupt();
            }
            register::STATUS => return self.write_status(value & 0xff),
            _ => self.write_setup(offset, value),
        }
        Action::None
    }

    fn write_config(&mut self, at: u64, width: u8, value: u64) {
        let bytes = value.to_le_bytes();
        let bytes = bytes.get(..usize::from(width)).unwrap_or_default();
        let Some(at) = usize::try_from(at).ok().filter(|at| *at < CONFIG_SIZE) else {
            return;
        };
        // 64 bits are two accesses of 32.
        for (at, bytes) in (at..).step_by(4).zip(bytes.chunks(4)) {
            if at + bytes.len() <= CONFIG_SIZE {
                self.device.write_config(at, bytes);
            }
        }
    }

    fn write_features(&mut self, value: u32) {
        let shift = self.driver_features_sel.saturating_mul(32);
        if self.status & FEATURES_OK == 0 && shift < u128::BITS {
            self.driver_features &= !(u128::from(u32::MAX) << shift);
            self.driver_features |= u128::from(value) << shift;
        }
    }

    /// Sets bits of the status: nothing but a reset takes one away (section 2.1.1). A driver that does without
    /// VIRTIO_F_VERSION_1, or without FEATURES_OK, is served as one that has accepted less (section 6.1 leaves
    /// that to the device); features that were not offered fail (section 2.2.2).
    fn write_status(&mut self, value: u32) -> Action {
        if value == 0 {
            return Action::Reset;
        }
        self.status |= value & REMARKS;
        if value & !self.status & FEATURES_OK != 0 {
            self.agree();
        }
        // Who asked for features that it did not get must not go on (section 3.1.1).
        let is_agreed = value & FEATURES_OK == self.status & FEATURES_OK;
        if value & !self.status & DRIVER_OK == 0 || !is_agreed {
            return Action::None;
        }
        self.status |= DRIVER_OK;
        Action::Started
    }

    fn agree(&mut self) {
        let offered = u128::from(self.offered());
        if self.driver_features & !offered != 0 || self.status & DRIVER_OK != 0 {
            return self.refuse(Refused::Features);
        }
        self.status |= FEATURES_OK;
        let [event_index, indirect] = self.rings_have();
        for queue in self.slots.iter_mut().filter_map(|slot| slot.queue.as_mut()) {
            queue.agree(event_index, indirect);
        }
    }

    /// Whether rings have event indices, and whether indirect tables.
    fn rings_have(&self) -> [bool; 2] {
        [EVENT_IDX, INDIRECT_DESC].map(|bit| self.has_feature(bit))
    }

    fn notify(&mut self, value: u32) -> Action {
        let queue = value as usize;
        if self.is_ready(queue) {
            return Action::Notify(queue);
        }
        // One that is broken has been told of, and may ring until it has seen that.
        if self.status & NEEDS_RESET == 0 {
            self.refuse(Refused::Doorbell);
        }
        Action::None
    }

    /// Whether a queue may be served: it is ready, so is the driver, and that has broken nothing.
    #[must_use]
    pub fn is_ready(&self, queue: usize) -> bool {
        self.status & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK
            && self.slots.get(queue).is_some_and(|slot| slot.ready)
    }

    fn write_ready(&mut self, ready: bool) {
        let [event_index, indirect] = self.rings_have();
        let Some(slot) = self.slots.get_mut(self.queue_sel as usize) else {
            return;
        };
        if !ready {
            slot.ready = false;
        } else if !slot.ready {
            // Chains of the queue that was here would end up in the new one's ring.
            if !slot.queue.as_ref().is_some_and(Queue::has_any) {
                slot.queue = Queue::new(slot.setup, event_index, indirect);
                slot.ready = slot.queue.is_some();
            }
            if !slot.ready {
                self.refuse(Refused::Queue);
            }
        }
    }

    /// Writes one of the registers that say where a queue is: not while it is ready.
    fn write_setup(&mut self, offset: u64, value: u32) {
        let Some(slot) = self.slots.get_mut(self.queue_sel as usize) else {
            return;
        };
        if slot.ready {
            return self.refuse(Refused::Move);
        }
        let Setup {
            size,
            descriptors,
            driver,
            device,
        } = &mut slot.setup;
        let value = u64::from(value);
        let low = |at: &mut GuestPhys| at.0 = at.0 >> 32 << 32 | value;
        let high = |at: &mut GuestPhys| at.0 = at.0 & u64::from(u32::MAX) | value << 32;
        match offset {
            register::QUEUE_NUM => *size = value as u32,
            register::QUEUE_DESC_LOW => low(descriptors),
            register::QUEUE_DESC_HIGH => high(descriptors),
            register::QUEUE_DRIVER_LOW => low(driver),
            register::QUEUE_DRIVER_HIGH => high(driver),
            register::QUEUE_DEVICE_LOW => low(device),
            register::QUEUE_DEVICE_HIGH => high(device),
            _ => {}
        }
    }
}

/// What devices do with their queues. A driver's mistake ends up in [`Mmio::broken`].
impl<D: Device> Mmio<D> {
    /// Does something with a queue that may be served; `None` when it may not, or now broke.
    fn with<T>(
        &mut self,
        queue: usize,
        work: impl FnOnce(&mut Queue) -> Result<T, Broken>,
    ) -> Option<T> {
        if !self.is_ready(queue) {
            return None;
        }
        let slot = self.slots.get_mut(queue)?;
        work(slot.queue.as_mut()?)
            .map_err(|broken| self.fail(broken))
            .ok()
    }

    /// Takes the next chain of a queue. When there is none, the next one rings.
    pub fn pop(&mut self, queue: usize, memory: &mut dyn Memory) -> Option<Chain> {
        self.with(queue, |queue| queue.pop(memory)).flatten()
    }

    /// Gives a chain back, `written` bytes of which were written; no interrupt yet.
    pub fn push_used(&mut self, queue: usize, head: u16, written: u32, memory: &mut dyn Memory) {
        self.push_used_together(queue, &[(head, written)], memory);
    }

    /// Gives chains back, each with what was written, all of them at once; no interrupt yet.
    pub fn push_used_together(
        &mut self,
        queue: usize,
        chains: &[(u16, u32)],
        memory: &mut dyn Memory,
    ) {
        self.with(queue, |queue| queue.push_used_together(chains, memory));
        // They have left a queue that is ready no more as well.
        let slot = self.slots.get_mut(queue);
        if let Some(queue) = slot.and_then(|slot| slot.queue.as_mut()) {
            for &(head, _) in chains {
                queue.forget(head);
            }
        }
    }

    /// Ends a batch of chains given back: raises the interrupt if the driver wants one.
    pub fn settle(&mut self, queue: usize, memory: &dyn Memory) {
        let wants = self.with(queue, |queue| queue.wants_interrupt(memory));
        if wants == Some(true) {
            self.interrupt_status |= USED_BUFFER;
            self.raised = true;
        }
    }

    /// Serves nothing more until the driver resets the device (section 2.1.2).
    pub fn fail(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
        self.status |= NEEDS_RESET;
        self.config_changed();
    }
}
