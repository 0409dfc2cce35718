//! The block device (virtio 1.2, section 5.2).
//!
//! [`Mmio::serve`] takes requests off the queue and hands them to a [`Disk`], as many as it takes;
//! [`Mmio::complete`] answers those that a disk says have ended, in any order. Interrupts are decided
//! upon at the end of [`Mmio::serve`] alone: call it once after a batch of completions.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use isa::address::GuestPhys;

use crate::disk::{LIGHT, MOST_WORK, SECTOR};
use crate::mmio::CONFIG_SIZE;
use crate::queue::MOST_ENTRIES;
use crate::segments;
use crate::{
    Broken, Chain, Device, Disk, Memory, Mmio, Operation, Request, Segment, Status, Submitted,
};

/// The features of section 5.2.3 that are offered.
mod feature {
    pub const SEG_MAX: u64 = 1 << 2;
    pub const READ_ONLY: u64 = 1 << 5;
    pub const BLOCK_SIZE: u64 = 1 << 6;
    pub const FLUSH: u64 = 1 << 9;
    pub const TOPOLOGY: u64 = 1 << 10;
    pub const DISCARD: u64 = 1 << 13;
    pub const WRITE_ZEROES: u64 = 1 << 14;
}

/// Types of requests (section 5.2.6).
mod request {
    pub const IN: u32 = 0;
    pub const OUT: u32 = 1;
    pub const FLUSH: u32 = 4;
    pub const GET_ID: u32 = 8;
    pub const DISCARD: u32 = 11;
    pub const WRITE_ZEROES: u32 = 13;
}

/// The only queue.
const QUEUE: usize = 0;
/// Bytes of a request's header.
const HEADER: usize = 16;
/// Bytes of a device's name.
pub const SERIAL: usize = 20;
/// Bytes of a range in a discard or a write of zeroes, and how many there may be in one.
const RANGE: usize = 16;
const MOST_RANGES: usize = 32;
const UNMAP: u32 = 1;

/// Bytes of the heap that a device takes, beside the segments of its requests.
pub const HEAP: u64 = MOST_ENTRIES as u64 * size_of::<Option<Flight>>() as u64;

/// A request that the driver waits for.
#[derive(Clone, Debug)]
struct Flight {
    /// Where its status goes.
    status: GuestPhys,
    /// Bytes of all its writable segments.
    writable: u32,
    /// What a read fills.
    filled: Vec<Segment>,
    /// What is to be done after this, the last first.
    rest: Vec<Step>,
    /// Whether the disk has it.
    with_disk: bool,
}

/// A part of a request that a disk does in one go.
#[derive(Clone, Copy, Debug)]
struct Step {
    operation: Operation,
    sector: u64,
}

/// What a request comes down to.
#[derive(Default)]
struct Plan {
    /// Where there is none, it is done already.
    first: Option<Step>,
    /// The memory of the first step.
    segments: Vec<Segment>,
    /// What of it a read fills.
    filled: Vec<Segment>,
    /// What is to be done after it, the last first.
    rest: Vec<Step>,
}

/// A request as it was copied from the guest's memory.
struct Message {
    kind: u32,
    sector: u64,
    /// What comes behind the header.
    readable: Vec<Segment>,
    /// What comes before the status.
    writable: Vec<Segment>,
}

/// A block device.
#[derive(Clone, Debug)]
pub struct Block {
    serial: [u8; SERIAL],
    sectors: u64,
    read_only: bool,
    block_size: u32,
    most_segments: u32,
    most_discard: u32,
    most_zeroes: u32,
    /// By the heads of their chains.
    flights: Box<[Option<Flight>]>,
    /// What the disk had no room for.
    waiting: VecDeque<Request>,
    with_disk: usize,
    requests: u64,
    /// What the disk has done at once since [`Mmio::serve`] was called.
    work: u64,
}

impl Block {
    /// A device in front of `disk`, whose properties it takes note of. `serial` is its name for the
    /// driver: ASCII, filled up with zeroes.
    #[must_use]
    pub fn new(disk: &dyn Disk, serial: [u8; SERIAL]) -> Self {
        let read_only = disk.is_read_only();
        // Header and status take an entry each.
        let most_segments = u32::from(MOST_ENTRIES) - 2;
        Self {
            serial,
            sectors: disk.sectors(),
            read_only,
            block_size: disk.block_size(),
            most_segments: disk.most_segments().min(most_segments),
            most_discard: if read_only { 0 } else { disk.most_discard() },
            most_zeroes: if read_only { 0 } else { disk.most_zeroes() },
            flights: (0..MOST_ENTRIES).map(|_| None).collect(),
            waiting: VecDeque::new(),
            with_disk: 0,
            requests: 0,
            work: 0,
        }
    }

