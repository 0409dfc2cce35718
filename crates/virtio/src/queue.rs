//! The device's side of a split virtqueue (virtio 1.2, section 2.7).
//!
//! The rings lie in the guest's memory, and its harts may change them at any time. So each field is
//! copied once and only the copy is decided upon. A driver that breaks a rule has broken the queue
//! ([`Broken`]), as QEMU has it: nothing of it is served any more until the device is reset.

use alloc::vec::Vec;
use core::fmt;

use isa::address::GuestPhys;

use crate::{Memory, Segment};

/// The largest size of a queue, and the most segments of a chain, those of an indirect table
/// among them.
pub const MOST_ENTRIES: u16 = 256;

/// Most segments for which there is room from the start, for either direction of a chain in an indirect
/// table.
pub const EXPECTED: usize = 64;

/// Bytes of a descriptor (section 2.7.5).
const DESCRIPTOR: u64 = 16;
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// `flags` of the available ring: the driver wants no interrupts (section 2.7.7).
const NO_INTERRUPT: u16 = 1;
/// `flags` of the used ring: the device wants no doorbells (section 2.7.10).
const NO_NOTIFY: u16 = 1;

/// Where `idx` and the entries are in either ring.
const INDEX: u64 = 2;
const ENTRIES: u64 = 4;

/// What a driver did that no driver may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Broken {
    /// A ring or a table is not in RAM.
    Ring,
    /// More entries were made available than the queue has.
    Ahead,
    /// A descriptor was named that the table does not have.
    Index,
    /// A chain is longer than allowed, or has no end.
    Length,
    /// A segment is empty, or not all of it is RAM.
    Segment,
    /// A segment for reading comes after one for writing.
    Order,
    /// An indirect table that was not agreed upon, is inside another, is followed by a
    /// descriptor, or is not made up of whole descriptors.
    Indirect,
    /// A chain was made available that the device still has.
    InFlight,
    /// A request does not have the parts that its device needs to answer it.
    Request,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ring => "a ring is not in RAM",
            Self::Ahead => "more is available than the queue has entries",
            Self::Index => "a descriptor's number is too large",
            Self::Length => "a chain of descriptors is too long",
            Self::Segment => "a segment is empty or not in RAM",
            Self::Order => "a readable segment follows a writable one",
            Self::Indirect => "a wrong indirect table",
            Self::InFlight => "a chain is available while it is in flight",
            Self::Request => "a request lacks a part",
        })
    }
}

impl core::error::Error for Broken {}

/// A chain of descriptors: what one request consists of. All segments are RAM, and none is empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Chain {
    /// Number of its first descriptor, smaller than the queue's size. No two chains that the
    /// device has at a time have the same.
    pub head: u16,
    /// What the device reads.
    pub readable: Vec<Segment>,
    /// What the device writes.
    pub writable: Vec<Segment>,
}

struct Descriptor {
    at: GuestPhys,
    size: u32,
    flags: u16,
    next: u16,
}

/// Descriptors of an indirect table that are copied at a time.
const COPIED: usize = 16;

/// Aligned as descriptors are, so that they are read as words.
#[derive(Clone, Debug)]
#[repr(align(16))]
struct Copied([u8; COPIED * DESCRIPTOR as usize]);

/// A table of descriptors: the queue's own or an indirect one.
struct Table<'a> {
    at: GuestPhys,
    entries: u64,
    /// How many are copied at a time.
    most: u64,
    /// Those that were copied last: the first, and how many.
    first: u64,
    count: u64,
    copied: &'a mut Copied,
}

impl<'a> Table<'a> {
    /// The queue's own, where the next of a chain may be anywhere.
    fn of(setup: &Setup, copied: &'a mut Copied) -> Self {
        Self {
            at: setup.descriptors,
            entries: setup.size.into(),
            most: 1,
            first: 0,
            count: 0,
            copied,
        }
    }

