//! The latest exits of a virtual hart, for whoever looks for a bug.

use core::fmt;

/// Exits that are remembered.
const EXITS: usize = 32;

/// One exit to the slow path.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExitRecord {
    /// `time`.
    pub time: u64,
    /// `scause` for a trap; [`INTERRUPTED`](Self::INTERRUPTED), [`EMULATED`](Self::EMULATED) for the
    /// others.
    pub cause: u64,
    /// The guest's `pc`.
    pub pc: u64,
    /// `stval`, or the instruction.
    pub value: u64,
    /// The guest's mode: 0 U, 1 S.
    pub mode: u64,
}

impl ExitRecord {
    /// A routine found an interrupt to deliver.
    pub const INTERRUPTED: u64 = 1 << 32;
    /// A routine left its instruction to the reference emulator.
    pub const EMULATED: u64 = 1 << 33;
}

impl fmt::Display for ExitRecord {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (time, pc, value) = (self.time, self.pc, self.value);
        let mode = if self.mode == 0 { "VU" } else { "VS" };
        match self.cause {
            Self::INTERRUPTED => write!(f, "{time} {mode} pc {pc:#x}: interrupt after a patch"),
            Self::EMULATED => write!(f, "{time} {mode} pc {pc:#x}: emulated {value:#010x}"),
            cause if cause >> 63 != 0 => {
                write!(
                    f,
                    "{time} {mode} pc {pc:#x}: host interrupt {}",
                    cause & 0xff
                )
            }
            cause => write!(
                f,
                "{time} {mode} pc {pc:#x}: trap {cause}, stval {value:#x}"
            ),
        }
    }
}

/// The latest exits.
#[derive(Debug, Default)]
pub struct Exits {
    records: [ExitRecord; EXITS],
    count: usize,
}

impl Exits {
    /// Remembers one.
    pub fn push(&mut self, record: ExitRecord) {
        self.records[self.count % EXITS] = record;
        self.count += 1;
    }

    /// Those that are remembered, the oldest first.
    pub fn latest(&self) -> impl Iterator<Item = &ExitRecord> {
        let start = self.count.saturating_sub(EXITS);
        (start..self.count).map(|number| &self.records[number % EXITS])
    }
}
