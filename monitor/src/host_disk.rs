//! A disk of the host: a virtio block device (virtio 1.2, section 5.2) with many requests in flight, of
//! several guests.
//!
//! The device reads and writes guests' RAM itself. Each piece of the disk that a guest has (`piece.rs`) may
//! fill the same part of the ring, so that nobody waits for another's requests.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem::{self, offset_of};

use devices::host_tree::{HostInterrupt, HostVirtio};
use isa::address::HostPhys;
use spin::Mutex;
use virtio::disk::SECTOR;
use virtio::queue::EXPECTED;
use virtio::{Operation, Request, Status, Submitted, segments};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{DeviceStatus, Transport as _};

use super::console::say;
use super::dma::HostMemory;
use super::guest_memory::GuestRam;
use super::host_virtio::{EVENT_INDEX, INDIRECT, Transport, barrier, negotiate, wait_for};
use super::{system, window};

/// Descriptors of the queue.
const RING: usize = 128;
const QUEUE: u16 = 0;
/// Descriptors of a request beside its segments, at the most: header, range and status.
const ENDS: usize = 3;
/// Most bytes of a piece's requests that are in flight together. One that is larger is alone. Who resets a
/// device or ends a machine waits for them.
const MOST_BYTES: u64 = 16 << 20;

// Feature bits (section 5.2.3).
const SEGMENTS: u64 = 1 << 2;
const READ_ONLY: u64 = 1 << 5;
const BLOCK_SIZE: u64 = 1 << 6;
const FLUSH: u64 = 1 << 9;
const TOPOLOGY: u64 = 1 << 10;
const DISCARD: u64 = 1 << 13;
const WRITE_ZEROES: u64 = 1 << 14;

/// Places in the configuration space (section 5.2.4).
mod config {
    pub const CAPACITY: usize = 0;
    pub const SEGMENTS: usize = 12;
    pub const BLOCK_SIZE: usize = 20;
    pub const PHYSICAL_BLOCK: usize = 24;
    pub const DISCARD_SECTORS: usize = 36;
    pub const ZEROES_SECTORS: usize = 48;
    pub const ZEROES_UNMAP: usize = 56;
}

// Types of requests (section 5.2.6).
const IN: u32 = 0;
const OUT: u32 = 1;
const TYPE_FLUSH: u32 = 4;
const TYPE_DISCARD: u32 = 11;
const TYPE_ZEROES: u32 = 13;

/// What the device offers.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub sectors: u64,
    pub read_only: bool,
    /// Bytes of a logical block.
    pub block: u32,
    /// Bytes of the smallest write that is as fast as it gets.
    pub best: u32,
    /// Most segments of a request.
    pub segments: u32,
    /// Most sectors of a discard and of a write of zeroes; 0 where there is none.
    pub discard: u32,
    pub zeroes: u32,
    /// Whether what zeroes are written to may be given up.
    unmap: bool,
    flush: bool,
}

/// Whose a piece is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Owner {
    /// The machine's number.
    pub vm: usize,
    /// What the machine knows its device by.
    pub device: usize,
}

/// What the device is told beside the data, and what it answers.
#[repr(C, align(64))]
struct Frame {
    kind: u32,
    reserved: u32,
    sector: u64,
    /// Of a discard or zeroes: a sector, how many, and flags.
    range: (u64, u32, u32),
    status: u8,
}

const HEADER: usize = 16;
const RANGE: usize = 16;
const _: () = assert!(offset_of!(Frame, range) == HEADER && size_of::<(u64, u32, u32)>() == RANGE);

/// Where the data of a request is.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Data {
    None,
    /// In the frame.
    Range,
    /// From the segments to the disk.
    Out,
    /// From the disk to the segments.
    In,
}

/// A request that the device has.
struct InFlight {
    piece: usize,
    token: u16,
    /// Which frame.
    frame: u8,
    data: Data,
    segments: Vec<(HostPhys, u32)>,
}

struct PieceState {
    owner: Owner,
    /// Descriptors in use.
    taken: usize,
    /// Bytes in flight.
    bytes: u64,
}

