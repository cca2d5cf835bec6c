//! Whole runs over loopback while the wall clock steps, against a hub that shares the clock and against one that does not. Unit tests of `fleet`
//! and `emulator` cover single devices and connections.

use crate::support::hub::{GROUP_KEY, LocalHub};
use crate::support::hubstorm::WIDE_VALIDITY;
use hubstorm::clock::{self, WallClock};
use hubstorm::fleet;
use hubstorm::link::{Endpoint, tls};
use hubstorm::measure::{Culprit, Event, Measurement, Operation, Outcome};
use hubstorm::report::{JudgeInput, Judgment, TargetFacts, judge};
use hubstorm::result::model::{EndedBy, Status};
use hubstorm::scenario::Input;
use std::sync::Arc;
use std::time::Duration;

const FORWARD_US: i64 = 7_200_000_000;
const BACKWARD_US: i64 = -FORWARD_US;

/// Token lifetimes shorter and longer than a step. Both are renewed every second or two.
const SHORT: &str = "ttl = \"4s\", renew = \"50%\"";
const LONG: &str = "ttl = \"12h\", renew = \"-43198s\"";

/// When the clock steps.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// After the zero of the run is planned, and before it.
    AtStart,
    /// After one second.
    DuringRun,
}

fn plan(hub: &LocalHub, life: &str) -> hubstorm::plan::Plan {
    let text = format!(
        r#"
seed = 5
[target]
kind = "iot-hub"
host = "{host}"
ca = "{ca}"
[fleet.meter]
devices = 6
auth = {{ kind = "sas", group_key = "${{env.GROUP}}", {life} }}
reconnect = {{ kind = "fixed", delay = "100ms" }}
[[fleet.meter.send]]
every = "100ms"
payload = "${{now}}"
[[phase]]
name = "steady"
duration = "5s"
[thresholds]
"telemetry" = ["rate(ok) > 99%"]
"connect" = ["rate(ok) > 99%"]
{WIDE_VALIDITY}"#,
        host = hub.host(),
        ca = hub.ca().display(),
    );
    let env = |name: &str| (name == "GROUP").then(|| GROUP_KEY.to_owned());
    let files = &hubstorm::scenario::no_files;
    let input = Input { file: "steps.toml", text: &text, overrides: &[], env: &env, files };
    hubstorm::plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Runs two workers with this clock, which steps during the run.
fn run(hub: &LocalHub, wall: &WallClock, life: &str, (when, by_us): (When, i64)) -> (Measurement, Judgment) {
    let plan = Arc::new(plan(hub, life));
    let target = &plan.target;
    let options = target.tls.as_ref().expect("TLS is on");
    let options = tls::ClientOptions { ca: options.ca.clone(), roots_pem: None, verify: options.verify };
    let endpoint = Endpoint {
        host: target.host.clone(),
        port: target.port,
        tls: Some(tls::client(&options).expect("the hub's certificate")),
        ..Endpoint::default()
    };
    let (endpoints, wall) = (Arc::new([endpoint]), wall.clone());
    let settings = fleet::Settings {
        workers: 2,
        endpoints,
        trace: None,
        measured: false,
        observer: None,
        journal: None,
        wall: wall.clone(),
    };
    let (_command_sender, commands) = tokio::sync::mpsc::unbounded_channel();
    let (event_sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("file descriptors are available");
    let (finished, ()) = runtime.block_on(async {
        tokio::join!(fleet::run(plan.clone(), settings, None, commands, event_sender), async {
            let mut by_us = Some(by_us);
            while let Some(event) = events.recv().await {
                let is_time = match event {
                    Event::Started { .. } => when == When::AtStart,
                    Event::Second(_) => true,
                    _ => false,
                };
                if is_time {
                    wall.step(by_us.take().unwrap_or(0));
                }
            }
        })
    });
    let measurement = finished.expect("the run starts").measurement;
    let judged = judge(&JudgeInput {
        measurement: &measurement,
        rules: &plan.rules(),
        ended_by: EndedBy::Plan,
        recovery: None,
        emulator: None,
        target: TargetFacts { is_hub: true, tls_wanted: true, ..TargetFacts::default() },
        limits: &[],
    });
    (measurement, judged)
}

/// Asserts that the step gives exactly one finding about this machine, although two workers detect it.
#[track_caller]
fn assert_step_is_reported(measurement: &Measurement, judged: &Judgment, by_us: i64) {
    let [step] = measurement.clock_steps[..] else { panic!("one step: {:?}", measurement.clock_steps) };
    assert!(step.by_us.abs_diff(by_us) < 500_000, "{step:?}");
    let findings =
        judged.findings.iter().filter(|finding| finding.text.contains("This machine's wall clock was set"));
    assert_eq!(findings.count(), 1, "{:?}", judged.findings);
}

#[track_caller]
fn assert_all_passed(case: &str, (measurement, judged): &(Measurement, Judgment)) {
    assert!(measurement.errors.is_empty(), "{case}: {:?}", measurement.errors);
    for operation in [Operation::Telemetry, Operation::Connect, Operation::Renewal] {
        let totals = measurement.of(operation);
        assert!(
            totals.due >= 6 && totals.due == totals.outcome(Outcome::Ok),
            "{case}: {operation} {totals:?}"
        );
    }
    assert_eq!(judged.verdict.status, Status::Pass, "{case}: {:?}", judged.verdict);
}

/// As with the built-in hub: both use the same clock, so later tokens are valid.
#[test]
fn step_is_harmless_if_the_hub_shares_the_clock() {
    std::thread::scope(|cases| {
        for when in [When::AtStart, When::DuringRun] {
            for by_us in [FORWARD_US, BACKWARD_US] {
                for life in [SHORT, LONG] {
                    cases.spawn(move || {
                        let wall = WallClock::of(clock::now(), clock::unix());
                        let hub = LocalHub::start_by(wall.clone());
                        let ran = run(&hub, &wall, life, (when, by_us));
                        assert_step_is_reported(&ran.0, &ran.1, by_us);
                        assert_all_passed(&format!("{when:?} {by_us} {life}"), &ran);
                        hub.stop();
                    });
                }
            }
        }
    });
}

/// A run against a hub whose clock does not step. The clock of the load generator is right until it steps.
fn run_against_separate_clock(when: When, by_us: i64, life: &str) -> (String, Measurement, Judgment) {
    let hub = LocalHub::start();
    let wall = WallClock::of(clock::now(), clock::unix());
    let (measurement, judged) = run(&hub, &wall, life, (when, by_us));
    assert_step_is_reported(&measurement, &judged, by_us);
    hub.stop();
    (format!("{when:?} {by_us} {life}"), measurement, judged)
}

#[test]
fn separate_clock_accepts_tokens_longer_than_the_step() {
    std::thread::scope(|cases| {
        for (by_us, life) in [(FORWARD_US, SHORT), (FORWARD_US, LONG), (BACKWARD_US, LONG)] {
            cases.spawn(move || {
                let (case, measurement, judged) = run_against_separate_clock(When::DuringRun, by_us, life);
                assert_all_passed(&case, &(measurement, judged));
            });
        }
    });
}

#[test]
fn failures_after_a_step_do_not_count_against_the_hub() {
    std::thread::scope(|cases| {
        for when in [When::AtStart, When::DuringRun] {
            cases.spawn(move || {
                let (case, measurement, judged) = run_against_separate_clock(when, BACKWARD_US, SHORT);
                let errors: Vec<_> =
                    measurement.errors.iter().map(|error| (&*error.class, error.culprit)).collect();
                assert_eq!(errors, [("clock_step", Culprit::Generator)], "{case}");
                let connect = measurement.of(Operation::Connect);
                assert!(connect.outcome(Outcome::Refused) > 0, "{case}");
                assert_eq!(connect.excused[Outcome::Refused], connect.outcome(Outcome::Refused), "{case}");
                let telemetry = measurement.of(Operation::Telemetry);
                let failed = telemetry.due - telemetry.outcome(Outcome::Ok);
                assert_eq!(telemetry.excused.sum(), failed, "{case}: {telemetry:?}");
                assert_eq!(judged.verdict.status, Status::Invalid, "{case}: {:?}", judged.verdict);
                let reasons = &judged.verdict.reasons;
                assert!(reasons.iter().all(|reason| !reason.contains("The hub")), "{reasons:?}");
            });
        }
    });
}

/// A machine boots with a clock two hours behind, and NTP sets it later.
#[test]
fn tokens_are_valid_once_ntp_sets_the_clock() {
    let hub = LocalHub::start();
    let behind = clock::unix() - Duration::from_secs(7_200);
    let wall = WallClock::of(clock::now(), behind);
    let (measurement, judged) = run(&hub, &wall, SHORT, (When::DuringRun, FORWARD_US));
    assert_step_is_reported(&measurement, &judged, FORWARD_US);
    assert_eq!(
        measurement.devices(),
        measurement.fleets[0].connected_peak,
        "all devices were accepted after the step"
    );
    assert!(measurement.errors_of("connack_5") > 0, "devices were refused before the step");
    assert_eq!(judged.verdict.status, Status::Invalid, "{:?}", judged.verdict);
    assert!(judged.verdict.reasons.iter().all(|reason| !reason.contains("The hub")), "{:?}", judged.verdict);
    hub.stop();
}
