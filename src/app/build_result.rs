//! Builds the model of the result file from the plan, the fleet's measurement and the built-in hub's report. Used by `run`. It reads the name
//! of this machine's processor, and writes nothing.

use super::limits;
use crate::emulator::{FaultStats, ShardHealth, ThrottleStats};
use crate::fleet::{self, Finished};
use crate::measure::{Latency, Limits, Measurement, Operation, Source};
use crate::plan::{FaultPlan, Plan, TargetKind};
use crate::policy::fault::Fault;
use crate::policy::network::Network;
use crate::report::{self, exit};
use crate::result::model::{self, EndedBy};
use crate::result::recoveries;
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
    /// Counts of the faults, in the order of the plan.
    pub(super) faults: Vec<FaultStats>,
}

/// Returns everything of a result that is known before the run, for its journal. `recovery` names the parts that the journal will lack.
pub(super) fn before(
    plan: &Plan,
    workers: usize,
    preflight_passed: bool,
    argv: &[String],
) -> model::RunResult {
    let (missing, breakdowns) = missing_from_journal(plan);
    let verified = plan.target.tls.as_ref().map(|tls| tls.verify);
    let tls = verified.map(|verified| model::Tls {
        version: String::new(),
        suite: String::new(),
        group: String::new(),
        verified,
    });
    let empty = fleet::collector(plan).measurement().clone();
    model::RunResult {
        schema: model::SCHEMA.to_owned(),
        tool: model::Tool::this_program(),
        run: model::Run {
            id: String::new(),
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
            started: String::new(),
            duration_us: 0,
            complete: false,
            ended_by: Some(EndedBy::Unknown),
            recovery: Some(model::Recovery { missing, ..model::Recovery::default() }),
            target: model::Target { preflight_passed, ..target(plan, tls) },
            host: host(),
        },
        verdict: model::Verdict {
            status: model::Status::Invalid,
            exit_code: exit::INVALID,
            reasons: Vec::new(),
            details: Vec::new(),
        },
        thresholds: Vec::new(),
        generator: model::Generator {
            workers: u32::try_from(workers).unwrap_or(u32::MAX),
            cpu_us: 0,
            cpu_peak_percent: 0.0,
            rss_peak_bytes: 0,
            fd_peak: 0,
            heartbeat: Latency::default(),
            lag: Latency::default(),
            late: 0,
        },
        emulator: None,
        totals: Vec::new(),
        recoveries: Vec::new(),
        measurement: Measurement { breakdowns, disturbances: plan.disturbances(), ..empty },
        limits: Vec::new(),
        faults: faults(plan),
        findings: Vec::new(),
        rules: Some(plan.rules()),
    }
}

/// Returns the faults of the built-in hub, in the order of the plan, then those of each fleet.
fn faults(plan: &Plan) -> Vec<model::Fault> {
    let fleet_faults = plan.fleets.iter().flat_map(|fleet| fleet.faults.iter().map(move |one| (fleet, one)));
    let fleet_faults = fleet_faults.map(|(fleet, one)| model::Fault {
        side: model::FaultSide::Fleet,
        share: one.share,
        fleet: Some(fleet.name.clone()),
        devices: fleet.affected(one),
        ..of_fault(&one.fault)
    });
    let fault = |FaultPlan { fault, share, fleet, devices, random }: &FaultPlan| {
        let fleet = fleet.and_then(|fleet| plan.fleets.get(usize::from(fleet)));
        model::Fault {
            share: *share,
            fleet: fleet.map(|fleet| fleet.name.clone()),
            devices: *devices,
            random: *random,
            ..of_fault(fault)
        }
    };
    plan.faults.iter().map(fault).chain(fleet_faults).collect()
}

/// Returns a fault of the built-in hub, without its devices.
fn of_fault(fault: &Fault) -> model::Fault {
    let Network { round_trip, jitter, up_bits_per_s, down_bits_per_s } = fault.network;
    let by = if round_trip.is_zero() { fault.by } else { round_trip };
    let limit = |bits_per_s: u64| (bits_per_s > 0).then_some(bits_per_s);
    model::Fault {
        side: model::FaultSide::Hub,
        kind: fault.kind.name().to_owned(),
        profile: fault.profile.map(|profile| profile.name.to_owned()),
        from_us: us(fault.at),
        to_us: us(fault.end()),
        share: 1.0,
        fleet: None,
        devices: 0,
        code: fault.kind.takes_code().then_some(fault.code),
        by_us: (!by.is_zero()).then_some(us(by)),
        jitter_us: (!jitter.is_zero()).then_some(us(jitter)),
        up_bits_per_s: limit(up_bits_per_s),
        down_bits_per_s: limit(down_bits_per_s),
        random: false,
        applied: None,
    }
}

