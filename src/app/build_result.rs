//! Builds the model of the result file from the plan, the fleet's measurement and the built-in hub's report. Used by `run`. It reads the name
//! of this machine's processor, and writes nothing.

use super::limits;
use crate::emulator::{ShardHealth, ThrottleStats};
use crate::fleet::Finished;
use crate::measure::{Latency, Limits, Source};
use crate::plan::{Plan, TargetKind};
use crate::report::{JudgeInput, TargetFacts, judge};
use crate::result::model::{self, EndedBy};
use crate::stalls::StallEntry;
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::Duration;

/// The report of the built-in hub at the end of the run.
#[derive(Debug)]
pub(super) struct EmulatorReport {
    /// Counts, CPU time and memory.
    pub(super) emulator: model::Emulator,
    /// Stalls and busy share of each shard.
    pub(super) shards: Vec<ShardHealth>,
    /// Counts of the throttles and of the quota, if the hub has a tier.
    pub(super) throttle: Option<ThrottleStats>,
}

/// Judges the run and returns its result.
pub(super) fn result(
    plan: &Plan,
    mut finished: Finished,
    ended_by: EndedBy,
    emulator_report: Option<EmulatorReport>,
    workers: usize,
    preflight_passed: bool,
    argv: &[String],
) -> model::RunResult {
    let rules = plan.rules();
    let (emulator, throttle) = match emulator_report {
        Some(EmulatorReport { emulator, shards, throttle }) => {
            add_shards(&mut finished, &shards);
            (Some(emulator), throttle)
        }
        None => (None, None),
    };
    let limits = limits::limits(plan, &finished, throttle.as_ref());
    let target = model::Target { preflight_passed, ..target(plan, &finished) };
    let judged = judge(&JudgeInput {
        measurement: &finished.measurement,
        rules: &rules,
        ended_by,
        emulator: emulator.as_ref(),
        target: TargetFacts::of(&target),
        limits: &limits,
    });
    let started = rfc3339(finished.started_unix);
    model::RunResult {
        schema: model::SCHEMA.to_owned(),
        tool: model::Tool {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git: option_env!("HUBSTORM_GIT").map(str::to_owned),
        },
        run: model::Run {
            id: run_id(&plan.source.file, &started),
            argv: argv.to_vec(),
            scenario: model::Scenario {
                name: plan.name.clone(),
                file: plan.source.file.clone(),
                sha256: plan.source.sha256.clone(),
                plan_sha256: plan.fingerprint(),
                text: plan.source.text.clone(),
            },
            overrides: plan.source.overrides.clone(),
            seed: plan.seed,
            started,
            duration_us: us(finished.ended),
            complete: finished.complete,
            ended_by: Some(ended_by),
            target,
            host: host(),
        },
        verdict: judged.verdict,
        thresholds: judged.thresholds,
        generator: generator(&finished, workers),
        emulator,
        totals: model::operation_sums(&finished.measurement),
        measurement: finished.measurement,
        limits,
        findings: judged.findings,
        rules: Some(rules),
    }
}

/// Adds the stalls of the built-in hub to the measurement. The hub converts them to wall-clock times at the end of the run.
/// `zero_unix_at_end` is the start of the run, converted in the same way, so clock steps during the run cancel out.
fn add_shards(finished: &mut Finished, shards: &[ShardHealth]) {
    let zero_us = us(finished.zero_unix_at_end);
    for (number, shard) in (0_u16..).zip(shards) {
        for entry in shard.stalls.iter().filter(|entry| entry.to_us > zero_us) {
            let from_us = entry.from_us.saturating_sub(zero_us);
            let entry = StallEntry { from_us, to_us: entry.to_us - zero_us, ..*entry };
            finished.measurement.add_stall(Source::Emulator(number), entry);
        }
        for phase in finished.measurement.phases.clone() {
            let health = finished.measurement.health_mut(Source::Emulator(number), &phase.name);
            health.busy_share = Some(shard.busy_share);
        }
    }
}

fn target(plan: &Plan, finished: &Finished) -> model::Target {
    let verified = plan.target.tls.as_ref().is_some_and(|tls| tls.verify);
    model::Target {
        kind: match plan.target.kind {
            TargetKind::IotHub => "iot-hub".to_owned(),
            TargetKind::Mqtt => "mqtt".to_owned(),
        },
        host: plan.target.host.clone(),
        port: plan.target.port,
        embedded: plan.emulator.is_some(),
        tls_wanted: plan.target.tls.is_some(),
        tls: finished.tls.as_ref().map(|facts| model::Tls {
            version: facts.version.to_string(),
            suite: facts.suite.to_string(),
            group: facts.group.to_string(),
            verified,
        }),
        tier: limits::tier_name(plan),
        units: limits::size(plan).map(|size| size.units),
        cleartext_password: super::plan_warnings::cleartext_password(plan).is_some(),
        preflight_passed: false,
    }
}

fn host() -> model::Host {
    model::Host {
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu: super::machine::processor().unwrap_or_else(|| "unknown".to_owned()),
        cores: std::thread::available_parallelism()
            .map_or(1, |cores| u32::try_from(usize::from(cores)).unwrap_or(u32::MAX)),
    }
}

/// Describes the load generator. `late` counts the messages whose lag exceeds the default limit of the verdict.
fn generator(finished: &Finished, workers: usize) -> model::Generator {
    let mut lag = Latency::default();
    for part in finished.measurement.operations.iter().filter(|part| part.operation.is_message()) {
        lag.add(&part.totals.lag);
    }
    model::Generator {
        workers: u32::try_from(workers).unwrap_or(u32::MAX),
        cpu_us: finished.usage.cpu_us,
        cpu_peak_percent: finished.usage.cpu_peak_percent,
        rss_peak_bytes: finished.usage.rss_peak_bytes,
        fd_peak: finished.usage.fd_peak,
        heartbeat: finished.heartbeat.clone(),
        late: lag.count_above(Limits::default().late_after_us),
        lag,
    }
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn rfc3339(unix: Duration) -> String {
    let micros = i64::try_from(unix.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// Returns the id of a run, which is also the name of its result file: the name of the scenario file and the start time.
fn run_id(file: &str, started: &str) -> String {
    let stem =
        PathBuf::from(file).file_stem().map_or("run".into(), |stem| stem.to_string_lossy().into_owned());
    let stamp: String = started.chars().take(19).filter(|c| c.is_ascii_alphanumeric()).collect();
    format!("{stem}-{stamp}Z")
}
