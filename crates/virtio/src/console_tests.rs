//! Tests of the console device, with drivers that know of several ports and that do not.

use alloc::vec;
use alloc::vec::Vec;

use isa::address::GuestPhys;

use crate::console::{MOST_PORTS, Size, feature};
use crate::mmio::{Device, register};
use crate::testing::{BASE, Driver, Part, Ram, negotiate, set_up, start, write};
use crate::{Broken, Console, Mmio};

const DATA: GuestPhys = GuestPhys(BASE.0 + 0x4_0000);
/// The queues of control messages.
const FROM_DEVICE: usize = 2;
const FROM_DRIVER: usize = 3;

struct Machine {
    mmio: Mmio<Console>,
    /// By number of the queue.
    drivers: Vec<Driver>,
    ram: Ram,
    /// Where the next segment goes.
    free: GuestPhys,
    /// Where there is room for control messages, by head.
    room: Vec<GuestPhys>,
}

impl Machine {
    /// The console and two ports, `log` and `agent`.
    fn new(features: u64) -> Self {
        let mut mmio = Mmio::new(Console::new(None, &["log", "agent"]));
        let drivers: Vec<_> = (0..8)
            .map(|index| Driver::new(BASE.add(index * Driver::BYTES), 64))
            .collect();
        start(&mut mmio, features, &drivers.iter().collect::<Vec<_>>());
        Self {
            mmio,
            drivers,
            ram: Ram::new(0x20_0000),
            free: DATA,
            room: Vec::new(),
        }
    }

    /// A machine whose driver has said that it is there, and knows all ports.
    fn ready() -> Self {
        let mut machine = Self::new(feature::MULTIPORT);
        machine.listen(60);
        machine.tell(0, 0, 1);
        for port in 0..3 {
            machine.tell(port, 3, 1);
        }
        machine.heard();
        machine
    }

    /// Has the driver send these bytes to a queue.
    fn send(&mut self, queue: usize, bytes: &[u8]) {
        self.ram.put(self.free, bytes);
        let part = Part::read(self.free, bytes.len() as u32);
        self.free = self.free.add(bytes.len() as u64);
        self.drivers[queue].add(&mut self.ram, &[part]);
    }

    /// Has the driver give the device a buffer for a queue; where it is.
    fn give(&mut self, queue: usize, size: u32) -> GuestPhys {
        let at = self.free;
        self.free = at.add(size.into());
        self.drivers[queue].add(&mut self.ram, &[Part::write(at, size)]);
        at
    }

    /// Has the driver send a control message.
    fn tell(&mut self, port: u32, event: u16, value: u16) {
        let message = message(port, event, value, "");
        self.send(FROM_DRIVER, &message);
        assert_eq!(self.serve(), (vec![], false));
    }

    /// What the driver sent, by port, and whether there may be more.
    fn serve(&mut self) -> (Vec<(usize, Vec<u8>)>, bool) {
        let mut pieces = Vec::new();
        let mut output = |port, bytes: &[u8]| {
            pieces.push((port, bytes.to_vec()));
            bytes.len()
        };
        let more = self.mmio.serve(&mut output, &mut self.ram);
        (pieces, more)
    }

    /// Has the driver make room for control messages.
    fn listen(&mut self, messages: usize) {
        for _ in 0..messages {
            let at = self.give(FROM_DEVICE, 40);
            self.room.push(at);
        }
    }

    /// The control messages that have come.
    fn heard(&mut self) -> Vec<Vec<u8>> {
        assert_eq!(self.serve(), (vec![], false));
        let mut messages = Vec::new();
        while let Some((head, written)) = self.drivers[FROM_DEVICE].used(&self.ram) {
            let bytes: [u8; 40] = self.ram.get(self.room[usize::from(head)]);
            messages.push(bytes[..written as usize].to_vec());
        }
        messages
    }

    fn input(&mut self, port: usize, bytes: &[u8]) -> usize {
        self.mmio.input(port, bytes, &mut self.ram)
    }

    fn used(&mut self, queue: usize) -> Vec<u32> {
        core::iter::from_fn(|| self.drivers[queue].used(&self.ram))
            .map(|(_, written)| written)
            .collect()
    }
}

fn message(port: u32, event: u16, value: u16, name: &str) -> Vec<u8> {
    let mut bytes = port.to_le_bytes().to_vec();
    bytes.extend(event.to_le_bytes());
    bytes.extend(value.to_le_bytes());
    bytes.extend(name.as_bytes());
    bytes
}

#[test]
fn the_configuration_has_size_and_number_of_ports() {
    let size = Size {
        columns: 80,
        rows: 25,
    };
    let console = Console::new(Some(size), &["log"]);
    assert_eq!(console.features(), 7);
    assert_eq!(
        console.config()[..12],
        [80, 0, 25, 0, 2, 0, 0, 0, 0, 0, 0, 0]
    );
}

#[test]
fn a_size_that_is_not_known_is_not_offered() {
    assert_eq!(Console::new(None, &[]).features(), 6);
}

