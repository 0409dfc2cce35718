//! Plays with a console device.

use alloc::vec;
use alloc::vec::Vec;

use super::{Input, Player, RAM, Watched, has, read_register, touch_memory};
use crate::testing::{BASE, Driver, EVENT_IDX, INDIRECT_DESC, Part, Ram, start};
use crate::{Action, Console, Mmio};

/// Ports, and their queues and those for control.
const PORTS: usize = 3;
const QUEUES: u8 = 2 * (PORTS as u8 + 1);
const MULTIPORT: u64 = 2;
/// The most that one call takes from each port.
const MOST_BYTES: usize = 4096;

/// A console device and its guest.
struct Consoles {
    mmio: Mmio<Console>,
    memory: Watched,
    /// By queue.
    drivers: Vec<Driver>,
    output: [usize; PORTS],
}

impl Consoles {
    /// The drivers of queues that no guest has touched yet.
    fn drivers() -> Vec<Driver> {
        let tables = (0..QUEUES).map(|queue| BASE.add(0x100 * u64::from(queue)));
        tables.map(|table| Driver::new(table, 16)).collect()
    }

    fn start(&mut self, features: u64) {
        let queues: Vec<_> = self.drivers.iter().collect();
        start(&mut self.mmio, features, &queues);
    }

    /// A control message as drivers send them.
    fn control(&mut self, id: u8, event: u8, value: u8) {
        let at = BASE.add(0x6000);
        let message = [id, 0, 0, 0, event, 0, value, 0];
        self.memory.ram.put(at, &message);
        self.drivers[3].add(&mut self.memory.ram, &[Part::read(at, 8)]);
        self.notify(3);
    }

    /// A chain as drivers make them, for any queue.
    fn chain(&mut self, input: &mut Input<'_>) {
        let queue = input.byte() % QUEUES;
        let at = BASE.add(0x8000 + u64::from(input.byte()) * 16);
        let size = [1, 12, 2000, 0x2000][usize::from(input.byte() % 4)];
        let part = Part {
            at,
            size,
            writable: queue.is_multiple_of(2),
        };
        let parts = vec![part; usize::from(input.byte() % 3) + 1];
        self.drivers[usize::from(queue)].add(&mut self.memory.ram, &parts);
        self.notify(queue);
    }
}

impl Player for Consoles {
    type Device = Console;

    fn mmio(&mut self) -> &mut Mmio<Console> {
        &mut self.mmio
    }

    fn serve(&mut self) {
        self.output = [0; PORTS];
        let output = &mut self.output;
        let mut take = |port: usize, bytes: &[u8]| {
            // A slow line takes a part.
            let taken = if bytes.len().is_multiple_of(2) {
                bytes.len()
            } else {
                bytes.len().div_ceil(2)
            };
            output[port] += taken;
            taken
        };
        // With more to do the monitor comes back later.
        let _ = self.mmio.serve(&mut take, &mut self.memory);
        assert!(self.output.iter().all(|bytes| *bytes <= MOST_BYTES));
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 8 {
            0 => self.write_register(input),
            1 => read_register(input, &self.mmio),
            2 => {
                let queue = usize::from(input.byte() % QUEUES);
                let driver = &mut self.drivers[queue];
                touch_memory(input, driver, &mut self.memory.ram);
            }
            3 => self.control(input.byte() % 4, input.byte() % 8, input.byte() % 2),
            4 => self.chain(input),
            5 => {
                let bytes = vec![b'x'; usize::from(input.half())];
                let port = usize::from(input.byte() % 4);
                let taken = self.mmio.input(port, &bytes, &mut self.memory);
                assert!(taken <= bytes.len());
            }
            6 => {
                let _ = self.mmio.emergency();
            }
            _ => self.notify(input.byte() % QUEUES),
        }
    }
}

/// Plays with a console device. After all of it the device must do as a new one.
///
/// # Panics
/// When the device has done something wrong.
pub fn console(input: &[u8]) {
    let mut input = Input(input);
    let choice = input.byte();
    let mut consoles = Consoles {
        mmio: Mmio::new(Console::new(None, &["log", "agent"])),
        memory: Watched::new(Ram::new(RAM)),
        drivers: Consoles::drivers(),
        output: [0; PORTS],
    };
    let features =
        has(choice, 1, MULTIPORT) | has(choice, 2, EVENT_IDX) | has(choice, 4, INDIRECT_DESC);
    if choice & 64 == 0 {
        consoles.start(features);
    }
    consoles.play(&mut input);
    consoles.act(Action::Reset);
    consoles.memory = Watched::new(Ram::new(RAM));
    consoles.drivers = Consoles::drivers();
    consoles.start(features);
    // 12 bytes for each way of the console, and room for a control message.
    consoles.chain(&mut Input(&[1, 0, 1]));
    assert_eq!(consoles.output, [12, 0, 0]);
    consoles.chain(&mut Input(&[0, 1, 1]));
    let memory = &mut consoles.memory;
    assert_eq!(consoles.mmio.input(0, b"hello", memory), 5);
    assert_eq!(memory.ram.get(BASE.add(0x8010)), *b"hello\0");
    if features & MULTIPORT != 0 {
        consoles.chain(&mut Input(&[2, 2, 1]));
        consoles.control(0, 0, 1);
        let added = [0, 0, 0, 0, 1, 0, 1, 0];
        assert_eq!(consoles.memory.ram.get(BASE.add(0x8020)), added);
    }
}
