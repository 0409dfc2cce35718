//! The line of statistics that the monitor prints at power-off.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the line of statistics begins with.
pub const PREFIX: &str = "patchvisor: stats ";
/// What each of the monitor's error lines begins with.
pub const ERROR: &str = "patchvisor: error: ";
/// What its last line begins with, before the status, when the firmware has not powered the board off.
pub const ENDED: &str = "patchvisor: all has ended with status ";

/// What one VM did until it powered off. Fields that are not known here are kept in `extra`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Stats {
    /// The VM's name.
    pub vm: String,
    /// How privileged instructions were served, see [`bundle::Mode`].
    pub mode: String,
    /// Privileged instructions executed.
    pub privileged: u64,
    /// Those of them that a patch served.
    pub patched: u64,
    /// Sites patched.
    pub sites: u64,
    /// Routines made.
    pub routines: u64,
    /// The same for each kind, such as `csr sstatus` or `sret`.
    pub by_kind: BTreeMap<String, Kind>,
    /// Whatever else the monitor reported.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

/// One kind of privileged instruction.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Kind {
    /// How often it was executed.
    pub executed: u64,
    /// How often a patch served it.
    pub patched: u64,
    /// Instructions of the monitor for one that a patch serves, from break to return.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_instructions: Option<u64>,
    /// Whatever else the monitor reported.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

impl Stats {
    /// Reads what follows [`PREFIX`].
    ///
    /// # Errors
    /// When it is not an object, or a known field has another type.
    pub fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json.trim())
            .with_context(|| format!("the monitor's statistics cannot be read: {json}"))
    }

    /// The share of privileged instructions that a patch served; 0 if there were none.
    pub fn patched_share(&self) -> f64 {
        share(self.patched, self.privileged)
    }
}

impl Kind {
    /// The share that a patch served; 0 if there were none.
    pub fn patched_share(&self) -> f64 {
        share(self.patched, self.executed)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_kept() {
        let stats = Stats::parse(
            r#"{"vm":"debian","mode":"break","privileged":200,"patched":199,"sites":3,"routines":2,
               "by_kind":{"csr sstatus":{"executed":100,"patched":99,"gate_instructions":21,"ns":5}},
               "shadow":{"fills":7}}"#,
        )
        .unwrap();
        assert_eq!(stats.patched_share(), 0.995);
        let kind = &stats.by_kind["csr sstatus"];
        assert_eq!(kind.gate_instructions, Some(21));
        assert_eq!(kind.patched_share(), 0.99);
        assert_eq!(kind.extra["ns"], 5);
        assert_eq!(stats.extra["shadow"]["fills"], 7);
    }

    #[test]
    fn missing_fields_count_as_nothing() {
        let stats = Stats::parse(r#"{"mode":"trap","privileged":5}"#).unwrap();
        assert_eq!((stats.patched, stats.patched_share()), (0, 0.0));
        assert_eq!(Stats::default().patched_share(), 0.0);
    }

    #[test]
    fn a_line_that_is_no_object_is_an_error() {
        assert!(Stats::parse("").is_err());
        assert!(Stats::parse("[]").is_err());
        assert!(Stats::parse(r#"{"privileged":"many"}"#).is_err());
    }
}
