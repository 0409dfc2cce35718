//! Chapter "System Suspend Extension".

use crate::chapter::{Chapter, DENIED, INVALID_ADDRESS, INVALID_PARAM, NO_MEMORY};
use crate::hart_states::{alarm, is_woken};
use guests::{
    sbi::SUSP,
    workers::{self, Worker},
};

pub fn statements() {
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
        let has_resumed = workers::suspend(SUSP, 0, 0);
        is_woken();
        has_resumed
    });
}