/// Returns what a journal lacks, because only the end of a run provides it, and the part of it without which a verdict is impossible.
fn missing_from_journal(plan: &Plan) -> (Vec<String>, Vec<String>) {
    let tracked = plan.deliveries.tracks_any();
    let mut missing = vec!["everything after the last second of the journal".to_owned()];
    let mut breakdowns = Vec::new();
    if tracked {
        missing.push(
            "the reconciliation of deliveries, so copies that never arrived are not counted".to_owned(),
        );
    }
    if plan.hub_size().is_some() {
        missing.push("the use of the limits of the hub's tier".to_owned());
    }
    if plan.emulator.is_some() {
        missing.push("the counts, the CPU time and the stalls of the built-in hub".to_owned());
        breakdowns.push(
            "the stalls of the built-in hub are unknown, because it reports them at the end of the run"
                .to_owned(),
        );
    }
    if tracked && plan.rules().thresholds.iter().any(|rule| rule.metric == Operation::Deliver) {
        breakdowns
            .push("lost deliveries are unknown, because they are counted at the end of the run".to_owned());
    }
    (missing, breakdowns)
}

/// Sets the start of the run, since the Unix epoch, and the id that contains it.
pub(super) fn started(mut result: model::RunResult, unix: Duration) -> model::RunResult {
    result.run.started = rfc3339(unix);
    result.run.id = run_id(&result.run.scenario.file, &result.run.started);
    result
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
    let mut result = started(before(plan, workers, preflight_passed, argv), finished.started_unix);
    let mut throttle = None;
    if let Some(report) = emulator_report {
        add_shards(&mut finished, &report.shards);
        result.emulator = Some(report.emulator);
        throttle = report.throttle;
        for (fault, counted) in result.faults.iter_mut().zip(report.faults) {
            fault.applied = Some(counted.applied);
        }
    }
    let counted = finished.faults_applied.iter().flatten();
    let fleet_faults = result.faults.iter_mut().filter(|fault| fault.side == model::FaultSide::Fleet);
    fleet_faults.zip(counted).for_each(|(fault, applied)| fault.applied = Some(*applied));
    result.limits = limits::limits(plan, &finished, throttle.as_ref());
    let run = &mut result.run;
    (run.duration_us, run.complete) = (us(finished.ended), finished.complete);
    (run.ended_by, run.recovery) = (Some(ended_by), None);
    let verified = plan.target.tls.as_ref().is_some_and(|tls| tls.verify);
    run.target.tls = finished.tls.as_ref().map(|facts| model::Tls {
        version: facts.version.to_string(),
        suite: facts.suite.to_string(),
        group: facts.group.to_string(),
        verified,
    });
    result.generator = generator(&finished, workers);
    result.totals = model::operation_sums(&finished.measurement);
    result.recoveries = recoveries(&finished.measurement);
    result.measurement = finished.measurement;
    if let Some(judged) = report::judge_again(&result) {
        (result.verdict, result.thresholds, result.findings) =
            (judged.verdict, judged.thresholds, judged.findings);
    }
    result
}

/// Adds the stalls of the built-in hub to the measurement. The hub converts them to wall-clock times at the end of the run.
/// `zero_unix_at_end` is the start of the run, converted in the same way, so clock steps during the run cancel out.
pub(super) fn add_shards(finished: &mut Finished, shards: &[ShardHealth]) {
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

fn target(plan: &Plan, tls: Option<model::Tls>) -> model::Target {
    model::Target {
        kind: match plan.target.kind {
            TargetKind::IotHub => "iot-hub".to_owned(),
            TargetKind::Mqtt => "mqtt".to_owned(),
        },
        host: plan.target.host.clone(),
        port: plan.target.port,
        embedded: plan.emulator.is_some(),
        tls_wanted: plan.target.tls.is_some(),
        tls_resumption: plan.target.tls.as_ref().is_some_and(|tls| tls.resumption),
        tls,
        tier: limits::tier_name(plan),
        units: plan.hub_size().map(|size| size.units),
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
