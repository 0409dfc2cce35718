//! What the SBI specification says, chapter by chapter.

mod base_extension;
mod binary_encoding;
mod debug_console;
mod firmware_features;
mod hart_state_management;
mod legacy_extensions;
mod mock;
mod performance_monitoring;
mod random;
mod rfence_extension;
mod steal_time;
mod system_reset;
mod system_suspend;
mod timer_extension;

use isa::address::{GuestPhys, GuestVirt};
use isa::csr::Exception;
use mock::{Happening, IDS, MEMORY_BASE, MEMORY_SIZE, Mock, VIRTUAL_BASE, call};
use proptest::prelude::*;
use sbi::{
    COUNTERS, Call, CsrCounter, CsrView, Error, Event, Extension, Fault, FenceRange, HartStatus,
    IMPLEMENTATION_ID, MOST_BYTES, MOST_EVENT_ENTRIES, MOST_PAGES, Outcome, ResetKind, ResetReason,
    Start, StartError, StealTime, Store, handle,
};

const BASE: u64 = 0x10;
const TIME: u64 = 0x5449_4d45;
const IPI: u64 = 0x73_5049;
const RFENCE: u64 = 0x5246_4e43;
const HSM: u64 = 0x48_534d;
const SRST: u64 = 0x5352_5354;
const DBCN: u64 = 0x4442_434e;
const PMU: u64 = 0x50_4d55;
const SUSP: u64 = 0x5355_5350;
const STA: u64 = 0x53_5441;
const FWFT: u64 = 0x4657_4654;
const ALL: u64 = u64::MAX;

/// Makes a call from hart 0.
fn ask(machine: &mut Mock, extension: u64, function: u64, arguments: &[u64]) -> Outcome {
    handle(&call(extension, function, arguments), 0, machine)
}

fn ok(value: u64) -> Outcome {
    Outcome::Return { error: 0, value }
}

fn error(code: i64) -> Outcome {
    Outcome::Return {
        error: code,
        value: 0,
    }
}

const FAILED: i64 = -1;
const NOT_SUPPORTED: i64 = -2;
const INVALID_PARAM: i64 = -3;
const DENIED: i64 = -4;
const INVALID_ADDRESS: i64 = -5;
const ALREADY_AVAILABLE: i64 = -6;
const ALREADY_STARTED: i64 = -7;
const ALREADY_STOPPED: i64 = -8;
const NO_SHMEM: i64 = -9;
const DENIED_LOCKED: i64 = -14;
