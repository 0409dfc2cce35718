//! Tests of the network device, with a driver that sends and receives.

use alloc::vec;
use alloc::vec::Vec;

use bundle::Mac;
use isa::address::GuestPhys;
use proptest::prelude::*;
use switch::{Frame, Partial};

use crate::mmio::register;
use crate::net::{Counts, RECEIVE, TRANSMIT, feature};
use crate::testing::{BASE, Driver, Part, Ram, negotiate, set_up, start, write};
use crate::{Action, Broken, Mmio, Net};

const MAC: Mac = Mac([0x52, 0x54, 0, 1, 2, 3]);
const DATA: GuestPhys = GuestPhys(BASE.0 + 0x1_0000);

struct Machine {
    mmio: Mmio<Net>,
    receive: Driver,
    transmit: Driver,
    ram: Ram,
}

impl Machine {
    fn new(features: u64) -> Self {
        let mut mmio = Mmio::new(Net::new(MAC));
        let receive = Driver::new(BASE, 256);
        let transmit = Driver::new(BASE.add(Driver::BYTES), 256);
        start(&mut mmio, features, &[&receive, &transmit]);
        Self {
            mmio,
            receive,
            transmit,
            ram: Ram::new(0x8_0000),
        }
    }

    /// Has the driver send these bytes, header among them, as one segment.
    fn send(&mut self, bytes: &[u8]) {
        self.ram.put(DATA, bytes);
        let part = Part::read(DATA, bytes.len() as u32);
        self.transmit.add(&mut self.ram, &[part]);
    }

    fn serve(&mut self) -> (Vec<Frame>, bool) {
        let mut frames = Vec::new();
        let mut send = |frame| frames.push(frame);
        let more = self.mmio.serve_transmit(&mut send, &mut self.ram);
        (frames, more)
    }

    /// Has the driver give the device receive buffers of these sizes, a chain each.
    fn give(&mut self, sizes: &[u32]) {
        let mut at = DATA;
        for &size in sizes {
            self.receive.add(&mut self.ram, &[Part::write(at, size)]);
            at = at.add(size.into());
        }
    }

    fn receive(&mut self, frame: &Frame) -> bool {
        self.mmio.receive(frame, &mut self.ram)
    }

    fn received(&mut self) -> Vec<u32> {
        core::iter::from_fn(|| self.receive.used(&self.ram))
            .map(|(_, written)| written)
            .collect()
    }

    fn counts(&self) -> Counts {
        self.mmio.device().counts()
    }
}

/// A header with nothing in it.
const PLAIN: [u8; 12] = [0; 12];

fn with_header(header: [u8; 12], frame: &[u8]) -> Vec<u8> {
    [&header[..], frame].concat()
}

fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|index| index as u8).collect()
}

fn frame(size: usize) -> Frame {
    Frame::new(payload(size), None).unwrap()
}

fn partial_frame() -> Frame {
    let partial = Partial {
        start: 34,
        offset: 6,
    };
    Frame::new(payload(60), Some(partial)).unwrap()
}

#[test]
fn the_configuration_has_address_link_and_mtu() {
    let mmio = Mmio::new(Net::new(MAC));
    let bytes: Vec<u64> = (0..12)
        .map(|at| mmio.read(register::CONFIG + at, 1))
        .collect();
    assert_eq!(bytes, [0x52, 0x54, 0, 1, 2, 3, 1, 0, 0, 0, 0xdc, 5]);
}

#[test]
fn a_frame_is_sent_as_it_is() {
    let mut machine = Machine::new(0);
    machine.send(&with_header(PLAIN, &payload(60)));
    assert_eq!(machine.serve(), (vec![frame(60)], false));
    assert_eq!(machine.transmit.used(&machine.ram), Some((0, 0)));
    assert!(machine.mmio.interrupt());
}

#[test]
fn a_frame_may_be_cut_anywhere() {
    let mut machine = Machine::new(0);
    machine.ram.put(DATA, &with_header(PLAIN, &payload(60)));
    let parts = [(0, 5), (5, 9), (14, 58)].map(|(at, size)| Part::read(DATA.add(at), size));
    machine.transmit.add(&mut machine.ram, &parts);
    assert_eq!(machine.serve().0, [frame(60)]);
}

#[test]
fn a_partial_checksum_is_sent_along() {
    let mut machine = Machine::new(feature::CSUM);
    let header = [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0];
    machine.send(&with_header(header, &payload(60)));
    assert_eq!(machine.serve().0, [partial_frame()]);
}

