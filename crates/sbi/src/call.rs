//! A call's registers, and what becomes of it.

use crate::hart_state::Start;
use crate::machine::Fault;
use sbi_spec::binary as number;

/// The registers of a call (chapter "Binary Encoding").
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Call {
    /// `a7`: the extension, EID.
    pub extension: u64,
    /// `a6`: the function in it, FID.
    pub function: u64,
    /// `a0` to `a5`.
    pub arguments: [u64; 6],
}

/// What the hart does after a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Outcome {
    /// It goes on after the `ecall`.
    Return {
        /// For `a0`: 0 or an [`Error`]'s code.
        error: i64,
        /// For `a1`.
        value: u64,
    },
    /// It goes on after the `ecall`, with `a1` as it was.
    LegacyReturn {
        /// For `a0`.
        a0: i64,
    },
    /// It waits until it "receives an interrupt": until one that `sie` enables is pending, or until
    /// another hart sends it one, whether `sie` enables it or not. Then it goes on after the `ecall`
    /// with 0 in `a0` and `a1`, or, if there is a `resume`, there.
    Suspend {
        /// Where a non-retentive suspension ends.
        resume: Option<Start>,
    },
    /// It waits as for [`Outcome::Suspend`], and all of the VM with it, as its other harts are
    /// stopped. Until it resumes nothing is written to the guest's memory, steal time neither.
    SystemSuspend {
        /// Where it goes on.
        resume: Start,
    },
    /// It does not go on: the hart was stopped or the VM ends or begins again.
    Stop,
    /// It takes this exception at the `ecall`.
    Fault(Fault),
}

/// The errors of chapter "Binary Encoding" that a guest can get here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// `SBI_ERR_FAILED`.
    Failed,
    /// `SBI_ERR_NOT_SUPPORTED`.
    NotSupported,
    /// `SBI_ERR_INVALID_PARAM`.
    InvalidParameter,
    /// `SBI_ERR_DENIED`.
    Denied,
    /// `SBI_ERR_INVALID_ADDRESS`.
    InvalidAddress,
    /// `SBI_ERR_ALREADY_AVAILABLE`.
    AlreadyAvailable,
    /// `SBI_ERR_ALREADY_STARTED`.
    AlreadyStarted,
    /// `SBI_ERR_ALREADY_STOPPED`.
    AlreadyStopped,
    /// `SBI_ERR_NO_SHMEM`.
    NoSharedMemory,
    /// `SBI_ERR_DENIED_LOCKED`.
    DeniedLocked,
}

impl Error {
    /// The number that the guest gets in `a0`.
    #[must_use]
    pub const fn code(self) -> i64 {
        (match self {
            Self::Failed => number::RET_ERR_FAILED,
            Self::NotSupported => number::RET_ERR_NOT_SUPPORTED,
            Self::InvalidParameter => number::RET_ERR_INVALID_PARAM,
            Self::Denied => number::RET_ERR_DENIED,
            Self::InvalidAddress => number::RET_ERR_INVALID_ADDRESS,
            Self::AlreadyAvailable => number::RET_ERR_ALREADY_AVAILABLE,
            Self::AlreadyStarted => number::RET_ERR_ALREADY_STARTED,
            Self::AlreadyStopped => number::RET_ERR_ALREADY_STOPPED,
            Self::NoSharedMemory => number::RET_ERR_NO_SHMEM,
            Self::DeniedLocked => number::RET_ERR_DENIED_LOCKED,
        }) as i64
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::Return {
            error: error.code(),
            value: 0,
        }
    }
}

impl From<Result<u64, Error>> for Outcome {
    fn from(result: Result<u64, Error>) -> Self {
        match result {
            Ok(value) => Self::Return { error: 0, value },
            Err(error) => error.into(),
        }
    }
}