#[test]
fn there_are_queues_for_all_ports() {
    let names = ["port"; MOST_PORTS - 1];
    let mut mmio = Mmio::new(Console::new(None, &names));
    let drivers: Vec<_> = (0..34)
        .map(|index| Driver::new(BASE.add(index * Driver::BYTES), 4))
        .collect();
    let queues: Vec<_> = drivers.iter().collect();
    start(&mut mmio, feature::MULTIPORT, &queues);
    let mut ram = Ram::new(0x10_0000);
    let mut last = drivers[33].clone();
    ram.put(DATA.add(0x4_0000), b"x");
    last.add(&mut ram, &[Part::read(DATA.add(0x4_0000), 1)]);
    let mut ports = Vec::new();
    let mut output = |port, bytes: &[u8]| {
        ports.push(port);
        bytes.len()
    };
    assert!(!mmio.serve(&mut output, &mut ram));
    assert_eq!(ports, [15]);
}

#[test]
fn the_console_works_without_control() {
    let mut machine = Machine::new(0);
    machine.send(1, b"hello");
    machine.send(1, b" world");
    let pieces = vec![(0, b"hello".to_vec()), (0, b" world".to_vec())];
    assert_eq!(machine.serve(), (pieces, false));
    assert_eq!(machine.used(1), [0, 0]);
    assert!(machine.mmio.interrupt());
    let at = machine.give(0, 16);
    assert_eq!(machine.input(0, b"ls\r"), 3);
    assert_eq!(machine.used(0), [3]);
    assert_eq!(machine.ram.get(at), *b"ls\r\0");
}

#[test]
fn a_driver_of_one_port_has_no_others() {
    let mut machine = Machine::new(0);
    machine.send(FROM_DRIVER, &message(1, 3, 1, ""));
    machine.send(FROM_DRIVER, &message(1, 6, 1, ""));
    machine.send(5, b"nobody");
    machine.give(4, 16);
    machine.give(FROM_DEVICE, 40);
    assert_eq!(machine.serve(), (vec![], false));
    assert_eq!(machine.input(1, b"nobody"), 0);
    for queue in 2..8 {
        assert!(machine.used(queue).is_empty(), "{queue}");
    }
}

#[test]
fn a_ready_driver_learns_of_all_ports() {
    let mut machine = Machine::new(feature::MULTIPORT);
    machine.listen(20);
    machine.tell(0, 0, 1);
    let added: Vec<_> = (0..3).map(|port| message(port, 1, 1, "")).collect();
    assert_eq!(machine.heard(), added);
}

#[test]
fn a_port_that_is_ready_is_told_what_it_is() {
    let mut machine = Machine::new(feature::MULTIPORT);
    machine.listen(20);
    machine.tell(2, 3, 1);
    let agent = [message(2, 7, 1, "agent"), message(2, 6, 1, "")];
    assert_eq!(machine.heard(), agent);
    machine.tell(0, 3, 1);
    let console = [message(0, 4, 1, ""), message(0, 6, 1, "")];
    assert_eq!(machine.heard(), console);
}

#[test]
fn messages_wait_until_there_is_room() {
    let mut machine = Machine::new(feature::MULTIPORT);
    machine.tell(0, 0, 1);
    machine.tell(1, 3, 1);
    machine.listen(2);
    let first = [message(0, 1, 1, ""), message(1, 1, 1, "")];
    assert_eq!(machine.heard(), first);
    machine.listen(10);
    let rest = [
        message(1, 7, 1, "log"),
        message(1, 6, 1, ""),
        message(2, 1, 1, ""),
    ];
    assert_eq!(machine.heard(), rest);
}

#[test]
fn messages_that_nobody_reads_take_no_memory() {
    let mut machine = Machine::new(feature::MULTIPORT);
    for _ in 0..1000 {
        machine.tell(0, 0, 1);
        machine.tell(1, 3, 1);
        assert_eq!(machine.used(FROM_DRIVER), [0, 0]);
    }
    machine.listen(20);
    assert_eq!(machine.heard().len(), 5);
}

#[test]
fn wrong_messages_are_ignored() {
    let mut machine = Machine::new(feature::MULTIPORT);
    machine.listen(20);
    for (port, event, value) in [
        (0, 0, 0),
        (3, 3, 1),
        (u32::MAX, 6, 1),
        (1, 3, 0),
        (0, 99, 1),
    ] {
        machine.tell(port, event, value);
    }
    machine.send(FROM_DRIVER, &[0; 7]);
    assert!(machine.heard().is_empty());
    assert_eq!(machine.used(FROM_DRIVER), [0; 6]);
    assert_eq!(machine.mmio.broken(), None);
}

#[test]
fn a_buffer_without_room_for_a_message_breaks_the_queue() {
    let mut machine = Machine::new(feature::MULTIPORT);
    machine.give(FROM_DEVICE, 7);
    machine.tell(0, 0, 1);
    assert_eq!(machine.mmio.broken(), Some(Broken::Request));
}

