//! Plays with a network device.

use alloc::collections::VecDeque;
use alloc::vec;

use bundle::Mac;
use switch::{Frame, HEADER, LONGEST, Partial};

use super::{Input, Player, RAM, Watched, has, read_register, touch_memory};
use crate::net::{RECEIVE, TRANSMIT};
use crate::testing::{BASE, Driver, EVENT_IDX, INDIRECT_DESC, Part, Ram, start};
use crate::{Action, Mmio, Net};

/// Most frames that wait for the device.
const MOST_WAITING: usize = 8;

/// A network device whose frames come back to it, and its guest.
struct Nets {
    mmio: Mmio<Net>,
    memory: Watched,
    /// By queue.
    drivers: [Driver; 2],
    waiting: VecDeque<Frame>,
}

impl Nets {
    /// The drivers of queues that no guest has touched yet.
    fn drivers() -> [Driver; 2] {
        [BASE, BASE.add(0x100)].map(|at| Driver::new(at, 16))
    }

    fn start(&mut self, features: u64) {
        let [receive, transmit] = &self.drivers;
        start(&mut self.mmio, features, &[receive, transmit]);
    }

    /// A frame as drivers send them, of any content, header and all.
    fn send(&mut self, input: &mut Input<'_>) {
        let at = BASE.add(0x6000);
        let mut header = [0; 12];
        header[0] = input.byte() % 2;
        header[1] = input.byte() / 128;
        header[6] = input.byte();
        header[8] = input.byte();
        self.memory.ram.put(at, &header);
        let (cut, size) = (u32::from(input.byte() % 40), u32::from(input.half() % 2048));
        let parts = [
            Part::read(at, cut + 1),
            Part::read(at.add(u64::from(cut) + 1), size + 1),
        ];
        self.drivers[TRANSMIT].add(&mut self.memory.ram, &parts);
    }

    /// A receive buffer as drivers make them.
    fn give(&mut self, input: &mut Input<'_>) {
        let at = BASE.add(0x8000 + u64::from(input.byte()) * 16);
        let size = [12, 100, 1530, 11][usize::from(input.byte() % 4)];
        self.drivers[RECEIVE].add(&mut self.memory.ram, &[Part::write(at, size)]);
    }
}

impl Player for Nets {
    type Device = Net;

    fn mmio(&mut self) -> &mut Mmio<Net> {
        &mut self.mmio
    }

    fn serve(&mut self) {
        let waiting = &mut self.waiting;
        let mut send = |frame: Frame| {
            assert!((HEADER..=LONGEST).contains(&frame.bytes().len()));
            let (destination, source) = (frame.destination(), frame.source());
            let mut complete = frame.clone();
            complete.complete_checksum();
            assert_eq!(complete.destination(), destination);
            assert_eq!(complete.source(), source);
            if waiting.len() < MOST_WAITING {
                waiting.push_back(frame);
            }
        };
        // With more to do the monitor comes back later.
        let _ = self.mmio.serve_transmit(&mut send, &mut self.memory);
        while let Some(frame) = self.waiting.front() {
            if !self.mmio.receive(frame, &mut self.memory) {
                break;
            }
            self.waiting.pop_front();
        }
        self.mmio.end_receive(&self.memory);
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 8 {
            0 => self.write_register(input),
            1 => read_register(input, &self.mmio),
            2 => {
                let driver = &mut self.drivers[usize::from(input.byte() % 2)];
                touch_memory(input, driver, &mut self.memory.ram);
            }
            3 => self.send(input),
            4 => self.give(input),
            5 => {
                let partial = Partial {
                    start: input.byte().into(),
                    offset: input.byte().into(),
                };
                let bytes = vec![input.byte(); usize::from(input.half())];
                let frame = Frame::new(bytes, (partial.start != 0).then_some(partial));
                if self.waiting.len() < MOST_WAITING {
                    self.waiting.extend(frame);
                }
            }
            _ => self.notify(input.byte() % 2),
        }
    }
}

/// Plays with a network device. After all of it the device must do as a new one.
///
/// # Panics
/// When the device has done something wrong.
pub fn net(input: &[u8]) {
    let mut input = Input(input);
    let choice = input.byte();
    let mut nets = Nets {
        mmio: Mmio::new(Net::new(Mac([0x52, 0x54, 0, 0, 0, 1]))),
        memory: Watched::new(Ram::new(RAM)),
        drivers: Nets::drivers(),
        waiting: VecDeque::new(),
    };
    let features = has(choice, 1, 1 << 0)
        | has(choice, 2, 1 << 1)
        | has(choice, 4, 1 << 15)
        | has(choice, 8, EVENT_IDX)
        | has(choice, 16, INDIRECT_DESC);
    if choice & 64 == 0 {
        nets.start(features);
    }
    nets.play(&mut input);
    nets.act(Action::Reset);
    nets.waiting.clear();
    nets.memory = Watched::new(Ram::new(RAM));
    nets.drivers = Nets::drivers();
    nets.start(features);
    // 12 and 60 bytes in two parts, and a buffer for them.
    nets.memory.ram.put(BASE.add(0x600c), &[0xaa; 60]);
    nets.send(&mut Input(&[0, 0, 0, 0, 11, 59]));
    nets.give(&mut Input(&[0, 2]));
    nets.serve();
    let ram = &nets.memory.ram;
    assert_eq!(nets.drivers[TRANSMIT].used(ram), Some((0, 0)));
    assert_eq!(nets.drivers[RECEIVE].used(ram), Some((0, 72)));
    assert_eq!(ram.get(BASE.add(0x800c)), [0xaa; 60]);
}