struct State {
    transport: Transport,
    queue: Box<VirtQueue<HostMemory, RING>>,
    /// Whether a request takes one descriptor, whatever it has.
    indirect: bool,
    /// [`RING`] of them.
    frames: HostPhys,
    free_frames: Vec<u8>,
    /// By the first descriptor.
    in_flight: Box<[Option<InFlight>]>,
    pieces: Vec<PieceState>,
    /// Nothing is asked of it any more.
    is_broken: bool,
    /// The device wants a doorbell for what was started.
    must_notify: bool,
}

/// A disk of the host.
pub struct HostDisk {
    number: usize,
    /// Its interrupt, if it arrives.
    pub interrupt: Option<HostInterrupt>,
    pub shape: Shape,
    /// Most descriptors in use by a piece.
    share: usize,
    /// How long it may take over a request, in ticks of `time`.
    patience: u64,
    state: Mutex<State>,
}

impl HostDisk {
    /// Starts the device, which `pieces` pieces will share.
    pub fn new(
        mut transport: Transport,
        device: &HostVirtio,
        number: usize,
        pieces: usize,
        patience: u64,
    ) -> Result<Self, String> {
        let wanted = SEGMENTS | READ_ONLY | BLOCK_SIZE | FLUSH | TOPOLOGY | DISCARD | WRITE_ZEROES;
        let features = negotiate(&mut transport, wanted | INDIRECT | EVENT_INDEX)?;
        let (indirect, events) = (features & INDIRECT != 0, features & EVENT_INDEX != 0);
        let share = RING / pieces.max(1);
        let room = if indirect { RING } else { share };
        let most = room.saturating_sub(ENDS) as u32;
        if most == 0 {
            return Err(format!(
                "its ring of {RING} is too short for {pieces} VMs' requests"
            ));
        }
        let shape = shape(&transport, features, most).map_err(|error| format!("{error}"))?;
        let queue = VirtQueue::new(&mut transport, QUEUE, indirect, events)
            .map_err(|error| format!("its queue: {error}"))?;
        transport.finish_init();
        let frames: Vec<Frame> = (0..RING).map(|_| Frame::EMPTY).collect();
        Ok(Self {
            number,
            interrupt: device.interrupt,
            shape,
            share,
            patience,
            state: Mutex::new(State {
                transport,
                queue: Box::new(queue),
                indirect,
                frames: window::host(frames.leak().as_ptr()),
                free_frames: (0..RING as u8).collect(),
                in_flight: (0..RING).map(|_| None).collect(),
                pieces: Vec::new(),
                is_broken: false,
                must_notify: false,
            }),
        })
    }

    /// Adds a piece of this owner; its number.
    pub fn add_piece(&self, owner: Owner) -> usize {
        let mut state = self.state.lock();
        state.pieces.push(PieceState {
            owner,
            taken: 0,
            bytes: 0,
        });
        state.pieces.len() - 1
    }

    /// Most bytes of the heap that the requests of a piece take at a time.
    pub fn heap_of_piece(&self) -> u64 {
        // A segment is remembered in 16 bytes, here and by the guest's device, and told to the host's in
        // as many.
        let segments = (self.shape.segments as usize + ENDS).max(EXPECTED);
        let request = size_of::<InFlight>() + 3 * 16 * segments;
        (self.share * request) as u64
    }

