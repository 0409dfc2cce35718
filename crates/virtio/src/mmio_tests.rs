//! Tests of the registers, with a device that does nothing.

use isa::address::GuestPhys;

use crate::mmio::{CONFIG_SIZE, read_empty, register};
use crate::testing::{
    BASE, Driver, EVENT_IDX, INDIRECT_DESC, Part, Ram, VERSION_1, negotiate, set_up, start, write,
};
use crate::{Action, Broken, Device, Mmio, Refused};

/// The device's own feature.
const OWN: u64 = 1 << 3;
const DATA: GuestPhys = GuestPhys(BASE.0 + 0x1_0000);

struct Plain {
    config: [u8; CONFIG_SIZE],
    resets: usize,
}

impl Device for Plain {
    const ID: u32 = 42;
    const QUEUES: usize = 2;

    fn features(&self) -> u64 {
        OWN
    }

    fn config(&self) -> [u8; CONFIG_SIZE] {
        self.config
    }

    fn write_config(&mut self, offset: usize, bytes: &[u8]) {
        assert!(bytes.len() <= 4, "64 bits are two accesses");
        self.config[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn reset(&mut self) {
        self.resets += 1;
    }
}

fn plain() -> Mmio<Plain> {
    let mut config = [0; CONFIG_SIZE];
    for (index, byte) in config.iter_mut().enumerate() {
        *byte = index as u8 + 1;
    }
    Mmio::new(Plain { config, resets: 0 })
}

fn started() -> (Mmio<Plain>, Driver, Ram) {
    let mut mmio = plain();
    let driver = Driver::new(BASE, 8);
    start(&mut mmio, OWN, &[&driver]);
    (mmio, driver, Ram::new(0x2_0000))
}

/// Breaks queue 0.
fn break_queue(mmio: &mut Mmio<Plain>, driver: &mut Driver, ram: &mut Ram) {
    driver.add(ram, &[Part::read(DATA, 0)]);
    assert_eq!(mmio.pop(0, ram), None);
}

#[test]
fn a_device_says_what_it_is() {
    let mmio = plain();
    assert_eq!(mmio.read(register::MAGIC_VALUE, 4), 0x7472_6976);
    assert_eq!(mmio.read(register::VERSION, 4), 2);
    assert_eq!(mmio.read(register::DEVICE_ID, 4), 42);
    assert_eq!(mmio.read(register::STATUS, 4), 0);
    for shared in [register::SHM_LEN_LOW, register::SHM_LEN_HIGH] {
        assert_eq!(mmio.read(shared, 4), 0xffff_ffff);
        assert_eq!(mmio.read(shared + 8, 4), 0xffff_ffff, "the base");
    }
}

#[test]
fn registers_answer_to_32_bits_alone() {
    let mut mmio = plain();
    for width in [1, 2, 8] {
        assert_eq!(mmio.read(register::MAGIC_VALUE, width), 0);
        assert_eq!(mmio.write(register::STATUS, width, 1), Action::None);
        assert_eq!(mmio.read(register::STATUS, 4), 0);
    }
    assert_eq!(mmio.read(register::MAGIC_VALUE + 2, 4), 0);
    assert_eq!(mmio.read(register::QUEUE_NOTIFY, 4), 0);
}

#[test]
fn features_are_read_by_words() {
    let mut mmio = plain();
    let words = [
        (0, OWN | INDIRECT_DESC | EVENT_IDX),
        (1, VERSION_1 >> 32),
        (2, 0),
        (u32::MAX, 0),
    ];
    for (word, expected) in words {
        let _ = write(&mut mmio, register::DEVICE_FEATURES_SEL, word);
        assert_eq!(mmio.read(register::DEVICE_FEATURES, 4), expected, "{word}");
    }
}

#[test]
fn what_is_offered_may_be_agreed_upon_and_nothing_else() {
    for (features, agreed) in [
        (VERSION_1, true),
        (VERSION_1 | OWN | EVENT_IDX, true),
        (OWN, true),
        (0, true),
        (VERSION_1 | 1, false),
        (VERSION_1 | 1 << 63, false),
    ] {
        let mut mmio = plain();
        assert_eq!(negotiate(&mut mmio, features), agreed, "{features:x}");
        let both = agreed && features & OWN != 0;
        assert_eq!(mmio.has_feature(OWN), both);
        let next = if agreed {
            Action::Started
        } else {
            Action::None
        };
        assert_eq!(write(&mut mmio, register::STATUS, 15), next);
    }
    let mut mmio = plain();
    let _ = write(&mut mmio, register::DRIVER_FEATURES_SEL, 2);
    let _ = write(&mut mmio, register::DRIVER_FEATURES, 1);
    assert!(
        !negotiate(&mut mmio, VERSION_1),
        "bit 64 is offered by none"
    );
}

#[test]
fn features_stay_once_agreed_upon() {
    let mut mmio = plain();
    assert!(negotiate(&mut mmio, VERSION_1));
    let _ = write(&mut mmio, register::DRIVER_FEATURES_SEL, 0);
    let _ = write(&mut mmio, register::DRIVER_FEATURES, OWN as u32);
    assert!(!mmio.has_feature(OWN));
}

#[test]
fn a_status_only_grows() {
    let mut mmio = plain();
    for (value, status) in [(1, 1), (2, 3), (64, 3), (128, 131), (0x700, 131)] {
        let action = write(&mut mmio, register::STATUS, value);
        let reset = value & 0xff == 0;
        assert_eq!(action, if reset { Action::Reset } else { Action::None });
        assert_eq!(mmio.read(register::STATUS, 4), status, "{value}");
    }
}

#[test]
fn a_reset_is_announced_first_and_forgets_everything_then() {
    let (mut mmio, mut driver, mut ram) = started();
    driver.add(&mut ram, &[Part::read(DATA, 1)]);
    assert_eq!(write(&mut mmio, register::STATUS, 0), Action::Reset);
    assert_eq!(mmio.read(register::STATUS, 4), 15);
    assert!(mmio.pop(0, &mut ram).is_some());
    mmio.config_changed();
    mmio.reset();
    assert_eq!(mmio.device().resets, 2, "the first was before the start");
    assert_eq!(mmio.read(register::STATUS, 4), 0);
    assert_eq!(mmio.read(register::QUEUE_READY, 4), 0);
    assert_eq!(mmio.read(register::INTERRUPT_STATUS, 4), 0);
    assert!(!mmio.interrupt() && !mmio.has_feature(VERSION_1));
}

#[test]
fn queues_that_the_device_lacks_have_no_size() {
    let mut mmio = plain();
    for (queue, most) in [(0, 256), (1, 256), (2, 0), (u32::MAX, 0)] {
        let _ = write(&mut mmio, register::QUEUE_SEL, queue);
        assert_eq!(mmio.read(register::QUEUE_NUM_MAX, 4), most, "{queue}");
        let _ = write(&mut mmio, register::QUEUE_READY, 1);
        assert_eq!(mmio.read(register::QUEUE_READY, 4), 0, "it has no size yet");
    }
}

#[test]
fn a_queue_is_ready_only_with_a_valid_size() {
    for (size, ready) in [(0, 0), (1, 1), (6, 0), (256, 1), (512, 0)] {
        let mut mmio = plain();
        assert!(negotiate(&mut mmio, VERSION_1));
        set_up(&mut mmio, 0, &Driver::new(BASE, size));
        let _ = write(&mut mmio, register::QUEUE_READY, 1);
        assert_eq!(mmio.read(register::QUEUE_READY, 4), ready, "{size}");
    }
}

#[test]
fn a_queue_set_up_before_the_features_has_those_that_are_agreed_upon_then() {
    for features in [0, INDIRECT_DESC, EVENT_IDX] {
        let mut mmio = plain();
        let mut driver = Driver::new(BASE, 8);
        let mut ram = Ram::new(0x2_0000);
        set_up(&mut mmio, 0, &driver);
        let _ = write(&mut mmio, register::QUEUE_READY, 1);
        assert_eq!(mmio.read(register::QUEUE_READY, 4), 1);
        assert!(negotiate(&mut mmio, features));
        assert_eq!(write(&mut mmio, register::STATUS, 15), Action::Started);
        assert_eq!(mmio.pop(0, &mut ram), None);
        driver.add(&mut ram, &[Part::read(DATA, 1)]);
        ram.put(driver.available_event(), &[0xff; 2]);
        assert!(mmio.pop(0, &mut ram).is_some());
        assert_eq!(mmio.pop(0, &mut ram), None);
        let event = u16::from_le_bytes(ram.get(driver.available_event()));
        let expected = if features == EVENT_IDX { 1 } else { 0xffff };
        assert_eq!(event, expected, "{features:x}");
    }
}

#[test]
fn a_driver_without_features_ok_has_no_features() {
    let mut mmio = plain();
    let mut driver = Driver::new(BASE, 8);
    let mut ram = Ram::new(0x2_0000);
    let _ = write(&mut mmio, register::STATUS, 3);
    let _ = write(&mut mmio, register::DRIVER_FEATURES, OWN as u32);
    set_up(&mut mmio, 0, &driver);
    let _ = write(&mut mmio, register::QUEUE_READY, 1);
    assert_eq!(write(&mut mmio, register::STATUS, 7), Action::Started);
    assert!(!mmio.has_feature(OWN));
    driver.add(&mut ram, &[Part::read(DATA, 1)]);
    assert!(mmio.pop(0, &mut ram).is_some());
    // Too late.
    let _ = write(&mut mmio, register::STATUS, 15);
    assert_eq!(mmio.read(register::STATUS, 4), 7);
    assert_eq!(mmio.take_refused(), Some(Refused::Features));
}

#[test]
fn each_kind_of_refusal_is_told_once() {
    let mut mmio = plain();
    assert_eq!(mmio.take_refused(), None);
    for _ in 0..2 {
        assert!(!negotiate(&mut mmio, 1));
    }
    assert_eq!(mmio.take_refused(), Some(Refused::Features));
    assert!(negotiate(&mut mmio, 0));
    for (size, refused) in [(6, Some(Refused::Queue)), (8, None)] {
        set_up(&mut mmio, 0, &Driver::new(BASE, size));
        let _ = write(&mut mmio, register::QUEUE_READY, 1);
        assert_eq!(mmio.take_refused(), refused);
    }
    set_up(&mut mmio, 0, &Driver::new(BASE, 8));
    assert_eq!(mmio.take_refused(), Some(Refused::Move));
    let _ = write(&mut mmio, register::QUEUE_NOTIFY, 0);
    assert_eq!(mmio.take_refused(), Some(Refused::Doorbell));
    mmio.reset();
    let _ = write(&mut mmio, register::QUEUE_NOTIFY, 0);
    assert_eq!(mmio.take_refused(), None);
}

#[test]
fn an_empty_place_is_device_0_and_says_nothing_else() {
    let read = read_empty;
    assert_eq!((read(0, 4), read(4, 4), read(8, 4)), (0x7472_6976, 2, 0));
    assert_eq!(
        (read(12, 4), read(12, 2), read(12, 1)),
        (0x554d_4551, 0x4551, 0x51)
    );
    assert_eq!((read(1, 1), read(0x70, 4), read(0x100, 4)), (0, 0, 0));
}

#[test]
fn the_line_is_set_with_used_buffers_and_with_what_an_acknowledgement_leaves() {
    let (mut mmio, mut driver, mut ram) = started();
    let head = driver.add(&mut ram, &[Part::write(DATA, 1)]);
    assert!(mmio.pop(0, &mut ram).is_some());
    mmio.push_used(0, head, 1, &mut ram);
    assert!(!mmio.take_raised());
    mmio.settle(0, &ram);
    assert!(mmio.take_raised() && !mmio.take_raised());
    mmio.config_changed();
    assert!(mmio.take_raised());
    let _ = write(&mut mmio, register::INTERRUPT_ACK, 1);
    assert!(mmio.take_raised());
    let _ = write(&mut mmio, register::INTERRUPT_ACK, 2);
    assert!(!mmio.take_raised() && !mmio.interrupt());
}

#[test]
fn a_ready_queue_stays_where_it_is() {
    let (mut mmio, mut driver, mut ram) = started();
    set_up(&mut mmio, 0, &Driver::new(BASE.add(0x8000), 4));
    driver.add(&mut ram, &[Part::read(DATA, 1)]);
    assert!(mmio.pop(0, &mut ram).is_some());
}

#[test]
fn addresses_of_queues_have_64_bits() {
    let mut mmio = plain();
    assert!(negotiate(&mut mmio, VERSION_1));
    let mut ram = Ram::new(0x1_0000);
    for queue in 0..2_u8 {
        // High halves that differ lead out of RAM; the low ones are in it.
        let high = GuestPhys(u64::from(queue) << 32);
        let driver = Driver::new(BASE.add(high.0), 8);
        set_up(&mut mmio, queue.into(), &driver);
        let _ = write(&mut mmio, register::QUEUE_READY, 1);
    }
    assert_eq!(write(&mut mmio, register::STATUS, 15), Action::Started);
    assert_eq!((mmio.pop(0, &mut ram), mmio.broken()), (None, None));
    assert_eq!(mmio.pop(1, &mut ram), None);
    assert_eq!(mmio.broken(), Some(Broken::Ring));
}

#[test]
fn a_doorbell_is_heard_only_from_a_ready_queue_of_a_ready_driver() {
    let mut mmio = plain();
    let driver = Driver::new(BASE, 8);
    assert!(negotiate(&mut mmio, VERSION_1));
    set_up(&mut mmio, 0, &driver);
    let _ = write(&mut mmio, register::QUEUE_READY, 1);
    assert_eq!(write(&mut mmio, register::QUEUE_NOTIFY, 0), Action::None);
    let _ = write(&mut mmio, register::STATUS, 15);
    for (queue, action) in [
        (0, Action::Notify(0)),
        (1, Action::None),
        (2, Action::None),
        (u32::MAX, Action::None),
    ] {
        assert_eq!(write(&mut mmio, register::QUEUE_NOTIFY, queue), action);
    }
    let mut ram = Ram::new(0x2_0000);
    break_queue(&mut mmio, &mut driver.clone(), &mut ram);
    assert_eq!(write(&mut mmio, register::QUEUE_NOTIFY, 0), Action::None);
}

#[test]
fn a_stopped_queue_is_left_alone_and_starts_anew_when_its_chains_are_back() {
    let (mut mmio, mut driver, mut ram) = started();
    let head = driver.add(&mut ram, &[Part::write(DATA, 1)]);
    assert!(mmio.pop(0, &mut ram).is_some());
    let _ = write(&mut mmio, register::QUEUE_READY, 0);
    assert_eq!(mmio.read(register::QUEUE_READY, 4), 0);
    ram.accesses.borrow_mut().clear();
    assert_eq!(mmio.pop(0, &mut ram), None);
    let _ = write(&mut mmio, register::QUEUE_READY, 1);
    assert_eq!(mmio.read(register::QUEUE_READY, 4), 0, "one is in flight");
    mmio.push_used(0, head, 1, &mut ram);
    mmio.settle(0, &ram);
    assert!(ram.accesses.borrow().is_empty() && !mmio.interrupt());
    let _ = write(&mut mmio, register::QUEUE_READY, 1);
    assert_eq!(mmio.read(register::QUEUE_READY, 4), 1);
    assert!(mmio.pop(0, &mut ram).is_some(), "the ring from its start");
}

#[test]
fn an_interrupt_stays_until_it_is_acknowledged() {
    let (mut mmio, mut driver, mut ram) = started();
    let head = driver.add(&mut ram, &[Part::write(DATA, 1)]);
    assert!(mmio.pop(0, &mut ram).is_some());
    mmio.push_used(0, head, 1, &mut ram);
    assert!(!mmio.interrupt());
    mmio.settle(0, &ram);
    assert_eq!(mmio.read(register::INTERRUPT_STATUS, 4), 1);
    let _ = write(&mut mmio, register::INTERRUPT_ACK, 2);
    assert!(mmio.interrupt());
    let _ = write(&mut mmio, register::INTERRUPT_ACK, 1);
    assert!(!mmio.interrupt());
}

#[test]
fn a_broken_queue_asks_for_a_reset_and_is_not_served() {
    let (mut mmio, mut driver, mut ram) = started();
    break_queue(&mut mmio, &mut driver, &mut ram);
    assert_eq!(mmio.broken(), Some(Broken::Segment));
    assert_eq!(mmio.read(register::STATUS, 4), 15 | 64);
    assert_eq!(mmio.read(register::INTERRUPT_STATUS, 4), 2);
    driver.add(&mut ram, &[Part::read(DATA, 1)]);
    ram.accesses.borrow_mut().clear();
    assert_eq!(mmio.pop(0, &mut ram), None);
    assert!(ram.accesses.borrow().is_empty());
    start(&mut mmio, 0, &[&Driver::new(BASE, 8)]);
    assert_eq!(mmio.broken(), None);
}

#[test]
fn the_generation_tells_of_changes() {
    let (mut mmio, ..) = started();
    let before = mmio.read(register::CONFIG_GENERATION, 4);
    mmio.config_changed();
    assert_ne!(mmio.read(register::CONFIG_GENERATION, 4), before);
    assert_eq!(mmio.read(register::INTERRUPT_STATUS, 4), 2);
    let mut idle = plain();
    idle.config_changed();
    assert!(!idle.interrupt(), "the driver is not ready");
}

#[test]
fn the_configuration_is_read_and_written_by_bytes() {
    let mut mmio = plain();
    for (at, width, expected) in [
        (0, 1, 0x01),
        (1, 2, 0x0302),
        (4, 4, 0x0807_0605),
        (8, 8, 0x100f_0e0d_0c0b_0a09),
        (62, 4, 0x403f),
        (64, 4, 0),
        (u64::MAX - 0x100, 8, 0),
    ] {
        assert_eq!(mmio.read(register::CONFIG + at, width), expected, "{at}");
    }
    for (at, width) in [(0, 8), (62, 2), (62, 4), (60, 8), (64, 1)] {
        let value = 0xa8a7_a6a5_a4a3_a2a1;
        assert_eq!(
            mmio.write(register::CONFIG + at, width, value),
            Action::None
        );
    }
    assert_eq!(mmio.read(register::CONFIG, 8), 0xa8a7_a6a5_a4a3_a2a1);
    assert_eq!(mmio.read(register::CONFIG + 60, 4), 0xa4a3_a2a1);
}
