//! The extensions that there are. Probing and dispatch both ask here, so they cannot disagree.

use crate::base::IMPLEMENTATION_ID;
use crate::legacy::Legacy;
use sbi_spec::{base, dbcn, fwft, hsm, pmu, rfnc, spi, srst, sta, susp, time};

/// The extension of an SBI implementation is numbered by its implementation ID.
pub const EID_OWN: usize = 0x0a00_0000 | IMPLEMENTATION_ID as usize;
/// Its one function: the address behind the windows of this monitor and those below it, in the
/// widest paging mode of the harts.
pub const OWN_WINDOW_END: u64 = 0;

/// An extension that guests have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extension {
    /// "Base Extension".
    Base,
    /// "Timer Extension".
    Time,
    /// "IPI Extension".
    Ipi,
    /// "RFENCE Extension".
    Fence,
    /// "Hart State Management Extension".
    HartState,
    /// "System Reset Extension".
    Reset,
    /// "Performance Monitoring Unit Extension".
    Pmu,
    /// "Debug Console Extension".
    Console,
    /// "System Suspend Extension".
    Suspend,
    /// "Steal-time Accounting Extension".
    StealTime,
    /// "SBI Firmware Features Extension".
    Features,
    /// "Firmware Specific Extension Space": our own, for a monitor in a guest.
    Own,
    /// "Legacy Extensions": each function is an extension of its own.
    Legacy(Legacy),
}

impl Extension {
    /// The extension with this EID.
    #[must_use]
    pub fn from_id(id: u64) -> Option<Self> {
        Some(match usize::try_from(id).ok()? {
            base::EID_BASE => Self::Base,
            time::EID_TIME => Self::Time,
            spi::EID_SPI => Self::Ipi,
            rfnc::EID_RFNC => Self::Fence,
            hsm::EID_HSM => Self::HartState,
            srst::EID_SRST => Self::Reset,
            pmu::EID_PMU => Self::Pmu,
            dbcn::EID_DBCN => Self::Console,
            susp::EID_SUSP => Self::Suspend,
            sta::EID_STA => Self::StealTime,
            fwft::EID_FWFT => Self::Features,
            EID_OWN => Self::Own,
            id => Self::Legacy(Legacy::from_id(id)?),
        })
    }
}
