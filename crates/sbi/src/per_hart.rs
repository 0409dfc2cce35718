//! What the SBI keeps for each hart.

use crate::features::Features;
use crate::pmu::Pmu;
use crate::steal_time::StealTime;

/// The state of the extensions that are configured hart by hart. A hart has the default state when
/// it starts, for the first time or again.
#[derive(Clone, Debug, Default)]
pub struct PerHart {
    /// "Performance Monitoring Unit Extension".
    pub pmu: Pmu,
    /// "Steal-time Accounting Extension".
    pub steal_time: StealTime,
    /// "SBI Firmware Features Extension".
    pub(crate) features: Features,
}
