//! The rules for judging a run, in typed form: the thresholds, and the limits within which the planned load counts as
//! offered. Created from the plan, stored in the result, and read by `report`, so that a result can be judged again
//! from its file.

use super::measurement::Measurement;
use super::operation::{Operation, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that determines the verdict except the measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rules {
    /// Thresholds, in the order of the scenario.
    pub thresholds: Vec<Rule>,
    /// Scenario file that the thresholds are from, if the result was judged again with those of another file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds_from: Option<String>,
    /// Limits within which the planned load counts as offered. `[validity]` overrides them.
    pub validity: Limits,
    /// Shortest timeout in the plan (`ack_timeout`, `send_by`, `connect_timeout`).
    pub shortest_timeout_us: u64,
    /// Shortest keep-alive in the plan; 0 if keep-alive is off in all fleets.
    pub shortest_keep_alive_us: u64,
}

/// A threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// Operation that the threshold tests.
    pub metric: Operation,
    /// Phase in the threshold's key; null for all phases except warm-ups.
    pub phase: Option<String>,
    /// Fleet in the threshold's key; null for all fleets.
    pub fleet: Option<String>,
    /// True for `fault:none` in the threshold's key: it covers only operations that no fault on the generator's side affected.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_faults: bool,
    /// Expression, as written in the scenario.
    pub expression: String,
    /// Comparison.
    pub test: Test,
    /// With `abort = true`: the earliest time, since the start of the run, at which a decided failure ends the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_from_us: Option<u64>,
    /// Line of the expression in the scenario file. Left out if it is from the command line, or from another file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

impl Rule {
    /// Returns true if the threshold covers operations that were due in the phase.
    #[must_use]
    pub fn covers(&self, measurement: &Measurement, phase: &str) -> bool {
        match &self.phase {
            Some(named) => named == phase,
            None => !measurement.is_warmup(phase),
        }
    }
}

/// Returns the key of a threshold as written in a scenario: `telemetry{phase:steady,fleet:meter}`.
#[must_use]
pub fn threshold_label(
    metric: &str,
    phase: Option<&str>,
    fleet: Option<&str>,
    without_faults: bool,
) -> String {
    let selectors = [("phase", phase), ("fleet", fleet), ("fault", without_faults.then_some("none"))];
    let selectors: Vec<String> =
        selectors.into_iter().filter_map(|(key, name)| Some(format!("{key}:{}", name?))).collect();
    if selectors.is_empty() { metric.to_owned() } else { format!("{metric}{{{}}}", selectors.join(",")) }
}

/// The comparison of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Test {
    /// `p(99) < 500ms`, `med < 20ms`. Failures count as slower than the limit.
    Percentile {
        /// Quantile: 0.99 for `p(99)`.
        quantile: f64,
        /// Operator: `<` or `<=`.
        compare: Compare,
        /// Limit.
        limit_us: u64,
    },
    /// `avg < 20ms`. Failures count as slower than the limit, so a single failure makes the threshold fail.
    Mean {
        /// Operator: `<` or `<=`.
        compare: Compare,
        /// Limit.
        limit_us: u64,
    },
    /// `max < 2s`. Failures count as slower than the limit.
    Max {
        /// Operator: `<` or `<=`.
        compare: Compare,
        /// Limit.
        limit_us: u64,
    },
    /// `rate(ok) > 99.9%`: the share of due operations with an outcome.
    Rate {
        /// Outcome.
        outcome: Outcome,
        /// Operator: any.
        compare: Compare,
        /// Limit, as a fraction of 1.
        limit: f64,
    },
    /// `count(lost) == 0`: the number of operations with an outcome.
    Count {
        /// Outcome.
        outcome: Outcome,
        /// Operator: any.
        compare: Compare,
        /// Limit.
        limit: u64,
    },
    /// `recovery(99%) < 60s`: the time from a disturbance until a share of the planned devices is online again, for 2 s.
    Recovery {
        /// Share, as a fraction of 1.
        share: f64,
        /// Operator: `<` or `<=`.
        compare: Compare,
        /// Limit.
        limit_us: u64,
    },
}

impl Test {
    /// Returns the limit, if this tests latencies of operations.
    #[must_use]
    pub fn latency_limit_us(&self) -> Option<u64> {
        match *self {
            Test::Percentile { limit_us, .. } | Test::Mean { limit_us, .. } | Test::Max { limit_us, .. } => {
                Some(limit_us)
            }
            Test::Rate { .. } | Test::Count { .. } | Test::Recovery { .. } => None,
        }
    }

    /// Returns the operator.
    #[must_use]
    pub fn compare(&self) -> Compare {
        match *self {
            Test::Percentile { compare, .. }
            | Test::Mean { compare, .. }
            | Test::Max { compare, .. }
            | Test::Rate { compare, .. }
            | Test::Count { compare, .. }
            | Test::Recovery { compare, .. } => compare,
        }
    }
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Compare {
    /// `<`
    #[serde(rename = "<")]
    Less,
    /// `<=`
    #[serde(rename = "<=")]
    LessOrEqual,
    /// `>`
    #[serde(rename = ">")]
    Greater,
    /// `>=`
    #[serde(rename = ">=")]
    GreaterOrEqual,
    /// `==`
    #[serde(rename = "==")]
    Equal,
    /// `!=`
    #[serde(rename = "!=")]
    NotEqual,
}

/// Limits within which the planned load counts as offered. `[validity]` overrides them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// An operation is late if the load generator delays its start by more than this, unless a latency limit is
    /// stricter.
    pub late_after_us: u64,
    /// Maximum share of late operations.
    pub late_share: f64,
    /// Minimum share of due operations that were sent or held back by the target.
    pub sent_share: f64,
    /// A second in which a worker was busy for more than this share counts as a stall.
    pub busy_share: f64,
    /// Maximum share of the response and think time in a closed loop that the load generator's own delay may make up.
    pub closed_loop_share: f64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            late_after_us: 100_000,
            late_share: 0.001,
            sent_share: 0.98,
            busy_share: 0.95,
            closed_loop_share: 0.02,
        }
    }
}
