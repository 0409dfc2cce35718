//! Tests of split virtqueues.

use alloc::vec;
use alloc::vec::Vec;

use isa::address::GuestPhys;
use proptest::prelude::*;

use crate::queue::{MOST_ENTRIES, Queue, Setup};
use crate::testing::{BASE, Driver, Part, Ram};
use crate::{Broken, Memory, Segment};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

const DATA: GuestPhys = GuestPhys(BASE.0 + 0x1_0000);
const TABLE: GuestPhys = GuestPhys(BASE.0 + 0x8000);

fn setup(driver: &Driver) -> Setup {
    Setup {
        size: driver.size.into(),
        descriptors: driver.table,
        driver: driver.available_ring(),
        device: driver.used_ring(),
    }
}

fn parts(size: u16, event_index: bool) -> (Queue, Driver, Ram) {
    let driver = Driver::new(BASE, size);
    let queue = Queue::new(setup(&driver), event_index, true).expect("valid");
    (queue, driver, Ram::new(0x2_0000))
}

fn segment(at: GuestPhys, size: u32) -> Segment {
    Segment { at, size }
}

/// What pop says of a queue of 8 whose descriptors are these: address, size, flags, next.
fn broken_by(descriptors: &[(GuestPhys, u32, u16, u16)]) -> Option<Broken> {
    let (mut queue, mut driver, mut ram) = parts(8, false);
    for (index, &(at, size, flags, next)) in (0..).zip(descriptors) {
        Driver::describe(&mut ram, BASE, index, at, size, flags, next);
    }
    driver.offer(&mut ram, 0);
    queue.pop(&mut ram).err()
}

#[test]
fn a_chain_comes_with_its_segments_in_order() {
    let (mut queue, mut driver, mut ram) = parts(8, false);
    assert_eq!(queue.pop(&mut ram), Ok(None));
    let first = driver.add(&mut ram, &[Part::read(DATA, 16)]);
    let next = [
        Part::read(DATA.add(16), 1),
        Part::read(DATA.add(64), 2),
        Part::write(DATA.add(32), 3),
    ];
    let second = driver.add(&mut ram, &next);
    let chain = queue.pop(&mut ram).expect("whole").expect("there");
    assert_eq!(chain.head, first);
    assert_eq!(chain.readable, vec![segment(DATA, 16)]);
    assert_eq!(chain.writable, vec![]);
    let chain = queue.pop(&mut ram).expect("whole").expect("there");
    assert_eq!(chain.head, second);
    let readable = vec![segment(DATA.add(16), 1), segment(DATA.add(64), 2)];
    assert_eq!(chain.readable, readable);
    assert_eq!(chain.writable, vec![segment(DATA.add(32), 3)]);
    assert_eq!(queue.pop(&mut ram), Ok(None));
}

#[test]
fn an_indirect_table_may_end_a_chain_and_be_longer_than_the_queue() {
    let (mut queue, mut driver, mut ram) = parts(2, false);
    Driver::describe(&mut ram, BASE, 0, DATA, 7, NEXT, 1);
    // The write flag of a descriptor of a table means nothing (section 2.7.5.3.2).
    Driver::describe(&mut ram, BASE, 1, TABLE, 5 * 16, INDIRECT | WRITE, 0);
    for index in 0..5 {
        let flags = if index < 4 { NEXT } else { WRITE };
        let at = DATA.add(8 + u64::from(index));
        Driver::describe(&mut ram, TABLE, index, at, 1, flags, index + 1);
    }
    driver.offer(&mut ram, 0);
    let chain = queue.pop(&mut ram).expect("whole").expect("there");
    assert_eq!(chain.readable.len(), 5);
    assert_eq!(chain.writable, vec![segment(DATA.add(12), 1)]);
}

#[test]
fn a_ring_that_loops_is_refused() {
    let looping = [(DATA, 1, NEXT, 1), (DATA, 1, NEXT, 0)];
    assert_eq!(broken_by(&looping), Some(Broken::Length));
    assert_eq!(broken_by(&[(DATA, 1, NEXT, 0)]), Some(Broken::Length));
}

#[test]
fn an_indirect_table_that_is_too_long_is_refused() {
    let (mut queue, mut driver, mut ram) = parts(8, false);
    let entries = MOST_ENTRIES + 1;
    for index in 0..entries {
        let flags = if index + 1 < entries { NEXT } else { 0 };
        Driver::describe(&mut ram, TABLE, index, DATA, 1, flags, index + 1);
    }
    let size = u32::from(entries) * 16;
    Driver::describe(&mut ram, BASE, 0, TABLE, size, INDIRECT, 0);
    driver.offer(&mut ram, 0);
    assert_eq!(queue.pop(&mut ram), Err(Broken::Length));
}

