//! Tests of the block device, with a disk in memory.

use alloc::vec;
use alloc::vec::Vec;

use isa::address::GuestPhys;

use crate::disk::SECTOR;
use crate::file_disk::FileDisk;
use crate::mmio::register;
use crate::testing::{BASE, Driver, Part, Ram, Store, start};
use crate::{Block, Broken, Device, Disk, Memory, Mmio, Operation, Request, Status, Submitted};

const FLUSH: u64 = 1 << 9;

/// Where the data of requests lies, and their headers and statuses from there on.
const DATA: GuestPhys = GuestPhys(BASE.0 + 0x1_0000);
const HEADERS: GuestPhys = GuestPhys(BASE.0 + 0x1_8000);
const STATUSES: GuestPhys = GuestPhys(BASE.0 + 0x1_c000);

const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH_REQUEST: u32 = 4;
const GET_ID: u32 = 8;
const DISCARD: u32 = 11;
const WRITE_ZEROES: u32 = 13;

const OK: u8 = 0;
const IOERR: u8 = 1;
const UNSUPP: u8 = 2;

struct Machine {
    mmio: Mmio<Block>,
    driver: Driver,
    ram: Ram,
    disk: Store,
    requests: u64,
}

impl Machine {
    fn new(features: u64, disk: Store) -> Self {
        let mut serial = [0; 20];
        serial[..4].copy_from_slice(b"disk");
        let mut mmio = Mmio::new(Block::new(&disk, serial));
        let driver = Driver::new(BASE, 64);
        start(&mut mmio, features, &[&driver]);
        Self {
            mmio,
            driver,
            ram: Ram::new(0x2_0000),
            disk,
            requests: 0,
        }
    }

    /// A disk of 64 sectors, each full of its number, that takes `depth` requests at a time.
    fn with_depth(depth: usize) -> Self {
        let mut disk = Store::new(64);
        for (sector, bytes) in (0..).zip(disk.bytes.chunks_mut(SECTOR as usize)) {
            bytes.fill(sector);
        }
        disk.depth = depth;
        Self::new(FLUSH, disk)
    }

    /// Makes a request available: its head and where its status will be.
    fn add(&mut self, kind: u32, sector: u64, data: &[Part]) -> (u16, GuestPhys) {
        let [header, status] = [HEADERS, STATUSES].map(|at| at.add(16 * self.requests));
        self.requests += 1;
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[8..].copy_from_slice(&sector.to_le_bytes());
        self.ram.put(header, &bytes);
        self.ram.put(status, &[0xff]);
        let mut parts = vec![Part::read(header, 16)];
        parts.extend(data);
        parts.push(Part::write(status, 1));
        (self.driver.add(&mut self.ram, &parts), status)
    }

    fn serve(&mut self) {
        assert!(!self.mmio.serve(&mut self.disk, &mut self.ram));
    }

    /// Tells the device of the end of the disk's request of this number.
    fn end(&mut self, number: usize) {
        let (token, status) = self.disk.end(number, &mut self.ram);
        let (disk, ram) = (&mut self.disk, &mut self.ram);
        self.mmio.complete(token, status, disk, ram);
    }

    fn status(&self, at: GuestPhys) -> u8 {
        self.ram.get::<1>(at)[0]
    }

    /// Makes one request of a disk that does it at once; its status.
    fn request(&mut self, kind: u32, sector: u64, data: &[Part]) -> u8 {
        let (head, status) = self.add(kind, sector, data);
        self.serve();
        let writable = data.iter().filter(|part| part.writable);
        let written = 1 + writable.map(|part| part.size).sum::<u32>();
        assert_eq!(self.driver.used(&self.ram), Some((head, written)));
        self.status(status)
    }

    /// Makes a discard or a write of zeroes of these ranges.
    fn ranges(&mut self, kind: u32, ranges: &[(u64, u32, u32)]) -> u8 {
        let mut bytes = Vec::new();
        for (sector, sectors, flags) in ranges {
            bytes.extend(sector.to_le_bytes());
            bytes.extend(sectors.to_le_bytes());
            bytes.extend(flags.to_le_bytes());
        }
        self.ram.put(DATA, &bytes);
        self.request(kind, 0, &[Part::read(DATA, bytes.len() as u32)])
    }
}

