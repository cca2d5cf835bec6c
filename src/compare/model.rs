//! The contents of a comparison, `hubstorm.compare.v1`. Filled by [`compare`](super::compare); `app` and `report` render it.
//! Later releases only add to version 1; readers ignore unknown fields.
//!
//! Values are in the metric's `unit`. Changes, tolerances and intervals are positive if the new side is worse.

use crate::measure::{Operation, threshold_label};
use crate::result::model::{Host, Status, Target, Tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of `schema` in a comparison.
pub const SCHEMA: &str = "hubstorm.compare.v1";

/// The comparison of one or more new results with one or more base results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Always `hubstorm.compare.v1`.
    pub schema: String,
    /// Program that made the comparison.
    pub tool: Tool,
    /// Outcome over all metrics.
    pub outcome: Outcome,
    /// Exit code of `hubstorm compare`: 0, 120, 121 or 122. Without a base, the exit code of the new result's run.
    pub exit_code: u8,
    /// Outcome in one sentence, without a final period.
    pub summary: String,
    /// Base results, oldest first.
    pub base: Vec<ComparedRun>,
    /// New results, oldest first. Usually one.
    pub new: Vec<ComparedRun>,
    /// Settings of the comparison.
    pub settings: Settings,
    /// Metrics, in the order of the command line or of the thresholds.
    pub metrics: Vec<Metric>,
    /// Facts that a reader should know, most important first.
    pub notes: Vec<Note>,
}

/// The outcome of a metric or of the whole comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The new side is worse than the base by more than the tolerance.
    Regressed,
    /// The new side is not worse than the base by more than the tolerance.
    SameOrBetter,
    /// The data does not decide.
    Inconclusive,
    /// One of the results is invalid, so nothing was compared. Only for the whole comparison.
    Invalid,
    /// There is no base result yet, so nothing was compared. Only for the whole comparison.
    NoBase,
}

impl Outcome {
    /// Returns the outcome in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Outcome::Regressed => "regressed",
            Outcome::SameOrBetter => "same or better",
            Outcome::Inconclusive => "inconclusive",
            Outcome::Invalid => "invalid",
            Outcome::NoBase => "no base",
        }
    }
}

/// A result that takes part in the comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparedRun {
    /// Path of the result file.
    pub file: String,
    /// `run.id` of the result.
    pub id: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Start of the run, RFC 3339 in UTC.
    pub started: String,
    /// Status of the run's verdict.
    pub status: Status,
    /// Program that ran the load.
    pub tool: Tool,
    /// Machine that generated the load.
    pub host: Host,
    /// Target of the load.
    pub target: Target,
}

/// The settings of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// Probability of a false `regressed` over all metrics together.
    pub alpha: f64,
    /// Default tolerance for ratios, as a fraction of 1.
    pub tolerance: f64,
    /// Changes of a latency by up to this are within the tolerance, whatever the ratio.
    pub floor_us: u64,
    /// Tolerance for the difference of two shares, as a fraction of 1.
    pub error_tolerance: f64,
    /// Assumed standard deviation between two runs, as a fraction of the latency. Only used for one run each.
    pub noise: f64,
    /// True with `--force`: results of other machines or versions can be `regressed` or `same_or_better`.
    pub forced: bool,
}

/// The comparison of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Operation.
    pub operation: Operation,
    /// Phase, if the metric names one; otherwise all phases except warm-ups.
    pub phase: Option<String>,
    /// Fleet, if the metric names one; otherwise all fleets.
    pub fleet: Option<String>,
    /// Aggregation, as written in thresholds: `p(99)`, `med`, `avg`, `max`, `rate(ok)`, `count(lost)`; or `achieved`, the ok
    /// operations per second.
    pub aggregation: String,
    /// Unit of `base` and `new`: `us`, `share` (a fraction of 1), `count` or `per_s`.
    pub unit: String,
    /// True if a higher value is better.
    pub higher_is_better: bool,
    /// Base value; the geometric mean (for shares and counts the mean) of several results. Null if it is missing or beyond the range.
    pub base: Option<f64>,
    /// New value, likewise.
    pub new: Option<f64>,
    /// Meaning of `change`, `low`, `high` and `tolerance`.
    pub effect: Effect,
    /// Observed change, positive if the new side is worse. Null if it is unknown.
    pub change: Option<f64>,
    /// Lower end of the change: a one-sided 95% bound. Null if it is unknown or has no limit.
    pub low: Option<f64>,
    /// Upper end of the change: a one-sided 95% bound. Null if it is unknown or has no limit.
    pub high: Option<f64>,
    /// Largest change that is not a regression, with the floor applied.
    pub tolerance: f64,
    /// Probability of an observation at least as bad if the change were exactly the tolerance, adjusted for the number of metrics
    /// (Holm). Null if nothing was tested.
    pub p_adjusted: Option<f64>,
    /// Outcome.
    pub outcome: Outcome,
    /// Statistical method.
    pub method: Method,
    /// Number of operations on the base side.
    pub base_samples: u64,
    /// Number of operations on the new side.
    pub new_samples: u64,
    /// Number of further runs that would probably settle an inconclusive metric. Null if runs do not help, or if it is settled.
    pub more_runs: Option<u64>,
    /// Reasons for the outcome, as sentences without a final period.
    pub reasons: Vec<String>,
}

impl Metric {
    /// Returns the name of the metric as written in `--metric`: `telemetry{phase:steady} p(99)`.
    #[must_use]
    pub fn name(&self) -> String {
        let (phase, fleet) = (self.phase.as_deref(), self.fleet.as_deref());
        let label = threshold_label(self.operation.name(), phase, fleet, false);
        format!("{label} {}", self.aggregation)
    }
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Relative change: 0.1 is 10% worse. For latencies and failures new/base - 1, for rates and for ok operations base/new - 1.
    Ratio,
    /// Difference of failure shares: 0.001 is 0.1 percentage points worse.
    Difference,
}

/// The statistical method for a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// One run each: block bootstrap over the batches of both runs.
    BlockBootstrap,
    /// Conditional exact test of two counts, with the dispersion between batches.
    ConditionalExact,
    /// Interval of the difference of two shares (Newcombe), with the dispersion between batches.
    ShareDifference,
    /// At least five base results: prediction interval of Student's t distribution.
    PredictionInterval,
    /// At least five base and three new results: exact Mann-Whitney test and Hodges-Lehmann shift.
    MannWhitney,
    /// Nothing was tested. `reasons` say why.
    None,
}

/// A fact about the comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// Stable code, such as `one_run_each` or `other_machine`.
    pub code: String,
    /// Text.
    pub text: String,
}

/// Returns the JSON Schema of a comparison, as `hubstorm schema compare` prints it.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Comparison);
    schema.insert("title".to_owned(), SCHEMA.into());
    schema.to_value()
}
