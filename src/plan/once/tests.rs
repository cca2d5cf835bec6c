//! Tests of the derived plan: each step is due exactly once, in its own phase.

use super::*;
use crate::plan::schedule::{Cursor, RunLoad, ns};
use crate::plan::test_support;
use crate::rng::Purpose;

const PHASE: &str =
    "[[phase]]\nname = \"ramp\"\nwarmup = true\nduration = \"10m\"\nonline = \"0% -> 50%\"\nload = \"0%\"\n";

fn once(text: &str, scope: OnceScope) -> OncePlan {
    test_support::plan(&format!("{text}\n{PHASE}")).once(scope)
}

/// Returns the due times of an arrival for the only device.
fn due_times(once: &OncePlan, arrival: &Arrival) -> Vec<u64> {
    let load = RunLoad::new(once.plan.schedule.load());
    let mut cursor = Cursor::new(arrival, &load, 7, 0, Purpose::Arrivals(0), 0);
    let spans = once.plan.schedule.open_spans(0, 1);
    assert_eq!(spans.len(), 1, "the device is online from the start to the end: {spans:?}");
    cursor.enter(spans[0]);
    let mut found = Vec::new();
    while let Some(due) = cursor.peek() {
        found.push(due.at_ns);
        cursor.advance();
    }
    found
}

const HUB: &str = r#"
    [fleet.meter]
    devices = 5000
    offline = "skip"
    send_by = "1s"
    in_flight = 1
    subscribe = ["twin", "methods", "c2d"]
    twin = { get = "on-connect", every = "10s" }
    methods.read = {}
    methods.never = { answer = false }
    methods.restart = { then = "reconnect" }
    [[fleet.meter.send]]
    every = "1ms"
    burst = 20
    payload = "a"
    [[fleet.meter.send]]
    arrival = "poisson"
    rate = "10000/s"
    qos = 0
    payload = "b"
    [[fleet.meter.report]]
    every = "1h"
    payload = "{}"
    [fleet.idle]
    devices = 2
    [[fleet.idle.send]]
    arrival = "closed"
    think_time = "1s"
    payload = "c"
    [[drive]]
    call = "method"
    fleet = "meter"
    name = "restart"
    rate = "1/s"
    [[drive]]
    call = "method"
    fleet = "meter"
    name = "never"
    rate = "1/s"
    [[drive]]
    call = "method"
    fleet = "meter"
    name = "read"
    rate = "1/s"
    arrival = "poisson"
    [[drive]]
    call = "desired"
    fleet = "meter"
    every = "1s"
    payload = "{}"
    [thresholds]
    telemetry = ["p(99) < 1s"]
"#;

#[test]
fn each_step_is_due_once_in_its_own_phase() {
    let once = once(HUB, OnceScope::Everything);
    let plan = &once.plan;
    assert_eq!(once.steps.len(), 7, "{:?}", once.steps);
    for (step, number) in once.steps.iter().zip(0..) {
        let arrival = match *step {
            Step::Message { fleet, send } => plan.fleets[usize::from(fleet)].sends[usize::from(send)].arrival,
            Step::Call { drive } => plan.drives[usize::from(drive)].arrival,
        };
        let due = due_times(&once, &arrival);
        let [at_ns] = due[..] else { panic!("{step:?} is due at {due:?}") };
        assert_eq!(OncePlan::step_in(plan.schedule.phase_at(at_ns)), Some(number), "{step:?}");
        // The stamp of a tracked message holds the due time in microseconds.
        assert_eq!(
            OncePlan::step_in(plan.schedule.phase_at(at_ns / 1_000 * 1_000)),
            Some(number),
            "{step:?}"
        );
        assert!(at_ns < ns(once.due_before(number + 1)) && at_ns >= ns(once.due_before(number)));
    }
    assert_eq!(OncePlan::step_in(0), None);
}

#[test]
fn plan_of_1000_steps_keeps_them_apart() {
    let send = "[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n".repeat(1_000);
    let once = once(&format!("[fleet.a]\ndevices = 9\n{send}"), OnceScope::Everything);
    for (send, number) in once.plan.fleets[0].sends.iter().zip(0..) {
        let due = due_times(&once, &send.arrival);
        assert_eq!(due.len(), 1, "{number}: {due:?}");
        assert_eq!(OncePlan::step_in(once.plan.schedule.phase_at(due[0])), Some(number));
    }
}

