//! Chapter "RFENCE Extension".

use crate::chapter::{ALL, Chapter, NOT_SUPPORTED};
use guests::{
    code::addi,
    memory, paging,
    paging::{LEAF, Mode, R, Space, W},
    sbi::RFENCE,
    workers::Worker,
};

/// On another hart where there is one, and on this one.
pub fn statements() {
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
                rfence.error(function, &arguments) == 0 && worker.load(PLACE) == memory::read(page)
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
