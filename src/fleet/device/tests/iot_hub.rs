//! Twins, methods and commands of one device against a scripted hub, in virtual time.

use super::*;
use crate::measure::FromHub;
use crate::wire::QoS;
use proptest::prelude::*;

const REPORT: &str = "[[fleet.a.report]]\nevery = \"10s\"\npayload = '{\"n\":${seq}}'";
const NOTHING: &str = "every = \"100d\"\npayload = \"x\"";

/// What the device published: the topic, the payload, the QoS, the packet id.
type Published = (String, String, QoS, u16);

impl Wire {
    /// A device that is online and has its SUBACK; what it sent until then is forgotten.
    fn listening(fleet: &str) -> Wire {
        let mut wire = Wire::online(600, fleet, NOTHING);
        wire.suback();
        wire
    }

    pub(super) fn suback(&mut self) {
        self.suback_with(|filters| vec![0; filters]);
    }

    /// With a return code for each of so many filters.
    fn suback_with(&mut self, codes: impl FnOnce(usize) -> Vec<u8>) {
        let pid = self.sent().iter().find_map(|packet| match packet {
            Packet::Subscribe(subscribe) => Some((subscribe.pid, subscribe.filters.len())),
            _ => None,
        });
        let (pid, filters) = pid.expect("it subscribes");
        encode::suback(&mut self.to_device, pid, &codes(filters));
        self.turn().unwrap();
    }

    fn deliver(&mut self, topic: &str, payload: &str) {
        let publish = encode::PublishRef {
            topic,
            payload: payload.as_bytes(),
            qos: QoS::AtMostOnce,
            dup: false,
            retain: false,
            pid: 0,
        };
        encode::publish(&mut self.to_device, &publish).unwrap();
        self.turn().unwrap();
    }

    /// The kernel takes everything.
    fn published(&mut self) -> Vec<Published> {
        let sent = self.sent();
        self.device.handle_flushed(self.now);
        let published = sent.into_iter().filter_map(|packet| match packet {
            Packet::Publish(publish) => Some((
                publish.topic,
                String::from_utf8(publish.payload.to_vec()).unwrap(),
                publish.qos,
                publish.pid,
            )),
            _ => None,
        });
        published.collect()
    }

    /// Moves on until it publishes something.
    fn next_published(&mut self) -> Published {
        for _ in 0..1_000 {
            if let Some(first) = self.published().into_iter().next() {
                return first;
            }
            let next = self.device.poll_timeout().expect("something is due");
            self.pass((next - self.now).as_secs_f64()).unwrap();
        }
        panic!("it publishes nothing");
    }

    fn hub_counts(&self) -> FromHub {
        self.counts().from_hub
    }

    fn reconnect(&mut self) {
        self.to_device.clear();
        self.out.clear();
        self.attempt();
        self.connack(0);
    }
}

fn rid(topic: &str) -> &str {
    topic.split_once("$rid=").expect("a request").1
}

const TWIN: &str = "subscribe = [\"twin\"]\ntwin = { get = \"on-connect\" }";
const WHOLE: &str = r#"{"desired":{"$version":7},"reported":{"$version":1}}"#;

