//! A chapter of the specification, and how its statements are printed.

use guests::{
    println,
    sbi::{self, BASE},
};

pub const NOT_SUPPORTED: i64 = -2;
pub const INVALID_PARAM: i64 = -3;
pub const DENIED: i64 = -4;
pub const INVALID_ADDRESS: i64 = -5;
pub const ALREADY_AVAILABLE: i64 = -6;
pub const ALREADY_STARTED: i64 = -7;
pub const ALREADY_STOPPED: i64 = -8;
pub const NO_SHMEM: i64 = -9;
pub const ALL: u64 = u64::MAX;
/// No machine has memory here that is a guest's.
pub const NO_MEMORY: u64 = 0x4000;

/// One chapter of the specification.
pub struct Chapter {
    name: &'static str,
    extension: u64,
    is_present: bool,
    /// When it is not present: whether none of its functions is supported.
    is_wholly_absent: bool,
}

impl Chapter {
    /// The chapter on `extension`, with functions 0 to `functions - 1`.
    pub fn new(name: &'static str, extension: u64, functions: u64) -> Self {
        let is_present = call(BASE, 3, &[extension]).value != 0;
        let unsupported = |function| call(extension, function, &[]).error == NOT_SUPPORTED;
        Self {
            name,
            extension,
            is_present,
            is_wholly_absent: !is_present && (0..functions).all(unsupported),
        }
    }

    pub fn call(&self, function: u64, arguments: &[u64]) -> sbi::Reply {
        call(self.extension, function, arguments)
    }

    pub fn error(&self, function: u64, arguments: &[u64]) -> i64 {
        self.call(function, arguments).error
    }

    /// Prints a statement, and whether it holds.
    pub fn holds(&self, section: &str, statement: &str, holds: impl FnOnce() -> bool) {
        let holds = match self.is_present {
            true => holds(),
            false => self.is_wholly_absent,
        };
        print(self.name, section, statement, holds);
    }
}

pub fn print(chapter: &str, section: &str, statement: &str, holds: bool) {
    let verdict = if holds { "ok" } else { "FAILED" };
    println!("{chapter}, {section}: {statement}: {verdict}");
}

pub fn call(extension: u64, function: u64, arguments: &[u64]) -> sbi::Reply {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    sbi::call(extension, function, all)
}
