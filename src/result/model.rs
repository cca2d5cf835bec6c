//! The shape of `hubstorm.result.v1`. Version 1 only grows; readers ignore fields that they do not know.
//!
//! Durations are integers in microseconds, named `_us`, counted from the run's zero where they are instants.
//! Times are RFC 3339 UTC.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Totals by fleet.
    pub fleets: Vec<Fleet>,
    /// The phases as they were applied.
    pub phases: Vec<Phase>,
    /// Outcomes and latencies by operation, fleet and phase.
    pub operations: Vec<OperationResult>,
    /// What became of messages that the run published for its own subscribers, by `[[fleet.NAME.send]]`; what was not tracked
    /// is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<Stream>,
    /// The run over time.
    pub series: Series,
    /// Errors by class.
    pub errors: Vec<ErrorCount>,
    /// What a reader should know besides the verdict.
    pub findings: Vec<Finding>,
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
    /// False when the run was interrupted.
    pub complete: bool,
    /// What was loaded.
    pub target: Target,
    /// The machine that made the load.
    pub host: Host,
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
    /// Its text; secrets stay as `${env.NAME}`.
    pub text: String,
}

/// What was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// `iot-hub` or `mqtt`.
    pub kind: String,
    /// The host name that was dialled.
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
    /// Every threshold held.
    Pass,
    /// A threshold was crossed.
    Fail,
    /// The generator was late or failed, or the built-in hub died: no latency may be read as the hub's.
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
    /// The observation in words: `312 ms`, `> 500 ms`, `not enough data (12 of 1,000 samples)`.
    pub observed_text: String,
    /// How far from the limit, as a share of it; positive is the good side. Null when not observed.
    pub margin: Option<f64>,
    /// Operations that it was computed from.
    pub samples: u64,
    /// Whether it held.
    pub passed: bool,
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
    /// Lateness of a 10 ms tick on every worker.
    pub heartbeat: Histogram,
    /// `picked - due` of every message.
    pub lag: Histogram,
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

/// Totals of a fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fleet {
    /// Its name in the scenario.
    pub name: String,
    /// How many devices it has.
    pub devices: u64,
    /// The most that were online at once.
    pub connected_peak: u64,
    /// Connections made after a loss, or because a method asked for it.
    pub reconnects: u64,
    /// Connections made to renew a token.
    pub renewals: u64,
    /// Messages sent again after a reconnect.
    pub resent: u64,
    /// Acks that came after their timeout.
    pub late_acks: u64,
    /// Tracked messages that had arrived before.
    #[serde(default)]
    pub duplicates: u64,
    /// Tracked messages that arrived after a later one of their stream.
    #[serde(default)]
    pub reordered: u64,
    /// Messages that arrived and are not measured: without a stamp of this run, retained, or not subscribed to.
    #[serde(default)]
    pub foreign: u64,
    /// MQTT bytes sent, before TLS.
    pub bytes_sent: u64,
    /// MQTT bytes received, after TLS.
    pub bytes_received: u64,
    /// What its IoT hub sent, as far as it is no operation; left out when there was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_hub: Option<FromHub>,
}

/// What an IoT hub sent to a fleet, as far as it is no operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FromHub {
    /// Answers to twin requests that had ended before: timed out, lost, or answered once already.
    pub late_answers: u64,
    /// Answers to twin requests that nobody made.
    pub unknown_answers: u64,
    /// Changes of desired properties.
    pub desired: u64,
    /// Of those, with a version that the device already had.
    pub desired_stale: u64,
    /// Versions of desired properties that a device never saw: a later one came.
    pub desired_missed: u64,
    /// Methods that were not answered, because the scenario says so.
    pub methods_unanswered: u64,
    /// Methods that the scenario does not name.
    pub methods_unknown: u64,
    /// Cloud-to-device messages.
    pub c2d: u64,
    /// Of those, without the instant at which they were sent: they have no age.
    pub c2d_unstamped: u64,
    /// Of those with a number, such that had come before.
    pub c2d_duplicates: u64,
    /// Numbers that were missing when a later one came.
    pub c2d_skipped: u64,
    /// Of those, such that came after all.
    pub c2d_reordered: u64,
    /// Messages that no hub sends, or that cannot be read.
    pub unreadable: u64,
}