#[test]
fn wrong_indirect_tables_are_refused() {
    for (size, flags) in [
        (0, INDIRECT),
        (15, INDIRECT),
        (24, INDIRECT),
        (16, INDIRECT | NEXT),
    ] {
        let wrong = [(TABLE, size, flags, 1), (DATA, 1, 0, 0)];
        assert_eq!(broken_by(&wrong), Some(Broken::Indirect), "{size} {flags}");
    }
    let outside = [(GuestPhys(16), 16, INDIRECT, 0)];
    assert_eq!(broken_by(&outside), Some(Broken::Ring));
    // The queue's table serves as the indirect one, whose first descriptor is indirect then.
    let nested = [(BASE, 16, INDIRECT, 0)];
    assert_eq!(broken_by(&nested), Some(Broken::Indirect));
}

#[test]
fn an_indirect_table_needs_the_feature() {
    let (_, mut driver, mut ram) = parts(8, false);
    let mut queue = Queue::new(setup(&driver), false, false).expect("valid");
    Driver::describe(&mut ram, TABLE, 0, DATA, 1, 0, 0);
    Driver::describe(&mut ram, BASE, 0, TABLE, 16, INDIRECT, 0);
    driver.offer(&mut ram, 0);
    assert_eq!(queue.pop(&mut ram), Err(Broken::Indirect));
}

#[test]
fn numbers_that_the_table_does_not_have_are_refused() {
    assert_eq!(broken_by(&[(DATA, 1, NEXT, 8)]), Some(Broken::Index));
    for head in [8, 256, 65535] {
        let (mut queue, mut driver, mut ram) = parts(8, false);
        driver.offer(&mut ram, head);
        assert_eq!(queue.pop(&mut ram), Err(Broken::Index), "{head}");
    }
}

#[test]
fn segments_that_are_empty_or_not_ram_are_refused() {
    let end = BASE.add(0x2_0000);
    for (at, size) in [
        (DATA, 0),
        (GuestPhys(0), 1),
        (end, 1),
        (end.add(u64::MAX), 2),
        (BASE, u32::MAX),
        (GuestPhys(u64::MAX), 2),
    ] {
        let wrong = broken_by(&[(at, size, 0, 0)]);
        assert_eq!(wrong, Some(Broken::Segment), "{at:x} {size}");
    }
    assert_eq!(broken_by(&[(end.add(u64::MAX), 1, 0, 0)]), None);
}

#[test]
fn a_readable_segment_after_a_writable_one_is_refused() {
    let wrong = [(DATA, 1, NEXT | WRITE, 1), (DATA, 1, 0, 0)];
    assert_eq!(broken_by(&wrong), Some(Broken::Order));
}

#[test]
fn an_index_too_far_ahead_is_refused() {
    for (ahead, result) in [
        (8, None),
        (9, Some(Broken::Ahead)),
        (u16::MAX, Some(Broken::Ahead)),
    ] {
        let (mut queue, driver, mut ram) = parts(8, false);
        Driver::describe(&mut ram, BASE, 0, DATA, 1, 0, 0);
        ram.put(driver.available_ring().add(2), &ahead.to_le_bytes());
        assert_eq!(queue.pop(&mut ram).err(), result, "{ahead}");
    }
}

#[test]
fn a_chain_in_flight_cannot_be_available() {
    let (mut queue, mut driver, mut ram) = parts(8, false);
    let head = driver.add(&mut ram, &[Part::read(DATA, 1)]);
    driver.offer(&mut ram, head);
    assert!(queue.pop(&mut ram).is_ok());
    assert_eq!(queue.pop(&mut ram), Err(Broken::InFlight));
}

#[test]
fn rings_that_are_not_ram_are_refused() {
    let valid = Setup {
        size: 8,
        descriptors: BASE,
        driver: BASE.add(0x1000),
        device: BASE.add(0x2000),
    };
    let nowhere = GuestPhys(0x1000);
    for setup in [
        Setup {
            descriptors: nowhere,
            ..valid
        },
        Setup {
            driver: nowhere,
            ..valid
        },
        Setup {
            device: nowhere,
            ..valid
        },
    ] {
        let mut queue = Queue::new(setup, false, false).expect("aligned");
        let mut ram = Ram::new(0x2_0000);
        Driver::new(BASE, 8).offer(&mut ram, 0);
        assert_eq!(queue.pop(&mut ram), Err(Broken::Ring), "{setup:?}");
    }
}

