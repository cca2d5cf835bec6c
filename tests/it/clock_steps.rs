//! Whole runs over loopback while the wall clock steps, against a hub with the same clock and against one with its own. Unit tests of
//! `fleet` and `emulator` cover single devices and connections.

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

const FORTH_US: i64 = 7_200_000_000;
const BACK_US: i64 = -FORTH_US;

/// Token lifetimes shorter and longer than a step. Both are renewed every second or two.
const SHORT: &str = "ttl = \"4s\", renew = \"50%\"";
const LONG: &str = "ttl = \"12h\", renew = \"-43198s\"";

/// When the clock steps.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// Between planning the run's zero and the zero itself.
    AtTheStart,
    /// After one second.
    InMidRun,
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
    let (endpoint, wall) = (Arc::new(endpoint), wall.clone());
    let settings = fleet::Settings { workers: 2, endpoint, trace: None, measured: false, wall: wall.clone() };
    let (_commander, commands) = tokio::sync::mpsc::unbounded_channel();
    let (events, mut happened) = tokio::sync::mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("descriptors");
    let (finished, ()) = runtime.block_on(async {
        tokio::join!(fleet::run(plan.clone(), settings, None, commands, events), async {
            let mut by_us = Some(by_us);
            while let Some(event) = happened.recv().await {
                let is_time = match event {
                    Event::Started { .. } => when == When::AtTheStart,
                    Event::Second(_) => true,
                    _ => false,
                };
                if is_time {
                    wall.step(by_us.take().unwrap_or(0));
                }
            }
        })
    });
    let measurement = finished.expect("it can be started").measurement;
    let judged = judge(&JudgeInput {
        measurement: &measurement,
        rules: &plan.rules(),
        ended_by: EndedBy::Plan,
        emulator: None,
        target: TargetFacts { is_hub: true, tls_wanted: true, ..TargetFacts::default() },
    });
    (measurement, judged)
}

/// Asserts that the step is reported once, although two workers detect it, and as a finding about this machine.
#[track_caller]
fn is_reported(measurement: &Measurement, judged: &Judgment, by_us: i64) {
    let [step] = measurement.clock_steps[..] else { panic!("one step: {:?}", measurement.clock_steps) };
    assert!(step.by_us.abs_diff(by_us) < 500_000, "{step:?}");
    let told =
        judged.findings.iter().filter(|finding| finding.text.contains("This machine's wall clock was set"));
    assert_eq!(told.count(), 1, "{:?}", judged.findings);
}

#[track_caller]
fn all_is_well(case: &str, (measurement, judged): &(Measurement, Judgment)) {
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

/// As with the built-in hub: every later token is valid by the clock that both share.
#[test]
fn a_step_is_harmless_if_the_hub_has_the_same_clock() {
    std::thread::scope(|cases| {
        for when in [When::AtTheStart, When::InMidRun] {
            for by_us in [FORTH_US, BACK_US] {
                for life in [SHORT, LONG] {
                    cases.spawn(move || {
                        let wall = WallClock::of(clock::now(), clock::unix());
                        let hub = LocalHub::start_by(wall.clone());
                        let ran = run(&hub, &wall, life, (when, by_us));
                        is_reported(&ran.0, &ran.1, by_us);
                        all_is_well(&format!("{when:?} {by_us} {life}"), &ran);
                        hub.stop();
                    });
                }
            }
        }
    });
}

/// A run against a hub whose clock does not step; the load generator's clock is right until it steps.
fn beside_a_hub_with_its_own_clock(when: When, by_us: i64, life: &str) -> (String, Measurement, Judgment) {
    let hub = LocalHub::start();
    let wall = WallClock::of(clock::now(), clock::unix());
    let (measurement, judged) = run(&hub, &wall, life, (when, by_us));
    is_reported(&measurement, &judged, by_us);
    hub.stop();
    (format!("{when:?} {by_us} {life}"), measurement, judged)
}

#[test]
fn a_hub_with_its_own_clock_accepts_tokens_longer_than_a_step() {
    std::thread::scope(|cases| {
        for (by_us, life) in [(FORTH_US, SHORT), (FORTH_US, LONG), (BACK_US, LONG)] {
            cases.spawn(move || {
                let (case, measurement, judged) =
                    beside_a_hub_with_its_own_clock(When::InMidRun, by_us, life);
                all_is_well(&case, &(measurement, judged));
            });
        }
    });
}

#[test]
fn a_hub_with_its_own_clock_is_not_blamed_for_a_step() {
    std::thread::scope(|cases| {
        for when in [When::AtTheStart, When::InMidRun] {
            cases.spawn(move || {
                let (case, measurement, judged) = beside_a_hub_with_its_own_clock(when, BACK_US, SHORT);
                let errors: Vec<_> =
                    measurement.errors.iter().map(|error| (&*error.class, error.culprit)).collect();
                assert_eq!(errors, [("clock_step", Culprit::Us)], "{case}");
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

/// A machine that boots with a clock that is two hours behind, until NTP sets it.
#[test]
fn tokens_are_valid_once_a_slow_clock_is_set() {
    let hub = LocalHub::start();
    let behind = clock::unix() - Duration::from_secs(7_200);
    let wall = WallClock::of(clock::now(), behind);
    let (measurement, judged) = run(&hub, &wall, SHORT, (When::InMidRun, FORTH_US));
    is_reported(&measurement, &judged, FORTH_US);
    assert_eq!(
        measurement.devices(),
        measurement.fleets[0].connected_peak,
        "all were accepted after the step"
    );
    assert!(measurement.errors_of("connack_5") > 0, "they were refused before");
    assert_eq!(judged.verdict.status, Status::Invalid, "{:?}", judged.verdict);
    assert!(judged.verdict.reasons.iter().all(|reason| !reason.contains("The hub")), "{:?}", judged.verdict);
    hub.stop();
}