#[test]
fn the_whole_twin_is_asked_for_once_its_answer_can_come() {
    let mut wire = Wire::online(60, TWIN, NOTHING);
    wire.pass(2.0).unwrap();
    let filters = wire.sent().iter().find_map(|packet| match packet {
        Packet::Subscribe(subscribe) => Some((subscribe.pid, subscribe.filters.clone())),
        _ => None,
    });
    let (pid, filters) = filters.expect("it subscribes");
    let topics: Vec<&str> = filters.iter().map(|(filter, _)| filter.as_str()).collect();
    assert_eq!(topics, ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"]);
    assert_eq!(wire.published(), [], "nobody would hear the answer");
    encode::suback(&mut wire.to_device, pid, &[0, 0]);
    wire.turn().unwrap();
    let get = ("$iothub/twin/GET/?$rid=0".to_owned(), String::new(), QoS::AtMostOnce, 0);
    assert_eq!(wire.published(), [get]);
    wire.pass(0.25).unwrap();
    wire.deliver("$iothub/twin/res/200/?$rid=0", WHOLE);
    let twin = wire.totals_at_end(Operation::TwinGet);
    assert_eq!((twin.due, twin.outcome(Outcome::Ok)), (1, 1));
    assert_eq!((twin.lag.max(), twin.wait.max()), (Some(1), Some(1)), "it was due with SUBACK");
    assert_eq!(twin.response.max().map(|us| us / 1_000), Some(250));
    assert!(!twin.no_ack, "flushed is not answered");
}

#[test]
fn each_status_has_its_outcome_and_each_refusal_its_class() {
    for (status, body, outcome, class, example) in [
        (204, "", Outcome::Ok, None, ""),
        (429, "", Outcome::Throttled, Some("twin_429"), "a-00000: twin.report answered 429"),
        (
            400,
            r#"{"errorCode":400004,"message":"bad"}"#,
            Outcome::Refused,
            Some("twin_400004"),
            "a-00000: twin.report answered 400: errorCode 400004, bad",
        ),
        (
            429,
            r#"{"errorCode":429005}"#,
            Outcome::Throttled,
            Some("twin_429005"),
            "a-00000: twin.report answered 429: errorCode 429005",
        ),
        (
            400,
            r#"{"errorCode":429001}"#,
            Outcome::Refused,
            Some("twin_400"),
            "a-00000: twin.report answered 400: errorCode 429001",
        ),
        (503, "\u{0}not json", Outcome::Refused, Some("twin_503"), "a-00000: twin.report answered 503"),
        (77, "", Outcome::Refused, Some("twin_unknown"), "a-00000: twin.report answered 77"),
    ] {
        let mut wire = Wire::listening(&format!("subscribe = [\"twin\"]\n{REPORT}"));
        let (topic, payload, ..) = wire.next_published();
        assert_eq!(
            (topic.as_str(), payload.as_str()),
            ("$iothub/twin/PATCH/properties/reported/?$rid=0", "{\"n\":0}")
        );
        wire.deliver(&format!("$iothub/twin/res/{status}/?$rid=0&$version=2"), body);
        let errors = wire.errors();
        assert_eq!(errors.first().map(|error| error.class.as_str()), class, "{status}");
        if let Some(error) = errors.first() {
            assert_eq!((error.count, error.example.as_str()), (1, example));
        }
        // The swap took what was due before.
        wire.next_published();
        wire.deliver(&format!("$iothub/twin/res/{status}/?$rid=1"), body);
        assert_eq!(wire.totals_at_end(Operation::TwinReport).outcome(outcome), 1, "{status}");
    }
}

#[test]
fn a_whole_twin_without_a_version_is_no_answer() {
    for body in ["", "null", "{\"desired\":{}}", "[", "{\"desired\":{\"$version\":\"7\"}}"] {
        let mut wire = Wire::listening(TWIN);
        wire.deliver("$iothub/twin/res/200/?$rid=0", body);
        let (twin, errors) = wire.totals_and_errors(Operation::TwinGet);
        assert_eq!(errors, ["twin_body"], "{body}");
        assert_eq!((twin.due, twin.outcome(Outcome::Refused)), (1, 1), "{body}");
    }
}

#[test]
fn no_answer_is_a_timeout_and_what_comes_then_is_late() {
    let fleet = format!("subscribe = [\"twin\"]\ntwin = {{ timeout = \"4s\" }}\n{REPORT}");
    let mut wire = Wire::listening(&fleet);
    let (topic, ..) = wire.next_published();
    assert_eq!(rid(&topic), "0");
    wire.pass(5.0).unwrap();
    for rid in ["0", "0", "1", "x", "999999999999999999999999"] {
        wire.deliver(&format!("$iothub/twin/res/204/?$rid={rid}"), "");
    }
    wire.deliver("$iothub/twin/res/204/?$version=1", "");
    let counts = wire.hub_counts();
    assert_eq!((counts.late_answers, counts.unknown_answers, counts.unreadable), (2, 3, 1));
    let (report, errors) = wire.totals_and_errors(Operation::TwinReport);
    assert_eq!((report.due, report.outcome(Outcome::TimedOut), errors), (1, 1, vec!["twin_timeout"]));
}

#[test]
fn what_was_open_is_lost_with_its_connection_and_its_answer_late_on_the_next() {
    let mut wire = Wire::listening(TWIN);
    wire.pass(1.0).unwrap();
    assert_eq!(wire.close(Closed::Eof), ConnectionEnd::Lost);
    wire.now += Duration::from_secs(1);
    wire.reconnect();
    wire.suback();
    assert_eq!(wire.published()[0].0, "$iothub/twin/GET/?$rid=1", "an id is never used again");
    wire.deliver("$iothub/twin/res/200/?$rid=0", WHOLE);
    wire.deliver("$iothub/twin/res/200/?$rid=1", WHOLE);
    assert_eq!(wire.hub_counts().late_answers, 1);
    let twin = wire.totals_at_end(Operation::TwinGet);
    assert_eq!((twin.due, twin.outcome(Outcome::Lost), twin.outcome(Outcome::Ok)), (2, 1, 1));
}

#[test]
fn what_is_granted_late_or_beside_a_refusal_is_granted() {
    let fleet = format!("{TWIN}\nack_timeout = \"5s\"");
    let mut late = Wire::online(600, &fleet, NOTHING);
    late.pass(6.0).unwrap();
    late.suback();
    assert_eq!((late.counts().late_subacks, late.counts().late_acks), (1, 0), "no message was late");
    assert_eq!(late.published().len(), 1, "the whole twin is asked for");

    let fleet = TWIN.replace("[\"twin\"]", "[\"c2d\", \"twin\"]");
    for (codes, asks, filter) in [
        ([0x80, 0, 0], 1, "devices/a-00000/messages/devicebound/#"),
        ([0, 0x80, 0], 0, "$iothub/twin/res/#"),
        ([0, 0, 0x80], 1, "$iothub/twin/PATCH/properties/desired/#"),
    ] {
        let mut wire = Wire::online(600, &fleet, NOTHING);
        wire.suback_with(|_| codes.to_vec());
        assert_eq!(wire.published().len(), asks, "{filter}");
        let errors = wire.errors();
        let [error] = &errors[..] else { panic!("one: {errors:?}") };
        let example = format!("a-00000: the server refused the subscription to {filter}");
        assert_eq!((&*error.class, &*error.example), ("subscribe_refused", &*example));
    }
}

#[test]
fn a_connection_that_goes_before_suback_owes_no_twin() {
    let mut wire = Wire::online(60, TWIN, NOTHING);
    wire.close(Closed::Reset);
    assert_eq!(wire.totals_at_end(Operation::TwinGet).due, 0);
}

#[test]
fn at_qos_1_a_request_ends_with_its_answer_and_not_with_its_ack() {
    let fleet = format!("subscribe = [\"twin\"]\nack_timeout = \"5s\"\ntwin = {{ qos = 1 }}\n{REPORT}");
    let mut wire = Wire::listening(&fleet);
    let (.., qos, pid) = wire.next_published();
    assert_eq!(qos, QoS::AtLeastOnce);
    encode::puback(&mut wire.to_device, pid);
    wire.pass(3.0).unwrap();
    wire.deliver("$iothub/twin/res/204/?$rid=0&$version=2", "");
    // The second one is answered, and acknowledged never.
    wire.next_published();
    wire.deliver("$iothub/twin/res/204/?$rid=1&$version=3", "");
    wire.pass(6.0).unwrap();
    assert_eq!(wire.device.session.quarantined(), 1, "the window minds");
    let report = wire.totals_at_end(Operation::TwinReport);
    assert_eq!((report.due, report.outcome(Outcome::Ok)), (2, 2));
    assert_eq!(report.response.max().map(|us| us / 1_000_000), Some(3));
}

#[test]
fn a_full_window_holds_up_requests_at_qos_1_only() {
    let twin = |qos| {
        let fleet = format!(
            "subscribe = [\"twin\"]\nin_flight = 1\nack_timeout = \"500s\"\nsend_by = \"15s\"\n\
             twin = {{ get = \"on-connect\", every = \"10s\", qos = {qos} }}"
        );
        let mut wire = Wire::online(600, &fleet, "every = \"1s\"\npayload = \"x\"");
        wire.pass(2.0).unwrap();
        wire.suback();
        wire.pass(60.0).unwrap();
        let gets = wire.published().iter().filter(|(topic, ..)| topic.contains("/GET/")).count();
        (gets, wire.totals_at_end(Operation::TwinGet).outcome(Outcome::Expired))
    };
    assert_eq!(twin(0), (7, 0));
    let (gets, expired) = twin(1);
    assert!(gets == 0 && expired >= 5, "{gets} {expired}");
}

#[test]
fn what_is_due_before_suback_waits_and_is_not_late() {
    let fleet = "subscribe = [\"twin\"]\nsend_by = \"8s\"\ntwin = { rate = \"1/s\" }";
    let mut wire = Wire::online(60, fleet, NOTHING);
    wire.pass(5.0).unwrap();
    wire.suback();
    let sent = wire.published();
    assert_eq!(sent.len(), 5);
    for (topic, ..) in &sent {
        wire.deliver(&format!("$iothub/twin/res/200/?$rid={}", rid(topic)), WHOLE);
    }
    let twin = wire.totals_at_end(Operation::TwinGet);
    assert_eq!((twin.outcome(Outcome::Ok), twin.lag.max()), (5, Some(1)), "the hub's time, not ours");
    assert!(twin.wait.max() > Some(4_000_000));

    // Nobody ever hears it: they expire one by one.
    let mut wire = Wire::online(60, fleet, NOTHING);
    wire.pass(20.0).unwrap();
    let twin = wire.totals_at_end(Operation::TwinGet);
    assert_eq!((twin.due, twin.outcome(Outcome::Expired), twin.outcome(Outcome::Unfinished)), (20, 12, 8));
}

#[test]
fn desired_properties_are_judged_by_the_whole_twin() {
    let desired = |version: u64| format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
    let mut wire = Wire::online(60, TWIN, NOTHING);
    // The session was kept: changes may come before SUBACK does.
    wire.deliver(&desired(5), "{}");
    wire.suback();
    for version in [6, 7, 8] {
        wire.deliver(&desired(version), "{}");
    }
    wire.deliver("$iothub/twin/res/200/?$rid=0", WHOLE);
    for version in [9, 9, 12] {
        wire.deliver(&desired(version), "{}");
    }
    let counts = wire.hub_counts();
    assert_eq!((counts.desired, counts.desired_stale, counts.desired_missed), (7, 4, 2));
    // Nothing is forgotten when no answer comes.
    wire.close(Closed::Eof);
    wire.reconnect();
    wire.suback();
    wire.deliver(&desired(15), "{}");
    assert_eq!(wire.hub_counts().desired_missed, 2, "the whole twin is on its way");
    wire.close(Closed::Eof);
    assert_eq!(wire.hub_counts().desired_missed, 4);
}

#[test]
fn a_request_under_way_is_waited_for_before_a_renewal() {
    let auth = "auth = { kind = \"sas\", ttl = \"10s\", renew = \"50%\", jitter = \"0%\" }";
    let mut wire = Wire::listening(&format!("{TWIN}\n{auth}"));
    wire.pass(5.0).unwrap();
    assert!(wire.device.is_reconnecting());
    assert_eq!(wire.device.poll_close(), None);
    wire.deliver("$iothub/twin/res/200/?$rid=0", WHOLE);
    assert_eq!(wire.device.poll_close(), Some(Close::AfterFlush));
    assert_eq!(wire.close(Closed::Local), ConnectionEnd::Renewal);
    assert_eq!(wire.totals_at_end(Operation::TwinGet).outcome(Outcome::Ok), 1);
}

#[test]
fn what_is_open_at_the_end_is_unfinished() {
    let mut wire = Wire::online(5, TWIN, NOTHING);
    wire.suback();
    wire.pass(6.9).unwrap();
    assert_eq!(wire.device.poll_close(), None, "the drain waits for it");
    wire.pass(0.2).unwrap();
    assert_eq!(wire.close(Closed::Local), ConnectionEnd::Finished);
    let twin = wire.totals_at_end(Operation::TwinGet);
    assert_eq!((twin.due, twin.outcome(Outcome::Unfinished)), (1, 1));
}

#[test]
fn a_closed_loop_of_requests_goes_round_by_their_answers() {
    let closed = "[[fleet.a.report]]\narrival = \"closed\"\nthink_time = \"1s\"\npayload = '{}'";
    let mut wire =
        Wire::listening(&format!("subscribe = [\"twin\"]\ntwin = {{ timeout = \"20s\" }}\n{closed}"));
    let (first, ..) = wire.next_published();
    wire.pass(3.0).unwrap();
    assert_eq!(wire.published(), [], "it is flushed, and not answered");
    wire.deliver(&format!("$iothub/twin/res/204/?$rid={}", rid(&first)), "");
    wire.pass(1.0).unwrap();
    assert_eq!(wire.published().len(), 1);
    wire.pass(20.0).unwrap();
    assert_eq!(wire.published().len(), 0);
    wire.pass(1.0).unwrap();
    assert_eq!(wire.published().len(), 1, "a timeout is an end as well");
}

const METHODS: &str = "subscribe = [\"methods\"]\n\
                       [fleet.a.methods.read]\nstatus = 202\npayload = '{\"n\":${seq}}'\n\
                       [fleet.a.methods.slow]\nafter = \"2s\"\n\
                       [fleet.a.methods.never]\nanswer = false\n\
                       [fleet.a.methods.reboot]\nafter = \"1s\"\nthen = \"reconnect\"\n\
                       [fleet.a.methods.sure]\nqos = 1";

fn call(name: &str, rid: &str) -> String {
    format!("$iothub/methods/POST/{name}/?$rid={rid}")
}

#[test]
fn methods_are_answered_as_the_scenario_says() {
    let mut wire = Wire::listening(METHODS);
    // The call without a payload has an empty body.
    for (name, rid, body) in
        [("read", "1f", ""), ("read", "a/b", "null"), ("other", "3", ""), ("never", "4", "{}")]
    {
        wire.deliver(&call(name, rid), body);
    }
    let answers: Vec<(String, String)> =
        wire.published().into_iter().map(|(topic, payload, ..)| (topic, payload)).collect();
    let expected = [
        ("$iothub/methods/res/202/?$rid=1f", "{\"n\":0}"),
        ("$iothub/methods/res/202/?$rid=a/b", "{\"n\":1}"),
        ("$iothub/methods/res/501/?$rid=3", ""),
    ];
    assert_eq!(answers, expected.map(|(topic, payload)| (topic.to_owned(), payload.to_owned())));
    let counts = wire.hub_counts();
    assert_eq!((counts.methods_unknown, counts.methods_unanswered), (1, 1));
    let method = wire.totals_at_end(Operation::Method);
    assert_eq!(
        (method.due, method.outcome(Outcome::Ok)),
        (3, 3),
        "what is not to be answered is no operation"
    );
}

#[test]
fn what_a_device_takes_is_part_of_response_and_not_of_lag() {
    let mut wire = Wire::listening(METHODS);
    wire.deliver(&call("slow", "1"), "{}");
    wire.pass(1.0).unwrap();
    wire.deliver(&call("read", "2"), "{}");
    assert_eq!(wire.published().len(), 1, "the quick one is not held up");
    // The worker comes 500 ms late for the slow one.
    wire.now += Duration::from_millis(1_500);
    wire.turn().unwrap();
    assert_eq!(wire.published().len(), 1);
    let method = wire.totals_at_end(Operation::Method);
    assert_eq!(method.response.max().map(|us| us / 10_000), Some(250));
    assert_eq!(method.lag.max().map(|us| us / 10_000), Some(50));
    assert_eq!(method.wait.max().map(|us| us / 10_000), Some(200));
}

#[test]
fn an_answer_at_qos_1_is_on_its_way_with_its_ack() {
    let mut wire = Wire::listening(METHODS);
    wire.deliver(&call("sure", "1"), "{}");
    let [(.., pid)] = wire.published()[..] else { panic!("one answer") };
    wire.pass(1.0).unwrap();
    encode::puback(&mut wire.to_device, pid);
    wire.turn().unwrap();
    let method = wire.totals_at_end(Operation::Method);
    assert_eq!((method.outcome(Outcome::Ok), method.response.max().map(|us| us / 100_000)), (1, Some(10)));
}

#[test]
fn a_method_may_make_the_device_go_and_come_back() {
    let mut wire = Wire::listening(METHODS);
    wire.deliver(&call("reboot", "1"), "{}");
    wire.pass(0.9).unwrap();
    assert!(!wire.device.is_reconnecting());
    wire.pass(0.2).unwrap();
    let sent = wire.sent();
    assert!(matches!(&sent[..], [Packet::Publish(_), Packet::Disconnect]), "{sent:?}");
    wire.device.handle_flushed(wire.now);
    assert_eq!(wire.device.poll_close(), Some(Close::AfterFlush));
    assert_eq!(wire.close(Closed::Local), ConnectionEnd::Method);
    wire.reconnect();
    let counts = wire.counts();
    assert_eq!((counts.reconnects, counts.renewals), (1, 0));
    assert_eq!(wire.totals_at_end(Operation::Method).outcome(Outcome::Ok), 1);
}

#[test]
fn a_device_that_comes_back_because_it_was_asked_to_was_not_missed() {
    let mut wire = Wire::listening(METHODS);
    wire.deliver(&call("reboot", "1"), "{}");
    wire.pass(1.0).unwrap();
    wire.close(Closed::Local);
    wire.reconnect();
    assert_eq!(wire.totals_at_end(Operation::Online).due, 1, "only the planned coming");
}

#[test]
fn the_last_calls_are_still_answered() {
    let called = "\n[[drive]]\ncall = \"method\"\nfleet = \"a\"\nname = \"read\"\nrate = \"1/s\"";
    for (drive, stays) in [("", false), (called, true)] {
        let mut wire = Wire::online(5, METHODS, &format!("{NOTHING}{drive}"));
        wire.suback();
        wire.pass(5.0).unwrap();
        assert_eq!(wire.device.poll_close().is_none(), stays, "{drive}");
        if stays {
            wire.deliver(&call("read", "1"), "{}");
            assert_eq!(wire.published().len(), 1);
            wire.pass(1.0).unwrap();
            assert_eq!(wire.device.poll_close(), Some(Close::AfterFlush), "and then it goes");
        }
    }
}

#[test]
fn calls_that_wait_are_lost_with_the_connection_and_bounded() {
    let mut wire = Wire::listening(METHODS);
    for n in 0..1_100 {
        wire.deliver(&call("slow", &n.to_string()), "{}");
    }
    wire.close(Closed::Reset);
    let (method, errors) = wire.totals_and_errors(Operation::Method);
    assert_eq!((method.due, method.outcome(Outcome::Lost)), (1_100, 1_100));
    assert_eq!(errors, ["method_overflow", "reset"]);
}

#[test]
fn hostile_calls_do_no_harm() {
    let mut wire = Wire::listening(METHODS);
    let long = "r".repeat(60_000);
    for topic in [
        call("read", ""),
        call("read", &long),
        call(&long, "1"),
        call("", "2"),
        "$iothub/methods/POST/".to_owned(),
        "$iothub/methods/POST/read/?$rid=\u{7}\u{1b}[2J".to_owned(),
        "$iothub/methods/POST/read/?$rid=+/#".to_owned(),
    ] {
        wire.deliver(&topic, "\u{0}");
    }
    let counts = wire.hub_counts();
    assert_eq!((counts.unreadable, counts.methods_unknown), (5, 2));
    assert_eq!(wire.published().len(), 2);
    let method = wire.totals_at_end(Operation::Method);
    assert_eq!((method.due, method.outcome(Outcome::Ok)), (2, 2));
}

const C2D: &str = "subscribe = [\"c2d\"]";

fn c2d(bag: &str) -> String {
    format!("devices/a-00000/messages/devicebound/{bag}")
}

#[test]
fn commands_have_the_age_that_their_sender_stamped() {
    let mut wire = Wire::online(60, C2D, NOTHING);
    wire.pass(10.0).unwrap();
    // The run's zero is at 1,800,000,000 s.
    for bag in [
        "hubstorm-sent=1800000009500000&hubstorm-seq=0",
        "iothub-creation-time-utc=2027-01-15T08%3A00%3A07Z",
        "hubstorm-sent=1799999990000000&hubstorm-seq=77",
        "temp=high",
        "hubstorm-sent=1800000011000000",
        "hubstorm-seq=1",
        "%ff",
    ] {
        wire.deliver(&c2d(bag), "{}");
    }
    let counts = wire.hub_counts();
    assert_eq!((counts.c2d, counts.c2d_unstamped), (7, 3));
    assert_eq!((counts.c2d_skipped, counts.c2d_duplicates), (0, 0), "an earlier run's numbers are its own");
    let ages = wire.totals_at_end(Operation::C2d);
    assert_eq!((ages.due, ages.outcome(Outcome::Ok)), (3, 3));
    assert_eq!(ages.service.count(), 0, "nobody answers");
    let seconds: Vec<_> = [0.3, 0.6, 1.0].map(|q| ages.response.quantile(q).map(|us| us / 100_000)).into();
    assert_eq!(seconds, [Some(5), Some(30), Some(200)]);
}

/// The clock steps after 10 s. One message was sent 5 s before that and arrives at the step; another arrives 5 s after it.
#[test]
fn an_age_never_contains_a_step() {
    let drive = "\n[[drive]]\ncall = \"c2d\"\nfleet = \"a\"\nrate = \"1/m\"\npayload = \"x\"";
    for by_us in [7_200_000_000, -7_200_000_000] {
        let stepped = |send: &str, sent: [i64; 2]| {
            let mut wire = Wire::online(60, C2D, send);
            wire.pass(10.0).unwrap();
            wire.context.wall.step(by_us);
            wire.deliver(&c2d(&format!("hubstorm-sent={}", sent[0])), "{}");
            wire.pass(5.0).unwrap();
            wire.deliver(&c2d(&format!("hubstorm-sent={}", sent[1])), "{}");
            let (ages, errors) = wire.totals_and_errors(Operation::C2d);
            (ages.outcome(Outcome::Ok), ages.response.max().map(|us| us / 1_000_000), errors)
        };
        let (five_s, twelve_s) = (1_800_000_005_000_000, 1_800_000_012_000_000);
        // The run's own stamps have no steps: the ages are 5 s and 3 s.
        let own = stepped(&format!("{NOTHING}{drive}"), [five_s, twelve_s]);
        assert_eq!(own, (2, Some(5), vec![]), "{by_us}");
        // Other senders use a wall clock like this machine's: only the second age is known.
        let foreign = stepped(NOTHING, [five_s, twelve_s + by_us]);
        assert_eq!(foreign, (1, Some(3), vec!["clock_step"]), "{by_us}");
    }
}

#[test]
fn a_command_stamped_later_than_it_came_has_no_age_and_an_error() {
    let mut wire = Wire::online(60, C2D, NOTHING);
    wire.deliver(&c2d("hubstorm-sent=1800000011000000"), "{}");
    let errors = wire.errors();
    assert_eq!(
        errors.iter().map(|error| (error.class.as_str(), error.count)).collect::<Vec<_>>(),
        [("clock_ahead", 1)]
    );
    assert_eq!(wire.totals_at_end(Operation::C2d).due, 0);
}

#[test]
fn commands_may_come_before_subscribe_and_are_acknowledged() {
    let mut wire = Wire::new(60, C2D, NOTHING);
    wire.sent();
    encode::connack(&mut wire.to_device, true, 0);
    let publish = encode::PublishRef {
        topic: &c2d("hubstorm-sent=1800000000000000&hubstorm-seq=0"),
        payload: b"x",
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
        pid: 9,
    };
    for _ in 0..2 {
        encode::publish(&mut wire.to_device, &publish).unwrap();
    }
    wire.turn().unwrap();
    let acks = wire.sent().iter().filter(|packet| matches!(packet, Packet::PubAck(9))).count();
    assert_eq!(acks, 2);
    let counts = wire.hub_counts();
    assert_eq!((counts.c2d, counts.c2d_duplicates), (2, 1));
    assert_eq!(wire.totals_at_end(Operation::C2d).outcome(Outcome::Ok), 2);
}

#[test]
fn a_device_that_hears_nothing_owns_nothing_for_it() {
    let wire = Wire::listening(METHODS);
    assert!(wire.device.iot_hub.is_none());
}

/// What a hub may do next.
#[derive(Clone, Debug)]
enum Act {
    Pass(u32),
    Answer { status: u16, rid: u64 },
    Call(&'static str),
    Raw(String),
    Desired(u64),
    Command(u64),
    Acks,
    Close,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (1_u32..4_000).prop_map(Act::Pass),
        4 => (prop_oneof![Just(200), Just(204), Just(429), Just(400)], 0_u64..30)
            .prop_map(|(status, rid)| Act::Answer { status, rid }),
        2 => prop_oneof![Just("read"), Just("slow"), Just("never"), Just("reboot"), Just("sure"), Just("x")]
            .prop_map(Act::Call),
        1 => "\\$iothub/[a-z/?$=0-9]{0,30}".prop_map(Act::Raw),
        1 => (0_u64..9).prop_map(Act::Desired),
        1 => (0_u64..9).prop_map(Act::Command),
        2 => Just(Act::Acks),
        1 => Just(Act::Close),
    ];
    prop::collection::vec(act, 0..60)
}

proptest! {
    #[test]
    fn whatever_a_hub_does_every_operation_ends_once(acts in acts(), qos in 0..2) {
        let fleet = format!(
            "in_flight = 2\nack_timeout = \"3s\"\nsend_by = \"4s\"\ntwin = {{ get = \"on-connect\", every = \"2s\", \
             qos = {qos}, timeout = \"5s\" }}\n{}\n{REPORT}",
            METHODS.replacen("[\"methods\"]", "[\"methods\", \"twin\", \"c2d\"]", 1)
        );
        let mut wire = Wire::online(60, &fleet, "every = \"1s\"\npayload = \"x\"");
        wire.suback();
        for act in acts {
            let result = match act {
                Act::Pass(ms) => wire.pass(f64::from(ms) / 1_000.0),
                Act::Answer { status, rid } => {
                    wire.deliver(&format!("$iothub/twin/res/{status}/?$rid={rid}"), WHOLE);
                    Ok(())
                }
                Act::Call(name) => { wire.deliver(&call(name, "7"), "{}"); Ok(()) }
                Act::Raw(topic) => { wire.deliver(&topic, "{}"); Ok(()) }
                Act::Desired(version) => {
                    wire.deliver(&format!("$iothub/twin/PATCH/properties/desired/?$version={version}"), "{}");
                    Ok(())
                }
                Act::Command(seq) => { wire.deliver(&c2d(&format!("hubstorm-seq={seq}")), "{}"); Ok(()) }
                Act::Acks => {
                    wire.device.handle_flushed(wire.now);
                    for packet in wire.sent() {
                        match packet {
                            Packet::Publish(publish) if publish.pid > 0 => {
                                encode::puback(&mut wire.to_device, publish.pid);
                            }
                            Packet::Subscribe(subscribe) => encode::suback(&mut wire.to_device, subscribe.pid, &[0; 4]),
                            _ => {}
                        }
                    }
                    wire.turn()
                }
                Act::Close => Err(SessionError::PingTimeout),
            };
            if result.is_err() || wire.device.poll_close().is_some() {
                wire.close(if result.is_err() { Closed::Eof } else { Closed::Local });
                if wire.now < wire.context.at(wire.device.offline_at_ns()) {
                    wire.reconnect();
                }
            }
        }
        wire.device.settle(wire.now);
        let measurement = wire.measurement();
        for operation in Operation::ALL {
            let totals = measurement.sum(|key| key.operation == operation);
            prop_assert_eq!(totals.due, totals.ended(), "{}", operation);
        }
    }
}
