//! What the findings need to know about the target. Made by `app` and [`judge_again`](crate::report::judge_again).

use crate::result::model;

/// What findings need to know about the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetFacts {
    /// It is an IoT hub, not a plain broker.
    pub is_hub: bool,
    /// Devices use TLS.
    pub tls_wanted: bool,
    /// Devices sent a password over plain TCP.
    pub cleartext_password: bool,
    /// A device of each fleet connected before the load.
    pub preflight_passed: bool,
}

impl TargetFacts {
    /// Reads them from a result file's target.
    #[must_use]
    pub fn of(target: &model::Target) -> TargetFacts {
        TargetFacts {
            is_hub: target.kind == "iot-hub",
            tls_wanted: target.tls_wanted,
            cleartext_password: target.cleartext_password,
            preflight_passed: target.preflight_passed,
        }
    }
}