    /// How many requests drivers have made.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }

    fn flight(&mut self, token: u16) -> Option<&mut Flight> {
        self.flights.get_mut(usize::from(token))?.as_mut()
    }

    fn has(&self, sector: u64, sectors: u64) -> bool {
        sector <= self.sectors && sectors <= self.sectors - sector
    }

    /// What is to be done for a request; or how it ends at once. `flushes` when the driver flushes by
    /// itself: if not, what is written is to last before it is reported done (section 5.2.6.2).
    fn plan(
        &self,
        message: Message,
        flushes: bool,
        memory: &mut dyn Memory,
    ) -> Result<Plan, Status> {
        let mut plan = match message.kind {
            request::IN => {
                // A read has nothing behind its header: the room serves again.
                let mut filled = message.readable;
                filled.clear();
                filled.extend_from_slice(&message.writable);
                let plan = self.transfer(Operation::Read, message.sector, message.writable)?;
                Plan { filled, ..plan }
            }
            request::OUT if self.read_only => return Err(Status::Failed),
            request::OUT => self.transfer(Operation::Write, message.sector, message.readable)?,
            request::FLUSH => Plan::of(Operation::Flush, 0, Vec::new()),
            request::GET_ID => {
                segments::write(&message.writable, &self.serial, memory);
                return Err(Status::Done);
            }
            request::DISCARD | request::WRITE_ZEROES if self.read_only => {
                return Err(Status::Failed);
            }
            request::DISCARD | request::WRITE_ZEROES => self.ranges(&message, memory)?,
            _ => return Err(Status::Unsupported),
        };
        let is_write = matches!(message.kind, request::OUT | request::WRITE_ZEROES);
        if is_write && !flushes && plan.first.is_some() {
            let operation = Operation::Flush;
            plan.rest.insert(
                0,
                Step {
                    operation,
                    sector: 0,
                },
            );
        }
        Ok(plan)
    }

    fn transfer(
        &self,
        operation: Operation,
        sector: u64,
        segments: Vec<Segment>,
    ) -> Result<Plan, Status> {
        let bytes = segments::total(&segments);
        let fits = segments.len() <= self.most_segments as usize;
        if !bytes.is_multiple_of(SECTOR) || !self.has(sector, bytes / SECTOR) || !fits {
            return Err(Status::Failed);
        }
        if bytes == 0 {
            return Ok(Plan::default());
        }
        Ok(Plan::of(operation, sector, segments))
    }

    /// Reads the ranges of a discard or a write of zeroes.
    fn ranges(&self, message: &Message, memory: &dyn Memory) -> Result<Plan, Status> {
        let is_discard = message.kind == request::DISCARD;
        let most = if is_discard {
            self.most_discard
        } else {
            self.most_zeroes
        };
        if most == 0 {
            return Err(Status::Unsupported);
        }
        let mut bytes = [0; MOST_RANGES * RANGE];
        let size = segments::total(&message.readable);
        let is_whole = size != 0 && size.is_multiple_of(RANGE as u64) && size <= bytes.len() as u64;
        if !is_whole || segments::read(&message.readable, &mut bytes, memory) as u64 != size {
            return Err(Status::Failed);
        }
        let ranges: Vec<_> = bytes[..size as usize]
            .chunks_exact(RANGE)
            .map(range)
            .collect();
        let known = if is_discard { 0 } else { UNMAP };
        if ranges.iter().any(|&(.., flags)| flags & !known != 0) {
            return Err(Status::Unsupported);
        }
        let fits = |&(sector, sectors, _): &(u64, u32, u32)| {
            sectors <= most && self.has(sector, sectors.into())
        };
        if !ranges.iter().all(fits) {
            return Err(Status::Failed);
        }
        let step = |&(sector, sectors, flags): &(u64, u32, u32)| {
            let sectors = u64::from(sectors);
            let unmap = flags & UNMAP != 0;
            let operation = if is_discard {
                Operation::Discard { sectors }
            } else {
                Operation::WriteZeroes { sectors, unmap }
            };
            Step { operation, sector }
        };
        let mut steps: Vec<_> = ranges
            .iter()
            .filter(|range| range.1 != 0)
            .map(step)
            .collect();
        steps.reverse();
        Ok(Plan {
            first: steps.pop(),
            rest: steps,
            ..Plan::default()
        })
    }
}

