//! The host's network device (virtio 1.2, section 5.1): frames to and from the outside, copied.
//!
//! Checksums and segmentation are left to whoever makes the frames.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use devices::host_tree::{HostInterrupt, HostVirtio};
use isa::address::HostPhys;
use spin::{Mutex, Once};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport as _;

use super::dma::HostMemory;
use super::host_virtio::{EVENT_INDEX, Transport, barrier, negotiate};
use super::{system, window};

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;

/// Buffers in each direction; each takes two descriptors, as old devices want their header alone.
const BUFFERS: usize = 64;
const RING: usize = 2 * BUFFERS;
const BUFFER: usize = 2048;
/// Where the frame is in a buffer. The header is 12 bytes, of old devices 10 (section 5.1.6).
const FRAME: usize = 16;
/// Ethernet's longest frame, with a VLAN tag and without its checksum; and its header.
const LONGEST: usize = 1518;
const SHORTEST: usize = 14;

type Queue = VirtQueue<HostMemory, RING>;

/// One direction of the device.
struct Line {
    queue: Box<Queue>,
    /// [`BUFFERS`] of [`BUFFER`] bytes.
    buffers: HostPhys,
    header: usize,
    free: Vec<u8>,
    /// The buffer and the frame's size, by the first descriptor.
    in_use: Box<[Option<(u8, usize)>]>,
}

struct State {
    transport: Transport,
    receive: Line,
    transmit: Line,
}

/// The host's network device.
pub struct HostNet {
    /// Its interrupt, if it arrives.
    pub interrupt: Option<HostInterrupt>,
    state: Mutex<State>,
    listener: Once<fn(&[u8])>,
    /// Frames were left for later.
    has_more: AtomicBool,
}

impl HostNet {
    /// Starts the device.
    pub fn new(mut transport: Transport, device: &HostVirtio) -> Result<Self, String> {
        let features = negotiate(&mut transport, EVENT_INDEX)?;
        let header = if transport.requires_legacy_layout() {
            10
        } else {
            12
        };
        let mut line = |queue| {
            Queue::new(&mut transport, queue, false, features & EVENT_INDEX != 0)
                .map(|queue| Line::new(queue, header))
                .map_err(|error| format!("its queue {queue}: {error}"))
        };
        let (receive, transmit) = (line(RECEIVE)?, line(TRANSMIT)?);
        transport.finish_init();
        let mut state = State {
            transport,
            receive,
            transmit,
        };
        while state.receive.add(BUFFER - FRAME, true) {}
        state.notify(RECEIVE);
        Ok(Self {
            interrupt: device.interrupt,
            state: Mutex::new(state),
            listener: Once::new(),
            has_more: AtomicBool::new(false),
        })
    }

    /// Gives all frames that arrive to `listener` from now on. It is called on the first host hart without
    /// any lock of this device, nor of a machine.
    pub fn listen(&self, listener: fn(&[u8])) {
        self.listener.call_once(|| listener);
    }

    /// Sends a frame, without its checksum; false when it cannot be one or the device has no room.
    pub fn send(&self, frame: &[u8]) -> bool {
        if !(SHORTEST..=LONGEST).contains(&frame.len()) {
            return false;
        }
        let mut state = self.state.lock();
        while state.transmit.pop(|_| ()).is_some() {}
        let Some(&buffer) = state.transmit.free.last() else {
            return false;
        };
        state.transmit.fill(buffer, frame);
        let sent = state.transmit.add(frame.len(), false);
        state.notify(TRANSMIT);
        sent
    }

    /// Takes what has arrived, up to as many frames as there are buffers. If those were not all, it goes on
    /// after the host hart's timer and scheduler have had their turn.
    pub fn serve(&self) {
        self.state.lock().transport.ack_interrupt();
        let mut copy = [0; BUFFER];
        for _ in 0..BUFFERS {
            let mut state = self.state.lock();
            barrier();
            let size = state.receive.pop(|frame| {
                copy[..frame.len()].copy_from_slice(frame);
                frame.len()
            });
            let Some(size) = size else { return };
            state.receive.add(BUFFER - FRAME, true);
            state.notify(RECEIVE);
            drop(state);
            if let Some(listener) = self.listener.get()
                && size >= SHORTEST
            {
                listener(&copy[..size]);
            }
        }
        self.has_more.store(true, Ordering::Relaxed);
        // That which the host's devices interrupt.
        system::get().cpus[0].interrupt();
    }

