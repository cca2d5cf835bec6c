//! The contents of a result file, `hubstorm.result.v1`. Filled by `app`, read by `report`. Later releases only
//! add to version 1; readers ignore unknown fields.
//!
//! Durations are integers in microseconds whose names end in `_us`. Times within the run are measured from the
//! start of the run; dates are RFC 3339 in UTC.

pub use super::fault::{Fault, FaultSide};
use super::recoveries::StormRecovery;
use crate::measure::{Latency, Measurement, Operation, Outcomes, Rules, Test};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of `schema` in a result file.
pub const SCHEMA: &str = "hubstorm.result.v1";

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// Always `hubstorm.result.v1`.
    pub schema: String,
    /// Program that wrote this file.
    pub tool: Tool,
    /// The run: scenario, target, machine and time.
    pub run: Run,
    /// Verdict.
    pub verdict: Verdict,
    /// Thresholds and the observed values.
    pub thresholds: Vec<ThresholdResult>,
    /// Resource use and lag of the load generator.
    pub generator: Generator,
    /// Resource use and counters of the built-in hub; null if it was not the target.
    pub emulator: Option<Emulator>,
    /// Measurement.
    #[serde(flatten)]
    pub measurement: Measurement,
    /// Operations over all fleets, and over all phases except warm-ups.
    #[serde(default)]
    pub totals: Vec<OperationSum>,
    /// Recovery from each of the `disturbances`: over all fleets, and for each fleet if there are several. Empty in files from earlier
    /// versions.
    #[serde(default)]
    pub recoveries: Vec<StormRecovery>,
    /// Use of each limit of the hub's tier. Empty without a tier, in recovered results, and in files from earlier versions.
    #[serde(default)]
    pub limits: Vec<LimitUse>,
    /// Faults that the scenario asked for, on the built-in hub and then on the side of the devices. Empty in files from earlier versions.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Findings: facts that a reader should know in addition to the verdict.
    pub findings: Vec<Finding>,
    /// Rules for the verdict. Null in files from earlier versions, whose verdict cannot be computed again.
    #[serde(default)]
    pub rules: Option<Rules>,
}

/// The file has the fields of the measurement directly in the result, so they are accessible in the same way here.
impl std::ops::Deref for RunResult {
    type Target = Measurement;

    fn deref(&self) -> &Measurement {
        &self.measurement
    }
}

/// One operation over all fleets, and over all phases except warm-ups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperationSum {
    /// Name of the operation.
    pub operation: Operation,
    /// Number of due operations.
    pub due: u64,
    /// Number of operations by outcome. Outcomes without operations are left out.
    pub outcomes: Outcomes,
    /// Share of due operations that ended ok; null if none was due.
    pub rate_ok: Option<f64>,
    /// `acked - due` of ok operations.
    #[serde(default)]
    pub response: Latency,
    /// `acked - sent` of ok operations.
    #[serde(default)]
    pub service: Latency,
    /// `sent - picked`.
    #[serde(default)]
    pub wait: Latency,
    /// `picked - due`: the load generator's own lag.
    #[serde(default)]
    pub lag: Latency,
}

/// Returns the totals of each operation that had due operations, over all fleets and all phases except warm-ups.
#[must_use]
pub fn operation_sums(measurement: &Measurement) -> Vec<OperationSum> {
    let sum = |operation: Operation| {
        let sum = measurement.sum(|part| part.operation == operation && !measurement.is_warmup(&part.phase));
        (sum.due > 0).then(|| OperationSum {
            operation,
            due: sum.due,
            outcomes: sum.outcomes,
            rate_ok: sum.rate_ok(),
            response: sum.response,
            service: sum.service,
            wait: sum.wait,
            lag: sum.lag,
        })
    };
    Operation::ALL.into_iter().filter_map(sum).collect()
}

/// The program that wrote a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// `hubstorm`.
    pub name: String,
    /// Version.
    pub version: String,
    /// Commit that hubstorm was built from, if known.
    pub git: Option<String>,
}

impl Tool {
    /// Returns the running program.
    #[must_use]
    pub fn this_program() -> Tool {
        Tool {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git: option_env!("HUBSTORM_GIT").map(str::to_owned), // set by build.rs
        }
    }
}

/// The run: scenario, target, machine and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// `{scenario}-{utc}`, which is also the file's name.
    pub id: String,
    /// Command line, without secrets.
    pub argv: Vec<String>,
    /// Scenario file.
    pub scenario: Scenario,
    /// Differences from the scenario file: `--set` overrides as `key=value`, then `--fleet` and `--duration` with their effect.
    pub overrides: Vec<String>,
    /// Seed. The same seed gives the same arrivals and payloads.
    pub seed: u64,
    /// Start of the first phase.
    pub started: String,
    /// Duration from the start of the first phase to the end of the drain.
    pub duration_us: u64,
    /// False if the run was interrupted, or if a worker or the built-in hub stopped early.
    pub complete: bool,
    /// Reason why the run ended. Null in files from earlier versions.
    #[serde(default)]
    pub ended_by: Option<EndedBy>,
    /// How the result was recovered from a journal. Left out if the run itself wrote its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// Target of the load.
    pub target: Target,
    /// Machine that generated the load.
    pub host: Host,
}