#[test]
fn what_is_no_frame_is_refused_and_given_back() {
    let mut machine = Machine::new(feature::CSUM);
    let several = [0, 1, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0];
    let outside = [1, 0, 0, 0, 0, 0, 34, 0, 25, 0, 0, 0];
    let wrong = [
        with_header(several, &payload(60)),
        with_header(outside, &payload(60)),
        with_header(PLAIN, &payload(13)),
        with_header(PLAIN, &payload(1519)),
        PLAIN.to_vec(),
        vec![0; 11],
    ];
    for (head, bytes) in (0..).zip(&wrong) {
        machine.send(bytes);
        assert_eq!(machine.serve(), (vec![], false), "{bytes:?}");
        assert_eq!(machine.transmit.used(&machine.ram), Some((head, 0)));
    }
    assert_eq!(machine.counts().refused, wrong.len() as u64);
    assert_eq!(machine.mmio.broken(), None);
}

#[test]
fn a_frame_of_gigabytes_takes_no_memory() {
    let mut machine = Machine::new(0);
    let parts = [Part::read(DATA, 0x7_0000); 255];
    machine.transmit.add(&mut machine.ram, &parts);
    assert_eq!(machine.serve(), (vec![], false));
    assert_eq!(machine.counts().refused, 1);
    let read: u64 = machine
        .ram
        .accesses
        .borrow()
        .iter()
        .filter(|access| access.at.0 >= DATA.0)
        .map(|access| access.size)
        .sum();
    assert_eq!(read, 12);
}

#[test]
fn a_call_sends_64_frames_at_most() {
    let mut machine = Machine::new(0);
    for _ in 0..100 {
        machine.send(&with_header(PLAIN, &payload(60)));
    }
    let (frames, more) = machine.serve();
    assert_eq!((frames.len(), more), (64, true));
    let (frames, more) = machine.serve();
    assert_eq!((frames.len(), more), (36, false));
}

