//! Hostile: SBI calls with pseudo-random extensions, functions and arguments from all harts, which are
//! also stopped, suspended and started again all the time.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use guests::hostile::{self, Attack};
    use guests::random::Random;
    use guests::{code, context, csr, harts, memory, sbi};

    /// Those there are, and some that there are not.
    const EXTENSIONS: [u64; 23] = [
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        sbi::BASE,
        sbi::TIME,
        sbi::IPI,
        sbi::RFENCE,
        sbi::HSM,
        sbi::SRST,
        sbi::DBCN,
        0x50_4d55,   // PMU
        0x53_5441,   // STA
        0x5355_5350, // SUSP
        0x4657_4654, // FWFT
        0x4350_5043, // CPPC
        0x4e41_434c, // NACL
        0x0900_0000,
        0x0a00_0000,
    ];

    static ATTACK: AtomicU64 = AtomicU64::new(0);
    static SEED: AtomicU64 = AtomicU64::new(0);
    static SCRATCH: AtomicU64 = AtomicU64::new(0);
    static ENDED: AtomicBool = AtomicBool::new(false);

    fn main() {
        let attack = Attack::new();
        let count = harts::available();
        harts::find(count);
        let scratch = memory::allocate(1 << 16);
        memory::write(scratch, *b"hostile\n");
        SCRATCH.store(scratch, Ordering::Relaxed);
        SEED.store(attack.seed, Ordering::Relaxed);
        ATTACK.store(&raw const attack as u64, Ordering::Relaxed);
        let mut random = attack.random();
        while attack.goes_on() {
            for index in 1..count {
                SEED.fetch_add(1, Ordering::Relaxed);
                // Most of the time it is there already.
                harts::start(index, secondary);
            }
            for _ in 0..100 {
                call(&attack, &mut random);
            }
            // The timer and interrupts of this hart are whatever they were made.
            csr::write!("sip", 0u64);
        }
        ENDED.store(true, Ordering::Relaxed);
        attack.survived();
    }

    /// The other harts: they call, and stop or suspend themselves now and then.
    extern "C" fn secondary(index: usize) -> ! {
        context::reset();
        // SAFETY: the first hart's, which ends only with the machine.
        let attack = unsafe { &*(ATTACK.load(Ordering::Relaxed) as *const Attack) };
        let mut random = Random::new(SEED.load(Ordering::Relaxed) ^ (index as u64) << 40);
        while !ENDED.load(Ordering::Relaxed) {
            for _ in 0..random.below(200) {
                call(attack, &mut random);
            }
            csr::write!("sie", csr::TIMER | csr::SOFTWARE);
            hostile::watch();
            let (address, opaque) = harts::entry(index, secondary);
            match random.below(4) {
                // OpenSBI waits for ever for the fence of a hart that is on its way to a stop.
                0 | 1 if !attack.wild => {}
                0 => _ = sbi::call(sbi::HSM, 1, [0; 6]),
                1 => _ = sbi::call(sbi::HSM, 3, [0x8000_0000, address, opaque, 0, 0, 0]),
                2 => _ = sbi::call(sbi::HSM, 3, [0; 6]),
                _ => {}
            }
            csr::write!("sie", 0u64);
            csr::write!("sip", 0u64);
        }
        loop {
            harts::nap();
        }
    }

    fn call(attack: &Attack, random: &mut Random) {
        let extension = match random.below(8) {
            0 => random.next() >> random.below(64),
            _ => random.of(&EXTENSIONS),
        };
        let function = match random.below(8) {
            0 => random.next() >> random.below(64),
            _ => random.below(10),
        };
        let scratch = SCRATCH.load(Ordering::Relaxed);
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            *argument = match random.below(6) {
                0 => random.below(16),
                1 => scratch + random.below(0x8000),
                2 => random.next() >> random.below(64),
                3 => !(random.next() >> random.below(64)),
                4 => random.of(&[4096, 4095, 1, 1 << 31, 1 << 32, u64::MAX]),
                _ => attack.address(random),
            };
        }
        if is_survivable(attack, random, extension, function, &mut arguments) {
            // Firmware may have what it cannot read fault at the call.
            let mut context = code!("ecall").supervisor();
            context.x[10..16].copy_from_slice(&arguments);
            context.x[16] = function;
            context.x[17] = extension;
            hostile::run(&mut context);
        }
    }

    /// Takes away what would end the machine or this hart, write over the program, or fill the console.
    fn is_survivable(
        attack: &Attack,
        random: &mut Random,
        extension: u64,
        function: u64,
        arguments: &mut [u64; 6],
    ) -> bool {
        let scratch = SCRATCH.load(Ordering::Relaxed);
        let own = 0x8020_0000u64..0x8700_0000;
        let harmless = |address: u64| {
            !own.contains(&address) || (scratch..scratch + 0x8000).contains(&address)
        };
        match (extension, function) {
            // putchar, shutdown
            (1 | 8, _) => false,
            // Types and reasons that are reserved; SUSP's too.
            (sbi::SRST | 0x5355_5350, 0) => {
                arguments[0] |= 0x100;
                true
            }
            // Starts go through `harts::start`: a hart that starts somewhere else is lost.
            (sbi::HSM, 0) => {
                arguments[0] |= 1 << 20;
                true
            }
            (sbi::HSM, 1) => false,
            // Kinds that are not there.
            (sbi::HSM, 3) => {
                arguments[0] |= 0x1000_0000;
                true
            }
            // OpenSBI reads and writes where there is no memory, and goes down. A little text goes out.
            (sbi::DBCN, 0 | 1) if !attack.wild => {
                arguments[0] = 8;
                arguments[1] = scratch;
                arguments[2] = 0;
                random.once_in(64)
            }
            (sbi::DBCN, 0) => {
                arguments[0] = match arguments[0] {
                    length @ ..0x1_0000 => length % 8,
                    length => length,
                };
                !own.contains(&arguments[1])
            }
            (sbi::DBCN, 1) => harmless(arguments[1]) && arguments[0] <= 4096,
            (sbi::DBCN, 2) => random.once_in(64),
            // Shared memory of PMU snapshots and steal time is written from then on.
            (0x50_4d55, _) | (0x53_5441, _) => {
                harmless(arguments[0]) && harmless(arguments[0] + 4096)
            }
            _ => true,
        }
    }

    guests::program!(main);
}
