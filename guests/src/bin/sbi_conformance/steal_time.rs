//! Chapter "Steal-time Accounting Extension".

use crate::chapter::{ALL, Chapter, INVALID_ADDRESS, INVALID_PARAM, NO_MEMORY};
use guests::{memory, sbi::STA};

pub fn statements() {
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