/// The reason why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The end of the plan.
    Plan,
    /// A person or a signal.
    Interrupt,
    /// A failed threshold with `abort = true`.
    Abort,
    /// All devices were offline for longer than `abort_when_unreachable`.
    Unreachable,
    /// A worker or the built-in hub stopped early.
    Breakdown,
    /// Unknown, because the run wrote no result: hubstorm was killed, the machine lost power, or the run is still in progress. The
    /// result was recovered from the journal.
    Unknown,
}

impl EndedBy {
    /// Returns true if a rule of the scenario ended the run, so that it measured only a part of the load.
    #[must_use]
    pub fn is_early(self) -> bool {
        matches!(self, EndedBy::Abort | EndedBy::Unreachable)
    }
}

/// How a result was recovered from the journal of a run that wrote no result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recovery {
    /// End of the last second in the journal, since the start of the run. Later operations are missing.
    pub until_us: u64,
    /// Parts of a result that only the end of a run provides, and that are therefore missing.
    pub missing: Vec<String>,
    /// Number of bytes at the end of the journal that could not be used, because a record is cut off or damaged.
    pub ignored_bytes: u64,
}

/// The scenario file of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scenario {
    /// Value of `name` in the scenario.
    pub name: String,
    /// Path, as specified on the command line.
    pub file: String,
    /// SHA-256 of the text, in hex.
    pub sha256: String,
    /// SHA-256 of the load that the scenario describes, in hex: the resolved plan without target, seed, names, comments
    /// and thresholds. Results with the same value can be compared. Empty in files from earlier versions.
    #[serde(default)]
    pub plan_sha256: String,
    /// Text of the file. Secrets stay as `${env.NAME}`.
    pub text: String,
}

/// The target of the load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// `iot-hub` or `mqtt`.
    pub kind: String,
    /// Host name that devices connected to.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// True if the target was the built-in hub.
    pub embedded: bool,
    /// True if the plan uses TLS.
    #[serde(default)]
    pub tls_wanted: bool,
    /// True if devices resume their TLS sessions.
    #[serde(default)]
    pub tls_resumption: bool,
    /// Negotiated TLS parameters; null over plain TCP, and if no handshake succeeded.
    pub tls: Option<Tls>,
    /// Tier of the IoT hub, such as `S1`; `unlimited` for a built-in hub without a tier. Null if it is not known, and in files from earlier
    /// versions.
    #[serde(default)]
    pub tier: Option<String>,
    /// Number of units of the tier. Null if it is not known or the tier is `unlimited`.
    #[serde(default)]
    pub units: Option<u32>,
    /// True if devices sent a password over plain TCP.
    #[serde(default)]
    pub cleartext_password: bool,
    /// True if the preflight check connected one device of each fleet before the load.
    #[serde(default)]
    pub preflight_passed: bool,
}

/// Negotiated TLS parameters of the first connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tls {
    /// `1.2` or `1.3`.
    pub version: String,
    /// Cipher suite.
    pub suite: String,
    /// Key-exchange group.
    pub group: String,
    /// False if certificate checks were off.
    pub verified: bool,
}

/// The machine that generated the load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Operating system and architecture.
    pub os: String,
    /// Name of the processor.
    pub cpu: String,
    /// Number of cores that this process may use.
    pub cores: u32,
}

/// The verdict in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every threshold passed.
    Pass,
    /// A threshold failed, even without the delay that the load generator may have added.
    Fail,
    /// Delays in the load generator may have changed the outcome of a threshold, the planned load was not sent, or part of the
    /// run failed.
    Invalid,
}

/// The verdict and its reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Status: `pass`, `fail` or `invalid`.
    pub status: Status,
    /// Exit code of the process.
    pub exit_code: u8,
    /// Reasons as text, each with the relevant number.
    pub reasons: Vec<String>,
    /// The same reasons, each with a stable code.
    #[serde(default)]
    pub details: Vec<Detail>,
}

/// A reason for the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Detail {
    /// Stable code, such as `threshold_failed`.
    pub code: String,
    /// Text of the reason, with the relevant number.
    pub text: String,
    /// Phase that the reason concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Fleet that the reason concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<String>,
    /// Part of this machine that the reason concerns: `worker-0`, `emulator-0` or `service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// The outcome of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdStatus {
    /// The threshold passes for every value that the target may have caused.
    Passed,
    /// The threshold fails for every value that the target may have caused.
    Failed,
    /// Delays in the load generator may have changed the outcome of the threshold.
    Undecided,
    /// There are too few samples, so the threshold fails.
    InsufficientSamples,
}