#[test]
fn a_port_takes_input_while_the_driver_has_it_open() {
    let mut machine = Machine::ready();
    machine.give(4, 16);
    machine.give(4, 16);
    assert!(!machine.mmio.device().is_open(1));
    assert_eq!(machine.input(1, b"early"), 0);
    machine.tell(1, 6, 1);
    assert!(machine.mmio.device().is_open(1));
    assert_eq!(machine.input(1, b"now"), 3);
    machine.tell(1, 6, 0);
    assert_eq!(machine.input(1, b"late"), 0);
    assert_eq!(machine.used(4), [3]);
}

#[test]
fn every_port_has_its_own_queues() {
    let mut machine = Machine::ready();
    machine.send(5, b"one");
    machine.send(7, b"two");
    let pieces = vec![(1, b"one".to_vec()), (2, b"two".to_vec())];
    assert_eq!(machine.serve(), (pieces, false));
    machine.tell(2, 6, 1);
    let at = machine.give(6, 16);
    assert_eq!(machine.input(2, b"answer"), 6);
    assert_eq!(machine.ram.get(at), *b"answer");
    assert_eq!(machine.input(3, b"nobody"), 0);
}

#[test]
fn input_fills_one_buffer_after_the_other() {
    let mut machine = Machine::new(0);
    machine.give(0, 3);
    machine.give(0, 4);
    assert_eq!(machine.input(0, b"abcdefghij"), 7);
    assert_eq!(machine.used(0), [3, 4]);
    assert_eq!(machine.input(0, b"hij"), 0);
    let at = machine.give(0, 16);
    assert_eq!(machine.input(0, b"hij"), 3);
    assert_eq!(machine.ram.get(at), *b"hij");
}

#[test]
fn a_buffer_without_room_for_input_breaks_the_queue() {
    let mut machine = Machine::new(0);
    machine.send(0, b"no buffer");
    assert_eq!(machine.input(0, b"x"), 0);
    assert_eq!(machine.mmio.broken(), Some(Broken::Request));
}

#[test]
fn a_long_text_is_taken_512_bytes_at_a_time() {
    let mut machine = Machine::new(0);
    let text: Vec<u8> = (0..10_000).map(|index| index as u8).collect();
    machine.send(1, &text);
    let mut taken = Vec::new();
    for (bytes, is_more) in [(512, true); 19].into_iter().chain([(272, false)]) {
        assert!(machine.used(1).is_empty());
        let (pieces, more) = machine.serve();
        let piece: Vec<_> = pieces.into_iter().flat_map(|(_, bytes)| bytes).collect();
        assert_eq!((piece.len(), more), (bytes, is_more));
        taken.extend(piece);
    }
    assert_eq!(machine.used(1), [0]);
    assert_eq!(taken, text);
}

#[test]
fn what_the_output_does_not_take_is_offered_again() {
    let mut machine = Machine::new(0);
    machine.send(1, b"a text");
    let mut taken = Vec::<u8>::new();
    let mut slow = |_: usize, bytes: &[u8]| {
        taken.extend(&bytes[..2]);
        2
    };
    for more in [true, true, false] {
        assert!(machine.used(1).is_empty());
        assert_eq!(machine.mmio.serve(&mut slow, &mut machine.ram), more);
    }
    assert_eq!(taken, b"a text");
    assert_eq!(machine.used(1), [0]);
}

#[test]
fn a_reset_forgets_what_the_driver_said() {
    let mut machine = Machine::ready();
    machine.tell(1, 6, 1);
    machine.send(1, &[b'x'; 5000]);
    assert!(machine.serve().1);
    let queues: Vec<_> = machine.drivers.iter_mut().collect();
    for driver in queues {
        *driver = Driver::new(driver.table, 64);
    }
    machine.ram = Ram::new(0x20_0000);
    let queues: Vec<_> = machine.drivers.iter().collect();
    start(&mut machine.mmio, feature::MULTIPORT, &queues);
    assert!(!machine.mmio.device().is_open(1));
    assert_eq!(machine.serve(), (vec![], false));
    machine.room.clear();
    machine.listen(20);
    assert!(machine.heard().is_empty());
}

#[test]
fn a_byte_can_be_written_before_there_is_a_driver() {
    let mut mmio = Mmio::new(Console::new(None, &[]));
    assert_eq!(mmio.emergency(), None);
    let _ = mmio.write(register::CONFIG + 8, 4, 0x1234_5641);
    assert_eq!(mmio.emergency(), Some(b'A'));
    assert_eq!(mmio.emergency(), None);
    let _ = mmio.write(register::CONFIG + 4, 4, 0x42);
    assert_eq!(mmio.emergency(), None);
}

#[test]
fn a_queue_that_is_not_ready_takes_nothing() {
    let mut mmio = Mmio::new(Console::new(None, &[]));
    let driver = Driver::new(BASE, 4);
    let mut ram = Ram::new(0x1_0000);
    assert!(negotiate(&mut mmio, feature::MULTIPORT | 1 << 32));
    set_up(&mut mmio, 0, &driver);
    let _ = write(&mut mmio, register::STATUS, 15);
    assert!(!mmio.serve(&mut |_, _| panic!("nothing was sent"), &mut ram));
    assert_eq!(mmio.input(0, b"x", &mut ram), 0);
    assert!(ram.accesses.borrow().is_empty());
}
