//! The shape of `hubstorm.result.v1`. Version 1 only grows; readers ignore fields that they do not know.
//!
//! Durations are integers in microseconds, named `_us`, counted from the run's zero where they are instants.
//! Times are RFC 3339 UTC.

use crate::measure::{Latency, Measurement, Operation, Outcomes, Rules, Test};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of `schema` in a result file.
pub const SCHEMA: &str = "hubstorm.result.v1";

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// Always `hubstorm.result.v1`.
    pub schema: String,
    /// Which program wrote this.
    pub tool: Tool,
    /// What was run, where and when.
    pub run: Run,
    /// The answer.
    pub verdict: Verdict,
    /// What counted as good, and what was seen.
    pub thresholds: Vec<ThresholdResult>,
    /// The load generator's own health.
    pub generator: Generator,
    /// The built-in hub's cost and its own counts, when it was the target.
    pub emulator: Option<Emulator>,
    /// What was measured.
    #[serde(flatten)]
    pub measurement: Measurement,
    /// Operations over all fleets, and over all phases but warm-ups.
    #[serde(default)]
    pub totals: Vec<OperationSum>,
    /// What a reader should know besides the verdict.
    pub findings: Vec<Finding>,
    /// What the verdict was computed with; null in files of earlier versions, which cannot be judged again.
    #[serde(default)]
    pub rules: Option<Rules>,
}

/// In the file, the fields of the measurement are the result's own.
impl std::ops::Deref for RunResult {
    type Target = Measurement;

    fn deref(&self) -> &Measurement {
        &self.measurement
    }
}

/// One operation over all fleets, and over all phases but warm-ups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperationSum {
    /// The operation's name.
    pub operation: Operation,
    /// How many were due.
    pub due: u64,
    /// How each ended; outcomes that did not happen are left out.
    pub outcomes: Outcomes,
    /// The share of due operations that ended ok; null when nothing was due.
    pub rate_ok: Option<f64>,
    /// `acked - due` of ok operations.
    pub response: Latency,
    /// `acked - sent` of ok operations.
    pub service: Latency,
    /// `sent - picked`.
    pub wait: Latency,
    /// `picked - due`: the generator's lateness.
    pub lag: Latency,
}

/// Which program wrote a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// `hubstorm`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The commit it was built from, where known.
    pub git: Option<String>,
}

/// What was run, where and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// `{scenario}-{utc}`: also the file's name.
    pub id: String,
    /// The command line, without secrets.
    pub argv: Vec<String>,
    /// The scenario file.
    pub scenario: Scenario,
    /// `--set` overrides, as `key=value`.
    pub overrides: Vec<String>,
    /// The seed: same seed, same arrivals, same payloads.
    pub seed: u64,
    /// When the first phase began.
    pub started: String,
    /// From the first phase's begin to the end of the drain.
    pub duration_us: u64,
    /// False when the run was interrupted or broke down.
    pub complete: bool,
    /// What ended the run; null in files of earlier versions.
    #[serde(default)]
    pub ended_by: Option<EndedBy>,
    /// What was loaded.
    pub target: Target,
    /// The machine that made the load.
    pub host: Host,
}

/// What ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The plan was over.
    Plan,
    /// A person, or a signal.
    Interrupt,
    /// A threshold with `abort = true` had failed.
    Abort,
    /// Every device was offline for longer than `abort_when_unreachable`.
    Unreachable,
    /// A worker or the built-in hub ended before its time.
    Breakdown,
}

/// The scenario file of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scenario {
    /// Its `name`.
    pub name: String,
    /// Its path as given.
    pub file: String,
    /// SHA-256 of its text, in hex.
    pub sha256: String,
    /// SHA-256 of the load that it describes, in hex: of the resolved plan without target, seed, names, comments and thresholds.
    /// Results with the same one can be compared. Empty in files of earlier versions.
    #[serde(default)]
    pub plan_sha256: String,
    /// Its text; secrets stay as `${env.NAME}`.
    pub text: String,
}

/// What was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// `iot-hub` or `mqtt`.
    pub kind: String,
    /// The host name that was dialed.
    pub host: String,
    /// The port.
    pub port: u16,
    /// True when the built-in hub was the target.
    pub embedded: bool,
    /// Whether devices were to speak TLS.
    #[serde(default)]
    pub tls_wanted: bool,
    /// What TLS agreed on; null over plain TCP, and when no handshake succeeded.
    pub tls: Option<Tls>,
    /// True when devices sent a password over plain TCP.
    #[serde(default)]
    pub cleartext_password: bool,
    /// True when the preflight check connected a device of each fleet before the load.
    #[serde(default)]
    pub preflight_passed: bool,
}

