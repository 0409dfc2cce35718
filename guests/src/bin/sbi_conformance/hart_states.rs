//! Chapter "Hart State Management Extension".

use crate::chapter::{ALL, ALREADY_AVAILABLE, Chapter, INVALID_PARAM};
use guests::{
    csr, harts,
    sbi::{self, HSM},
    start,
    workers::{self, Worker},
};

pub fn statements() {
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
        harts::status(worker.hart).value == workers::STARTED
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
            let has_resumed = workers::suspend(HSM, 3, 0x8000_0000);
            // Whether the interrupt is still pending is one of the things left open.
            is_woken();
            has_resumed
        },
    );
}

/// The timer is to wake this hart.
pub fn alarm() {
    csr::write!("sie", csr::TIMER);
    sbi::set_timer(csr::read!("time") + 20_000);
}

/// Whether it did.
pub fn is_woken() -> bool {
    let is_pending = csr::read!("sip") & csr::TIMER != 0;
    csr::write!("sie", 0u64);
    sbi::set_timer(ALL);
    is_pending
}
