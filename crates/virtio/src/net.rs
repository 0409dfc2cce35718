//! The network device (virtio 1.2, section 5.1): one queue each way, checksums left to the other side,
//! mergeable receive buffers.
//!
//! [`Mmio::serve_transmit`] takes frames off the driver's queue, [`Mmio::receive`] hands it one. What
//! belongs to a frame goes to and comes from the [`switch`].

use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;

use bundle::Mac;
use switch::{Frame, LONGEST, Partial};

use crate::mmio::{CONFIG_SIZE, VERSION_1};
use crate::segments;
use crate::{Broken, Chain, Device, Memory, Mmio};

/// The features of section 5.1.3 that are offered.
pub mod feature {
    /// The driver may leave checksums to the device.
    pub const CSUM: u64 = 1 << 0;
    /// The device may leave checksums to the driver.
    pub const GUEST_CSUM: u64 = 1 << 1;
    /// The device says how long packets may be.
    pub const MTU: u64 = 1 << 3;
    /// The device has an address.
    pub const MAC: u64 = 1 << 5;
    /// A frame may be spread over several receive buffers.
    pub const MRG_RXBUF: u64 = 1 << 15;
    /// The device says whether the link is up.
    pub const STATUS: u64 = 1 << 16;
}

/// The queue of receive buffers.
pub const RECEIVE: usize = 0;
/// The queue of frames that the driver sends.
pub const TRANSMIT: usize = 1;

/// Most bytes of the header before each frame, `struct virtio_net_hdr` (section 5.1.6).
const HEADER: usize = 12;
/// `flags`: the checksum is partial.
const NEEDS_CSUM: u8 = 1;
/// `gso_type`: the frame is one frame.
const GSO_NONE: u8 = 0;

/// Most bytes of a packet inside a frame.
const MTU: u16 = 1500;
/// `status`.
const LINK_UP: u16 = 1;
/// Most frames that [`Mmio::serve_transmit`] takes.
const BATCH: usize = 64;

/// Frames that came to nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// From the driver, and not as frames are to be.
    pub refused: u64,
    /// For the driver, larger than the buffer that it had for them.
    pub unfit: u64,
    /// For the driver, when it did not run.
    pub unheard: u64,
}

/// A network device.
#[derive(Clone, Debug)]
pub struct Net {
    mac: Mac,
    counts: Counts,
    /// Receive buffers that were taken, and were too few for a frame.
    buffers: Vec<Chain>,
}

impl Net {
    /// A device with this address, whose link is up.
    #[must_use]
    pub fn new(mac: Mac) -> Self {
        Self {
            mac,
            counts: Counts::default(),
            buffers: Vec::new(),
        }
    }

    /// Its address.
    #[must_use]
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// What came to nothing.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

impl Device for Net {
    const ID: u32 = 1;
    const QUEUES: usize = 2;

    fn features(&self) -> u64 {
        feature::CSUM
            | feature::GUEST_CSUM
            | feature::MTU
            | feature::MAC
            | feature::MRG_RXBUF
            | feature::STATUS
    }

    fn config(&self) -> [u8; CONFIG_SIZE] {
        let mut config = [0; CONFIG_SIZE];
        config[..6].copy_from_slice(&self.mac.0);
        config[6..8].copy_from_slice(&LINK_UP.to_le_bytes());
        config[10..12].copy_from_slice(&MTU.to_le_bytes());
        config
    }

    fn reset(&mut self) {
        self.buffers.clear();
    }
}

impl Mmio<Net> {
    /// Hands frames of the driver's to `send`, and decides upon an interrupt. Call it after a doorbell.
    ///
    /// It ends after 64 frames, and is true when there may be more: call it again, after other work.
    #[must_use]
    pub fn serve_transmit(&mut self, send: &mut dyn FnMut(Frame), memory: &mut dyn Memory) -> bool {
        let header = self.header_size();
        let mut may_be_more = true;
        for _ in 0..BATCH {
            let Some(mut chain) = self.pop(TRANSMIT, memory) else {
                may_be_more = false;
                break;
            };
            let head = chain.head;
            match frame(&mut chain, header, memory) {
                Some(frame) => send(frame),
                None => self.device_mut().counts.refused += 1,
            }
            self.push_used(TRANSMIT, head, 0, memory);
        }
        self.settle(TRANSMIT, memory);
        may_be_more
    }

