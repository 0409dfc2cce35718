//! SBI: what the suite in `sbi_testing` does not cover. Each line is a statement of the
//! specification: chapter, section, what is stated, and whether it holds.
//!
//! An extension that is optional may be absent; its statements hold then if none of its functions is
//! supported, and the lines are the same. Likewise where a function, an event or another hart is
//! optional. Where OpenSBI answers otherwise than the specification asks (harts that are not there in
//! a mask, reserved flags of the PMU, ranges that wrap, addresses where nothing is) the tests of
//! `crates/sbi` must do.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use guests::code::addi;
    use guests::harts::{self, Worker};
    use guests::paging::{LEAF, Mode, R, Space, W};
    use guests::sbi::{self, BASE, DBCN, FWFT, HSM, IPI, PMU, RFENCE, SRST, STA, SUSP, TIME};
    use guests::{code, csr, memory, paging, println, start};

    const NOT_SUPPORTED: i64 = -2;
    const INVALID_PARAM: i64 = -3;
    const DENIED: i64 = -4;
    const INVALID_ADDRESS: i64 = -5;
    const ALREADY_AVAILABLE: i64 = -6;
    const ALREADY_STARTED: i64 = -7;
    const ALREADY_STOPPED: i64 = -8;
    const NO_SHMEM: i64 = -9;
    const ALL: u64 = u64::MAX;
    /// No machine has memory here that is a guest's.
    const NO_MEMORY: u64 = 0x4000;

    fn main() {
        encoding();
        remote_fences();
        hart_states();
        resets();
        counters();
        steal_time();
        system_suspend();
        features();
        legacy();
    }

    /// One chapter of the specification.
    struct Chapter {
        name: &'static str,
        extension: u64,
        is_present: bool,
        /// When it is not present: whether none of its functions is supported.
        is_wholly_absent: bool,
    }

    impl Chapter {
        /// The chapter on `extension`, with functions 0 to `functions - 1`.
        fn new(name: &'static str, extension: u64, functions: u64) -> Self {
            let is_present = call(BASE, 3, &[extension]).value != 0;
            let unsupported = |function| call(extension, function, &[]).error == NOT_SUPPORTED;
            Self {
                name,
                extension,
                is_present,
                is_wholly_absent: !is_present && (0..functions).all(unsupported),
            }
        }

        fn call(&self, function: u64, arguments: &[u64]) -> sbi::Reply {
            call(self.extension, function, arguments)
        }

        fn error(&self, function: u64, arguments: &[u64]) -> i64 {
            self.call(function, arguments).error
        }

        /// Prints a statement, and whether it holds.
        fn holds(&self, section: &str, statement: &str, holds: impl FnOnce() -> bool) {
            let holds = match self.is_present {
                true => holds(),
                false => self.is_wholly_absent,
            };
            print(self.name, section, statement, holds);
        }
    }

    fn print(chapter: &str, section: &str, statement: &str, holds: bool) {
        let verdict = if holds { "ok" } else { "FAILED" };
        println!("{chapter}, {section}: {statement}: {verdict}");
    }

    fn call(extension: u64, function: u64, arguments: &[u64]) -> sbi::Reply {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        sbi::call(extension, function, all)
    }

    fn encoding() {
        let name = "Binary Encoding";
        let unsupported =
            |extension, function| call(extension, function, &[]).error == NOT_SUPPORTED;
        for (statement, extensions) in [
            ("reserved legacy EIDs", &[9, 0xa, 0xf][..]),
            ("EIDs of nobody", &[0x11, 0x20, 0x1234_5678, 0x7fff_ffff]),
            ("an experimental EID", &[0x0800_0000]),
            ("a vendor's EID", &[0x0900_0000]),
            ("negative EIDs", &[i32::MIN as u64, ALL]),
        ] {
            let holds = extensions.iter().all(|&extension| {
                unsupported(extension, 0) && call(BASE, 3, &[extension]).value == 0
            });
            print(name, "unsupported EID", statement, holds);
        }
        for (extension, statement, functions) in [
            (BASE, "BASE", 7),
            (TIME, "TIME", 1),
            (IPI, "IPI", 1),
            (RFENCE, "RFENCE", 7),
            (HSM, "HSM", 4),
            (SRST, "SRST", 1),
        ] {
            let mut beyond = [functions, functions + 1, 0x7fff_ffff, ALL].into_iter();
            let holds = beyond.all(|function| unsupported(extension, function));
            print(name, "unsupported FID", statement, holds);
        }
        for (extension, statement, functions) in [
            (DBCN, "DBCN", 3),
            (PMU, "PMU", 9),
            (SUSP, "SUSP", 1),
            (STA, "STA", 1),
            (FWFT, "FWFT", 2),
        ] {
            let chapter = Chapter::new(name, extension, functions);
            chapter.holds("unsupported FID", statement, || {
                unsupported(extension, functions) && unsupported(extension, ALL)
            });
        }
        let hart = start::hart();
        for (statement, mask, base) in [
            ("an empty mask", 0, 0),
            ("this hart, by a base", 1, hart),
            ("this hart, by a bit", 1 << hart, 0),
            ("all harts, whatever the mask", 0, ALL),
        ] {
            let fences = (0..3).all(|fence| call(RFENCE, fence, &[mask, base]).error == 0);
            let holds = fences && call(IPI, 0, &[mask, base]).error == 0;
            print(name, "Hart list parameter", statement, holds);
        }
        csr::write!("sip", 0u64);
    }

    /// On another hart where there is one, and on this one.
    fn remote_fences() {
        let rfence = Chapter::new("RFENCE", RFENCE, 7);
        let mut worker = Worker::new();
        rfence.holds("hart list parameter", "a worker starts", || worker.start());
        let mask = [1, worker.hart];

        let code = memory::page();
        let write = |immediate: i32| {
            const RET: u32 = 0x8067;
            memory::write(code, addi(10, 10, immediate));
            memory::write(code + 4, RET);
            rfence.error(0, &mask) == 0
        };
        rfence.holds("Function: Remote FENCE.I", "new code is seen", || {
            (0..100).all(|round| write(round) && worker.run(code, 1000) == 1000 + round as u64)
        });

        const PLACE: u64 = 0x1234_5000;
        let pages = [memory::page(), memory::page()];
        memory::write(pages[0], 0xaaau64);
        memory::write(pages[1], 0xbbbu64);
        let space = Space::new(Mode::Sv39);
        space.map(PLACE, pages[0], LEAF | R | W);
        worker.set_satp(space.satp(5));
        for (section, statement, function, range) in [
            ("Remote SFENCE.VMA", "one page", 1, [PLACE, 4096]),
            ("Remote SFENCE.VMA", "a byte of it", 1, [PLACE + 77, 1]),
            (
                "Remote SFENCE.VMA",
                "many pages",
                1,
                [PLACE - 0x40_0000, 0x80_0000],
            ),
            ("Remote SFENCE.VMA", "start and size 0", 1, [0, 0]),
            ("Remote SFENCE.VMA", "size 2^64 - 1", 1, [0, ALL]),
            ("Remote SFENCE.VMA with ASID", "one page", 2, [PLACE, 4096]),
            ("Remote SFENCE.VMA with ASID", "size 2^64 - 1", 2, [0, ALL]),
        ] {
            let arguments = [mask[0], mask[1], range[0], range[1], 5];
            let holds = || {
                (0..40).all(|round| {
                    let page = pages[round % 2];
                    space.map(PLACE, page, LEAF | R | W);
                    rfence.error(function, &arguments) == 0
                        && worker.load(PLACE) == memory::read(page)
                })
            };
            rfence.holds(section, statement, holds);
        }
        worker.set_satp(0);
        paging::bare();
        for (function, section) in [
            (3, "Remote HFENCE.GVMA with VMID"),
            (4, "Remote HFENCE.GVMA"),
            (5, "Remote HFENCE.VVMA with ASID"),
            (6, "Remote HFENCE.VVMA"),
        ] {
            rfence.holds(section, "not without the hypervisor extension", || {
                rfence.error(function, &mask) == NOT_SUPPORTED
            });
        }
        worker.stop();
    }

    fn hart_states() {
        let hsm = Chapter::new("HSM", HSM, 4);
        let hart = start::hart();
        hsm.holds("Function: Hart start", "this hart is started", || {
            hsm.error(0, &[hart, 0x8020_0000, 0]) == ALREADY_AVAILABLE
        });
        hsm.holds("Function: Hart start", "no such hart", || {
            [1000, 0xffff_ffff, ALL]
                .iter()
                .all(|&hart| hsm.error(0, &[hart, 0x8020_0000, 0]) == INVALID_PARAM)
        });
        let mut worker = Worker::new();
        hsm.holds("Function: Hart start", "its registers", || worker.start());
        hsm.holds("Function: Hart get status", "started", || {
            harts::status(worker.hart).value == harts::STARTED
        });
        hsm.holds("Function: Hart start", "a started hart", || {
            hsm.error(0, &[worker.hart, 0x8020_0000, 0]) == ALREADY_AVAILABLE
        });
        worker.stop();
        let mut again = Worker::new();
        hsm.holds("Function: Hart stop", "it can be started again", || {
            again.start()
        });
        again.stop();
        hsm.holds("Function: Hart suspend", "reserved types", || {
            [1, 0x0fff_ffff, 0x8000_0001, 0x8fff_ffff]
                .iter()
                .all(|&kind| hsm.error(3, &[kind, 0x8020_0000, 0]) == INVALID_PARAM)
        });
        hsm.holds(
            "Function: Hart suspend",
            "retentive, until the timer",
            || {
                alarm();
                let error = hsm.error(3, &[0, 0, 0]);
                error == 0 && is_woken()
            },
        );
        hsm.holds(
            "Function: Hart suspend",
            "non-retentive, until the timer",
            || {
                alarm();
                let has_resumed = harts::suspend(HSM, 3, 0x8000_0000);
                // Whether the interrupt is still pending is one of the things left open.
                is_woken();
                has_resumed
            },
        );
    }

    /// The timer is to wake this hart.
    fn alarm() {
        csr::write!("sie", csr::TIMER);
        sbi::set_timer(csr::read!("time") + 20_000);
    }

    /// Whether it did.
    fn is_woken() -> bool {
        let is_pending = csr::read!("sip") & csr::TIMER != 0;
        csr::write!("sie", 0u64);
        sbi::set_timer(ALL);
        is_pending
    }

    fn resets() {
        let srst = Chapter::new("SRST", SRST, 1);
        for (statement, arguments) in [
            ("a reserved type", [3, 0]),
            ("the last reserved type", [0xefff_ffff, 0]),
            ("a platform's type", [0xf000_0000, 0]),
            ("a reserved reason", [0, 2]),
            ("the last reserved reason", [0, 0xdfff_ffff]),
            ("a platform's reason", [0, 0xf000_0000]),
        ] {
            srst.holds("Function: System reset", statement, || {
                srst.error(0, &arguments) == INVALID_PARAM
            });
        }
    }

    fn counters() {
        const SET_TIMER: u64 = 0xf_0005;
        const CLEAR_VALUE: u64 = 2;
        const INITIAL_VALUE: u64 = 1;
        let pmu = Chapter::new("PMU", PMU, 9);
        let count = pmu.call(0, &[]).value;
        pmu.holds("Get number of counters", "there are some", || {
            (1..=1024).contains(&count) && pmu.error(0, &[]) == 0
        });
        pmu.holds("Get details of a counter", "no such counter", || {
            [count, count + 1, 0xffff_ffff, ALL]
                .iter()
                .all(|&index| pmu.error(1, &[index]) == INVALID_PARAM)
        });
        let is_firmware = |info: u64| info >> 63 != 0;
        pmu.holds(
            "Get details of a counter",
            "CSR or firmware counter",
            || {
                (0..count).map(|index| pmu.call(1, &[index])).all(|reply| {
                    let is_csr = (0xc00..0xc20).contains(&(reply.value & 0xfff));
                    reply.error == INVALID_PARAM
                        || reply.error == 0 && (is_firmware(reply.value) || is_csr)
                })
            },
        );
        pmu.holds(
            "Find and configure a matching counter",
            "no such counter",
            || pmu.error(2, &[count, 1, 0, SET_TIMER, 0]) == INVALID_PARAM,
        );
        pmu.holds(
            "Find and configure a matching counter",
            "no such event",
            || {
                [0x4_0000, 0xe_0000, 0xf_0016, 0xf_00ff]
                    .iter()
                    .all(|&event| pmu.error(2, &[0, 1, 0, event, 0]) != 0)
            },
        );
        pmu.holds("Start a set of counters", "no such counter", || {
            pmu.error(3, &[count, 1, 0, 0]) == INVALID_PARAM
        });
        pmu.holds("Stop a set of counters", "no such counter", || {
            pmu.error(4, &[count, 1, 0]) == INVALID_PARAM
        });
        pmu.holds("Read a firmware counter", "no such counter", || {
            pmu.error(5, &[count]) == INVALID_PARAM
        });

        let firmware = |index: &u64| {
            let reply = pmu.call(1, &[*index]);
            reply.error == 0 && is_firmware(reply.value)
        };
        let first = (0..count).find(firmware).unwrap_or(0);
        // From 0, as OpenSBI 1.5 forgets the base of a set.
        let mask = (first..count.min(64))
            .filter(firmware)
            .fold(0, |mask, index| mask | 1 << index);
        let found = pmu.call(2, &[0, mask, CLEAR_VALUE, SET_TIMER, 0]);
        let index = found.value;
        pmu.holds("Find and configure a matching counter", "set_timer", || {
            found.error == 0 && firmware(&index)
        });
        let set_timer = || sbi::set_timer(ALL).error == 0;
        pmu.holds("Start a set of counters", "an initial value", || {
            pmu.error(3, &[index, 1, INITIAL_VALUE, 1000]) == 0
        });
        pmu.holds("Read a firmware counter", "it has counted", || {
            (0..5).all(|_| set_timer()) && pmu.call(5, &[index]).value == 1005
        });
        pmu.holds(
            "Read a firmware counter high bits",
            "zero, if it is there",
            || {
                let reply = pmu.call(6, &[index]);
                reply.error == NOT_SUPPORTED || (reply.error, reply.value) == (0, 0)
            },
        );
        pmu.holds("Stop a set of counters", "it counts no more", || {
            pmu.error(4, &[index, 1, 0]) == 0 && set_timer() && pmu.call(5, &[index]).value == 1005
        });
        pmu.holds(
            "Start a set of counters",
            "it goes on from its value",
            || {
                pmu.error(3, &[index, 1, 0, 0]) == 0
                    && set_timer()
                    && pmu.call(5, &[index]).value == 1006
            },
        );
        pmu.holds("Stop a set of counters", "reset, and another event", || {
            let reset = pmu.error(4, &[index, 1, 1]) == 0;
            let again = pmu.call(2, &[0, 1 << index, CLEAR_VALUE | 4, SET_TIMER + 1, 0]);
            reset && again.error == 0 && set_timer() && pmu.call(5, &[index]).value == 0
        });
        pmu.error(4, &[index, 1, 1]);
        cycle(&pmu);
        snapshots(&pmu, [mask, SET_TIMER]);
        events(&pmu);
    }

    /// Counter 0 is `cycle`, if it can monitor cycles at all.
    fn cycle(pmu: &Chapter) {
        let is_cycle = pmu.call(1, &[0]).value & 0xfff == 0xc00
            && pmu.call(2, &[0, 1, 0, 1, 0]) == (sbi::Reply { error: 0, value: 0 });
        pmu.holds(
            "Start a set of counters",
            "cycle, from an initial value",
            || {
                // It may be running since power-on.
                pmu.error(4, &[0, 1, 0]);
                let started = || pmu.error(3, &[0, 1, 1, 1 << 40]) == 0;
                let has_it = || (1 << 40..1 << 50).contains(&csr::read!("cycle"));
                !is_cycle || started() && has_it()
            },
        );
        pmu.holds("Start a set of counters", "it is started already", || {
            !is_cycle || pmu.error(3, &[0, 1, 0, 0]) == ALREADY_STARTED
        });
        pmu.holds("Stop a set of counters", "cycle stands still", || {
            let stopped = || pmu.error(4, &[0, 1, 0]) == 0;
            !is_cycle || stopped() && csr::read!("cycle") == csr::read!("cycle")
        });
        pmu.holds("Stop a set of counters", "it is stopped already", || {
            !is_cycle || pmu.error(4, &[0, 1, 0]) == ALREADY_STOPPED
        });
        pmu.holds("Start a set of counters", "cycle goes on", || {
            let before = || csr::read!("cycle");
            let goes_on = |before| csr::read!("cycle") > before;
            !is_cycle || {
                let before = before();
                pmu.error(3, &[0, 1, 0, 0]) == 0 && goes_on(before)
            }
        });
        pmu.holds("Read a firmware counter", "cycle is none", || {
            !is_cycle || pmu.error(5, &[0]) == INVALID_PARAM
        });
        pmu.error(4, &[0, 1, 1]);
    }

    /// "This is an optional function."
    fn snapshots(pmu: &Chapter, [mask, event]: [u64; 2]) {
        let section = "Set PMU snapshot shared memory";
        let page = memory::page();
        let is_there = pmu.error(7, &[ALL, ALL, 0]) != NOT_SUPPORTED;
        let optional = |error: i64, expected: i64| match is_there {
            true => error == expected,
            false => error == NOT_SUPPORTED,
        };
        let index = pmu.call(2, &[0, mask, 6, event, 0]).value;
        pmu.holds(
            "Stop a set of counters",
            "no snapshot without memory",
            || pmu.error(4, &[index, 1, 2]) == NO_SHMEM,
        );
        for (statement, arguments, error) in [
            ("reserved flags", [page, 0, 1], INVALID_PARAM),
            ("half a page", [page + 2048, 0, 0], INVALID_PARAM),
            ("no memory", [NO_MEMORY, 0, 0], INVALID_ADDRESS),
            ("a high address", [page, 1, 0], INVALID_ADDRESS),
            ("a page", [page, 0, 0], 0),
        ] {
            pmu.holds(section, statement, || {
                optional(pmu.error(7, &arguments), error)
            });
        }
        pmu.holds(section, "a snapshot is taken", || {
            let taken = || pmu.error(4, &[index, 1, 2]) == 0;
            memory::write(page + 8, 7u64);
            !is_there || taken() && memory::read::<u64>(page + 8) == pmu.call(5, &[index]).value
        });
        pmu.holds(section, "a counter starts from a snapshot", || {
            memory::write(page + 8, 500u64);
            let started = || pmu.error(3, &[index, 1, 2, 0]) == 0;
            !is_there || started() && pmu.call(5, &[index]).value == 500
        });
        pmu.holds(section, "it is disabled", || {
            optional(pmu.error(7, &[ALL, ALL, 0]), 0)
        });
        pmu.error(4, &[index, 1, 1]);
    }

    /// Since version 3.0.
    fn events(pmu: &Chapter) {
        let section = "Get PMU Event info";
        let entries = memory::page();
        let is_there = pmu.error(8, &[entries, 0, 0, 1]) != NOT_SUPPORTED;
        let optional = |error: i64, expected: i64| match is_there {
            true => error == expected,
            false => error == NOT_SUPPORTED,
        };
        memory::write(entries, 0xf_0005u64);
        memory::write(entries + 16, 0xf_0016u64 | 0xffff_ffff << 32);
        for (statement, arguments, error) in [
            ("reserved flags", [entries, 0, 2, 1], INVALID_PARAM),
            ("half an entry", [entries + 8, 0, 1, 0], INVALID_PARAM),
            ("a high address", [entries, 1, 2, 0], INVALID_ADDRESS),
            ("two events", [entries, 0, 2, 0], 0),
        ] {
            pmu.holds(section, statement, || {
                optional(pmu.error(8, &arguments), error)
            });
        }
        pmu.holds(section, "a reserved event is not supported", || {
            !is_there || memory::read::<u32>(entries + 20) == 0
        });
    }

    fn steal_time() {
        let section = "Set Steal-time Shared Memory Address";
        let sta = Chapter::new("STA", STA, 1);
        let area = memory::page();
        for (statement, arguments, error) in [
            ("reserved flags", [area, 0, 1], INVALID_PARAM),
            (
                "reserved flags when it is disabled",
                [ALL, ALL, 1],
                INVALID_PARAM,
            ),
            ("half an area", [area + 32, 0, 0], INVALID_PARAM),
            ("no memory", [NO_MEMORY, 0, 0], INVALID_ADDRESS),
            ("a high address", [area, 1, 0], INVALID_ADDRESS),
        ] {
            sta.holds(section, statement, || sta.error(0, &arguments) == error);
        }
        for offset in (0..128).step_by(8) {
            memory::write(area + offset, ALL);
        }
        sta.holds(section, "an area of 64 bytes", || {
            sta.error(0, &[area, 0, 0]) == 0
        });
        sta.holds(section, "its flags and padding are zero", || {
            let padding = (24..64).step_by(8);
            memory::read::<u32>(area + 4) == 0
                && padding
                    .into_iter()
                    .all(|at| memory::read::<u64>(area + at) == 0)
        });
        sta.holds(section, "what follows is untouched", || {
            (64..128)
                .step_by(8)
                .all(|at| memory::read::<u64>(area + at) == ALL)
        });
        sta.holds(section, "the sequence is even and this hart runs", || {
            memory::read::<u32>(area) % 2 == 0 && memory::read::<u8>(area + 16) == 0
        });
        sta.holds(section, "it is disabled", || {
            sta.error(0, &[ALL, ALL, 0]) == 0
        });
    }

    fn system_suspend() {
        let section = "Function: System Suspend";
        let susp = Chapter::new("SUSP", SUSP, 1);
        susp.holds(section, "reserved types", || {
            [1, 0x7fff_ffff]
                .iter()
                .all(|&kind| susp.error(0, &[kind, 0x8020_0000, 0]) == INVALID_PARAM)
        });
        susp.holds(section, "no resume address", || {
            susp.error(0, &[0, NO_MEMORY, 0]) == INVALID_ADDRESS
        });
        let mut worker = Worker::new();
        let started = worker.start();
        susp.holds(
            section,
            "denied while another hart runs, if there is one",
            || {
                let denied = || susp.error(0, &[0, 0x8020_0000, 0]) == DENIED;
                started && (!worker.is_other() || denied())
            },
        );
        worker.stop();
        susp.holds(section, "to RAM, until the timer", || {
            alarm();
            let has_resumed = harts::suspend(SUSP, 0, 0);
            is_woken();
            has_resumed
        });
    }

    fn features() {
        /// Without pointer masking, which OpenSBI 1.5 did not know yet.
        const FEATURES: u64 = 5;
        let fwft = Chapter::new("FWFT", FWFT, 2);
        for (statement, features) in [
            ("reserved local features", [6, 0x3fff_ffff]),
            ("reserved global features", [0x8000_0000, 0xbfff_ffff]),
            ("a platform's local features", [0x4000_0000, 0x7fff_ffff]),
            ("a platform's global features", [0xc000_0000, 0xffff_ffff]),
        ] {
            fwft.holds("Firmware Features Get", statement, || {
                features
                    .iter()
                    .all(|&feature| fwft.error(1, &[feature]) == DENIED)
            });
            fwft.holds("Firmware Features Set", statement, || {
                features
                    .iter()
                    .all(|&feature| fwft.error(0, &[feature, 0, 0]) == DENIED)
            });
        }
        let mut usable = 0;
        fwft.holds(
            "Firmware Features Get",
            "standard features, or not supported",
            || {
                (0..FEATURES).all(|feature| {
                    let error = fwft.error(1, &[feature]);
                    usable |= u64::from(error == 0) << feature;
                    [0, NOT_SUPPORTED].contains(&error)
                })
            },
        );
        let is_usable = |feature: &u64| usable >> feature & 1 != 0;
        fwft.holds("Firmware Features Set", "reserved flags", || {
            (0..FEATURES)
                .filter(is_usable)
                .all(|feature| fwft.error(0, &[feature, 0, 2]) == INVALID_PARAM)
        });
        fwft.holds("Firmware Features Set", "values that are none", || {
            (0..FEATURES)
                .filter(is_usable)
                .all(|feature| fwft.error(0, &[feature, 2, 0]) == INVALID_PARAM)
        });
        fwft.holds("Firmware Features Set", "the value that is there", || {
            (0..FEATURES).filter(is_usable).all(|feature| {
                let value = fwft.call(1, &[feature]).value;
                fwft.error(0, &[feature, value, 0]) == 0 && fwft.call(1, &[feature]).value == value
            })
        });
    }

    /// Each function is an extension, which returns in a0 alone.
    fn legacy() {
        let hart = start::hart();
        let name = "Legacy";
        let mask = memory::page();
        memory::write(mask, 1u64 << hart);
        for (section, extension, arguments) in [
            ("Set Timer", 0, [ALL, 0, 0, 0]),
            ("Console Putchar", 1, [b'\n'.into(), 0, 0, 0]),
            ("Clear IPI", 3, [0; 4]),
            ("Remote FENCE.I", 5, [mask, 0, 0, 0]),
            ("Remote SFENCE.VMA", 6, [mask, 0x1000, 0x1000, 0]),
            ("Remote SFENCE.VMA with ASID", 7, [mask, 0x1000, 0x1000, 1]),
        ] {
            // a6 is ignored, a1 is kept.
            let reply = call(extension, 77, &arguments);
            let holds = (reply.error, reply.value) == (0, arguments[1]);
            print(name, section, "succeeds, a1 is kept", holds);
        }
        let getchar = call(2, 0, &[]);
        print(
            name,
            "Console Getchar",
            "-1 when there is none",
            getchar.error == -1,
        );
        let sent = call(4, 0, &[mask]).error == 0;
        while sent && csr::read!("sip") & csr::SOFTWARE == 0 {}
        print(name, "Send IPI", "it arrives", sent);
        let cleared = call(3, 0, &[]).error >= 0 && csr::read!("sip") & csr::SOFTWARE == 0;
        print(name, "Clear IPI", "it is cleared", cleared);
        for (section, extension) in [
            ("Send IPI", 4),
            ("Remote FENCE.I", 5),
            ("Remote SFENCE.VMA", 6),
            ("Remote SFENCE.VMA with ASID", 7),
        ] {
            let context = code!("ecall").supervisor().with(17, extension);
            let trap = context.with(10, 0x10).run();
            println!("{name}, {section}: the hart mask is not there: {trap}");
        }
    }

    guests::program!(main);
}