#[test]
fn sizes_and_alignments_are_checked() {
    let valid = setup(&Driver::new(BASE, 256));
    assert!(valid.is_valid());
    for size in [0, 3, 255, 257, 512, 0x1_0000, 0x8000_0000] {
        assert!(!Setup { size, ..valid }.is_valid(), "{size}");
    }
    for (descriptors, driver, device) in [(8, 0, 0), (0, 1, 0), (0, 0, 2)] {
        let odd = Setup {
            descriptors: valid.descriptors.add(descriptors),
            driver: valid.driver.add(driver),
            device: valid.device.add(device),
            ..valid
        };
        assert!(!odd.is_valid(), "{odd:?}");
    }
}

#[test]
fn doorbells_are_off_while_there_is_work_and_on_without() {
    let (mut queue, mut driver, mut ram) = parts(8, false);
    let flags = |ram: &Ram| u16::from_le_bytes(ram.get(BASE.add(0x2000)));
    assert_eq!((queue.pop(&mut ram), flags(&ram)), (Ok(None), 0));
    for _ in 0..2 {
        driver.add(&mut ram, &[Part::read(DATA, 1)]);
    }
    for _ in 0..2 {
        assert!(queue.pop(&mut ram).expect("whole").is_some());
        assert_eq!(flags(&ram), 1);
    }
    assert_eq!((queue.pop(&mut ram), flags(&ram)), (Ok(None), 0));
}

#[test]
fn the_event_is_the_next_entry_once_there_is_none() {
    let (mut queue, mut driver, mut ram) = parts(8, true);
    let event = |driver: &Driver, ram: &Ram| u16::from_le_bytes(ram.get(driver.available_event()));
    for index in 0..20 {
        assert_eq!(queue.pop(&mut ram), Ok(None));
        assert_eq!(event(&driver, &ram), index);
        driver.add(&mut ram, &[Part::read(DATA, 1)]);
        let chain = queue.pop(&mut ram).expect("whole").expect("there");
        assert_eq!(event(&driver, &ram), index, "old, so that nothing rings");
        assert_eq!(queue.push_used(chain.head, 0, &mut ram), Ok(()));
    }
}

/// Memory in which a driver makes something available just as doorbells are turned on.
struct Racing {
    ram: Ram,
    driver: core::cell::RefCell<Driver>,
    late: core::cell::RefCell<Option<Ram>>,
}

impl Memory for Racing {
    fn contains(&self, at: GuestPhys, size: u64) -> bool {
        self.ram.contains(at, size)
    }
    fn read(&self, at: GuestPhys, buffer: &mut [u8]) -> bool {
        self.late
            .borrow()
            .as_ref()
            .unwrap_or(&self.ram)
            .read(at, buffer)
    }
    fn write(&mut self, at: GuestPhys, bytes: &[u8]) -> bool {
        self.ram.write(at, bytes)
    }
    fn load_u16(&self, at: GuestPhys) -> Option<u16> {
        self.late
            .borrow()
            .as_ref()
            .unwrap_or(&self.ram)
            .load_u16(at)
    }
    fn store_u16(&mut self, at: GuestPhys, value: u16) -> bool {
        self.ram.store_u16(at, value)
    }
    fn fence(&self) {
        let mut late = self.ram.clone();
        self.driver
            .borrow_mut()
            .add(&mut late, &[Part::read(DATA, 1)]);
        self.late.replace(Some(late));
    }
    fn written(&mut self, _: GuestPhys, _: u64) {}
}

#[test]
fn what_comes_while_doorbells_are_turned_on_is_found() {
    let (mut queue, driver, ram) = parts(8, true);
    let mut memory = Racing {
        ram,
        driver: driver.into(),
        late: None.into(),
    };
    assert!(queue.pop(&mut memory).expect("whole").is_some());
}

#[test]
fn used_chains_carry_what_was_written() {
    let (mut queue, mut driver, mut ram) = parts(4, false);
    for written in 0..10 {
        let head = driver.add(&mut ram, &[Part::write(DATA, 64)]);
        assert!(queue.pop(&mut ram).is_ok() && queue.has(head));
        assert_eq!(queue.push_used(head, written, &mut ram), Ok(()));
        assert!(!queue.has(head) && !queue.has_any());
        assert_eq!(driver.used(&ram), Some((head, written)));
        // Nothing happens for one that the device does not have.
        assert_eq!(queue.push_used(head, 1, &mut ram), Ok(()));
        assert_eq!(driver.used(&ram), None);
    }
}