    /// It is an indirect one from now on, where drivers put them in a row.
    fn go_to(&mut self, at: GuestPhys, entries: u64) {
        (self.at, self.entries) = (at, entries);
        (self.most, self.count) = (COPIED as u64, 0);
    }

    fn read(&mut self, index: u16, memory: &dyn Memory) -> Result<Descriptor, Broken> {
        let index = u64::from(index);
        if index >= self.entries {
            return Err(Broken::Index);
        }
        if index < self.first || index - self.first >= self.count {
            let count = self.most.min(self.entries - index);
            let bytes = &mut self.copied.0[..(count * DESCRIPTOR) as usize];
            if !memory.read(self.at.add(index * DESCRIPTOR), bytes) {
                return Err(Broken::Ring);
            }
            (self.first, self.count) = (index, count);
        }
        let (copied, _) = self.copied.0.as_chunks();
        let word = u128::from_le_bytes(copied[(index - self.first) as usize]);
        Ok(Descriptor {
            at: GuestPhys(word as u64),
            size: (word >> 64) as u32,
            flags: (word >> 96) as u16,
            next: (word >> 112) as u16,
        })
    }
}

/// What a driver sets up before it makes a queue ready (section 4.2.2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Setup {
    /// Entries.
    pub size: u32,
    /// The descriptor table.
    pub descriptors: GuestPhys,
    /// The available ring.
    pub driver: GuestPhys,
    /// The used ring.
    pub device: GuestPhys,
}

impl Setup {
    /// Whether a queue may be ready with this: sizes as in section 2.7, alignments as in its table.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.size.is_power_of_two()
            && self.size <= u32::from(MOST_ENTRIES)
            && self.descriptors.is_aligned(16)
            && self.driver.is_aligned(2)
            && self.device.is_aligned(4)
    }
}

/// A virtqueue that is ready.
#[derive(Clone, Debug)]
pub struct Queue {
    setup: Setup,
    event_index: bool,
    indirect: bool,
    /// The next entry of the available ring to take, and the ring's `idx` as last seen.
    next: u16,
    available: u16,
    /// `idx` of the used ring, now and when an interrupt was last decided upon.
    used: u16,
    decided: u16,
    /// Whether [`NO_NOTIFY`] is set.
    quiet: bool,
    /// A bit for each head that the device has.
    in_flight: [u64; MOST_ENTRIES as usize / 64],
    /// For the chain that is being followed.
    copied: Copied,
}

impl Queue {
    /// A queue of a driver that has agreed upon event indices (VIRTIO_F_EVENT_IDX) or indirect tables
    /// (VIRTIO_F_INDIRECT_DESC), or not; `None` when `setup` is not valid.
    #[must_use]
    pub fn new(setup: Setup, event_index: bool, indirect: bool) -> Option<Self> {
        setup.is_valid().then_some(Self {
            setup,
            event_index,
            indirect,
            next: 0,
            available: 0,
            used: 0,
            decided: 0,
            quiet: false,
            in_flight: [0; MOST_ENTRIES as usize / 64],
            copied: Copied([0; COPIED * DESCRIPTOR as usize]),
        })
    }

    /// What the driver has agreed upon, if it set the queue up before that.
    pub fn agree(&mut self, event_index: bool, indirect: bool) {
        (self.event_index, self.indirect) = (event_index, indirect);
    }

