//! Hostile: a driver of virtio devices that keeps to no rule. All queues of all devices lie in the same
//! memory, in which all harts change descriptors while they are read; chains loop and lead everywhere;
//! devices are reset with requests in flight; doorbells ring all the time.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::hostile::{self, Attack};
    use guests::random::Random;
    use guests::virtio::{
        INDIRECT, INTERRUPT_ACK, NEXT, QUEUE_NOTIFY, Registers, STATUS, WRITE, describe,
    };
    use guests::{code, memory, start, tree};

    /// Queues of a console with one more port, the most.
    const QUEUES: u64 = 6;
    const SIZE: u64 = 1 << 20;
    /// Segments that are RAM are no longer, so that none goes over the end of what may be destroyed, and
    /// that what a console is given to print comes to an end.
    const LONGEST: u64 = 8192;
    /// Entries of most queues.
    const ENTRIES: u64 = 64;

    fn main() {
        let attack = Attack::new();
        let victim = memory::allocate(SIZE);
        let slots = slots();
        attack.everywhere(|_| {
            let mut random = attack.random();
            hostile::watch();
            while attack.goes_on() {
                let driver = Driver {
                    registers: Registers::of_slot(random.below(slots)),
                    victim,
                    attack: &attack,
                };
                driver.act(&mut random);
            }
        });
        for slot in 0..slots {
            Registers::of_slot(slot).write(STATUS, 0);
        }
        attack.survived();
    }

    /// How many devices there are; they are in the first slots.
    fn slots() -> u64 {
        let mut slots = 0;
        tree::walk(start::device_tree(), |_, property, value, length| {
            let is_slot =
                tree::is(property, "compatible") && tree::lists(value, length, "virtio,mmio");
            slots += u64::from(is_slot);
        });
        slots
    }

    struct Driver<'a> {
        registers: Registers,
        victim: u64,
        attack: &'a Attack,
    }

    impl Driver<'_> {
        fn act(&self, random: &mut Random) {
            match random.below(8) {
                0 => self.wild_access(random),
                1 => self
                    .registers
                    .write(STATUS, random.of(&[0, 0, 3, 11, 15, 0xff])),
                2 => self
                    .registers
                    .write(4 * random.below(0x60), random.next() as u32),
                3 => {
                    for _ in 0..100 {
                        self.registers
                            .write(QUEUE_NOTIFY, random.below(QUEUES + 1) as u32);
                    }
                }
                _ => self.drive(random),
            }
        }

        /// An access of another width, at any offset.
        fn wild_access(&self, random: &mut Random) {
            let pieces = [
                code!("sd a0, 0(a1)"),
                code!("sh a0, 0(a1)"),
                code!("sb a0, 0(a1)"),
                code!("sw a0, 0(a1)"),
                code!("ld a0, 0(a1)"),
                code!("lw a0, 0(a1)"),
                code!("lbu a0, 0(a1)"),
                code!("amoadd.w a0, a0, (a1)"),
            ];
            let context = random.of(&pieces).supervisor();
            let at = self.registers.0 + random.below(0x200);
            hostile::run(&mut context.with(11, at).with(10, random.next()));
        }

        /// Where something may be: most often memory that may be destroyed.
        fn place(&self, random: &mut Random, align: u64) -> u64 {
            if !random.once_in(16) {
                return self.victim + random.below(SIZE - LONGEST) / align * align;
            }
            let end = self.attack.memory_end;
            let outside = [
                0,
                0x10_0000,
                0x200_0000,
                0xc00_0000,
                self.registers.0,
                0x1000_0000,
                0x7fff_f000,
                end,
                end + 0x1000,
                1 << 32,
                0xffff_ffc0_0000_0000,
                u64::MAX & !15,
            ];
            random.of(&outside)
        }

        /// Sets up some queues as they should be, or nearly, and has them served.
        fn drive(&self, random: &mut Random) {
            let any = random.next() as u32;
            let features = random.of(&[u32::MAX, u32::MAX, 0, 1 << 29, 1 << 28, any]);
            self.registers.begin(features);
            for queue in 0..QUEUES as u32 {
                let size = if random.once_in(8) {
                    random.of(&[0, 1, 2, 3, 256, 257, 1 << 31])
                } else {
                    ENTRIES as u32
                };
                let mut rings = [16, 2, 4].map(|align| self.place(random, align));
                if random.once_in(4) {
                    rings[2] = rings[1] & !3;
                }
                self.registers.queue(queue, size, rings);
                self.fill(random, rings);
            }
            self.registers.start();
            for _ in 0..20 {
                self.registers
                    .write(QUEUE_NOTIFY, random.below(QUEUES) as u32);
                self.change(random);
                self.registers
                    .write(INTERRUPT_ACK, random.next() as u32 & 3);
            }
            if random.once_in(2) {
                self.registers.write(STATUS, 0);
            }
        }

        fn is_victim(&self, at: u64) -> bool {
            (self.victim..self.victim + SIZE - LONGEST).contains(&at)
        }

        /// Makes chains available, most of which a device can do something with.
        fn fill(&self, random: &mut Random, [table, driver, _]: [u64; 3]) {
            if !self.is_victim(table) || !self.is_victim(driver) {
                return;
            }
            for index in 0..ENTRIES {
                self.descriptor(random, table, index);
                memory::write(driver + 4 + 2 * index, random.below(ENTRIES + 1) as u16);
            }
            // A header that a disk understands, and other kinds.
            let header = self.victim + random.below(64) * 16;
            memory::write(header, random.of(&[0u64, 1, 1, 4, 8, 11, 13]));
            memory::write(header + 8, random.below(1 << 14));
            describe(table, 0, header, 16, NEXT, 1);
            memory::write(driver, 0u16);
            let any = random.next() as u16;
            let available = random.of(&[1, ENTRIES as u16, ENTRIES as u16, any]);
            memory::write(driver + 2, available);
        }

        fn descriptor(&self, random: &mut Random, table: u64, index: u64) {
            let size = match random.below(8) {
                0 => random.of(&[0, u32::MAX, u32::MAX - 15, 1 << 31]),
                1 => 1,
                2 => random.below(LONGEST) as u32,
                _ => 512 * random.below(8) as u32,
            };
            let next = match random.below(8) {
                0 => random.next() as u16,
                1 => index as u16,
                _ => (index + 1) as u16,
            };
            let flags = random.of(&[0, NEXT, NEXT, NEXT | WRITE, NEXT | WRITE, WRITE, INDIRECT]);
            describe(table, index, self.place(random, 1), size, flags, next);
        }

        /// Changes what a device may be reading.
        fn change(&self, random: &mut Random) {
            for _ in 0..20 {
                let table = self.victim + random.below(SIZE - LONGEST) / 16 * 16;
                self.descriptor(random, table, 0);
            }
        }
    }

    guests::program!(main);
}