#[test]
fn the_configuration_tells_of_the_disk() {
    let machine = Machine::with_depth(0);
    let config = |at: u64, width| machine.mmio.read(register::CONFIG + at, width);
    assert_eq!(config(0, 8), 64, "capacity");
    assert_eq!(config(12, 4), 8, "seg_max");
    assert_eq!(config(20, 4), 512, "blk_size");
    assert_eq!((config(24, 1), config(26, 2)), (3, 8), "topology of 4096");
    assert_eq!((config(36, 4), config(40, 4)), (16, 32), "discards");
    assert_eq!(config(44, 4), 8, "their alignment");
    assert_eq!((config(48, 4), config(52, 4)), (8, 32), "zeroes");
    assert_eq!(config(56, 1), 1, "which may unmap");
    let features = machine.mmio.device().features();
    assert_eq!(
        features,
        1 << 2 | 1 << 6 | FLUSH | 1 << 10 | 1 << 13 | 1 << 14
    );
}

#[test]
fn sectors_are_read_and_written() {
    let mut machine = Machine::with_depth(0);
    assert_eq!(machine.request(IN, 5, &[Part::write(DATA, 1024)]), OK);
    assert_eq!(machine.ram.get(DATA), [5; 512]);
    assert_eq!(machine.ram.get(DATA.add(512)), [6; 512]);
    assert_eq!(machine.request(OUT, 62, &[Part::read(DATA, 1024)]), OK);
    assert_eq!(machine.disk.bytes[62 * 512..63 * 512], [5; 512]);
    assert_eq!(machine.disk.bytes[63 * 512..], [6; 512]);
    assert_eq!(machine.mmio.device().requests(), 2);
}

#[test]
fn a_message_may_be_cut_anywhere() {
    let mut machine = Machine::with_depth(0);
    let mut header = [0; 16];
    header[8] = 9;
    machine.ram.put(HEADERS, &header);
    // A read, its header in three pieces, its data in three, the last of which has the status.
    let parts = [
        Part::read(HEADERS, 3),
        Part::read(HEADERS.add(3), 12),
        Part::read(HEADERS.add(15), 1),
        Part::write(DATA, 100),
        Part::write(DATA.add(200), 1),
        Part::write(DATA.add(300), 412),
    ];
    machine.ram.put(DATA.add(711), &[0xff]);
    machine.driver.add(&mut machine.ram, &parts);
    machine.serve();
    assert_eq!(machine.ram.get(DATA), [9; 100]);
    assert_eq!(machine.ram.get(DATA.add(200)), [9, 0]);
    assert_eq!(machine.ram.get(DATA.add(300)), [9; 411]);
    assert_eq!(machine.status(DATA.add(711)), OK);
    // A write, whose header and data are one piece.
    header[0] = OUT as u8;
    machine.ram.put(DATA, &header);
    machine.ram.put(DATA.add(16), &[0xaa; 512]);
    let parts = [Part::read(DATA, 528), Part::write(STATUSES, 1)];
    machine.driver.add(&mut machine.ram, &parts);
    machine.serve();
    assert_eq!(machine.disk.bytes[9 * 512..10 * 512], [0xaa; 512]);
}

#[test]
fn sectors_that_are_not_there_and_parts_of_sectors_are_errors() {
    let mut machine = Machine::with_depth(0);
    for (sector, size) in [
        (64, 512),
        (63, 1024),
        (u64::MAX, 512),
        (0, 511),
        (0, 1),
        (65, 512),
    ] {
        for (kind, part) in [(IN, Part::write(DATA, size)), (OUT, Part::read(DATA, size))] {
            let status = machine.request(kind, sector, &[part]);
            assert_eq!(status, IOERR, "{kind} {sector} {size}");
        }
    }
    assert_eq!(machine.disk.log, vec![]);
    assert_eq!(machine.request(IN, 64, &[]), OK, "none of none");
    assert_eq!(machine.request(IN, 65, &[]), IOERR);
}