    /// Whether the device has a chain with this head.
    #[must_use]
    pub fn has(&self, head: u16) -> bool {
        let (word, bit) = Self::bit(head);
        self.in_flight.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Whether the device has any chain.
    #[must_use]
    pub fn has_any(&self) -> bool {
        self.in_flight != [0; MOST_ENTRIES as usize / 64]
    }

    fn bit(head: u16) -> (usize, u64) {
        (usize::from(head / 64), 1 << (head % 64))
    }

    /// Takes back that the device has a chain, without giving it back.
    pub fn forget(&mut self, head: u16) {
        let (word, bit) = Self::bit(head);
        if let Some(word) = self.in_flight.get_mut(word) {
            *word &= !bit;
        }
    }

    fn slot(&self, index: u16) -> u64 {
        u64::from(index) % u64::from(self.setup.size)
    }

    /// Takes the next chain. Doorbells are off from the first chain on until there is none: then
    /// they are on, and whatever comes next rings.
    ///
    /// # Errors
    /// When the driver has broken the queue.
    pub fn pop(&mut self, memory: &mut dyn Memory) -> Result<Option<Chain>, Broken> {
        if !self.is_available(memory)? {
            return Ok(None);
        }
        let entry = self.setup.driver.add(ENTRIES + 2 * self.slot(self.next));
        let head = memory.load_u16(entry).ok_or(Broken::Ring)?;
        if self.has(head) {
            return Err(Broken::InFlight);
        }
        let chain = self.chain(head, memory)?;
        let (word, bit) = Self::bit(head);
        self.in_flight[word] |= bit;
        self.next = self.next.wrapping_add(1);
        Ok(Some(chain))
    }

    /// Whether there is a chain to take. If not, doorbells are on.
    fn is_available(&mut self, memory: &mut dyn Memory) -> Result<bool, Broken> {
        if self.next == self.available {
            self.look(memory)?;
        }
        if self.next == self.available {
            self.listen(memory)?;
            // The driver stores its index before it looks at whether to ring, this the other way
            // round: one of the two sees the other's (sections 2.7.13.3 and 2.7.13.4).
            memory.fence();
            self.look(memory)?;
        }
        let any = self.next != self.available;
        if any && !self.quiet && !self.event_index {
            self.set_flags(NO_NOTIFY, memory)?;
        }
        Ok(any)
    }

    fn look(&mut self, memory: &dyn Memory) -> Result<(), Broken> {
        let index = memory.load_u16(self.setup.driver.add(INDEX));
        self.available = index.ok_or(Broken::Ring)?;
        let ahead = self.available.wrapping_sub(self.next);
        if u32::from(ahead) > self.setup.size {
            return Err(Broken::Ahead);
        }
        Ok(())
    }

    /// Asks for a doorbell with the next entry.
    fn listen(&mut self, memory: &mut dyn Memory) -> Result<(), Broken> {
        if self.event_index {
            // An old `avail_event` asks for none, so that there is nothing to do to be quiet.
            let event = ENTRIES + 8 * u64::from(self.setup.size);
            store(self.setup.device.add(event), self.next, memory)
        } else if self.quiet {
            self.set_flags(0, memory)
        } else {
            Ok(())
        }
    }

    fn set_flags(&mut self, flags: u16, memory: &mut dyn Memory) -> Result<(), Broken> {
        self.quiet = flags == NO_NOTIFY;
        store(self.setup.device, flags, memory)
    }

    /// Follows the chain that begins at `head`.
    fn chain(&mut self, head: u16, memory: &dyn Memory) -> Result<Chain, Broken> {
        let mut chain = Chain {
            head,
            ..Chain::default()
        };
        let mut table = Table::of(&self.setup, &mut self.copied);
        let mut is_indirect = false;
        let mut expected = 0;
        let mut index = head;
        let mut bytes = 0;
        // A table of descriptors is one step more.
        for _ in 0..=MOST_ENTRIES {
            let descriptor = table.read(index, memory)?;
            let Descriptor { at, size, .. } = descriptor;
            if descriptor.flags & INDIRECT != 0 {
                let size = u64::from(size);
                let is_whole = size != 0 && size.is_multiple_of(DESCRIPTOR);
                let is_last = descriptor.flags & NEXT == 0;
                if is_indirect || !self.indirect || !is_whole || !is_last {
                    return Err(Broken::Indirect);
                }
                if !memory.contains(at, size) {
                    return Err(Broken::Ring);
                }
                is_indirect = true;
                let entries = size / DESCRIPTOR;
                table.go_to(at, entries);
                expected = EXPECTED.min(entries as usize);
                index = 0;
                continue;
            }
            bytes += u64::from(size);
            add(&mut chain, &descriptor, expected, memory)?;
            if bytes > u64::from(u32::MAX) {
                // Section 2.7.5 ends one byte later, but the used ring cannot tell of that one.
                return Err(Broken::Length);
            }
            if descriptor.flags & NEXT == 0 {
                return Ok(chain);
            }
            index = descriptor.next;
        }
        Err(Broken::Length)
    }

    /// Gives a chain back, `written` bytes of whose writable segments were written from the first
    /// on. Ignores a head that the device does not have.
    ///
    /// # Errors
    /// When the ring is not in RAM.
    pub fn push_used(
        &mut self,
        head: u16,
        written: u32,
        memory: &mut dyn Memory,
    ) -> Result<(), Broken> {
        self.push_used_together(&[(head, written)], memory)
    }

    /// Gives chains back, each with what was written: the driver sees all of them or none.
    ///
    /// # Errors
    /// When the ring is not in RAM.
    pub fn push_used_together(
        &mut self,
        chains: &[(u16, u32)],
        memory: &mut dyn Memory,
    ) -> Result<(), Broken> {
        for &(head, written) in chains {
            if !self.has(head) {
                continue;
            }
            self.forget(head);
            let entry = u64::from(written) << 32 | u64::from(head);
            let at = ENTRIES + 8 * self.slot(self.used);
            if !memory.write(self.setup.device.add(at), &entry.to_le_bytes()) {
                return Err(Broken::Ring);
            }
            self.used = self.used.wrapping_add(1);
        }
        store(self.setup.device.add(INDEX), self.used, memory)
    }

    /// Whether the driver wants an interrupt for what was given back since this was last asked: ask
    /// once after each batch.
    ///
    /// # Errors
    /// When the ring is not in RAM.
    pub fn wants_interrupt(&mut self, memory: &dyn Memory) -> Result<bool, Broken> {
        if self.used == self.decided {
            return Ok(false);
        }
        let before = core::mem::replace(&mut self.decided, self.used);
        // The driver says what it wants, then looks at the used ring once more; this is the other
        // way round.
        memory.fence();
        let load = |offset| {
            let at = self.setup.driver.add(offset);
            memory.load_u16(at).ok_or(Broken::Ring)
        };
        if !self.event_index {
            return Ok(load(0)? & NO_INTERRUPT == 0);
        }
        let event = load(ENTRIES + 2 * u64::from(self.setup.size))?;
        // Section 2.7.10: whether the batch has gone past the event.
        let past = self.used.wrapping_sub(event).wrapping_sub(1);
        Ok(past < self.used.wrapping_sub(before))
    }
}

fn store(at: GuestPhys, value: u16, memory: &mut dyn Memory) -> Result<(), Broken> {
    if memory.store_u16(at, value) {
        Ok(())
    } else {
        Err(Broken::Ring)
    }
}

/// Adds the segment of a descriptor to a chain that may have so many in each direction.
fn add(
    chain: &mut Chain,
    descriptor: &Descriptor,
    expected: usize,
    memory: &dyn Memory,
) -> Result<(), Broken> {
    let &Descriptor {
        at, size, flags, ..
    } = descriptor;
    if chain.readable.len() + chain.writable.len() == usize::from(MOST_ENTRIES) {
        return Err(Broken::Length);
    }
    if size == 0 || !memory.contains(at, u64::from(size)) {
        return Err(Broken::Segment);
    }
    let segments = if flags & WRITE != 0 {
        &mut chain.writable
    } else if chain.writable.is_empty() {
        &mut chain.readable
    } else {
        return Err(Broken::Order);
    };
    if segments.is_empty() {
        segments.reserve(expected);
    }
    segments.push(Segment { at, size });
    Ok(())
}