/// A threshold and its observed value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdResult {
    /// Name of the operation.
    pub metric: String,
    /// Expression as written, such as `p(99) < 500ms`.
    pub expression: String,
    /// Phase that the threshold names, if any.
    pub phase: Option<String>,
    /// Fleet that the threshold names, if any.
    pub fleet: Option<String>,
    /// True if the threshold covers only operations that no fault on the generator's side affected (`fault:none`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_faults: bool,
    /// Limit, in `unit`.
    pub limit: f64,
    /// Unit: `us`, `share` (a fraction of 1) or `count`.
    pub unit: String,
    /// Observed value, in `unit`. Null if it is missing or above every limit.
    pub observed: Option<f64>,
    /// Best value that the target may have caused, in `unit`: the observed value without the delay that the load
    /// generator may have added. Null if it is missing or above every limit.
    #[serde(default)]
    pub observed_best: Option<f64>,
    /// Worst value that the target may have caused, which is the observed value.
    #[serde(default)]
    pub observed_worst: Option<f64>,
    /// Observed value in words: `312 ms`, `> 500 ms`, `not enough data (12 of 1,000 samples)`.
    pub observed_text: String,
    /// Distance from the limit, as a share of it; positive if the threshold passed. Null if nothing was observed.
    pub margin: Option<f64>,
    /// Number of operations that the value was computed from.
    pub samples: u64,
    /// True if the threshold passed.
    pub passed: bool,
    /// Outcome of the threshold. Null in files from earlier versions.
    #[serde(default)]
    pub status: Option<ThresholdStatus>,
    /// Comparison, in typed form. Null in files from earlier versions.
    #[serde(default)]
    pub test: Option<Test>,
    /// Line of the expression in the scenario file. Left out for thresholds from the command line and for the implicit ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

/// Resource use and lag of the load generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// Number of worker threads.
    pub workers: u32,
    /// CPU time of this process, user and system.
    pub cpu_us: u64,
    /// CPU usage in the busiest interval, as a percentage of one core.
    pub cpu_peak_percent: f64,
    /// Peak resident memory.
    pub rss_peak_bytes: u64,
    /// Peak number of open file descriptors.
    pub fd_peak: u64,
    /// Lag of each worker's heartbeat. A heartbeat is due every 2 ms while operations are in progress, and every
    /// 10 ms otherwise.
    #[serde(default)]
    pub heartbeat: Latency,
    /// `picked - due` of all messages.
    #[serde(default)]
    pub lag: Latency,
    /// Number of messages that the load generator started more than 100 ms late.
    pub late: u64,
}

/// Resource use and counters of the built-in hub; null if it was not the target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Emulator {
    /// CPU time of the hub's process.
    pub cpu_us: u64,
    /// Peak resident memory of the hub's process.
    pub rss_peak_bytes: u64,
    /// Number of accepted CONNECT packets.
    pub accepted: u64,
    /// Number of refused CONNECT packets.
    pub refused: u64,
    /// Number of received telemetry messages.
    pub telemetry: u64,
    /// Number of connections closed because their device connected again.
    #[serde(default)]
    pub taken_over: u64,
    /// Number of connections closed because their token expired.
    #[serde(default)]
    pub expired: u64,
    /// Number of connections closed because the device violated the protocol, including its keep-alive.
    #[serde(default)]
    pub protocol_errors: u64,
    /// Number of connections whose TLS handshake failed.
    #[serde(default)]
    pub tls_failed: u64,
}

/// The use of a limit of the hub's tier (Azure: "IoT Hub quotas and throttling").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LimitUse {
    /// Class of operations: `connections`, `d2c`, `c2d`, `twin_reads`, `twin_updates`, `methods`, or `messages_per_day` for the daily quota.
    pub class: String,
    /// Limit, in `unit`.
    pub limit: f64,
    /// Unit: `msg/s`, `KiB/s` or `msg/day`.
    pub unit: String,
    /// Highest offered load, in `unit`: the operations that were due in the busiest second, or in the busiest batch if batches are longer than
    /// a second. For the daily quota: billed and refused messages, for 24 hours at the average rate of the run. For hubs other than the
    /// built-in one, the billed messages are computed from the sizes in the plan.
    pub offered_peak: f64,
    /// Highest load in a row of the series that ended ok, in `unit`.
    pub admitted_peak: f64,
    /// `offered_peak` divided by `limit`.
    pub share: f64,
    /// Number of operations that the built-in hub acknowledged late because of the limit; null for other hubs.
    pub delayed: Option<u64>,
    /// Number of operations that the built-in hub refused because of the limit; null for other hubs.
    pub rejected: Option<u64>,
    /// Time at which the built-in hub first delayed or refused something because of the limit; null if it did not.
    #[serde(default)]
    pub first_us: Option<u64>,
    /// Load that was offered at that time, in `unit`.
    #[serde(default)]
    pub offered_at_first: Option<f64>,
}

/// The importance of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Information.
    Note,
    /// Check this before relying on the numbers.
    Warning,
}

/// A fact that a reader should know in addition to the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Severity.
    pub severity: Severity,
    /// Text of the finding.
    pub text: String,
    /// Evidence, with the relevant number.
    pub evidence: String,
}
