//! SBI: the suite of the crate `sbi-testing`, which covers BASE, TIME, IPI, HSM and DBCN. What it finds out
//! that the specification leaves open (versions, optional extensions, intervals) is not printed. Harts
//! are numbered in the order of the suite, as which one boots is chance.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::{console, context, csr, harts, println, start};
    use sbi_testing::{
        BaseCase, DbcnCase, HsmCase, IpiCase, TimerCase, test_base, test_dbcn, test_hsm, test_ipi,
        test_timer,
    };

    /// Time from setting the timer to its interrupt, in ticks.
    const DELAY: u64 = 10_000;

    fn main() {
        let hart = start::hart() as usize;
        test_base(base);
        timer();
        test_ipi(hart, |case| match case {
            IpiCase::UnexpectedTrap(trap) => println!("IPI: FAILED: {trap:?}"),
            case => println!("IPI: {case:?}"),
        });
        settle();
        let mask = harts::all().fold(0, |mask, hart| mask | 1 << hart);
        let mut seen = Seen {
            harts: [0; 64],
            count: 0,
        };
        test_hsm(hart, mask, 0, |case| hsm(&case, &mut seen));
        settle();
        console::flush();
        test_dbcn(dbcn);
    }

    /// Back to how programs start, as the suite leaves its own trap vector and interrupts enabled.
    fn settle() {
        context::reset();
        csr::write!("sip", 0u64);
    }

    fn base(case: BaseCase) {
        match case {
            BaseCase::GetSbiSpecVersion(version) => {
                println!("BASE: version at least 1.0: {}", version.major() >= 1);
            }
            BaseCase::GetSbiImplId(_) => println!("BASE: implementation"),
            BaseCase::GetSbiImplVersion(_) => println!("BASE: implementation version"),
            BaseCase::ProbeExtensions(found) => {
                for (name, extension) in [
                    ("TIME", found.time),
                    ("IPI", found.spi),
                    ("RFENCE", found.rfnc),
                    ("HSM", found.hsm),
                    ("SRST", found.srst),
                ] {
                    println!("BASE: {name}: {}", extension.is_available());
                }
            }
            case => println!("BASE: {case:?}"),
        }
    }

    /// The suite wants `time` to be later in the second of two instructions, which is more than the
    /// architecture promises: it is asked again until it was.
    fn timer() {
        let mut again = true;
        while again {
            again = false;
            test_timer(DELAY, |case| match case {
                TimerCase::Begin => {}
                TimerCase::TimeDecreased { a, b } => again = a == b,
                TimerCase::Interval { .. } => println!("TIME: time goes on"),
                TimerCase::UnexpectedTrap(trap) => println!("TIME: FAILED: {trap:?}"),
                case => println!("TIME: {case:?}"),
            });
            settle();
        }
    }

    /// The harts in the order in which the suite named them.
    struct Seen {
        harts: [usize; 64],
        count: usize,
    }

    impl Seen {
        fn ordinal(&mut self, hart: usize) -> usize {
            let known = &self.harts[..self.count];
            known
                .iter()
                .position(|&seen| seen == hart)
                .unwrap_or_else(|| {
                    self.harts[self.count] = hart;
                    self.count += 1;
                    self.count - 1
                })
        }
    }

    fn hsm(case: &HsmCase, seen: &mut Seen) {
        let (what, hart) = match case {
            HsmCase::BatchBegin(batch) => return println!("HSM: {} harts begin", batch.len()),
            HsmCase::BatchPass(batch) => return println!("HSM: {} harts pass", batch.len()),
            HsmCase::HartStartedBeforeTest(hart) => ("FAILED: started before", *hart),
            HsmCase::HartStarted(hart) => ("started", *hart),
            HsmCase::HartStartFailed { hartid, .. } => ("FAILED: start", *hartid),
            HsmCase::HartSuspendedNonretentive(hart) => ("suspended, non-retentive", *hart),
            HsmCase::HartResumed(hart) => ("resumed", *hart),
            HsmCase::HartSuspendedRetentive(hart) => ("suspended, retentive", *hart),
            HsmCase::HartStopped(hart) => ("stopped", *hart),
            HsmCase::RemoteRFencePass(hart) => ("remote fence.i", *hart),
            HsmCase::RemoteRFenceFailed(hart, _) => ("FAILED: remote fence.i", *hart),
            case => return println!("HSM: {case:?}"),
        };
        println!("HSM: other hart {}: {what}", seen.ordinal(hart));
    }

    /// The suite writes to the console behind the back of ours.
    fn dbcn(case: DbcnCase) {
        match case {
            DbcnCase::NonzeroUpperWriteRejected(_) => println!("DBCN: high address not written"),
            DbcnCase::NonzeroUpperReadRejected(_) => println!("DBCN: high address not read"),
            // The byte is the first of the line that the suite writes.
            DbcnCase::WriteByte => {}
            case => println!("DBCN: {case:?}"),
        }
        console::flush();
    }

    guests::program!(main);
}