    /// Hands the driver a frame. False when it has no buffer for it now: offer the frame again after the
    /// doorbell of [`RECEIVE`]. Otherwise that frame is done with, received or dropped. After some, call
    /// [`Mmio::end_receive`].
    #[must_use]
    pub fn receive(&mut self, frame: &Frame, memory: &mut dyn Memory) -> bool {
        if !self.is_ready(RECEIVE) {
            self.device_mut().counts.unheard += 1;
            return true;
        }
        let frame = match frame.partial() {
            Some(_) if !self.has_feature(feature::GUEST_CSUM) => {
                let mut frame = frame.clone();
                frame.complete_checksum();
                Cow::Owned(frame)
            }
            _ => Cow::Borrowed(frame),
        };
        let header = self.header_size();
        let needed = header as u64 + frame.bytes().len() as u64;
        let mergeable = self.has_feature(feature::MRG_RXBUF);
        loop {
            let buffers = &self.device().buffers;
            let room: u64 = buffers
                .iter()
                .map(|chain| segments::total(&chain.writable))
                .sum();
            if room >= needed {
                break;
            }
            if !buffers.is_empty() && !mergeable {
                // The buffer is kept for a smaller one.
                self.device_mut().counts.unfit += 1;
                return true;
            }
            let Some(mut chain) = self.pop(RECEIVE, memory) else {
                return false;
            };
            // Nobody reads these: they need not be kept.
            chain.readable = Vec::new();
            if segments::total(&chain.writable) < header as u64 {
                self.fail(Broken::Request);
                return true;
            }
            self.device_mut().buffers.push(chain);
        }
        self.fill(&frame, memory);
        true
    }

    /// Decides upon an interrupt for all frames received since the last call.
    pub fn end_receive(&mut self, memory: &dyn Memory) {
        self.settle(RECEIVE, memory);
    }

    /// Bytes of the header before each frame: a driver without VIRTIO_F_VERSION_1 has the number of buffers
    /// in it only if there can be several (section 5.1.6.1).
    fn header_size(&self) -> usize {
        let is_whole = self.has_feature(VERSION_1) || self.has_feature(feature::MRG_RXBUF);
        HEADER - if is_whole { 0 } else { size_of::<u16>() }
    }

    /// Fills the buffers, in which there is room enough, and gives them back all at once: the driver
    /// expects to find as many as the header says.
    fn fill(&mut self, frame: &Frame, memory: &mut dyn Memory) {
        let size = self.header_size();
        let mut buffers = core::mem::take(&mut self.device_mut().buffers);
        let header = header(frame.partial(), buffers.len() as u16);
        let mut used = Vec::with_capacity(buffers.len());
        let mut rest = frame.bytes();
        for (index, chain) in buffers.iter_mut().enumerate() {
            let mut written = 0;
            if index == 0 {
                written += segments::write(&chain.writable, &header[..size], memory);
                segments::skip(&mut chain.writable, size as u32);
            }
            let taken = segments::write(&chain.writable, rest, memory);
            rest = &rest[taken..];
            written += taken;
            used.push((chain.head, written as u32));
        }
        self.push_used_together(RECEIVE, &used, memory);
    }
}

/// The frame in a chain of the driver's, behind a header of `size` bytes; `None` when it is none.
fn frame(chain: &mut Chain, size: usize, memory: &dyn Memory) -> Option<Frame> {
    let mut header = [0; HEADER];
    if segments::read(&chain.readable, &mut header[..size], memory) != size {
        return None;
    }
    segments::skip(&mut chain.readable, size as u32);
    let size = segments::total(&chain.readable);
    let [
        flags,
        gso_type,
        _,
        _,
        _,
        _,
        start_low,
        start_high,
        offset_low,
        offset_high,
        ..,
    ] = header;
    // More than one frame in one was not agreed upon.
    if gso_type != GSO_NONE || size > LONGEST as u64 {
        return None;
    }
    let mut bytes = vec![0; size as usize];
    if segments::read(&chain.readable, &mut bytes, memory) != bytes.len() {
        return None;
    }
    let partial = (flags & NEEDS_CSUM != 0).then_some(Partial {
        start: u16::from_le_bytes([start_low, start_high]),
        offset: u16::from_le_bytes([offset_low, offset_high]),
    });
    Frame::new(bytes, partial).ok()
}

/// The header of a frame that is spread over `buffers`.
fn header(partial: Option<Partial>, buffers: u16) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    if let Some(Partial { start, offset }) = partial {
        header[0] = NEEDS_CSUM;
        header[6..8].copy_from_slice(&start.to_le_bytes());
        header[8..10].copy_from_slice(&offset.to_le_bytes());
    }
    header[10..].copy_from_slice(&buffers.to_le_bytes());
    header
}
