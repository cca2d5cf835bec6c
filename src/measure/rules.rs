//! What a run is judged by, in typed form: thresholds, and when the load counts as really offered. Made from the plan, stored in the
//! result, read by `report`, so that a result can be judged again from its file.

use super::measurement::Measurement;
use super::operation::{Operation, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that the verdict needs besides the measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rules {
    /// The thresholds of the scenario, in its order.
    pub thresholds: Vec<Rule>,
    /// When the load counts as really offered.
    pub validity: Limits,
    /// The shortest of the plan's timeouts (`ack_timeout`, `send_by`, `connect_timeout`).
    pub shortest_timeout_us: u64,
    /// The shortest keep-alive of the plan; 0 when all are off.
    pub shortest_keep_alive_us: u64,
}

/// A threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// Which operation it reads.
    pub metric: Operation,
    /// The phase it names; without one it covers all phases but warm-ups.
    pub phase: Option<String>,
    /// The fleet it names.
    pub fleet: Option<String>,
    /// As written in the scenario.
    pub expression: String,
    /// What is compared.
    pub test: Test,
    /// With `abort = true`: from when on, since the run's zero, a decisive fail ends the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_from_us: Option<u64>,
}

impl Rule {
    /// Whether it reads what was due in that phase.
    #[must_use]
    pub fn covers(&self, measurement: &Measurement, phase: &str) -> bool {
        match &self.phase {
            Some(named) => named == phase,
            None => !measurement.is_warmup(phase),
        }
    }
}

/// Returns the key of a threshold as a scenario has it: `telemetry{phase:steady,fleet:meter}`.
#[must_use]
pub fn threshold_label(metric: &str, phase: Option<&str>, fleet: Option<&str>) -> String {
    let selectors = [("phase", phase), ("fleet", fleet)];
    let selectors: Vec<String> =
        selectors.into_iter().filter_map(|(key, name)| Some(format!("{key}:{}", name?))).collect();
    if selectors.is_empty() { metric.to_owned() } else { format!("{metric}{{{}}}", selectors.join(",")) }
}

/// What a threshold compares.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Test {
    /// `p(99) < 500ms`, `med < 20ms`: failures count as slower than the limit.
    Percentile {
        /// 0.99 for `p(99)`.
        quantile: f64,
        /// `<` or `<=`.
        compare: Compare,
        /// The limit.
        limit_us: u64,
    },
    /// `avg < 20ms`: failures count as slower than the limit, so that one of them is enough to fail it.
    Mean {
        /// `<` or `<=`.
        compare: Compare,
        /// The limit.
        limit_us: u64,
    },
    /// `max < 2s`: failures count as slower than the limit.
    Max {
        /// `<` or `<=`.
        compare: Compare,
        /// The limit.
        limit_us: u64,
    },
    /// `rate(ok) > 99.9%`: an outcome's share of what was due.
    Rate {
        /// Whose share.
        outcome: Outcome,
        /// Any comparison.
        compare: Compare,
        /// As a fraction of 1.
        limit: f64,
    },
    /// `count(lost) == 0`.
    Count {
        /// Whose count.
        outcome: Outcome,
        /// Any comparison.
        compare: Compare,
        /// The limit.
        limit: u64,
    },
}

impl Test {
    /// The limit of a test that reads latencies.
    #[must_use]
    pub fn latency_limit_us(&self) -> Option<u64> {
        match *self {
            Test::Percentile { limit_us, .. } | Test::Mean { limit_us, .. } | Test::Max { limit_us, .. } => {
                Some(limit_us)
            }
            Test::Rate { .. } | Test::Count { .. } => None,
        }
    }

    /// The comparison.
    #[must_use]
    pub fn compare(&self) -> Compare {
        match *self {
            Test::Percentile { compare, .. }
            | Test::Mean { compare, .. }
            | Test::Max { compare, .. }
            | Test::Rate { compare, .. }
            | Test::Count { compare, .. } => compare,
        }
    }
}

/// A comparison.
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

/// When the load counts as really offered; `[validity]` overrides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// An operation that starts later than this by the generator's own delay is late, unless a latency limit is stricter.
    pub late_after_us: u64,
    /// The share of operations that may be late.
    pub late_share: f64,
    /// The share of due operations that must have been sent, or held back by the target.
    pub sent_share: f64,
    /// A second in which a worker was busy for more than this share counts as a stall.
    pub busy_share: f64,
    /// Of closed loops: the largest share of response and think time that may be the generator's own delay.
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