#[test]
fn more_segments_than_the_disk_takes_are_an_error() {
    let mut machine = Machine::with_depth(0);
    let eight = [Part::write(DATA, 512); 8];
    assert_eq!(machine.request(IN, 0, &eight), OK);
    assert_eq!(machine.request(IN, 0, &[Part::write(DATA, 512); 9]), IOERR);
}

#[test]
fn a_read_only_disk_refuses_changes() {
    let mut disk = Store::new(64);
    disk.read_only = true;
    let mut machine = Machine::new(FLUSH, disk);
    let features = machine.mmio.device().features();
    assert_eq!(features & (1 << 5 | 1 << 13 | 1 << 14), 1 << 5);
    assert_eq!(machine.request(OUT, 0, &[Part::read(DATA, 512)]), IOERR);
    assert_eq!(machine.ranges(DISCARD, &[(0, 1, 0)]), IOERR);
    assert_eq!(machine.ranges(WRITE_ZEROES, &[(0, 1, 0)]), IOERR);
    assert_eq!(machine.request(IN, 0, &[Part::write(DATA, 512)]), OK);
    assert_eq!(machine.disk.log, vec![(Operation::Read, 0)]);
}

#[test]
fn what_the_disk_says_is_what_the_driver_is_told() {
    let mut machine = Machine::with_depth(0);
    for (verdict, expected) in [(Status::Failed, IOERR), (Status::Unsupported, UNSUPP)] {
        machine.disk.verdict = verdict;
        let status = machine.request(IN, 0, &[Part::write(DATA, 512)]);
        assert_eq!(status, expected);
    }
}

#[test]
fn types_that_are_not_known_are_unsupported() {
    let mut machine = Machine::with_depth(0);
    for kind in [2, 3, 10, 14, 15, 16, 0x8000_0000, u32::MAX] {
        let status = machine.request(kind, 0, &[Part::write(DATA, 512)]);
        assert_eq!(status, UNSUPP, "{kind}");
    }
    assert_eq!(machine.ram.get(DATA), [0; 512]);
}

#[test]
fn the_name_is_given_as_far_as_there_is_room() {
    let mut machine = Machine::with_depth(0);
    machine.ram.put(DATA, &[0xff; 32]);
    assert_eq!(machine.request(GET_ID, 0, &[Part::write(DATA, 20)]), OK);
    assert_eq!(
        machine.ram.get(DATA),
        *b"disk\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff"
    );
    machine.ram.put(DATA, &[0xff; 32]);
    assert_eq!(machine.request(GET_ID, 0, &[Part::write(DATA, 3)]), OK);
    assert_eq!(machine.ram.get(DATA), *b"dis\xff");
}

#[test]
fn a_flush_is_passed_on() {
    let mut machine = Machine::with_depth(0);
    assert_eq!(machine.request(FLUSH_REQUEST, 0, &[]), OK);
    assert_eq!(machine.disk.log, vec![(Operation::Flush, 0)]);
}

#[test]
fn writes_of_drivers_that_do_not_flush_last() {
    let mut machine = Machine::new(0, Store::new(64));
    assert_eq!(machine.request(OUT, 3, &[Part::read(DATA, 512)]), OK);
    assert_eq!(machine.ranges(WRITE_ZEROES, &[(3, 1, 0)]), OK);
    let zeroes = Operation::WriteZeroes {
        sectors: 1,
        unmap: false,
    };
    let log = [
        (Operation::Write, 3),
        (Operation::Flush, 0),
        (zeroes, 3),
        (Operation::Flush, 0),
    ];
    assert_eq!(machine.disk.log, log);
}

#[test]
fn ranges_are_carried_out_one_after_the_other() {
    let mut machine = Machine::with_depth(0);
    assert_eq!(
        machine.ranges(DISCARD, &[(0, 16, 0), (5, 0, 0), (48, 16, 0)]),
        OK
    );
    let discard = Operation::Discard { sectors: 16 };
    assert_eq!(machine.disk.log, vec![(discard, 0), (discard, 48)]);
    assert_eq!(machine.ranges(WRITE_ZEROES, &[(7, 2, 1), (1, 1, 0)]), OK);
    assert_eq!(machine.disk.bytes[7 * 512..9 * 512], [0; 1024]);
    assert_eq!(machine.disk.bytes[9 * 512..10 * 512], [9; 512]);
    let zeroes = |sectors, unmap| Operation::WriteZeroes { sectors, unmap };
    assert_eq!(
        machine.disk.log[2..],
        [(zeroes(2, true), 7), (zeroes(1, false), 1)]
    );
    assert_eq!(machine.ranges(DISCARD, &[(0, 0, 0)]), OK, "nothing to do");
}

