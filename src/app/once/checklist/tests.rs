//! Tests of the checklist: observations in; the states of the items, the commands, and the printed text out.

use super::*;
use crate::app::once::text::text;
use crate::measure::Key;
use crate::plan::{OnceScope, Step};
use crate::scenario::{Input, no_files};
use crate::units::human_us;

/// A checklist and its plan.
struct Bench {
    once: OncePlan,
    list: Checklist,
}

impl Bench {
    fn new(scenario: &str) -> Bench {
        let text = format!("{scenario}\n[[phase]]\nname = \"p\"\nduration = \"1s\"\n");
        let env = |_: &str| None;
        let input = Input { file: "once.toml", text: &text, overrides: &[], env: &env, files: &no_files };
        let plan = crate::plan::load(&input, &mut rand::rng()).unwrap_or_else(|errors| panic!("{errors}"));
        let once = plan.once(OnceScope::Everything);
        let list = Checklist::new(&once);
        Bench { once, list }
    }

    fn ended(&mut self, fleet: u16, operation: Operation, step: Option<u16>, outcome: Outcome) {
        self.answered(fleet, operation, step, outcome, None);
    }

    fn answered(
        &mut self,
        fleet: u16,
        operation: Operation,
        step: Option<u16>,
        outcome: Outcome,
        status: Option<i32>,
    ) {
        let key = Key { operation, fleet, phase: step.map_or(0, |step| step + 1) };
        self.list.handle(Observed::Ended { key, outcome, took: Duration::from_millis(1), status });
    }

    fn failed(&mut self, fleet: u16, class: &'static str, text: &str) {
        self.list.handle(Observed::Failed { fleet, class, text: format!("device: {text}") });
    }

    /// The device connects, and SUBACK grants these codes.
    fn online(&mut self, fleet: u16, granted: &[u8]) {
        self.ended(fleet, Operation::ConnectMqtt, None, Outcome::Ok);
        self.ended(fleet, Operation::Connect, None, Outcome::Ok);
        if !granted.is_empty() {
            self.list.handle(Observed::Subscribed { fleet, granted: granted.to_vec() });
            let refused = granted.contains(&SUBACK_FAILURE);
            let outcome = if refused { Outcome::Refused } else { Outcome::Ok };
            self.ended(fleet, Operation::Subscribe, None, outcome);
        }
    }

    fn text(&self) -> String {
        text(&self.list, &self.once.plan, &[])
    }