/// What became of the copies of one stream's messages that were to reach subscribers of the same run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stream {
    /// The fleet that sends it.
    pub fleet: String,
    /// Which of its streams, from 0.
    pub send: u64,
    /// Its topic, as in the scenario.
    pub topic: String,
    /// Copies that arrived, each counted once.
    pub ok: u64,
    /// Copies that were to arrive and did not.
    pub lost: u64,
    /// Copies of what had arrived before.
    pub duplicates: u64,
    /// Of `ok`, those that a later one of their stream had overtaken.
    pub reordered: u64,
}

/// A phase as it was applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// Its name in the scenario.
    pub name: String,
    /// True leaves it out of thresholds that name no phase.
    pub warmup: bool,
    /// Its begin.
    pub start_us: u64,
    /// Its end; of an interrupted run, where it was cut.
    pub end_us: u64,
    /// Planned connected share at its begin and end, as fractions of 1.
    pub planned_online: [f64; 2],
    /// Planned load factor at its begin and end.
    pub planned_load: [f64; 2],
}

/// Outcomes and latencies of one operation, fleet and phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperationResult {
    /// The operation's name.
    pub operation: String,
    /// The fleet.
    pub fleet: String,
    /// The phase in which it was due.
    pub phase: String,
    /// How many were due.
    pub due: u64,
    /// How each ended; the sum equals `due`. Outcomes that did not happen are left out.
    pub outcomes: BTreeMap<String, u64>,
    /// True for QoS 0: `ok` means flushed, no ack exists.
    pub no_ack: bool,
    /// True for a closed loop: each message was due only once the one before had ended, so the response times are not
    /// corrected for what was not sent meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed_loop: bool,
    /// `acked - due` of ok operations: the headline.
    pub response: Histogram,
    /// `acked - sent` of ok operations: what the hub took.
    pub service: Histogram,
    /// `sent - picked`: window full, back-pressure, offline against the plan.
    pub wait: Histogram,
    /// `picked - due`: the generator's lateness.
    pub lag: Histogram,
    /// The age of what was still open at the end.
    pub unfinished_age: Histogram,
}

/// A latency distribution. Empty: `count` 0 and null figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Histogram {
    /// Samples.
    pub count: u64,
    /// The smallest.
    pub min_us: Option<u64>,
    /// The arithmetic mean.
    pub mean_us: Option<f64>,
    /// The standard deviation.
    pub stdev_us: Option<f64>,
    /// The median.
    pub p50_us: Option<u64>,
    /// 90% were at or below.
    pub p90_us: Option<u64>,
    /// 95% were at or below.
    pub p95_us: Option<u64>,
    /// 99% were at or below.
    pub p99_us: Option<u64>,
    /// 99.9% were at or below.
    pub p999_us: Option<u64>,
    /// 99.99% were at or below.
    pub p9999_us: Option<u64>,
    /// The largest.
    pub max_us: Option<u64>,
    /// All of it: HdrHistogram V2, deflated, base64. Null when empty.
    pub hdr: Option<String>,
}

/// The run over time, in rows of equal length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// The length of a row; doubled whenever the rows grow past 600.
    pub interval_us: u64,
    /// At most 600.
    pub rows: Vec<Row>,
}

/// One interval of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its begin.
    pub t_us: u64,
    /// Devices online at its end.
    pub online: u64,
    /// Devices that the plan wanted online at its end.
    pub planned_online: u64,
    /// Messages due in it.
    pub offered: u64,
    /// Messages acked in it.
    pub achieved: u64,
    /// Operations of any kind that ended otherwise than ok in it.
    pub errors: u64,
    /// CPU of the generator, in percent of one core; where it was not read, as in what is left of the last row, that of the
    /// row before.
    pub cpu_percent: f64,
    /// The worst `picked - due` in it.
    pub lag_max_us: u64,
    /// Response time of what was acked in it, by operation; two digits.
    pub response: BTreeMap<String, RowHistogram>,
}

/// A small histogram of one row and operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RowHistogram {
    /// Samples.
    pub count: u64,
    /// The median.
    pub p50_us: u64,
    /// 99% were at or below.
    pub p99_us: u64,
    /// 99.9% were at or below.
    pub p999_us: u64,
    /// The largest.
    pub max_us: u64,
    /// All of it, to two digits.
    pub hdr: String,
}

/// Errors of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorCount {
    /// A stable name: `connack_5`, `closed_by_peer`, `ack_stall`.
    pub class: String,
    /// `peer`, `network` or `us`.
    pub culprit: String,
    /// How often.
    pub count: u64,
    /// The first.
    pub first_us: u64,
    /// The last.
    pub last_us: u64,
    /// One of them in words.
    pub example: String,
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