    /// Goes on where [`Self::serve`] has left off.
    pub fn go_on(&self) {
        if self.has_more.swap(false, Ordering::Relaxed) {
            self.serve();
        }
    }

    /// Whether nobody is at it at the moment.
    pub fn is_free(&self) -> bool {
        self.state.try_lock().is_some()
    }
}

impl State {
    fn notify(&mut self, queue: u16) {
        barrier();
        let line = if queue == RECEIVE {
            &self.receive
        } else {
            &self.transmit
        };
        if line.queue.should_notify() {
            self.transport.notify(queue);
        }
    }
}

impl Line {
    fn new(queue: Queue, header: usize) -> Self {
        let buffers = alloc::vec![0_u8; BUFFERS * BUFFER].leak();
        Self {
            queue: Box::new(queue),
            buffers: window::host(buffers.as_ptr()),
            header,
            free: (0..BUFFERS as u8).collect(),
            in_use: alloc::vec![None; RING].into(),
        }
    }

    /// A buffer's header and frame. The device has neither, or nobody looks into them.
    fn parts<'a>(&self, buffer: u8, size: usize) -> (&'a mut [u8], &'a mut [u8]) {
        let buffer = window::direct(self.buffers.add(u64::from(buffer) * BUFFER as u64)).as_ptr();
        let size = size.min(BUFFER - FRAME);
        // SAFETY: a part of the buffers that were leaked for this, and another one. Either the device does
        // not have the buffer, or the slices are for the queue, which takes their addresses and sizes.
        unsafe {
            (
                core::slice::from_raw_parts_mut(buffer, self.header),
                core::slice::from_raw_parts_mut(buffer.add(FRAME), size),
            )
        }
    }

    /// Puts a frame into a buffer that the device does not have.
    fn fill(&self, buffer: u8, frame: &[u8]) {
        let (header, room) = self.parts(buffer, frame.len());
        // No offload.
        header.fill(0);
        room.copy_from_slice(frame);
    }

    /// Gives the device the last free buffer, to be filled (`arrives`) or sent; false when there is none.
    fn add(&mut self, size: usize, arrives: bool) -> bool {
        let Some(buffer) = self.free.pop() else {
            return false;
        };
        let (header, frame) = self.parts(buffer, size);
        // SAFETY: the buffers stay, and nobody looks into one before it is popped.
        let head = unsafe {
            match arrives {
                true => self.queue.add(&[], &mut [header, frame]),
                false => self.queue.add(&[header, frame], &mut []),
            }
        };
        let head = head.expect("two descriptors for each buffer");
        self.in_use[usize::from(head)] = Some((buffer, if arrives { 0 } else { size }));
        true
    }

    /// Takes back a buffer that the device is done with, after a look at the frame in it.
    fn pop<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let head = self.queue.peek_used()?;
        let (buffer, sent) = self.in_use.get_mut(usize::from(head))?.take()?;
        let (header, frame) = self.parts(buffer, if sent == 0 { BUFFER } else { sent });
        // SAFETY: the buffer is the one that was added, of the same size.
        let written = unsafe {
            match sent {
                0 => self.queue.pop_used(head, &[], &mut [header, frame]),
                _ => self.queue.pop_used(head, &[header, frame], &mut []),
            }
        };
        let written = written.expect("it is the next") as usize;
        let size = if sent == 0 {
            written.saturating_sub(self.header)
        } else {
            sent
        };
        let (_, frame) = self.parts(buffer, size);
        let result = look(frame);
        self.free.push(buffer);
        Some(result)
    }
}