/// What TLS agreed on, as seen on the first connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tls {
    /// `1.2` or `1.3`.
    pub version: String,
    /// The cipher suite.
    pub suite: String,
    /// The key-exchange group.
    pub group: String,
    /// False when certificate checks were turned off.
    pub verified: bool,
}

/// The machine that made the load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Operating system and architecture.
    pub os: String,
    /// The processor's name.
    pub cpu: String,
    /// Its cores, as this process may use them.
    pub cores: u32,
}

/// The answer to "may I rely on this, and is it good?".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every threshold passed.
    Pass,
    /// A threshold failed, whatever the load generator may have added.
    Fail,
    /// The load generator may have decided a threshold, or did not offer the load, or something broke down.
    Invalid,
}

/// The verdict and its reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// `pass`, `fail` or `invalid`.
    pub status: Status,
    /// What the process exited with.
    pub exit_code: u8,
    /// In words, each with its number.
    pub reasons: Vec<String>,
    /// The same, each with a stable code.
    #[serde(default)]
    pub details: Vec<Detail>,
}

/// A reason of the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Detail {
    /// A stable code, such as `threshold_failed`.
    pub code: String,
    /// In words, with its number.
    pub text: String,
    /// The phase that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The fleet that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<String>,
    /// The part of this machine that it is about: `worker-0`, `emulator-0` or `service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// How a threshold was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdStatus {
    /// It holds for every value that the target may have caused.
    Passed,
    /// It holds for none of them.
    Failed,
    /// The load generator may have decided it.
    Undecided,
    /// There are not enough samples, which fails.
    InsufficientSamples,
}

/// A threshold and what was observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdResult {
    /// The operation's name.
    pub metric: String,
    /// The expression as written, e.g. `p(99) < 500ms`.
    pub expression: String,
    /// The phase it names, if any.
    pub phase: Option<String>,
    /// The fleet it names, if any.
    pub fleet: Option<String>,
    /// The limit, in `unit`.
    pub limit: f64,
    /// `us`, `share` (a fraction of 1) or `count`.
    pub unit: String,
    /// What was observed, in `unit`; null when missing, or when it lies above every limit.
    pub observed: Option<f64>,
    /// The best value that the target may have caused, in `unit`: the observation without what the load generator may have added.
    /// Null when missing, or when it lies above every limit.
    #[serde(default)]
    pub observed_best: Option<f64>,
    /// The worst, which is the observation itself.
    #[serde(default)]
    pub observed_worst: Option<f64>,
    /// The observation in words: `312 ms`, `> 500 ms`, `not enough data (12 of 1,000 samples)`.
    pub observed_text: String,
    /// How far from the limit, as a share of it; positive is the good side. Null when not observed.
    pub margin: Option<f64>,
    /// Operations that it was computed from.
    pub samples: u64,
    /// Whether it passed.
    pub passed: bool,
    /// How it was decided; null in files of earlier versions.
    #[serde(default)]
    pub status: Option<ThresholdStatus>,
    /// What it compares, in typed form; null in files of earlier versions.
    #[serde(default)]
    pub test: Option<Test>,
}

/// The load generator's own health.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// Worker threads.
    pub workers: u32,
    /// CPU time of this process, user and system.
    pub cpu_us: u64,
    /// The busiest interval, in percent of one core.
    pub cpu_peak_percent: f64,
    /// Peak resident memory.
    pub rss_peak_bytes: u64,
    /// Peak of open file descriptors.
    pub fd_peak: u64,
    /// Lateness of a tick on every worker: every 2 ms while operations are open, every 10 ms otherwise.
    pub heartbeat: Latency,
    /// `picked - due` of every message.
    pub lag: Latency,
    /// Messages picked more than 100 ms late.
    pub late: u64,
}

/// The built-in hub's cost and its own counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Emulator {
    /// CPU time of its process.
    pub cpu_us: u64,
    /// Its peak resident memory.
    pub rss_peak_bytes: u64,
    /// CONNECTs it accepted.
    pub accepted: u64,
    /// CONNECTs it refused.
    pub refused: u64,
    /// Telemetry messages it took.
    pub telemetry: u64,
    /// Connections it closed because their device connected again.
    #[serde(default)]
    pub taken_over: u64,
    /// Connections it closed because their token ran out.
    #[serde(default)]
    pub expired: u64,
    /// Connections it dropped because the device broke a rule, silence included.
    #[serde(default)]
    pub protocol_errors: u64,
    /// Connections that did not get through TLS.
    #[serde(default)]
    pub tls_failed: u64,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Look at this before you rely on the numbers.
    Warning,
}

/// What a reader should know besides the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// In words.
    pub text: String,
    /// The number it rests on.
    pub evidence: String,
}