#[test]
fn a_frame_is_received_with_its_header() {
    let mut machine = Machine::new(0);
    machine.give(&[2000]);
    assert!(machine.receive(&frame(60)));
    assert!(!machine.mmio.interrupt());
    machine.mmio.end_receive(&machine.ram);
    assert!(machine.mmio.interrupt());
    assert_eq!(machine.received(), [72]);
    assert_eq!(machine.ram.get(DATA), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(machine.ram.get::<60>(DATA.add(12)), payload(60)[..]);
}

#[test]
fn a_frame_waits_until_there_is_a_buffer() {
    let mut machine = Machine::new(0);
    assert!(!machine.receive(&frame(60)));
    machine.give(&[2000]);
    let action = write(&mut machine.mmio, register::QUEUE_NOTIFY, RECEIVE as u32);
    assert_eq!(action, Action::Notify(RECEIVE));
    assert!(machine.receive(&frame(60)));
    assert_eq!(machine.received(), [72]);
}

#[test]
fn a_frame_too_large_for_the_buffer_is_dropped_and_the_buffer_kept() {
    let mut machine = Machine::new(0);
    machine.give(&[100, 2000]);
    assert!(machine.receive(&frame(89)));
    assert!(machine.received().is_empty());
    assert_eq!(machine.counts().unfit, 1);
    assert!(machine.receive(&frame(88)));
    assert!(machine.receive(&frame(89)));
    assert_eq!(machine.received(), [100, 101]);
}

#[test]
fn mergeable_buffers_share_a_frame() {
    let mut machine = Machine::new(feature::MRG_RXBUF);
    machine.give(&[12, 40, 100, 100]);
    assert!(machine.receive(&frame(90)));
    assert_eq!(machine.received(), [12, 40, 50]);
    let header: [u8; 12] = machine.ram.get(DATA);
    assert_eq!(header[10..], [3, 0]);
    assert_eq!(machine.ram.get::<90>(DATA.add(12)), payload(90)[..]);
    assert!(machine.receive(&frame(20)));
    assert_eq!(machine.received(), [32]);
}

#[test]
fn mergeable_buffers_appear_all_at_once() {
    let mut machine = Machine::new(feature::MRG_RXBUF);
    machine.give(&[40, 40, 40]);
    machine.ram.accesses.take();
    assert!(machine.receive(&frame(90)));
    let index = machine.receive.used_ring().add(2);
    let accesses = machine.ram.accesses.borrow();
    let stores = accesses.iter().filter(|access| access.at == index);
    assert_eq!(stores.count(), 1);
}

#[test]
fn too_few_mergeable_buffers_are_kept_for_later() {
    let mut machine = Machine::new(feature::MRG_RXBUF);
    machine.give(&[40]);
    assert!(!machine.receive(&frame(90)));
    assert!(!machine.receive(&frame(90)));
    machine.give(&[40, 40]);
    assert!(machine.receive(&frame(90)));
    assert_eq!(machine.received(), [40, 40, 22]);
}

#[test]
fn a_reset_forgets_the_buffers() {
    let mut machine = Machine::new(feature::MRG_RXBUF);
    machine.give(&[40]);
    assert!(!machine.receive(&frame(90)));
    machine.receive = Driver::new(BASE, 256);
    machine.ram = Ram::new(0x8_0000);
    let queues = [&machine.receive, &machine.transmit];
    start(&mut machine.mmio, feature::MRG_RXBUF, &queues);
    machine.give(&[2000]);
    assert!(machine.receive(&frame(90)));
    assert_eq!(machine.received(), [102]);
}

#[test]
fn a_buffer_without_room_for_a_header_breaks_the_queue() {
    for features in [0, feature::MRG_RXBUF] {
        let mut machine = Machine::new(features);
        machine.give(&[11]);
        assert!(machine.receive(&frame(60)));
        assert_eq!(machine.mmio.broken(), Some(Broken::Request));
    }
}

#[test]
fn a_partial_checksum_is_left_to_a_driver_that_can() {
    let mut machine = Machine::new(feature::GUEST_CSUM);
    machine.give(&[2000]);
    assert!(machine.receive(&partial_frame()));
    assert_eq!(machine.ram.get(DATA), [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 1, 0]);
    assert_eq!(machine.ram.get::<60>(DATA.add(12)), payload(60)[..]);
}

#[test]
fn a_partial_checksum_is_completed_for_a_driver_that_cannot() {
    let mut machine = Machine::new(0);
    machine.give(&[2000]);
    assert!(machine.receive(&partial_frame()));
    assert_eq!(machine.ram.get(DATA), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    let mut complete = partial_frame();
    complete.complete_checksum();
    assert_ne!(complete.bytes(), payload(60));
    assert_eq!(machine.ram.get::<60>(DATA.add(12)), complete.bytes());
}

#[test]
fn frames_for_a_driver_that_does_not_run_are_dropped() {
    let mut mmio = Mmio::new(Net::new(MAC));
    let mut ram = Ram::new(0x1000);
    assert!(mmio.receive(&frame(60), &mut ram));
    mmio.end_receive(&ram);
    assert_eq!(mmio.device().counts().unheard, 1);
    assert!(!mmio.serve_transmit(&mut |_| panic!("nothing was sent"), &mut ram));
}

#[test]
fn the_transmit_doorbell_is_heard() {
    let mut machine = Machine::new(0);
    let action = write(&mut machine.mmio, register::QUEUE_NOTIFY, TRANSMIT as u32);
    assert_eq!(action, Action::Notify(TRANSMIT));
}

proptest! {
    /// However the driver cuts its buffers, the frame arrives whole, in as many as the header says.
    #[test]
    fn a_frame_arrives_in_any_mergeable_buffers(
        size in 14_usize..1519,
        buffers in prop::collection::vec(12_u32..600, 140),
    ) {
        let mut machine = Machine::new(feature::MRG_RXBUF);
        machine.give(&buffers);
        prop_assert!(machine.receive(&frame(size)));
        let used = machine.received();
        let total = 12 + size as u32;
        prop_assert_eq!(used.iter().sum::<u32>(), total);
        for (index, written) in used.iter().enumerate() {
            prop_assert!(index + 1 == used.len() || *written == buffers[index]);
        }
        let header: [u8; 12] = machine.ram.get(DATA);
        prop_assert_eq!(usize::from(header[10]), used.len());
        // The buffers follow one another in memory, and so does the frame.
        let bytes: [u8; 1518] = machine.ram.get(DATA.add(12));
        prop_assert_eq!(&bytes[..size], &payload(size)[..]);
    }
}

#[test]
fn a_driver_without_version_1_has_ten_bytes_before_each_frame() {
    let mut machine = Machine::new(0);
    machine.mmio.reset();
    assert!(negotiate(&mut machine.mmio, 0));
    for (index, driver) in [&machine.receive, &machine.transmit]
        .into_iter()
        .enumerate()
    {
        set_up(&mut machine.mmio, index, driver);
        let _ = write(&mut machine.mmio, register::QUEUE_READY, 1);
    }
    assert_eq!(
        write(&mut machine.mmio, register::STATUS, 15),
        Action::Started
    );
    let expected = frame(60);
    machine.give(&[70]);
    assert!(machine.receive(&expected));
    assert_eq!(machine.received(), [70]);
    let bytes: [u8; 60] = machine.ram.get(DATA.add(10));
    assert_eq!(bytes, *expected.bytes());
    machine.send(&[&[0; 10], expected.bytes()].concat());
    let (frames, _) = machine.serve();
    assert_eq!(frames[0].bytes(), expected.bytes());
}
