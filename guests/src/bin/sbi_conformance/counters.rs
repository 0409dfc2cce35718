//! Chapter "Performance Monitoring Unit Extension".

use crate::chapter::{
    ALL, ALREADY_STARTED, ALREADY_STOPPED, Chapter, INVALID_ADDRESS, INVALID_PARAM, NO_MEMORY,
    NO_SHMEM, NOT_SUPPORTED,
};
use guests::{
    csr, memory,
    sbi::{self, PMU},
};

pub fn statements() {
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