    /// Starts a request of a piece; [`Self::notify`] is to follow. `sector` is one of the disk; it and the segments have been checked.
    pub fn submit(&self, piece: usize, ram: &GuestRam, sector: u64, request: Request) -> Submitted {
        let shape = &self.shape;
        let (kind, data, range) = match request.operation {
            Operation::Read => (IN, Data::In, (0, 0, 0)),
            Operation::Write => (OUT, Data::Out, (0, 0, 0)),
            // Without it the device writes through.
            Operation::Flush if !shape.flush => return Submitted::Ended(Status::Done),
            Operation::Flush => (TYPE_FLUSH, Data::None, (0, 0, 0)),
            Operation::Discard { sectors } => {
                if sectors > shape.discard.into() {
                    return Submitted::Ended(Status::Unsupported);
                }
                (TYPE_DISCARD, Data::Range, (sector, sectors as u32, 0))
            }
            Operation::WriteZeroes { sectors, unmap } => {
                if sectors > shape.zeroes.into() {
                    return Submitted::Ended(Status::Unsupported);
                }
                let flags = u32::from(unmap && shape.unmap);
                (TYPE_ZEROES, Data::Range, (sector, sectors as u32, flags))
            }
        };
        let mut state = self.state.lock();
        if state.is_broken {
            return Submitted::Ended(Status::Failed);
        }
        let wanted = state.cost(request.segments.len());
        let bytes = segments::total(&request.segments);
        let own = &state.pieces[piece];
        if own.taken + wanted > self.share || own.taken > 0 && own.bytes + bytes > MOST_BYTES {
            return Submitted::Busy(request);
        }
        let host = |at: isa::address::GuestPhys| ram.host_base().add(at.0 - ram.base.0);
        let segments = request.segments.into_iter();
        let segments = segments.filter(|segment| segment.size > 0);
        let request = InFlight {
            piece,
            token: request.token,
            // Each piece has its share of them, as of the ring.
            frame: state
                .free_frames
                .pop()
                .expect("as many frames as descriptors"),
            data,
            segments: segments
                .map(|segment| (host(segment.at), segment.size))
                .collect(),
        };
        let sector = if data == Data::In || data == Data::Out {
            sector
        } else {
            0
        };
        state.frame(request.frame).set(kind, sector, range);
        state.start(request);
        Submitted::InFlight
    }

    /// Makes the device look at what was submitted.
    pub fn notify(&self) {
        self.state.lock().notify();
    }

    /// Tells the owners of requests that have ended. The device's interrupt is for this.
    pub fn serve(&self) {
        let vms = self.state.lock().serve(self.number);
        system::get().ring(vms);
    }

    /// Waits until no request of this owner is in flight, after which none of its arrivals is left either.
    /// The device does nothing to the owner's memory then.
    pub fn drain(&self, owner: Owner) -> Result<(), String> {
        let is_done = wait_for(self.patience, || {
            self.serve();
            let state = self.state.lock();
            let mut own = state.pieces.iter().filter(|piece| piece.owner == owner);
            own.all(|piece| piece.taken == 0)
        });
        if !is_done {
            return Err(format!(
                "disk {} of the host does not end a request; the guest's memory is not safe to use again",
                self.number
            ));
        }
        system::get().forget_arrivals(owner);
        Ok(())
    }

    /// Reads whole blocks from `sector` on and waits for them; false when that fails. For the boot, before
    /// there are guests.
    pub fn read_now(&self, sector: u64, buffer: &mut [u8]) -> bool {
        let mut state = self.state.lock();
        if state.is_broken {
            return false;
        }
        // A piece of nobody's.
        state.pieces.push(PieceState {
            owner: Owner {
                vm: usize::MAX,
                device: 0,
            },
            taken: 0,
            bytes: 0,
        });
        let request = InFlight {
            piece: state.pieces.len() - 1,
            token: 0,
            frame: state.free_frames.pop().expect("nothing else is in flight"),
            data: Data::In,
            segments: alloc::vec![(window::host(buffer.as_ptr()), buffer.len() as u32)],
        };
        let frame = state.frame(request.frame);
        frame.set(IN, sector, (0, 0, 0));
        state.start(request);
        state.notify();
        let mut status = None;
        let ended = wait_for(self.patience, || {
            status = state.pop().map(|(_, status)| status);
            status.is_some()
        });
        if !ended {
            state.break_off(self.number);
        }
        state.transport.ack_interrupt();
        state.pieces.pop();
        status == Some(Status::Done)
    }

    /// Whether nobody is at it at the moment.
    pub fn is_free(&self) -> bool {
        self.state.try_lock().is_some()
    }
}

