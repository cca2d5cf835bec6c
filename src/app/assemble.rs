//! From what the fleet measured to the result file's model: the one place that knows the plan, the fleet and the
//! result alike. Called by `run`; pure but for what it reads about this machine.

use super::outcome::run_id;
use crate::fleet::{Finished, StreamTotals};
use crate::plan::{Plan, TargetKind};
use crate::report::verdict::{self, Judge, PhaseName};
use crate::result::{self, Names, model};
use jiff::Timestamp;
use std::time::Duration;

/// The whole result of a run; `interrupted` by a person, which is one way of not being complete.
pub(super) fn result(
    plan: &Plan,
    finished: Finished,
    interrupted: bool,
    emulator: Option<model::Emulator>,
    workers: usize,
    argv: &[String],
) -> model::RunResult {
    let names = Names {
        fleets: plan.fleets.iter().map(|fleet| fleet.name.clone()).collect(),
        phases: plan.schedule.phases().iter().map(|phase| phase.name.clone()).collect(),
    };
    let devices: Vec<u64> = plan.fleets.iter().map(|fleet| u64::from(fleet.devices)).collect();
    let measurement = &finished.measurement;
    let phase_names: Vec<PhaseName<'_>> = plan
        .schedule
        .phases()
        .iter()
        .map(|phase| PhaseName { name: &phase.name, warmup: phase.warmup })
        .collect();
    let judged = verdict::judge(&Judge {
        thresholds: &plan.thresholds,
        validity: &plan.validity,
        measurement,
        phases: &phase_names,
        fleets: &plan.fleets.iter().map(|fleet| fleet.name.as_str()).collect::<Vec<_>>(),
        devices: devices.iter().sum(),
        complete: !interrupted,
        environment: &finished.environment,
    });
    let mut findings = judged.findings;
    findings.extend(super::check::password_in_clear(plan).map(|text| model::Finding {
        severity: model::Severity::Warning,
        text,
        evidence: "password over plain TCP".to_owned(),
    }));
    findings.extend(emulator.as_ref().and_then(|hub| counts_disagree(hub, measurement)));
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
                text: plan.source.text.clone(),
            },
            overrides: plan.source.overrides.clone(),
            seed: plan.seed,
            started,
            duration_us: us(finished.ended),
            complete: finished.complete,
            target: target(plan, &finished),
            host: host(),
        },
        verdict: judged.verdict,
        thresholds: judged.thresholds,
        generator: generator(&finished, workers),
        emulator,
        fleets: result::fleets(measurement, &names, &devices),
        phases: phases(plan, finished.load_ended),
        operations: result::operations(measurement, &names),
        streams: streams(plan, &finished.streams),
        series: result::series(measurement),
        errors: result::errors(measurement),
        findings,
    }
}

/// The tracked streams, in the order of the plan.
fn streams(plan: &Plan, totals: &[StreamTotals]) -> Vec<model::Stream> {
    let fleets = plan.fleets.iter().zip(0_u16..);
    let sends = fleets
        .flat_map(|(fleet, number)| fleet.sends.iter().zip(0_u16..).map(move |send| (fleet, number, send)));
    let known = sends.zip(totals);
    known
        .filter(|((_, number, (_, stream)), _)| plan.deliveries.is_tracked(*number, *stream))
        .map(|((fleet, _, (send, stream)), totals)| model::Stream {
            fleet: fleet.name.clone(),
            send: stream.into(),
            topic: send.topic.to_string(),
            ok: totals.ok,
            lost: totals.lost,
            duplicates: totals.duplicates,
            reordered: totals.reordered,
        })
        .collect()
}

/// Two processes counted the same messages: when they disagree, a reader has to know.
fn counts_disagree(
    hub: &model::Emulator,
    measurement: &crate::measure::Measurement,
) -> Option<model::Finding> {
    let acked: u64 = measurement
        .keys()
        .filter(|key| key.operation == crate::measure::Operation::Telemetry)
        .filter_map(|key| measurement.totals(key))
        .map(|totals| totals.outcome(crate::measure::Outcome::Ok))
        .sum();
    // The hub may hold messages whose ack never arrived, but never fewer than were acked.
    (hub.telemetry < acked).then(|| model::Finding {
        severity: model::Severity::Warning,
        text: "the built-in hub counted fewer messages than it acknowledged".to_owned(),
        evidence: format!("{} at the hub, {acked} acked", hub.telemetry),
    })
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

fn generator(finished: &Finished, workers: usize) -> model::Generator {
    let (heartbeat, lag, late) = result::meters(&finished.measurement);
    model::Generator {
        workers: u32::try_from(workers).unwrap_or(u32::MAX),
        cpu_us: finished.usage.cpu_us,
        cpu_peak_percent: finished.usage.cpu_peak_percent,
        rss_peak_bytes: finished.usage.rss_peak_bytes,
        fd_peak: finished.usage.fd_peak,
        heartbeat,
        lag,
        late,
    }
}

/// The phases as far as they came. The last one lasts as long as the load, which may have been extended.
fn phases(plan: &Plan, load_ended: Duration) -> Vec<model::Phase> {
    let ends = plan.schedule.phases().iter().skip(1).map(|next| next.start.min(load_ended));
    let phases = plan.schedule.phases().iter().zip(ends.chain([load_ended]));
    phases
        .filter(|(phase, _)| phase.start < load_ended)
        .map(|(phase, end)| model::Phase {
            name: phase.name.clone(),
            warmup: phase.warmup,
            start_us: us(phase.start),
            end_us: us(end),
            planned_online: phase.online,
            planned_load: phase.load,
        })
        .collect()
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn rfc3339(unix: Duration) -> String {
    let micros = i64::try_from(unix.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
