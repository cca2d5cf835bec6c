//! The contents of a capacity result, `hubstorm.capacity.v1`. Filled by `app`; read by `report`, and by `app` to resume a search or to
//! compare two of them. Later releases only add to version 1; readers ignore unknown fields.
//!
//! Durations are integers in microseconds whose names end in `_us`. Dates are RFC 3339 in UTC.

use super::backlog::BacklogGrowth;
use super::search::TrialVerdict;
use crate::result::model::{Host, Scenario, Target, ThresholdResult, Tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of `schema` in a capacity result.
pub const SCHEMA: &str = "hubstorm.capacity.v1";

/// Returns the JSON Schema of a capacity result.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(CapacityResult);
    schema.insert("title".to_owned(), SCHEMA.into());
    schema.to_value()
}

/// The result of a search for capacity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityResult {
    /// Always `hubstorm.capacity.v1`.
    pub schema: String,
    /// Program that wrote this file.
    pub tool: Tool,
    /// The run: scenario, target, machine and time.
    pub run: SearchRun,
    /// The range of the search and its rules.
    pub search: SearchSettings,
    /// The answer.
    pub answer: CapacityAnswer,
    /// The answer of each criterion alone: of each threshold, and of the backlog.
    pub criteria: Vec<CriterionAnswer>,
    /// Offered and achieved messages for each level, from the lowest.
    pub curve: Vec<CurvePoint>,
    /// Trials in the order in which they ran.
    pub trials: Vec<Trial>,
    /// Outcomes of `--assert`.
    pub assertions: Vec<AssertionResult>,
    /// Facts that a reader should know besides the answer.
    pub notes: Vec<String>,
}

/// The run of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchRun {
    /// `{scenario}-capacity-{utc}`, which is also the file's name.
    pub id: String,
    /// Command line, without secrets.
    pub argv: Vec<String>,
    /// Scenario.
    pub scenario: Scenario,
    /// Overrides of the scenario.
    pub overrides: Vec<String>,
    /// Seed.
    pub seed: u64,
    /// Start.
    pub started: String,
    /// Duration, without that of a resumed search.
    pub duration_us: u64,
    /// System under test.
    pub target: Target,
    /// Machine of the load generator.
    pub host: Host,
    /// Number of worker threads.
    pub workers: u32,
    /// Failures that broke the measurement, such as the end of a worker or of the built-in hub.
    pub breakdowns: Vec<String>,
}

/// What a search varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Vary {
    /// The load of the phase.
    Load,
    /// The number of devices.
    Devices,
}

/// The settings of a search. A search can only be resumed with the same settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchSettings {
    /// The quantity that differs between levels.
    pub vary: Vary,
    /// Name of the searched phase.
    pub phase: String,
    /// Lowest level.
    pub from: Level,
    /// Highest level.
    pub to: Level,
    /// The level of the scenario: the phase's own load, and the scenario's devices. Null in results of earlier versions.
    #[serde(default)]
    pub whole: Option<Level>,
    /// The search ends when the interval is at most this share of its upper bound.
    pub width: f64,
    /// Duration of a trial, without the idle time before it.
    pub hold_us: u64,
    /// The part of `hold_us`, or the time before it, in which the load settles before it is judged.
    pub settle_us: u64,
    /// Length of the judged part of a trial.
    pub judged_us: u64,
    /// Number of trials after which a level counts as decided if they agree.
    pub confirm: u32,
    /// Whether the burst allowance of the hub was used up before each trial.
    pub exhaust_burst: bool,
    /// Thresholds that every trial was judged by, as in the scenario.
    pub thresholds: Vec<String>,
}

impl SearchSettings {
    /// Returns the level of the scenario: 100%.
    #[must_use]
    pub fn whole(&self) -> u64 {
        self.whole.map_or(1_000_000, |whole| whole.level)
    }
}

/// A level of a search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Level {
    /// The level: millionths of the phase's load, or devices.
    pub level: u64,
    /// Planned messages per second of all fleets.
    pub per_s: f64,
    /// Number of devices.
    pub devices: u64,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The interval is narrow enough.
    Width,
    /// The highest level is good: the capacity is at least that.
    HighestGood,
    /// The lowest level is bad: the capacity is below it.
    LowestBad,
    /// The load generator was the limit: the capacity may be higher.
    Generator,
    /// A level could not be decided.
    Undecided,
    /// After the search, trials were judged differently, and the others do not prove bounds.
    JudgedAgain,
    /// `--max-time` was used up.
    Time,
    /// `--max-messages` was used up.
    Messages,
    /// The daily message quota of the hub was used up.
    Quota,
    /// Ctrl-C.
    Interrupted,
    /// A worker or the built-in hub failed.
    Breakdown,
}