/// Takes `count` chains and gives them back.
fn batch(queue: &mut Queue, driver: &mut Driver, ram: &mut Ram, count: usize) {
    for _ in 0..count {
        let head = driver.add(ram, &[Part::write(DATA, 1)]);
        assert!(queue.pop(ram).is_ok());
        assert_eq!(queue.push_used(head, 1, ram), Ok(()));
    }
}

#[test]
fn interrupts_follow_the_flag() {
    let (mut queue, mut driver, mut ram) = parts(8, false);
    assert_eq!(queue.wants_interrupt(&ram), Ok(false), "nothing was used");
    batch(&mut queue, &mut driver, &mut ram, 3);
    assert_eq!(queue.wants_interrupt(&ram), Ok(true));
    assert_eq!(
        queue.wants_interrupt(&ram),
        Ok(false),
        "nothing more was used"
    );
    ram.put(driver.available_ring(), &[1, 0]);
    batch(&mut queue, &mut driver, &mut ram, 1);
    assert_eq!(queue.wants_interrupt(&ram), Ok(false));
}

#[test]
fn event_indices_wrap() {
    let (mut queue, mut driver, mut ram) = parts(8, true);
    for _ in 0..65532 / 4 {
        batch(&mut queue, &mut driver, &mut ram, 4);
        ram.accesses.borrow_mut().clear();
    }
    let _ = queue.wants_interrupt(&ram);
    for (count, distance) in (1..8).flat_map(|count| (0..16).map(move |distance| (count, distance)))
    {
        let (mut queue, mut driver, mut ram) = (queue.clone(), driver.clone(), ram.clone());
        let event = 65532_u16.wrapping_sub(8).wrapping_add(distance);
        ram.put(driver.used_event(), &event.to_le_bytes());
        batch(&mut queue, &mut driver, &mut ram, count);
        let within = (8..8 + count).contains(&usize::from(distance));
        assert_eq!(queue.wants_interrupt(&ram), Ok(within), "{count} {event}");
    }
}

proptest! {
    /// The rule of section 2.7.10, said in another way: an event index within the batch.
    #[test]
    fn interrupts_follow_the_event_index(before in 0_usize..70, count in 0_usize..70, event: u16) {
        let (mut queue, mut driver, mut ram) = parts(8, true);
        batch(&mut queue, &mut driver, &mut ram, before);
        let _ = queue.wants_interrupt(&ram);
        let event = event % 150;
        ram.put(driver.used_event(), &event.to_le_bytes());
        batch(&mut queue, &mut driver, &mut ram, count);
        let within = (before..before + count).contains(&usize::from(event));
        prop_assert_eq!(queue.wants_interrupt(&ram), Ok(within));
    }

    /// Whatever the rings hold, a chain that comes out of them keeps to the rules, and the device
    /// has touched only its rings and tables.
    #[test]
    fn garbage_breaks_the_queue_and_nothing_else(
        descriptors in prop::collection::vec((0_u64..0x30, 0_u32..40, 0_u16..8, 0_u16..10), 8),
        heads in prop::collection::vec(0_u16..10, 8),
        available in 0_u16..10,
        event_index: bool,
        indirect: bool,
    ) {
        let (_, driver, mut ram) = parts(8, false);
        let mut queue = Queue::new(setup(&driver), event_index, indirect).expect("valid");
        for (index, &(at, size, flags, next)) in (0..).zip(&descriptors) {
            // Some of the tables' own places, some data, some nowhere.
            let at = BASE.add(at * 0x1000 + at * 16);
            Driver::describe(&mut ram, BASE, index, at, size, flags, next);
        }
        for (slot, head) in (0..).zip(&heads) {
            ram.put(driver.available_ring().add(4 + 2 * slot), &head.to_le_bytes());
        }
        ram.put(driver.available_ring().add(2), &available.to_le_bytes());
        let mut seen = Vec::new();
        while let Ok(Some(chain)) = queue.pop(&mut ram) {
            prop_assert!(chain.head < 8 && !seen.contains(&chain.head));
            seen.push(chain.head);
            let all: Vec<_> = chain.readable.iter().chain(&chain.writable).collect();
            prop_assert!(!all.is_empty() && all.len() <= 256);
            prop_assert!(all.iter().all(|s| s.size != 0 && ram.contains(s.at, s.size.into())));
        }
        for access in ram.accesses.borrow().iter().filter(|access| access.is_write) {
            let is_flags = access.at == driver.used_ring();
            let is_event = access.at == driver.available_event();
            prop_assert!(access.size == 2 && (is_flags || is_event), "{:?}", access);
        }
    }
}