#[test]
fn wrong_ranges_are_errors_and_unknown_flags_unsupported() {
    let mut machine = Machine::with_depth(0);
    for (kind, range, expected) in [
        (DISCARD, (0, 1, 1), UNSUPP),
        (DISCARD, (0, 1, 2), UNSUPP),
        (WRITE_ZEROES, (0, 1, 2), UNSUPP),
        (WRITE_ZEROES, (99, 1, 0x8000_0000), UNSUPP),
        (DISCARD, (0, 17, 0), IOERR),
        (WRITE_ZEROES, (0, 9, 0), IOERR),
        (DISCARD, (63, 2, 0), IOERR),
        (DISCARD, (u64::MAX, 1, 0), IOERR),
    ] {
        let status = machine.ranges(kind, &[(0, 1, 0), range]);
        assert_eq!(status, expected, "{kind} {range:?}");
    }
    for size in [0, 8, 24, 33 * 16] {
        let data = [Part::read(DATA, size)];
        let data = if size == 0 { &data[1..] } else { &data };
        assert_eq!(machine.request(DISCARD, 0, data), IOERR, "{size}");
    }
    assert_eq!(machine.disk.log, vec![], "not even the first");
    assert_eq!(machine.ranges(DISCARD, &[(0, 1, 0); 32]), OK);
}

#[test]
fn requests_end_in_any_order_with_one_interrupt_a_batch() {
    let mut machine = Machine::with_depth(8);
    let (first, first_status) = machine.add(IN, 1, &[Part::write(DATA, 512)]);
    let (second, second_status) = machine.add(IN, 2, &[Part::write(DATA.add(512), 512)]);
    let (third, _) = machine.add(FLUSH_REQUEST, 0, &[]);
    machine.serve();
    assert_eq!(machine.mmio.in_flight(), 3);
    assert_eq!(machine.driver.used(&machine.ram), None);
    machine.end(1);
    machine.end(0);
    assert_eq!(
        machine.ram.reported,
        vec![(DATA.add(512), 512), (DATA, 512)]
    );
    assert!(!machine.mmio.interrupt());
    machine.serve();
    assert!(machine.mmio.interrupt());
    assert_eq!(machine.driver.used(&machine.ram), Some((second, 513)));
    assert_eq!(machine.driver.used(&machine.ram), Some((first, 513)));
    assert_eq!(machine.status(first_status), OK);
    assert_eq!(machine.status(second_status), OK);
    assert_eq!(machine.driver.used(&machine.ram), None);
    assert_eq!(machine.mmio.in_flight(), 1);
    machine.end(0);
    assert_eq!(machine.driver.used(&machine.ram), Some((third, 1)));
}

#[test]
fn what_was_read_is_reported_before_the_driver_is_told() {
    for verdict in [Status::Done, Status::Failed] {
        let mut machine = Machine::with_depth(1);
        machine.disk.verdict = verdict;
        machine.add(IN, 1, &[Part::write(DATA, 512)]);
        machine.serve();
        machine.ram.accesses.borrow_mut().clear();
        machine.end(0);
        let writes: Vec<_> = machine.ram.accesses.borrow().iter().map(|a| a.at).collect();
        let used = machine.driver.used_ring();
        assert_eq!(writes, vec![DATA, STATUSES, used.add(4), used.add(2)]);
    }
}

#[test]
fn a_busy_disk_is_asked_again() {
    let mut machine = Machine::with_depth(2);
    for sector in 0..5 {
        machine.add(IN, sector, &[Part::write(DATA, 512)]);
    }
    machine.serve();
    assert_eq!((machine.mmio.in_flight(), machine.disk.log.len()), (2, 2));
    let taken = u64::from(u16::from_le_bytes(
        machine.ram.get(machine.driver.used_ring()),
    ));
    assert_eq!(taken, 1, "no doorbells while there is something to do");
    let mut ended = 0;
    while machine.mmio.in_flight() != 0 {
        machine.end(0);
        machine.serve();
        ended += 1;
    }
    assert_eq!(ended, 5);
    let sectors: Vec<_> = machine.disk.log.iter().map(|&(_, sector)| sector).collect();
    assert_eq!(sectors, vec![0, 1, 2, 3, 4]);
    assert_eq!(machine.ram.get(machine.driver.used_ring()), [0, 0]);
}

