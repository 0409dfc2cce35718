//! What hostile programs have in common: how long they run, and a way of running any piece of code that
//! comes back whatever it does.
//!
//! They read `seed=` and `seconds=` from /chosen/bootargs, and `wild=1`, which adds what usual firmware
//! does not survive when they run natively. Natively the machine is theirs alone; as guests they must
//! not be able to harm what is beside them.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::context::{Context, Trap};
use crate::harts;
use crate::random::Random;
use crate::{board, context, csr, println, sbi, start, tree};

/// How long code may run before the timer ends it, in units of `time`.
const PERIOD: u64 = 2000;

/// CSRs that code must leave alone so that its trap comes back: stvec, sscratch, satp, stimecmp.
const KEPT: [u32; 4] = [0x105, 0x140, 0x180, 0x14d];

/// A run of a hostile program.
pub struct Attack {
    pub seed: u64,
    /// Whether to do what usual firmware does not survive.
    pub wild: bool,
    /// The end of memory.
    pub memory_end: u64,
    end: u64,
    rounds: AtomicU64,
}

impl Attack {
    /// Starts it: reads what was asked for.
    #[expect(
        clippy::new_without_default,
        reason = "an attack is always started on purpose"
    )]
    pub fn new() -> Self {
        let (memory_end, frequency) = tree::machine();
        let seconds = tree::argument("seconds").unwrap_or(5);
        Self {
            seed: tree::argument("seed").unwrap_or(1),
            wild: tree::argument("wild") == Some(1),
            memory_end,
            end: csr::read!("time") + seconds * frequency,
            rounds: AtomicU64::new(0),
        }
    }

    /// Whether there is time left; counts a round.
    pub fn goes_on(&self) -> bool {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        csr::read!("time") < self.end
    }

    /// Pseudo-random numbers of the hart that asks.
    pub fn random(&self) -> Random {
        Random::new(self.seed ^ (harts::index() as u64) << 32)
    }

    /// Does the work on all harts.
    pub fn everywhere<F: Fn(usize) + Sync>(&self, work: F) {
        harts::together(harts::available(), |me| {
            work(me);
            calm();
        });
    }

    /// Addresses where something is, or ends.
    pub fn places(&self) -> [u64; 20] {
        let end = self.memory_end;
        [
            0,
            8,
            0xfff,
            0x1000,
            0x10_1000,
            0x200_0000,
            board::plic::BASE,
            board::plic::CLAIM,
            0x1000_1000,
            0x4000_0000,
            0x7fff_fff8,
            0x8000_0000,
            end - 8,
            end - 1,
            end,
            0x3f_ffff_fff8,
            0xff00_0000_0000_0000,
            0xff00_0000_0020_0000,
            0xff00_0000_8000_0000,
            u64::MAX,
        ]
    }

    /// An address that is worth a try.
    pub fn address(&self, random: &mut Random) -> u64 {
        let place = random.of(&self.places());
        match random.below(8) {
            0 => place,
            1 => place.wrapping_add(random.below(64)),
            2 => place.wrapping_sub(random.below(64)),
            3 => place ^ 1 << random.below(64),
            // Anywhere in the window.
            4 | 5 => 0xff00_0000_0000_0000 + random.below(1 << 36),
            6 => random.next() >> random.below(64),
            _ => !(random.next() >> random.below(64)),
        }
    }

    /// The last line, and what a reader needs to do it again.
    pub fn survived(&self) {
        calm();
        println!(
            "\nhostile: {} survived, seed {}, {} rounds",
            start::name(),
            self.seed,
            self.rounds.load(Ordering::Relaxed)
        );
    }
}

/// Runs the code with the timer set, so that it comes back even from a loop.
pub fn run(context: &mut Context) -> Trap {
    csr::write!("sie", csr::TIMER | csr::SOFTWARE | csr::EXTERNAL);
    context.sstatus |= csr::SPIE;
    let trap = context.run();
    // As `context::reset`, but for what code may not touch.
    csr::write!("sstatus", 0u64);
    if trap.is_interrupt() {
        answer(trap.code());
    }
    trap
}

/// Does what makes an interrupt go away.
pub fn answer(interrupt: u64) {
    match interrupt {
        1 => csr::write!("sip", 0u64),
        5 => _ = sbi::set_timer(csr::read!("time") + PERIOD),
        _ => board::drain(),
    }
}

/// Sets the timer that ends loops, on this hart.
pub fn watch() {
    sbi::set_timer(csr::read!("time") + PERIOD);
}

/// Puts the hart's trap state in order.
fn calm() {
    context::reset();
    csr::write!("sip", 0u64);
    csr::write!("satp", 0u64);
    crate::paging::fence();
    sbi::set_timer(u64::MAX);
}

/// Whether code with this word, in S-mode, comes back: it writes none of [`KEPT`], and makes no call.
pub fn comes_back(word: u32) -> bool {
    let (form, csr) = (word >> 12 & 3, word >> 20);
    let system = word & 0x7f == 0x73;
    let reads = form != 1 && word >> 15 & 31 == 0;
    word != 0x73 && !(system && form != 0 && KEPT.contains(&csr) && !reads)
}