#[test]
fn fleets_have_one_device_that_tries_once() {
    let once = once(HUB, OnceScope::Everything);
    let [meter, idle] = &once.plan.fleets[..] else { panic!() };
    assert_eq!((meter.devices, meter.first, idle.devices, idle.first), (1, 0, 1, 1));
    assert_eq!(meter.reconnect, BackOff::Never.into());
    assert_eq!(meter.offline, Offline::Queue);
    assert!(meter.send_by > meter.ack_timeout && usize::from(meter.in_flight) > meter.sends.len());
    // One request for the twin is enough: the one on connect.
    assert!(meter.twin.get_on_connect);
    let operations: Vec<_> = meter.sends.iter().map(|send| send.operation).collect();
    assert_eq!(operations, [Operation::Telemetry, Operation::TelemetryQos0, Operation::TwinReport]);
    assert!(once.plan.thresholds.is_empty());
}

#[test]
fn reconnecting_methods_come_last_and_alone() {
    let once = once(HUB, OnceScope::Everything);
    let names: Vec<_> = once.plan.drives.iter().map(|drive| format!("{:?}", drive.call)).collect();
    assert!(names[0].contains("read") && names[1] == "Desired" && names[2].contains("restart"), "{names:?}");
    assert_eq!(once.unanswered, [(0, "never".to_owned())]);
    assert_eq!(once.stages, [6, 7]);
}

#[test]
fn one_message_is_the_first_with_an_acknowledgment() {
    let kept = |fleet: &str| {
        let once = once(&format!("[fleet.a]\ndevices = 3\n{fleet}"), OnceScope::OneMessage);
        assert!(once.plan.drives.is_empty());
        let sends = once.plan.fleets[0].sends.iter().map(|send| send.operation.name());
        (sends.collect::<Vec<_>>(), once.plan.fleets[0].twin.get_on_connect)
    };
    let twin = "subscribe = [\"twin\"]\ntwin = { get = \"on-connect\", every = \"10s\" }\n";
    let report = "[[fleet.a.report]]\nevery = \"1s\"\npayload = \"{}\"\n";
    let send = |qos| format!("[[fleet.a.send]]\nevery = \"1s\"\nqos = {qos}\npayload = \"x\"\n");
    assert_eq!(kept(""), (vec![], false));
    assert_eq!(kept(&send(0)), (vec![], false));
    assert_eq!(kept(&format!("{twin}{}{}", send(0), send(1))), (vec!["telemetry"], false));
    assert_eq!(kept(&format!("{twin}{report}")), (vec![], true));
    assert_eq!(kept(&format!("subscribe = [\"twin\"]\n{}{report}", send(0))), (vec!["twin.report"], false));
    assert!(once(HUB, OnceScope::OneMessage).plan.drives.is_empty());
}

#[test]
fn deliveries_are_matched_among_the_first_devices() {
    let broker = "[target]\nkind = \"mqtt\"\nhost = \"b.example\"\n[fleet.from]\ndevices = 3\n\
        [[fleet.from.send]]\nevery = \"1s\"\ntopic = \"all\"\npayload = { size = 50 }\n\
        [[fleet.from.send]]\nevery = \"1s\"\ntopic = \"to/2\"\npayload = { size = 50 }\n\
        [[fleet.from.send]]\nevery = \"1s\"\ntopic = \"nowhere\"\npayload = { size = 50 }\n\
        [fleet.to]\ndevices = 3\nsubscribe = [\"all\", \"to/${index}\"]\n";
    let once = once(broker, OnceScope::Everything);
    let tracked = |send| once.plan.deliveries.expected_stream(0, send, 1, 0).is_some();
    assert_eq!([0, 1, 2].map(tracked), [true, false, false]);
    assert_eq!(once.received_elsewhere, [(0, 1)]);
    let one = self::once(broker, OnceScope::OneMessage);
    assert!(!one.plan.deliveries.tracks_any() && one.received_elsewhere.is_empty());
}