/// Sector, count and flags of a range.
fn range(bytes: &[u8]) -> (u64, u32, u32) {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
    let sector = u64::from(word(4)) << 32 | u64::from(word(0));
    (sector, word(8), word(12))
}

/// What a disk that does it at once has to do for a request, in bytes moved.
fn work(request: &Request) -> u64 {
    match request.operation {
        Operation::Read | Operation::Write => segments::total(&request.segments),
        Operation::Flush => 0,
        Operation::Discard { sectors } | Operation::WriteZeroes { sectors, .. } => {
            sectors * SECTOR / LIGHT
        }
    }
}

impl Plan {
    fn of(operation: Operation, sector: u64, segments: Vec<Segment>) -> Self {
        Self {
            first: Some(Step { operation, sector }),
            segments,
            ..Self::default()
        }
    }
}

impl Device for Block {
    const ID: u32 = 2;
    const QUEUES: usize = 1;

    fn features(&self) -> u64 {
        let has = |is: bool, bit: u64| if is { bit } else { 0 };
        feature::SEG_MAX
            | feature::BLOCK_SIZE
            | feature::FLUSH
            | feature::TOPOLOGY
            | has(self.read_only, feature::READ_ONLY)
            | has(self.most_discard != 0, feature::DISCARD)
            | has(self.most_zeroes != 0, feature::WRITE_ZEROES)
    }

    fn config(&self) -> [u8; CONFIG_SIZE] {
        let mut config = [0; CONFIG_SIZE];
        let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
        let mut word = |at: usize, value: u32| put(at, &value.to_le_bytes());
        let ranges = |most: u32| if most == 0 { 0 } else { MOST_RANGES as u32 };
        word(0, self.sectors as u32);
        word(4, (self.sectors >> 32) as u32);
        word(12, self.most_segments);
        // Any sector can be written by itself; larger blocks are a matter of speed.
        word(20, SECTOR as u32);
        let blocks = self.block_size / SECTOR as u32;
        word(36, self.most_discard);
        word(40, ranges(self.most_discard));
        word(44, blocks);
        word(48, self.most_zeroes);
        word(52, ranges(self.most_zeroes));
        word(56, u32::from(self.most_zeroes != 0));
        // Topology: the exponent of blocks to a physical one, the least size of a transfer in blocks.
        put(24, &[blocks.checked_ilog2().unwrap_or(0) as u8]);
        put(26, &(blocks as u16).to_le_bytes());
        config
    }

    fn reset(&mut self) {
        self.flights.fill_with(|| None);
        self.waiting.clear();
        self.with_disk = 0;
    }
}

