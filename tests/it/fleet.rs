//! Devices that connect and disconnect as planned, or to renew tokens, against the built-in hub, and payloads that are not JSON. Planned
//! absences cost nothing, and every message has one outcome. The tests assert counts, never times.

use crate::support::hubstorm::{WIDE_VALIDITY, Workplace, all_ok, rows};
use hubstorm::measure::{Culprit, Outcome};
use hubstorm::result::model::RunResult;

fn run(scenario: &str) -> RunResult {
    let work = Workplace::new(&format!("{scenario}{WIDE_VALIDITY}"));
    work.run().exits(0);
    work.result()
}

#[test]
fn token_renewal_loses_no_messages() {
    let result = run(r#"
[fleet.meter]
devices = 5
auth = { kind = "sas", ttl = "4s", renew = "50%" }
[[fleet.meter.send]]
every = "100ms"
arrival = "regular"
payload = "x"
[[phase]]
name = "steady"
duration = "7s"
"#);
    assert_eq!(all_ok(&result, "telemetry"), 5 * 70, "regular arrivals over whole periods");
    let meter = &result.fleets[0];
    // Each device renews between 1.8 s and 2 s, so at least 3 times in 7 s. Its token never expires.
    assert!(meter.counts.renewals >= 15, "{} renewals", meter.counts.renewals);
    assert_eq!(meter.counts.reconnects, 0);
    assert_eq!(all_ok(&result, "connect"), 5 + meter.counts.renewals);
    assert_eq!(all_ok(&result, "online"), 5, "a successful renewal is not an absence");
    assert!(result.errors.is_empty(), "{:?}", result.errors);
}

#[test]
fn planned_absence_has_no_due_messages() {
    let result = run(r#"
[fleet.meter]
devices = 10
[[fleet.meter.send]]
every = "100ms"
arrival = "regular"
payload = "x"
[[phase]]
name = "all"
duration = "1s"
[[phase]]
name = "down"
duration = "2s"
online = "100% -> 0%"
[[phase]]
name = "up"
duration = "2s"
online = "0% -> 100%"
"#);
    // 10 devices for 1 s and, on average, half of 4 s. Each time online may start and end within a period.
    let due = all_ok(&result, "telemetry");
    assert!((300 - 30..=300 + 30).contains(&due), "{due} messages");
    assert_eq!(result.fleets[0].counts.reconnects, 0, "no connection was lost");
    assert_eq!(all_ok(&result, "online"), 20, "each device connected twice");
    assert!(result.errors.is_empty(), "{:?}", result.errors);
}

/// Plan and hub count sizes the same way: names and values of user properties, values of system properties, no escapes or separators.
#[test]
fn largest_messages_pass_with_any_properties() {
    let send = |size: usize, properties: &str| {
        format!(
            "[[fleet.meter.send]]\nevery = \"500ms\"\npayload = {{ size = {size} }}\nproperties = {properties}\n"
        )
    };
    let sends = [
        send(262_144, "{}"),
        send(262_144 - 9, r#"{ unit = "k W&h" }"#),
        send(262_144 - 21, r#"{ "$.ct" = "application/json", "$.ce" = "utf-8" }"#),
    ];
    let result = run(&format!(
        "[fleet.meter]\ndevices = 1\n{}[[phase]]\nname = \"steady\"\nduration = \"1s\"\n",
        sends.concat()
    ));
    assert_eq!(all_ok(&result, "telemetry"), 6);
    assert!(result.errors.is_empty(), "{:?}", result.errors);
}

#[test]
fn qos_0_is_ok_when_flushed_and_has_no_ack() {
    let result = run(r#"
[fleet.meter]
devices = 5
[[fleet.meter.send]]
every = "100ms"
arrival = "regular"
qos = 0
payload = "x"
[[phase]]
name = "steady"
duration = "2s"
"#);
    assert_eq!(all_ok(&result, "telemetry.qos0"), 5 * 20);
    assert!(result.operations.iter().all(|row| row.no_ack == (row.operation.name() == "telemetry.qos0")));
    for row in rows(&result, "telemetry.qos0") {
        assert_eq!(
            (row.response.count(), row.service.count()),
            (row.due, 0),
            "without an acknowledgment there is no service time"
        );
    }
    assert_eq!(
        result.emulator.expect("the built-in hub was the target").telemetry,
        5 * 20,
        "the hub counted them too"
    );
}

#[test]
fn killed_built_in_hub_ends_the_run_and_keeps_the_result() {
    let work = Workplace::new(&format!(
        r#"
[fleet.meter]
devices = 3
reconnect = {{ kind = "fixed", delay = "100ms" }}
send_by = "1s"
[[fleet.meter.send]]
every = "100ms"
payload = "x"
[[phase]]
name = "steady"
duration = "1h"
{WIDE_VALIDITY}"#
    ));
    let mut running = work.start();
    running.says("online=3/3");
    running.kill_children();
    let finished = running.wait();
    // The measurement is invalid, and the run was not interrupted.
    finished.exits(120);
    assert!(finished.stderr.contains("the built-in hub exited"), "{}", finished.stderr);
    let result = work.result();
    assert!(result.emulator.is_none() && !result.run.complete);
    let reasons = &result.verdict.reasons;
    assert!(reasons.iter().any(|reason| reason.contains("failed before the end")), "{reasons:?}");
}

/// The plan checks the payload once. A negative number occurs only in some calls: 1-1 is not JSON.
#[test]
fn call_payload_that_is_not_json_is_a_generator_error() {
    let work = Workplace::new(&format!(
        r#"
seed = 3
[fleet.meter]
devices = 2
subscribe = ["methods"]
[fleet.meter.methods.reboot]
status = 200
[[drive]]
call = "method"
fleet = "meter"
name = "reboot"
rate = "10/s"
payload = '{{"a":1${{uniform(min=-1, max=1)}}}}'
[[phase]]
name = "ramp"
warmup = true
duration = "1s"
load = "0% -> 0%"
[[phase]]
name = "steady"
duration = "2s"
{WIDE_VALIDITY}"#
    ));
    work.run().exits(120);
    let result = work.result();
    let calls = result.totals.iter().find(|sum| sum.operation.name() == "service.method").expect("calls");
    let (ok, lost) = (calls.outcomes[Outcome::Ok], calls.outcomes[Outcome::Lost]);
    assert!(ok > 0 && lost > 0 && ok + lost == calls.due, "{calls:?}");
    let errors: Vec<_> =
        result.errors.iter().map(|error| (&*error.class, error.culprit, error.count)).collect();
    assert_eq!(errors, [("call_payload", Culprit::Generator, lost)]);
}

/// The plan checks a payload once. 1-1 is not JSON, and occurs only in some messages.
#[test]
fn report_or_answer_that_is_not_json_is_a_generator_error() {
    let work = Workplace::new(&format!(
        r#"
seed = 3
[fleet.meter]
devices = 2
subscribe = ["twin", "methods"]
[[fleet.meter.report]]
every = "200ms"
payload = '{{"v":1${{uniform(min=-5,max=5)}}}}'
[fleet.meter.methods.read]
payload = '{{"v":1${{uniform(min=-5,max=5)}}}}'
[[drive]]
call = "method"
fleet = "meter"
name = "read"
rate = "10/s"
[[phase]]
name = "ramp"
warmup = true
duration = "1s"
load = "0% -> 0%"
[[phase]]
name = "steady"
duration = "2s"
{WIDE_VALIDITY}"#
    ));
    work.run().exits(120);
    let result = work.result();
    let total = |name| {
        let mut totals = result.totals.iter().filter(|sum| sum.operation.name() == name);
        totals.next().expect("the operation ran").outcomes
    };
    let (reports, answers, calls) = (total("twin.report"), total("method"), total("service.method"));
    for outcomes in [&reports, &answers] {
        assert!(outcomes[Outcome::Ok] > 0 && outcomes[Outcome::Lost] > 0, "{outcomes:?}");
        assert_eq!(outcomes[Outcome::Refused], 0, "{outcomes:?}");
    }
    // The service client still receives an answer.
    assert_eq!((calls[Outcome::Lost], calls[Outcome::Refused], calls[Outcome::TimedOut]), (0, 0, 0));
    let errors: Vec<_> =
        result.errors.iter().map(|error| (&*error.class, error.culprit, error.count)).collect();
    assert_eq!(errors, [("payload", Culprit::Generator, reports[Outcome::Lost] + answers[Outcome::Lost])]);
}
