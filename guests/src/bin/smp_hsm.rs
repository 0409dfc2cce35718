//! Harts are started, stopped, suspended and asked for their state through HSM: what a started hart
//! finds in its registers, the errors, and many rounds of all of it, the first hart among them.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::arch::{asm, global_asm};
    use core::sync::atomic::{AtomicU64, Ordering};

    use guests::harts::{self, nap};
    use guests::{csr, memory, println, sbi, start};

    const COUNT: usize = 4;
    const NON_RETENTIVE: u64 = 0x8000_0000;

    // The opaque value is the address of five doublewords: where a0, a1, satp and sstatus are left,
    // then what a hart that only reports is told: 1 when it has reported, 2 when it may stop.
    global_asm!(
        r#"
        .section .text.smp_hsm, "ax"
    report:
        csrr t0, satp
        csrr t1, sstatus
        csrw sie, zero
        sd a0, 0(a1)
        sd a1, 8(a1)
        sd t0, 16(a1)
        sd t1, 24(a1)
        fence rw, rw
        li t2, 1
        sd t2, 32(a1)
        li t3, 2
    1:  ld t2, 32(a1)
        bne t2, t3, 1b
        li a7, 0x48534d
        li a6, 1
        ecall
    2:  j 2b
    "#
    );

    unsafe extern "C" {
        fn report();
    }

    fn entry() -> u64 {
        report as *const () as u64
    }

    fn start_hart(index: usize, address: u64, opaque: u64) -> i64 {
        sbi::call(sbi::HSM, 0, [harts::id(index), address, opaque, 0, 0, 0]).error
    }

    fn status(index: usize) -> u64 {
        harts::status(harts::id(index)).value
    }

    fn wait_for(index: usize, state: u64) {
        while status(index) != state {
            nap();
        }
    }

    fn wait_for_report(opaque: u64) {
        while memory::read::<u64>(opaque + 32) != 1 {
            nap();
        }
    }

    /// Whether the hart found what HSM promises it.
    fn is_right(index: usize, opaque: u64) -> bool {
        memory::read::<u64>(opaque) == harts::id(index)
            && memory::read::<u64>(opaque + 8) == opaque
            && memory::read::<u64>(opaque + 16) == 0
            && memory::read::<u64>(opaque + 24) & csr::SIE == 0
    }

    fn clear(opaque: u64) {
        for offset in (0..40).step_by(8) {
            memory::write(opaque + offset, 0u64);
        }
    }

    /// Says to a hart that has reported that it may stop, and waits for it.
    fn stop(index: usize, opaque: u64) {
        memory::write(opaque + 32, 2u64);
        wait_for(index, 1);
    }

    fn main() {
        harts::find(COUNT);
        println!("status of the first hart: {}", status(0));
        println!("start of it: {}", start_hart(0, entry(), 0));
        for other in [1000, 0xffff_ffff, u64::MAX] {
            let start = sbi::call(sbi::HSM, 0, [other, entry(), 0, 0, 0, 0]).error;
            println!(
                "hart {other:#x}: status {} start {start}",
                harts::status(other).error
            );
        }
        for index in 1..COUNT {
            one(index);
        }
        loops();
        suspends();
        println!("the first hart stops, and is started by another one");
        assert_eq!(harts::start(1, second).error, 0);
        // SAFETY: the stack stays as it is, and nobody returns to it.
        unsafe { asm!("ecall", in("a6") 1, in("a7") sbi::HSM, options(noreturn)) };
    }

    fn one(index: usize) {
        let opaque = memory::page();
        println!("hart {index}: status {}", status(index));
        println!("  start: {}", start_hart(index, entry(), opaque));
        wait_for_report(opaque);
        println!(
            "  it finds what it should: {}, status {}",
            is_right(index, opaque),
            status(index)
        );
        println!("  start again: {}", start_hart(index, entry(), opaque));
        stop(index, opaque);
        println!("  stopped: status {}", status(index));
    }

    /// All harts are started and stopped, many times.
    fn loops() {
        let places: [u64; COUNT] = core::array::from_fn(|_| memory::page());
        let mut right = 0;
        for round in 0..60 {
            for (index, place) in places.iter().enumerate().skip(1) {
                clear(place + 64 * round);
                assert_eq!(start_hart(index, entry(), place + 64 * round), 0);
            }
            for (index, place) in places.iter().enumerate().skip(1) {
                wait_for_report(place + 64 * round);
                right += is_right(index, place + 64 * round) as u64;
                memory::write(place + 64 * round + 32, 2u64);
            }
            for index in 1..COUNT {
                wait_for(index, 1);
            }
        }
        println!("{right} starts of {} as they should be", 60 * (COUNT - 1));
    }

    static KIND: AtomicU64 = AtomicU64::new(0);
    static OPAQUE: AtomicU64 = AtomicU64::new(0);
    static ERROR: AtomicU64 = AtomicU64::new(0);

    /// Suspends itself; a retentive suspend returns, the other one goes on at `report`.
    extern "C" fn suspend(_: usize) -> ! {
        let (kind, opaque) = (KIND.load(Ordering::Acquire), OPAQUE.load(Ordering::Relaxed));
        csr::write!("sie", csr::SOFTWARE);
        csr::write!("sscratch", 0x5a5au64);
        let reply = sbi::call(sbi::HSM, 3, [kind, entry(), opaque, 0, 0, 0]);
        let kept = csr::read!("sscratch") == 0x5a5a && csr::read!("sie") == csr::SOFTWARE;
        csr::write!("sscratch", 0u64);
        ERROR.store(
            match csr::read!("sip") & csr::SOFTWARE {
                _ if !kept => 100,
                0 => 101,
                _ => reply.error as u64,
            },
            Ordering::Relaxed,
        );
        csr::write!("sip", 0u64);
        // Goes on as the other one does: `report` takes what HSM gives.
        // SAFETY: never returns, and needs no stack.
        unsafe {
            asm!("csrw satp, zero", "jr {}", in(reg) entry(),
                in("a0") harts::id(harts::index()), in("a1") opaque, options(noreturn))
        };
    }

    fn suspends() {
        for (name, kind) in [("retentive", 0), ("non-retentive", NON_RETENTIVE)] {
            let mut right = 0;
            for round in 0..20 {
                let index = 1 + round % (COUNT - 1);
                let opaque = memory::page();
                KIND.store(kind, Ordering::Relaxed);
                OPAQUE.store(opaque, Ordering::Relaxed);
                ERROR.store(0, Ordering::Release);
                assert_eq!(harts::start(index, suspend).error, 0);
                wait_for(index, 4);
                // An interrupt that is there for others does not wake it.
                for _ in 0..3 {
                    nap();
                }
                let still = status(index) == 4 && memory::read::<u64>(opaque + 32) == 0;
                // The specification has no error for this; OpenSBI calls it an invalid parameter.
                let again = start_hart(index, entry(), opaque) != 0;
                let sent = sbi::call(sbi::IPI, 0, [1, harts::id(index), 0, 0, 0, 0]);
                wait_for_report(opaque);
                let error = ERROR.load(Ordering::Relaxed);
                let fine = still
                    && again
                    && sent.error == 0
                    && error == 0
                    && is_right(index, opaque)
                    && status(index) == 0;
                right += fine as u32;
                stop(index, opaque);
            }
            println!("{name} suspend: {right} of 20 as they should be");
        }
    }

    /// Hart 1's part of it.
    extern "C" fn second(index: usize) -> ! {
        let opaque = memory::page();
        for _ in 0..20 {
            wait_for(0, 1);
            clear(opaque);
            assert_eq!(start_hart(0, entry(), opaque), 0);
            wait_for_report(opaque);
            assert!(is_right(0, opaque));
            stop(0, opaque);
        }
        println!("hart {index}: the first hart was started 20 times");
        start::finish()
    }

    guests::program!(main);
}
