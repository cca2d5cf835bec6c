//! The facts about the target that findings depend on. Created by `app` and by
//! [`judge_again`](crate::report::judge_again).

use crate::iothub::limits::Tier;
use crate::iothub::throttles::HubSize;
use crate::result::model;

/// Facts about the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetFacts {
    /// Whether the target is an IoT hub, not a plain broker.
    pub is_hub: bool,
    /// Whether devices use TLS.
    pub tls_wanted: bool,
    /// Whether devices resume their TLS sessions.
    pub tls_resumption: bool,
    /// Whether devices sent a password over plain TCP.
    pub cleartext_password: bool,
    /// Tier and units of the IoT hub, if known.
    pub size: Option<HubSize>,
    /// Whether the built-in hub reported that it reached a limit of its tier. Findings then need not guess why it closed connections.
    pub reached_limit: bool,
    /// Whether faults of the scenario closed connections. Findings then need not guess why connections ended.
    pub faults_closed: bool,
    /// Whether a device of each fleet connected before the load.
    pub preflight_passed: bool,
}

impl TargetFacts {
    /// Reads the facts from a result file.
    #[must_use]
    pub fn of(result: &model::RunResult) -> TargetFacts {
        let target = &result.run.target;
        TargetFacts {
            is_hub: target.kind == "iot-hub",
            tls_wanted: target.tls_wanted,
            tls_resumption: target.tls_resumption,
            cleartext_password: target.cleartext_password,
            preflight_passed: target.preflight_passed,
            size: size(target),
            reached_limit: false,
            faults_closed: result.faults.iter().any(closes),
        }
    }
}

/// The kinds of faults with which a hub closes connections.
const CLOSING: [&str; 5] = ["close", "reset", "disable-device", "quota-exhausted", "certificate-change"];

/// Returns whether a fault closed connections. A hub that does not count its faults may have.
fn closes(fault: &model::Fault) -> bool {
    fault.side == model::FaultSide::Hub && fault.applied != Some(0) && CLOSING.contains(&fault.kind.as_str())
}

/// Returns the tier and the units of the target, if they are known.
pub(in crate::report) fn size(target: &model::Target) -> Option<HubSize> {
    Some(HubSize { tier: Tier::from_name(target.tier.as_deref()?)?, units: target.units? })
}