#[test]
fn the_ranges_of_several_requests_wait_for_a_busy_disk() {
    let mut machine = Machine::with_depth(1);
    let mut bytes = [0; 32];
    bytes[8] = 1;
    bytes[24] = 2;
    machine.ram.put(DATA, &bytes);
    for _ in 0..3 {
        machine.add(DISCARD, 0, &[Part::read(DATA, 32)]);
    }
    machine.serve();
    let mut ended = 0;
    while machine.mmio.in_flight() != 0 {
        machine.end(0);
        machine.serve();
        ended += 1;
    }
    assert_eq!(ended, 6);
    let statuses = (0..3).map(|at| machine.status(STATUSES.add(16 * at)));
    assert_eq!(statuses.collect::<Vec<_>>(), vec![OK; 3]);
}

#[test]
fn a_request_ends_with_its_first_range_that_fails() {
    let mut machine = Machine::with_depth(0);
    machine.disk.verdict = Status::Failed;
    assert_eq!(machine.ranges(DISCARD, &[(0, 1, 0), (1, 1, 0)]), IOERR);
    assert_eq!(machine.disk.log.len(), 1);
}

#[test]
fn tokens_that_the_disk_does_not_have_are_ignored() {
    let mut machine = Machine::with_depth(1);
    let (head, _) = machine.add(IN, 0, &[Part::write(DATA, 512)]);
    let (waiting, _) = machine.add(IN, 0, &[Part::write(DATA, 512)]);
    machine.serve();
    for token in [waiting, head + 1, 65535] {
        let (disk, ram) = (&mut machine.disk, &mut machine.ram);
        machine.mmio.complete(token, Status::Done, disk, ram);
    }
    assert_eq!(machine.driver.used(&machine.ram), None);
    assert_eq!(machine.mmio.in_flight(), 1);
}

#[test]
fn a_request_without_header_or_status_breaks_the_queue() {
    for parts in [
        vec![Part::read(HEADERS, 15), Part::write(STATUSES, 1)],
        vec![Part::write(STATUSES, 1)],
        vec![Part::read(HEADERS, 16)],
    ] {
        let mut machine = Machine::with_depth(0);
        machine.driver.add(&mut machine.ram, &parts);
        machine.serve();
        assert_eq!(machine.mmio.broken(), Some(Broken::Request));
    }
}

#[test]
fn a_head_in_flight_that_is_available_again_breaks_the_queue() {
    let mut machine = Machine::with_depth(2);
    let (head, status) = machine.add(IN, 0, &[Part::write(DATA, 512)]);
    machine.driver.offer(&mut machine.ram, head);
    machine.serve();
    assert_eq!(machine.mmio.broken(), Some(Broken::InFlight));
    assert_eq!(machine.mmio.in_flight(), 1);
    // The disk writes all the same, of which the memory must be told; the driver is not.
    machine.end(0);
    assert_eq!(machine.mmio.in_flight(), 0);
    assert_eq!(machine.ram.reported, vec![(DATA, 512)]);
    assert_eq!(machine.status(status), 0xff);
    assert_eq!(machine.driver.used(&machine.ram), None);
}

#[test]
fn a_reset_forgets_what_waits() {
    let mut machine = Machine::with_depth(1);
    for _ in 0..3 {
        machine.add(IN, 0, &[Part::write(DATA, 512)]);
    }
    machine.serve();
    machine.end(0);
    assert_eq!(machine.mmio.in_flight(), 0, "nothing more is begun by that");
    machine.ram = Ram::new(0x2_0000);
    machine.driver = Driver::new(BASE, 64);
    start(&mut machine.mmio, FLUSH, &[&machine.driver]);
    machine.serve();
    assert_eq!((machine.mmio.in_flight(), machine.disk.log.len()), (0, 1));
    machine.disk.depth = 0;
    assert_eq!(machine.request(IN, 4, &[Part::write(DATA, 512)]), OK);
}