    #[track_caller]
    fn shows(&self, parts: &[&str]) {
        let text = self.text();
        for part in parts {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }

    /// Asserts that this command comes next, for the steps before `steps` if it releases any.
    #[track_caller]
    fn next(&mut self, steps: Option<usize>) {
        let expected = steps.map_or(Command::Stop, |steps| Command::Release(self.once.due_before(steps)));
        assert_eq!(self.list.next_command(), Some(expected), "{}", self.text());
    }
}

const HUB: &str = r#"
    [fleet.a]
    devices = 9
    id = "a-{index}"
    subscribe = ["twin", "methods", "c2d"]
    methods.read = { status = 204 }
    methods.restart = { then = "reconnect" }
    [[fleet.a.send]]
    every = "1s"
    qos = 1
    payload = "x"
    [[fleet.a.send]]
    every = "1s"
    qos = 0
    payload = "x"
    [[fleet.a.report]]
    every = "1s"
    payload = "{}"
    [[drive]]
    call = "method"
    fleet = "a"
    name = "read"
    rate = "1/s"
    [[drive]]
    call = "method"
    fleet = "a"
    name = "restart"
    rate = "1/s"
    [[drive]]
    call = "desired"
    fleet = "a"
    rate = "1/s"
    payload = "{}"
    [[drive]]
    call = "c2d"
    fleet = "a"
    rate = "1/s"
    payload = "x"
"#;

/// The return codes for the four filters of [`HUB`].
const GRANTED: [u8; 4] = [1; 4];

#[test]
fn stages_follow_each_other() {
    let mut bench = Bench::new(HUB);
    let calls: Vec<_> = bench.once.steps.iter().filter(|step| matches!(step, Step::Call { .. })).collect();
    assert_eq!((bench.once.steps.len(), calls.len()), (7, 4));
    assert_eq!(bench.list.next_command(), None, "nothing is connected");
    bench.ended(0, Operation::Connect, None, Outcome::Ok);
    assert_eq!(bench.list.next_command(), None, "nothing is subscribed");
    bench.online(0, &GRANTED);
    bench.next(Some(6));
    assert_eq!(bench.list.next_command(), None, "each stage is released once");
    bench.ended(0, Operation::Telemetry, Some(0), Outcome::Ok);
    bench.ended(0, Operation::TelemetryQos0, Some(1), Outcome::Ok);
    bench.ended(0, Operation::TwinReport, Some(2), Outcome::Ok);
    bench.answered(0, Operation::ServiceMethod, Some(3), Outcome::Ok, Some(204));
    bench.ended(0, Operation::ServiceDesired, Some(4), Outcome::Ok);
    bench.ended(0, Operation::ServiceC2d, Some(5), Outcome::Ok);
    assert!(bench.list.waits_for_receptions() && bench.list.next_command().is_none());
    bench.list.handle(Observed::DesiredReceived { fleet: 0 });
    bench.ended(0, Operation::C2d, None, Outcome::Ok);
    bench.next(Some(7));
    bench.answered(0, Operation::ServiceMethod, Some(6), Outcome::Ok, Some(200));
    assert_eq!(bench.list.next_command(), None, "the device reconnects");
    bench.online(0, &GRANTED);
    bench.next(None);
    assert!(!bench.list.has_failed());
    bench.shows(&[
        "fleet a, device a-0\n",
        "ok       telemetry devices/a-0/messages/events/: acknowledged (PUBACK)",
        "ok       telemetry.qos0 devices/a-0/messages/events/: sent, no acknowledgment (QoS 0)",
        "ok       twin.report: answered",
        "ok       service.method read: the device answered with status 204",
        "ok       reconnect after restart\n",
        "ok       desired properties: received",
        "ok       c2d: received",
        "15 operations: all ok\n",
    ]);
}

#[test]
fn device_that_cannot_connect_skips_the_rest() {
    let mut bench = Bench::new(HUB);
    bench.failed(0, "connack_5", "CONNACK return code 5 (not authorized)");
    bench.ended(0, Operation::ConnectMqtt, None, Outcome::Refused);
    bench.ended(0, Operation::Connect, None, Outcome::Refused);
    bench.list.handle(Observed::GaveUp { fleet: 0 });
    bench.next(None);
    assert!(bench.list.has_failed());
    bench.shows(&[
        "failed   connect: CONNACK return code 5 (not authorized) (connack_5)\n           fix: the hub does not send a reason; ",
        "skipped  twin.report: the device could not connect",
        "skipped  service.c2d: the device could not connect",
        "15 operations: 0 ok, 1 failed, 14 skipped",
    ]);
}

#[test]
fn each_failure_has_its_reason_and_fix() {
    let one = "[fleet.a]\ndevices = 1\nsubscribe = [\"twin\"]\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n\
               [[fleet.a.report]]\nevery = \"1s\"\npayload = \"{}\"\n";
    let (message, report) = ((Operation::Telemetry, Some(0)), (Operation::TwinReport, Some(1)));
    for ((operation, step), class, text, outcome, shown) in [
        (
            message,
            "ack_timeout",
            "no acknowledgment within 30 s",
            Outcome::TimedOut,
            "increase `ack_timeout`",
        ),
        (
            message,
            "closed_by_peer",
            "the server closed the connection",
            Outcome::Lost,
            "check the payload size",
        ),
        (message, "encode", "too long", Outcome::Lost, "report it"),
        (report, "twin_timeout", "no answer to twin.report within 60 s", Outcome::TimedOut, "`timeout`"),
        (report, "twin_400", "twin.report failed with status 400", Outcome::Refused, "payload of `report`"),
        (
            report,
            "twin_429",
            "twin.report failed with status 429",
            Outcome::Throttled,
            "use fewer twin operations",
        ),
        (report, "payload", "the payload is not JSON", Outcome::Lost, "correct the payload"),
    ] {
        let mut bench = Bench::new(one);
        bench.online(0, &[1, 1]);
        bench.next(Some(2));
        // An error of the other kind must not become the reason.
        bench.failed(0, "subscribe_timeout", "no SUBACK");
        bench.failed(0, class, text);
        bench.ended(0, operation, step, outcome);
        let line = bench.text().lines().find(|line| line.contains("failed ")).unwrap_or_default().to_owned();
        assert!(line.contains(operation.name()) && line.contains(&format!("{text} ({class})")), "{line}");
        bench.shows(&["           fix: ", shown]);
    }
}

#[test]
fn last_error_before_the_end_is_the_reason() {
    let twin = "[fleet.a]\ndevices = 1\nsubscribe = [\"twin\"]\ntwin = { get = \"on-connect\" }\n\
                [[fleet.a.report]]\nevery = \"1s\"\npayload = \"{}\"\n[fleet.b]\ndevices = 1\n";
    let mut bench = Bench::new(twin);
    bench.failed(1, "closed_by_peer", "of another fleet");
    bench.online(1, &[]);
    bench.online(0, &[1, 1]);
    bench.failed(0, "twin_404", "status 404");
    bench.ended(0, Operation::TwinGet, None, Outcome::Refused);
    bench.next(Some(1));
    // Later errors of the same kind do not change the reason.
    bench.failed(0, "twin_429", "status 429");
    bench.ended(0, Operation::TwinReport, Some(0), Outcome::Throttled);
    bench.failed(0, "twin_400", "status 400");
    bench.shows(&[
        "failed   twin.get: status 404 (twin_404)\n           fix: check that the device is registered",
        "failed   twin.report: status 429 (twin_429)\n           fix: use fewer twin operations",
    ]);
    bench.failed(0, "reset", "the connection was reset");
    bench.failed(1, "closed_by_peer", "of another fleet");
    bench.list.handle(Observed::GaveUp { fleet: 0 });
    let text = bench.text();
    assert!(!text.contains("of another fleet"), "{text}");
}

#[test]
fn loss_of_the_connection_follows_the_end_of_a_message() {
    let mut bench = Bench::new("[fleet.a]\ndevices = 1\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n");
    bench.online(0, &[]);
    bench.next(Some(1));
    bench.ended(0, Operation::Telemetry, Some(0), Outcome::Lost);
    bench.failed(0, "reset", "the connection was reset");
    bench.shows(&[": the connection was reset (reset)\n"]);
}

#[test]
fn outcome_without_error_names_no_class() {
    let mut bench = Bench::new("[fleet.a]\ndevices = 1\n[[fleet.a.send]]\nevery = \"1s\"\npayload = \"x\"\n");
    bench.online(0, &[]);
    bench.next(Some(1));
    bench.failed(0, "clock_ahead", "no reason for a lost message");
    bench.ended(0, Operation::Telemetry, Some(0), Outcome::Lost);
    bench.shows(&[": the outcome is lost, and no error was recorded\n           fix: use --trace a-00000 to see the packets of this device\n"]);
}

const RESTART: &str = "[fleet.a]\ndevices = 1\nsubscribe = [\"methods\"]\nmethods.restart = { then = \"reconnect\" }\n\
    [[drive]]\ncall = \"method\"\nfleet = \"a\"\nname = \"restart\"\nrate = \"1/s\"\n";

#[test]
fn failed_reconnect_has_the_fix_for_its_step() {
    let closed = (Operation::ConnectTls, "the server closed the connection before CONNACK");
    for (steps, (class, text), shown) in [
        (&[][..], ("tcp_refused", "the TCP connection was refused"), "MQTT over TLS uses port 8883"),
        (&[closed.0][..], ("closed_by_peer", closed.1), "check that an IoT hub listens on this port"),
        (&[closed.0, Operation::ConnectMqtt][..], ("closed_by_peer", "closed"), "after an invalid packet"),
    ] {
        let mut bench = Bench::new(RESTART);
        bench.ended(0, closed.0, None, Outcome::Ok);
        bench.online(0, &[1, 1]);
        bench.next(Some(1));
        bench.answered(0, Operation::ServiceMethod, Some(0), Outcome::Ok, Some(200));
        for step in steps {
            bench.ended(0, *step, None, Outcome::Ok);
        }
        bench.failed(0, class, text);
        bench.ended(0, Operation::Connect, None, Outcome::Refused);
        bench.shows(&["failed   reconnect after restart: ", shown]);
    }
}

#[test]
fn refused_filter_skips_what_needs_it() {
    let mut bench = Bench::new(HUB);
    bench.failed(0, "subscribe_refused", "the server refused the subscription to $iothub/twin/res/#");
    bench.online(0, &[SUBACK_FAILURE, 0, 1, SUBACK_FAILURE]);
    bench.next(Some(6));
    bench.shows(&[
        "failed   subscribe $iothub/twin/res/#: the server refused this subscription (SUBACK 0x80) (subscribe_refused)",
        "skipped  twin.report: its subscription failed",
        "skipped  c2d: its subscription failed",
        "failed   subscribe devices/a-0/messages/devicebound/#: the server refused",
    ]);
    let text = bench.text();
    assert!(!text.contains("skipped  desired properties: its subscription"), "{text}");
}

#[test]
fn lower_qos_is_mentioned() {
    let broker = "[target]\nkind = \"mqtt\"\nhost = \"b.example\"\n[fleet.a]\ndevices = 1\n\
                  subscribe = [{ filter = \"x\", qos = 2 }, { filter = \"y\", qos = 1 }]\n";
    let mut bench = Bench::new(broker);
    bench.online(0, &[1, 1]);
    bench.next(None);
    bench.shows(&["ok       subscribe x: granted QoS 1 instead of 2\n", "ok       subscribe y\n"]);
    let mut bench = Bench::new(broker);
    bench.online(0, &[2]);
    bench.shows(&["failed   subscribe y: SUBACK has no return code for this filter"]);
}

#[test]
fn missing_method_answers_501_which_is_a_failure() {
    let scenario = HUB.replace("methods.read = { status = 204 }\n", "");
    for (scenario, status, shown) in [
        (
            &scenario[..],
            501,
            "failed   service.method read: the device answered with status 501: its fleet does not define",
        ),
        (HUB, 500, "failed   service.method read: the device answered with status 500 instead of 204"),
        (HUB, 204, "ok       service.method read: the device answered with status 204"),
    ] {
        let mut bench = Bench::new(scenario);
        bench.online(0, &GRANTED);
        bench.next(Some(6));
        bench.answered(0, Operation::ServiceMethod, Some(3), Outcome::Ok, Some(status));
        bench.shows(&[shown]);
    }
}

#[test]
fn failed_call_skips_its_effect() {
    let mut bench = Bench::new(HUB);
    bench.online(0, &GRANTED);
    bench.next(Some(6));
    bench.failed(0, "call_queue_full", "service.c2d: 403004 50 messages are waiting");
    bench.ended(0, Operation::ServiceC2d, Some(5), Outcome::Refused);
    bench.shows(&["failed   service.c2d: ", "(call_queue_full)", "skipped  c2d: the call failed"]);
}

#[test]
fn lost_connection_fails_its_messages() {
    let mut bench = Bench::new(HUB);
    bench.online(0, &GRANTED);
    bench.next(Some(6));
    bench.ended(0, Operation::TelemetryQos0, Some(1), Outcome::Ok);
    bench.failed(0, "reset", "the connection was reset 5 ms after CONNACK");
    bench.list.handle(Observed::GaveUp { fleet: 0 });
    bench.next(None);
    bench.shows(&[
        "ok       telemetry.qos0",
        "failed   telemetry devices/a-0/messages/events/: the connection was reset 5 ms after CONNACK (reset)",
        "failed   twin.report: the connection was reset",
        "skipped  service.method read: the connection was lost",
    ]);
}

#[test]
fn connection_lost_without_messages_is_a_failure() {
    let mut bench = Bench::new("[fleet.a]\ndevices = 1\nsubscribe = [\"c2d\"]\n[fleet.b]\ndevices = 1\n");
    bench.online(0, &[1]);
    bench.failed(0, "closed_by_peer", "the server closed the connection 1 ms after CONNACK");
    bench.list.handle(Observed::GaveUp { fleet: 0 });
    bench.online(1, &[]);
    bench.next(None);
    assert!(bench.list.has_failed());
    assert_eq!(bench.list.failed_fleets(&bench.once.plan), ["a"]);
    bench.shows(&[
        "failed   connect: the server closed the connection 1 ms after CONNACK (closed_by_peer)\n",
        "fix: an IoT hub closes the connection after an invalid packet",
    ]);
}

const BROKER: &str = "[target]\nkind = \"mqtt\"\nhost = \"b.example\"\n[fleet.from]\ndevices = 3\nid = \"from-{index}\"\n\
    [[fleet.from.send]]\nevery = \"1s\"\ntopic = \"all\"\npayload = { size = 50 }\n\
    [[fleet.from.send]]\nevery = \"1s\"\ntopic = \"to/2\"\npayload = { size = 50 }\n\
    [fleet.to]\ndevices = 3\nid = \"to-{index}\"\nsubscribe = [\"all\", \"to/${index}\"]\n";

#[test]
fn deliveries_are_listed_at_the_receiver() {
    let mut bench = Bench::new(BROKER);
    bench.online(0, &[]);
    assert_eq!(bench.list.next_command(), None, "the receiver must subscribe first");
    bench.online(1, &[1, 1]);
    bench.next(Some(2));
    bench.ended(0, Operation::Publish, Some(0), Outcome::Ok);
    bench.ended(0, Operation::Publish, Some(1), Outcome::Ok);
    assert!(bench.list.waits_for_receptions());
    bench.ended(1, Operation::Deliver, Some(0), Outcome::Ok);
    bench.next(None);
    bench.shows(&[
        "ok       deliver all from from-0: received",
        "skipped  deliver to/2: no device of this check subscribes to this topic, only other devices do",
        "8 operations: 7 ok, 1 skipped",
    ]);
    assert!(!bench.list.has_failed(), "this skip is justified");
}

#[test]
fn missing_delivery_fails_after_the_drain() {
    let mut bench = Bench::new(BROKER);
    bench.online(0, &[]);
    bench.online(1, &[1, 1]);
    bench.next(Some(2));
    bench.ended(0, Operation::Publish, Some(0), Outcome::Ok);
    bench.ended(0, Operation::Publish, Some(1), Outcome::Ok);
    bench.list.end_receptions();
    bench.next(None);
    bench
        .shows(&["failed   deliver all from from-0: did not arrive within 10.0 s (`drain`)", "access rules"]);
}

#[test]
fn unsent_message_is_not_expected_to_arrive() {
    let mut bench = Bench::new(BROKER);
    bench.online(1, &[1, 1]);
    bench.failed(0, "tcp_refused", "the TCP connection was refused");
    bench.ended(0, Operation::Connect, None, Outcome::Refused);
    bench.list.handle(Observed::GaveUp { fleet: 0 });
    bench.next(None);
    bench.shows(&["skipped  deliver all from from-0: the message was not sent", "check the host, the port"]);
}

#[test]
fn late_event_does_not_change_an_item() {
    let mut bench = Bench::new(BROKER);
    bench.online(0, &[]);
    bench.failed(1, "subscribe_timeout", "no SUBACK within 30 s");
    bench.ended(1, Operation::Connect, None, Outcome::Ok);
    bench.ended(1, Operation::Subscribe, None, Outcome::TimedOut);
    bench.next(Some(2));
    bench.list.handle(Observed::Subscribed { fleet: 1, granted: vec![0, 0] });
    bench.shows(&[
        "failed   subscribe all: no SUBACK within 30 s (subscribe_timeout)",
        "skipped  deliver all from from-0: its subscription failed",
    ]);
}

#[test]
fn closing_marks_what_was_not_tried() {
    let mut bench = Bench::new(BROKER);
    bench.online(0, &[]);
    // Ctrl-C ends the open operations.
    bench.ended(1, Operation::Connect, None, Outcome::Unfinished);
    bench.list.close(Some("interrupted"));
    assert!(!bench.list.has_failed());
    bench.shows(&[
        "ok       connect\n",
        "skipped  publish all: interrupted",
        "skipped  deliver all from from-0: interrupted",
    ]);
}

#[test]
fn item_that_is_open_at_the_end_has_failed() {
    let mut bench = Bench::new(&format!("{BROKER}unsubscribe = true\n"));
    bench.online(0, &[]);
    bench.online(1, &[1, 1]);
    bench.next(Some(2));
    bench.ended(0, Operation::Publish, Some(0), Outcome::Ok);
    bench.ended(0, Operation::Publish, Some(1), Outcome::Ok);
    bench.ended(1, Operation::Deliver, Some(0), Outcome::Ok);
    bench.next(None);
    bench.ended(1, Operation::Unsubscribe, None, Outcome::Unfinished);
    bench.list.close(None);
    bench.shows(&["failed   unsubscribe: it did not end in time"]);
}

#[test]
fn times_show_each_step_of_the_connection() {
    let mut bench = Bench::new("[fleet.a]\ndevices = 1\nsubscribe = [\"twin\"]\n");
    for step in [Operation::ConnectTcp, Operation::ConnectTls] {
        bench.ended(0, step, None, Outcome::Ok);
    }
    bench.online(0, &[1, 1]);
    let text = crate::app::once::times(&bench.list, &bench.once.plan, None);
    let names: Vec<_> = text.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(names, ["TCP", "TLS", "CONNACK", "subscribe", "message"], "{text}");
    assert!(
        text.contains(&human_us(1_000)) && text.contains("skipped: this fleet sends no message"),
        "{text}"
    );
}