/// Reads the configuration. `most` is how many segments the queue allows.
fn shape(transport: &Transport, features: u64, most: u32) -> virtio_drivers::Result<Shape> {
    transport.read_consistent(|| {
        let has = |feature: u64| features & feature != 0;
        let word = |at: usize, feature: u64, or: u32| match has(feature) {
            true => transport.read_config_space::<u32>(at),
            false => Ok(or),
        };
        let byte = |at: usize, feature: u64| match has(feature) {
            true => transport.read_config_space::<u8>(at),
            false => Ok(0),
        };
        let low = transport.read_config_space::<u32>(config::CAPACITY)?;
        let high = transport.read_config_space::<u32>(config::CAPACITY + 4)?;
        let is_block = |size: &u32| size.is_power_of_two() && (512..=1 << 20).contains(size);
        let block = Some(word(config::BLOCK_SIZE, BLOCK_SIZE, SECTOR as u32)?)
            .filter(is_block)
            .unwrap_or(SECTOR as u32);
        let exponent = byte(config::PHYSICAL_BLOCK, TOPOLOGY)?;
        let best = block.checked_shl(exponent.into()).filter(is_block);
        let offered = word(config::SEGMENTS, SEGMENTS, 1)?;
        Ok(Shape {
            sectors: u64::from(high) << 32 | u64::from(low),
            read_only: has(READ_ONLY),
            block,
            best: best.unwrap_or(block),
            segments: offered.clamp(1, most),
            discard: word(config::DISCARD_SECTORS, DISCARD, 0)?,
            zeroes: word(config::ZEROES_SECTORS, WRITE_ZEROES, 0)?,
            unmap: byte(config::ZEROES_UNMAP, WRITE_ZEROES)? == 1,
            flush: has(FLUSH),
        })
    })
}

impl State {
    /// Descriptors that a request takes.
    fn cost(&self, segments: usize) -> usize {
        if self.indirect { 1 } else { segments + ENDS }
    }

    fn frame(&self, index: u8) -> FrameAt {
        FrameAt(
            self.frames
                .add(u64::from(index) * size_of::<Frame>() as u64),
        )
    }

    /// Gives the device a request that there is room for.
    fn start(&mut self, request: InFlight) {
        let cost = self.cost(request.segments.len());
        let (inputs, mut outputs) = request.buffers(self.frame(request.frame));
        // SAFETY: the frame and the guest's RAM stay. Neither the queue nor this driver looks into the
        // buffers: their addresses and sizes alone go to the device, which reads and writes them as a hart
        // of the guest would.
        let head = unsafe { self.queue.add(&inputs, &mut outputs) };
        let head = head.expect("each piece keeps to its share of the ring");
        self.pieces[request.piece].taken += cost;
        self.pieces[request.piece].bytes += request.bytes();
        self.in_flight[usize::from(head)] = Some(request);
        barrier();
        self.must_notify |= self.queue.should_notify();
    }

    /// Gives back what a request that has ended has taken of its piece's share.
    fn release(&mut self, request: &InFlight) {
        let cost = self.cost(request.segments.len());
        let piece = &mut self.pieces[request.piece];
        piece.taken -= cost;
        piece.bytes -= request.bytes();
    }

    /// Rings for what was started since the last time, if the device wants that.
    fn notify(&mut self) {
        if mem::take(&mut self.must_notify) && !self.is_broken {
            self.transport.notify(QUEUE);
        }
    }

    /// Takes a request that has ended.
    fn pop(&mut self) -> Option<(InFlight, Status)> {
        let head = self.queue.peek_used()?;
        let request = self.in_flight.get_mut(usize::from(head))?.take()?;
        let frame = self.frame(request.frame);
        let (inputs, mut outputs) = request.buffers(frame);
        // SAFETY: made of the same request as when they were added.
        let popped = unsafe { self.queue.pop_used(head, &inputs, &mut outputs) };
        popped.expect("it is the next");
        self.free_frames.push(request.frame);
        self.release(&request);
        Some((request, frame.status()))
    }