/// A disk whose guest makes the next request while it works on one.
struct Endless {
    index: GuestPhys,
    made: u16,
}

impl Disk for Endless {
    fn sectors(&self) -> u64 {
        1
    }
    fn is_read_only(&self) -> bool {
        false
    }
    fn block_size(&self) -> u32 {
        512
    }
    fn most_segments(&self) -> u32 {
        1
    }
    fn most_discard(&self) -> u32 {
        0
    }
    fn most_zeroes(&self) -> u32 {
        0
    }
    fn submit(&mut self, _: Request, memory: &mut dyn Memory) -> Submitted {
        self.made += 1;
        assert!(memory.store_u16(self.index, self.made + 1));
        Submitted::Ended(Status::Done)
    }
}

#[test]
fn serving_ends_even_if_the_driver_never_does() {
    let mut machine = Machine::with_depth(0);
    // The ring is 0 all over: each entry is head 0, which is this request.
    machine.add(FLUSH_REQUEST, 0, &[]);
    let index = machine.driver.available_ring().add(2);
    let mut disk = Endless { index, made: 0 };
    for round in 1..=3 {
        assert!(machine.mmio.serve(&mut disk, &mut machine.ram));
        assert_eq!(machine.mmio.device().requests(), 256 * round);
    }
    assert_eq!(machine.mmio.broken(), None);
}

#[test]
fn serving_ends_when_much_was_moved_at_once() {
    let mut machine = Machine::new(FLUSH, Store::new(512));
    for _ in 0..6 {
        machine.add(IN, 0, &[Part::write(DATA, 0x8000); 8]);
    }
    // 256 KiB each.
    assert!(machine.mmio.serve(&mut machine.disk, &mut machine.ram));
    assert_eq!(machine.mmio.device().requests(), 4);
    machine.serve();
    assert_eq!(machine.mmio.device().requests(), 6);
}

#[test]
fn a_request_to_a_file_is_carried_out_a_mebibyte_at_a_time() {
    const PART: usize = 0x8_0000;
    let file: Vec<u8> = (0..5 * PART).map(|at| (at / PART) as u8).collect();
    let mut disk = FileDisk::new(file.leak(), true, []);
    let mut machine = Machine::new(FLUSH, Store::new(5 * PART / SECTOR as usize));
    machine.ram = Ram::new(0x2_0000 + PART);
    // All parts lie at the same place, behind the headers and statuses.
    let at = BASE.add(0x2_0000);
    let (_, status) = machine.add(IN, 0, &[Part::write(at, PART as u32); 5]);
    for last in [1, 3] {
        assert!(machine.mmio.serve(&mut disk, &mut machine.ram));
        assert_eq!(machine.ram.get(at), [last]);
        assert_eq!(machine.status(status), 0xff);
    }
    assert!(!machine.mmio.serve(&mut disk, &mut machine.ram));
    assert_eq!(machine.ram.get(at), [4]);
    assert_eq!(machine.status(status), OK);
}

#[test]
fn ranges_of_a_file_are_carried_out_a_few_at_a_time() {
    const SECTORS: usize = 1 << 15;
    let mut disk = FileDisk::new(vec![1; SECTORS * SECTOR as usize].leak(), false, []);
    let mut machine = Machine::new(FLUSH, Store::new(SECTORS));
    machine.mmio = Mmio::new(Block::new(&disk, [0; 20]));
    start(&mut machine.mmio, FLUSH, &[&machine.driver]);
    // 16 MiB each, which count as 256 KiB.
    let range = [[0; 8], (SECTORS as u64).to_le_bytes()].concat();
    machine.ram.put(DATA, &range.repeat(8));
    let (_, status) = machine.add(WRITE_ZEROES, 0, &[Part::read(DATA, 8 * 16)]);
    assert!(machine.mmio.serve(&mut disk, &mut machine.ram));
    assert_eq!(machine.status(status), 0xff);
    while machine.mmio.serve(&mut disk, &mut machine.ram) {}
    assert_eq!(machine.status(status), OK);
}
