//! The witness beside a hostile machine: computes checksums over its memory, through page tables and
//! with privileged instructions, and answers timer interrupts. Nothing of its own may change but by
//! itself, and time must go on.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::Snippet;
    use guests::context::Context;
    use guests::digest::Digest;
    use guests::paging::{LEAF, Mode, R, Space, U, W};
    use guests::random::Random;
    use guests::{code, csr, memory, paging, println, sbi, tree};

    const SIZE: u64 = 1 << 20;
    const PLACE: u64 = 0x1_2340_0000;
    const USER_TEXT: u64 = 0x1_0000;
    const USER_DATA: u64 = 0x20_0000;

    struct Witness {
        memory: u64,
        text: Digest,
        space: Space,
        loops: Snippet,
        user: Context,
        period: u64,
    }

    fn main() {
        let (_, frequency) = tree::machine();
        let seconds = tree::argument("seconds").unwrap_or(5);
        let seed = tree::argument("seed").unwrap_or(1);
        let start = csr::read!("time");
        let witness = Witness::new(frequency / 1000);
        let (mut rounds, mut ticks, mut last) = (0u64, 0u64, start);
        while last < start + seconds * frequency {
            ticks += witness.round(seed + rounds);
            rounds += 1;
            let now = csr::read!("time");
            assert!(now > last, "time went from {last} to {now}");
            last = now;
        }
        assert!(
            ticks >= rounds,
            "{ticks} timer interrupts in {rounds} rounds"
        );
        println!("witness: ok, {rounds} rounds");
    }

    impl Witness {
        fn new(period: u64) -> Self {
            let memory = memory::allocate(SIZE);
            let space = Space::new(Mode::Sv39);
            for page in (0..SIZE).step_by(4096) {
                space.map(PLACE + page, memory + page, LEAF | R | W);
            }
            space.map(USER_DATA, memory::page(), LEAF | R | W | U);
            let user = code!(
                "1: addi a0, a0, 1",
                "sd a0, 0(a1)",
                "ld a2, 0(a1)",
                "beq a0, a2, 1b"
            );
            let user = space.user(user, USER_TEXT).with(11, USER_DATA);
            // s0: rounds, a0: rounds gone wrong. It runs until it is interrupted.
            let loops = code!(
                "1: addi s0, s0, 1",
                "csrw stval, s0",
                "csrr t0, stval",
                "csrsi sstatus, 2",
                "csrr t1, sstatus",
                "andi t1, t1, 2",
                "sfence.vma zero, s0",
                "bne t0, s0, 2f",
                "bnez t1, 1b",
                "2: addi a0, a0, 1",
                "j 1b",
            );
            Self {
                memory,
                text: text(),
                space,
                loops,
                user,
                period,
            }
        }

        /// One round; gives the number of timer interrupts.
        fn round(&self, seed: u64) -> u64 {
            let mut random = Random::new(seed);
            let mut written = Digest::new();
            for offset in (0..SIZE).step_by(8) {
                let value = random.next();
                memory::write(self.memory + offset, value);
                written.add(value);
            }
            self.space.activate(seed & 0xff);
            let mut ticks = 0;
            for _ in 0..5 {
                ticks += self.tick(self.loops.supervisor(), "S");
                ticks += self.tick(self.user.clone(), "U");
            }
            let mut read = Digest::new();
            for offset in (0..SIZE).step_by(8) {
                read.add(memory::read(PLACE + offset));
            }
            paging::bare();
            assert!(read == written, "memory was changed: {read}, not {written}");
            let text = text();
            assert!(
                text == self.text,
                "the text was changed: {text}, not {}",
                self.text
            );
            ticks
        }

        /// Runs it until the timer, which it must not pass.
        fn tick(&self, context: Context, mode: &str) -> u64 {
            let mut context = context.status(csr::SPIE);
            let at = csr::read!("time") + self.period;
            sbi::set_timer(at);
            csr::write!("sie", csr::TIMER);
            let trap = context.run();
            csr::write!("sie", 0u64);
            let now = csr::read!("time");
            assert!(
                context.x[8] == 0 || context.x[10] == 0,
                "a CSR was not its own"
            );
            assert!(trap.is_interrupt() && trap.code() == 5, "in {mode}: {trap}");
            assert!(now >= at, "a timer for {at} came at {now}");
            sbi::set_timer(u64::MAX);
            1
        }
    }

    /// A digest of the program's text and constants.
    fn text() -> Digest {
        unsafe extern "C" {
            static _image_start: u8;
        }
        let start = &raw const _image_start as u64;
        let end = guests::context::vector() + 0x100;
        let mut digest = Digest::new();
        for address in (start..end).step_by(8) {
            digest.add(memory::read(address));
        }
        digest
    }

    guests::program!(main);
}