    /// Tells all whose requests have ended; returns the machines to ring, a bit for each.
    fn serve(&mut self, number: usize) -> u64 {
        let mut vms = 0;
        self.transport.ack_interrupt();
        barrier();
        loop {
            while let Some((request, status)) = self.pop() {
                vms |= self.tell(&request, status);
            }
            // The device was just told what it is to interrupt after: it may have missed that.
            barrier();
            if !self.queue.can_pop() {
                return vms;
            }
            let is_known = |head| {
                self.in_flight
                    .get(usize::from(head))
                    .is_some_and(Option::is_some)
            };
            if !self.queue.peek_used().is_some_and(is_known) {
                return vms | self.break_off(number);
            }
        }
    }

    fn tell(&self, request: &InFlight, status: Status) -> u64 {
        let owner = self.pieces[request.piece].owner;
        match system::try_get() {
            Some(system) => {
                system.arrived(owner, request.token, status);
                1 << owner.vm
            }
            None => 0,
        }
    }

    /// Gives the device up: it does not keep to the rules.
    fn break_off(&mut self, number: usize) -> u64 {
        if self.is_broken {
            return 0;
        }
        say!(
            "error: disk {number} of the host does not behave as a virtio device; all requests to it fail"
        );
        self.is_broken = true;
        self.transport.set_status(DeviceStatus::empty());
        let requests: Vec<InFlight> = self.in_flight.iter_mut().filter_map(Option::take).collect();
        let mut vms = 0;
        for request in requests {
            self.release(&request);
            vms |= self.tell(&request, Status::Failed);
        }
        vms
    }
}

impl InFlight {
    /// Bytes of its segments.
    fn bytes(&self) -> u64 {
        self.segments.iter().map(|&(_, size)| u64::from(size)).sum()
    }

    /// What the device reads and what it writes, for the queue. Nobody dereferences these.
    fn buffers<'a>(&self, frame: FrameAt) -> (Vec<&'a [u8]>, Vec<&'a mut [u8]>) {
        let at = |at: HostPhys| window::direct(at).as_ptr();
        // SAFETY: memory of the monitor or of the guest that stays for ever, in the direct map. That it
        // changes meanwhile, and that a guest may name a place twice, matters to nobody: all that is done
        // with the slices is to take their addresses and sizes.
        let read = |from: HostPhys, size: usize| unsafe {
            core::slice::from_raw_parts(at(from).cast_const(), size)
        };
        // SAFETY: as before.
        let write =
            |to: HostPhys, size: usize| unsafe { core::slice::from_raw_parts_mut(at(to), size) };
        let room = self.segments.len() + ENDS;
        let (mut inputs, mut outputs) = (Vec::with_capacity(room), Vec::with_capacity(room));
        let segments = self.segments.iter().map(|&(at, size)| (at, size as usize));
        inputs.push(read(frame.0, HEADER));
        match self.data {
            Data::None => {}
            Data::Range => inputs.push(read(frame.0.add(offset_of!(Frame, range) as u64), RANGE)),
            Data::Out => inputs.extend(segments.map(|(at, size)| read(at, size))),
            Data::In => outputs.extend(segments.map(|(at, size)| write(at, size))),
        }
        outputs.push(write(frame.0.add(offset_of!(Frame, status) as u64), 1));
        (inputs, outputs)
    }
}

/// Where a frame is. The device reads and writes it as it likes, so that it is never borrowed.
#[derive(Clone, Copy)]
struct FrameAt(HostPhys);

impl FrameAt {
    fn set(self, kind: u32, sector: u64, range: (u64, u32, u32)) {
        let frame = Frame {
            kind,
            sector,
            range,
            ..Frame::EMPTY
        };
        // SAFETY: one of the frames that were leaked for this; the device does not have it now.
        unsafe { window::direct(self.0).cast().write_volatile(frame) };
    }

    fn status(self) -> Status {
        let frame = window::direct(self.0).cast::<Frame>();
        // SAFETY: as for `set`.
        match unsafe { (&raw const (*frame.as_ptr()).status).read_volatile() } {
            0 => Status::Done,
            2 => Status::Unsupported,
            _ => Status::Failed,
        }
    }
}

impl Frame {
    /// With a status that no device gives.
    const EMPTY: Self = Self {
        kind: 0,
        reserved: 0,
        sector: 0,
        range: (0, 0, 0),
        status: 0xff,
    };
}
