//! Plays with an entropy device.

use super::{Input, Player, RAM, Watched, has, read_register, touch_memory};
use crate::testing::{BASE, Driver, EVENT_IDX, INDIRECT_DESC, Part, Ram, start};
use crate::{Action, Entropy, Mmio};

/// What the device fills requests with.
const FILL: u8 = 0xaa;

/// An entropy device and its guest.
struct Sources {
    mmio: Mmio<Entropy>,
    memory: Watched,
    driver: Driver,
}

impl Sources {
    /// A request as drivers make them, of up to four parts of any size.
    fn request(&mut self, input: &mut Input<'_>) {
        let mut part = || Part::write(BASE.add(0x6000), u32::from(input.half()));
        let parts = [part(), part(), part(), part()];
        let count = 1 + usize::from(input.byte() % 4);
        self.driver.add(&mut self.memory.ram, &parts[..count]);
    }
}

impl Player for Sources {
    type Device = Entropy;

    fn mmio(&mut self) -> &mut Mmio<Entropy> {
        &mut self.mmio
    }

    fn serve(&mut self) {
        let fill = &mut |bytes: &mut [u8]| bytes.fill(FILL);
        // With more to do the monitor comes back later.
        let _ = self.mmio.serve(fill, &mut self.memory);
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 8 {
            0 => self.write_register(input),
            1 => read_register(input, &self.mmio),
            2 | 3 => touch_memory(input, &mut self.driver, &mut self.memory.ram),
            4 => self.request(input),
            _ => self.notify(0),
        }
    }
}

/// Plays with an entropy device. After all of it the device must do as a new one.
///
/// # Panics
/// When the device has done something wrong.
pub fn entropy(input: &[u8]) {
    let mut input = Input(input);
    let choice = input.byte();
    let mut sources = Sources {
        mmio: Mmio::new(Entropy),
        memory: Watched::new(Ram::new(RAM)),
        driver: Driver::new(BASE, 16),
    };
    let features = has(choice, 1, EVENT_IDX) | has(choice, 2, INDIRECT_DESC);
    if choice & 64 == 0 {
        start(&mut sources.mmio, features, &[&sources.driver]);
    }
    sources.play(&mut input);
    sources.act(Action::Reset);
    sources.memory = Watched::new(Ram::new(RAM));
    sources.driver = Driver::new(BASE, 16);
    start(&mut sources.mmio, features, &[&sources.driver]);
    // Of 100 bytes.
    sources.request(&mut Input(&[100]));
    sources.serve();
    let ram = &sources.memory.ram;
    assert_eq!(sources.driver.used(ram), Some((0, 100)));
    assert_eq!(ram.get(BASE.add(0x6000)), [FILL; 100]);
}