impl Mmio<Block> {
    /// How many requests the disk has.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.device().with_disk
    }

    /// Hands requests to the disk, those first that it had no room for before, and decides upon an
    /// interrupt for all that has ended since the last call. Call it after a doorbell, after
    /// [`Mmio::complete`], and when a disk that was busy says so.
    ///
    /// It ends after as many requests as a queue can hold, or when the disk has moved 1 MiB at once, and is true when there may be more: call it again, after other work.
    #[must_use]
    pub fn serve(&mut self, disk: &mut dyn Disk, memory: &mut dyn Memory) -> bool {
        self.device_mut().work = 0;
        for _ in 0..self.device().waiting.len() {
            let Some(request) = self.device_mut().waiting.pop_front() else {
                break;
            };
            if !self.submit(request, disk, memory) {
                break;
            }
        }
        let mut may_be_more = true;
        for _ in 0..MOST_ENTRIES {
            if self.device().work >= MOST_WORK {
                break;
            }
            may_be_more = self.device().waiting.is_empty();
            let chain = may_be_more.then(|| self.pop(QUEUE, memory)).flatten();
            let Some(chain) = chain else {
                may_be_more = false;
                break;
            };
            self.begin(chain, disk, memory);
        }
        disk.go();
        self.settle(QUEUE, memory);
        may_be_more
    }

    /// Answers a request that the disk had, unless there is something more to do for it. Ignores
    /// tokens that the disk does not have. [`Mmio::serve`] is to be called afterwards.
    ///
    /// What a read was to fill is reported as written ([`Memory::written`]).
    pub fn complete(
        &mut self,
        token: u16,
        status: Status,
        disk: &mut dyn Disk,
        memory: &mut dyn Memory,
    ) {
        let block = self.device_mut();
        let Some(flight) = block.flight(token).filter(|flight| flight.with_disk) else {
            return;
        };
        flight.with_disk = false;
        let filled = core::mem::take(&mut flight.filled);
        block.with_disk -= 1;
        for segment in filled {
            memory.written(segment.at, segment.size.into());
        }
        if let Some(next) = self.ended(token, status, memory) {
            self.submit(next, disk, memory);
        }
    }

    /// Says that all that the requests in flight were to read may have been written, before a reset.
    pub fn abandon(&mut self, memory: &mut dyn Memory) {
        for flight in self.device_mut().flights.iter_mut().flatten() {
            for segment in core::mem::take(&mut flight.filled) {
                memory.written(segment.at, segment.size.into());
            }
        }
    }

    /// Begins with a request.
    fn begin(&mut self, chain: Chain, disk: &mut dyn Disk, memory: &mut dyn Memory) {
        self.device_mut().requests += 1;
        let token = chain.head;
        let writable = segments::total(&chain.writable) as u32;
        let Some((message, status)) = message(chain, memory) else {
            return self.fail(Broken::Request);
        };
        let flushes = self.has_feature(feature::FLUSH);
        let plan = self.device().plan(message, flushes, memory);
        let (plan, result) = match plan {
            Ok(plan) => (plan, Status::Done),
            Err(status) => (Plan::default(), status),
        };
        let flight = Flight {
            status,
            writable,
            filled: plan.filled,
            rest: plan.rest,
            with_disk: false,
        };
        // The queue has names no larger, nor the same twice.
        self.device_mut().flights[usize::from(token)] = Some(flight);
        let Some(Step { operation, sector }) = plan.first else {
            self.ended(token, result, memory);
            return;
        };
        let request = Request {
            token,
            operation,
            sector,
            segments: plan.segments,
        };
        self.submit(request, disk, memory);
    }

    /// Hands a request to the disk, and what is to be done after it; false when the rest is to wait.
    fn submit(&mut self, request: Request, disk: &mut dyn Disk, memory: &mut dyn Memory) -> bool {
        let mut next = Some(request);
        while let Some(request) = next {
            if self.device().work >= MOST_WORK {
                self.device_mut().waiting.push_front(request);
                return false;
            }
            let (token, work) = (request.token, work(&request));
            match disk.submit(request, memory) {
                Submitted::Ended(status) => {
                    self.device_mut().work += work;
                    next = self.ended(token, status, memory);
                }
                Submitted::InFlight => {
                    let block = self.device_mut();
                    block.with_disk += 1;
                    if let Some(flight) = block.flight(token) {
                        flight.with_disk = true;
                    }
                    return true;
                }
                Submitted::Busy(rest) => {
                    let block = self.device_mut();
                    block.work += work - self::work(&rest);
                    block.waiting.push_front(rest);
                    return false;
                }
            }
        }
        true
    }

    /// Takes note that a step has ended: the next one, or the answer.
    fn ended(&mut self, token: u16, status: Status, memory: &mut dyn Memory) -> Option<Request> {
        let flight = self.device_mut().flight(token)?;
        let next = flight.rest.pop().filter(|_| status == Status::Done);
        if let Some(Step { operation, sector }) = next {
            return Some(Request {
                token,
                operation,
                sector,
                segments: Vec::new(),
            });
        }
        let flights = &mut self.device_mut().flights;
        let flight = flights.get_mut(usize::from(token))?.take()?;
        self.answer(token, &flight, status, memory);
        None
    }

    fn answer(&mut self, head: u16, flight: &Flight, status: Status, memory: &mut dyn Memory) {
        let status = match status {
            Status::Done => 0,
            Status::Failed => 1,
            Status::Unsupported => 2,
        };
        if self.is_ready(QUEUE) && !memory.write(flight.status, &[status]) {
            return self.fail(Broken::Segment);
        }
        self.push_used(QUEUE, head, flight.writable, memory);
    }
}

/// Cuts a chain into its parts; `None` when it has no header or no status.
fn message(mut chain: Chain, memory: &dyn Memory) -> Option<(Message, GuestPhys)> {
    let mut header = [0; HEADER];
    if segments::read(&chain.readable, &mut header, memory) != HEADER {
        return None;
    }
    segments::skip(&mut chain.readable, HEADER as u32);
    let last = chain.writable.last_mut()?;
    last.size -= 1;
    let status = last.at.add(last.size.into());
    if last.size == 0 {
        chain.writable.pop();
    }
    let message = Message {
        kind: u32::from_le_bytes(header[..4].try_into().ok()?),
        sector: u64::from_le_bytes(header[8..].try_into().ok()?),
        readable: chain.readable,
        writable: chain.writable,
    };
    Some((message, status))
}
