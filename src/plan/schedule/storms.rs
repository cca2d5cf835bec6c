//! The `disconnect` and the `churn` of a phase, as data. Used by `phases`, `disconnects` and `churn`.

use crate::policy::disconnect::Disconnect;
use std::time::Duration;

/// The `disconnect` of a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DisconnectPlan {
    /// Share of the devices that are online at the start of the phase, as a fraction of 1.
    pub share: f64,
    /// How the devices end their connections.
    pub how: Disconnect,
    /// Time over which the disconnects are spread evenly, from the start of the phase.
    pub over: Duration,
}

/// The `churn` of a phase: a Poisson process for each device while it is online.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChurnPlan {
    /// How often an online device leaves, per second.
    pub rate_hz: f64,
    /// How the device ends its connection.
    pub how: Disconnect,
    /// How long the device stays away.
    pub away: Duration,
}

impl ChurnPlan {
    /// Returns the share of the devices that is away once as many devices return as leave.
    #[must_use]
    pub fn away_share(&self) -> f64 {
        let away = self.rate_hz * self.away.as_secs_f64();
        away / (1.0 + away)
    }
}