impl EndReason {
    /// Returns true if the verdicts of the trials ended the search.
    #[must_use]
    pub fn is_by_the_trials(self) -> bool {
        matches!(
            self,
            EndReason::Width
                | EndReason::HighestGood
                | EndReason::LowestBad
                | EndReason::Generator
                | EndReason::Undecided
                | EndReason::JudgedAgain
        )
    }
}

/// What bound the capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// A threshold failed.
    Threshold,
    /// The backlog grew.
    Backlog,
    /// Devices did not come online.
    Offline,
    /// The load generator.
    Generator,
    /// The daily message quota of the hub.
    Quota,
    /// The searched range.
    Range,
}

/// The answer of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityAnswer {
    /// The highest level that is known to be good; null if it is unknown.
    pub lower: Option<Level>,
    /// The lowest level that is known to be bad; null if it is unknown.
    pub upper: Option<Level>,
    /// Why the search ended.
    pub end: EndReason,
    /// What bound the capacity; null if the search ended too early to know.
    pub bound_by: Option<Bound>,
    /// What bound the capacity, in words, with the evidence of the trial at the upper bound.
    pub reason: String,
    /// Messages per second that ended ok at the lower bound: the median of its trials.
    pub throughput_per_s: Option<f64>,
    /// Exit code.
    pub exit_code: u8,
}

/// The answer of one criterion, as if it were the only one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CriterionAnswer {
    /// The threshold, such as `telemetry p(99) < 500ms`, or `backlog`.
    pub criterion: String,
    /// The highest level at which it is known to pass; null if it is unknown.
    pub lower: Option<Level>,
    /// The lowest level at which it is known to fail; null if it is unknown.
    pub upper: Option<Level>,
}

/// All trials of a level together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurvePoint {
    /// Level.
    pub level: Level,
    /// Number of trials by verdict.
    pub good: u32,
    /// Number of bad trials.
    pub bad: u32,
    /// Number of undecided trials.
    pub undecided: u32,
    /// Number of void trials.
    pub void: u32,
    /// Due messages per second: the median of the trials.
    pub offered_per_s: f64,
    /// Messages per second that ended ok: the median of the trials.
    pub achieved_per_s: f64,
    /// Response time p50 of messages: the median of the trials. Null if no message ended ok.
    pub p50_us: Option<u64>,
    /// Response time p99 of messages.
    pub p99_us: Option<u64>,
    /// Share of due messages that did not end ok: the median of the trials.
    pub error_share: f64,
}

/// A trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// Number, from 1.
    pub number: u32,
    /// Level.
    pub level: Level,
    /// Verdict.
    pub verdict: Verdict,
    /// Reason in words; empty for a good trial.
    pub reason: String,
    /// What a bad or void trial was bound by; null for the others.
    pub bound_by: Option<Bound>,
    /// Start of the judged part, since the start of the run.
    pub start_us: u64,
    /// Length of the judged part. Shorter if the trial ended early.
    pub duration_us: u64,
    /// Whether the trial ended early, because it had failed already.
    pub cut: bool,
    /// Whether the trial is from the resumed search.
    pub resumed: bool,
    /// Due messages.
    pub due: u64,
    /// Messages that ended ok.
    pub ok: u64,
    /// Due messages per second.
    pub offered_per_s: f64,
    /// Messages per second that ended ok in this time, whenever they were due.
    pub achieved_per_s: f64,
    /// Response time p50 of messages that ended ok; null without such messages.
    pub p50_us: Option<u64>,
    /// Response time p99 of messages that ended ok; null without such messages.
    pub p99_us: Option<u64>,
    /// Share of due messages that did not end ok.
    pub error_share: f64,
    /// Growth of the backlog; null if it was not tested, because the trial is too short or has too few messages.
    pub backlog: Option<BacklogGrowth>,
    /// Thresholds, evaluated on this trial.
    pub thresholds: Vec<ThresholdResult>,
}

/// The verdict on a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The target kept up.
    Good,
    /// A threshold failed, the backlog grew, or devices were not online.
    Bad,
    /// The measurement does not decide.
    Undecided,
    /// The load generator or the daily quota was the limit: the trial says nothing about the target.
    Void,
}

impl From<Verdict> for TrialVerdict {
    fn from(verdict: Verdict) -> TrialVerdict {
        match verdict {
            Verdict::Good => TrialVerdict::Good,
            Verdict::Bad => TrialVerdict::Bad,
            Verdict::Undecided => TrialVerdict::Undecided,
            Verdict::Void => TrialVerdict::Void,
        }
    }
}

/// The outcome of an assertion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AssertionResult {
    /// As written: `capacity >= 4000/s`.
    pub text: String,
    /// Status.
    pub status: AssertionStatus,
    /// Reason in words.
    pub reason: String,
}

/// Whether an assertion is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssertionStatus {
    /// True.
    Passed,
    /// False.
    Failed,
    /// The limit is between the bounds.
    Inconclusive,
    /// The load generator was the limit below it.
    Generator,
}

#[cfg(test)]
pub(crate) mod testing;
