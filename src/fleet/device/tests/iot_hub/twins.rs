//! Device twins: requests and their answers, and changes to desired properties.

use super::*;

#[test]
fn whole_twin_is_requested_after_suback() {
    let mut wire = Wire::online(60, TWIN, RARELY);
    wire.pass(2.0).unwrap();
    let filters = wire.sent().iter().find_map(|packet| match packet {
        Packet::Subscribe(subscribe) => Some((subscribe.pid, subscribe.filters.clone())),
        _ => None,
    });
    let (pid, filters) = filters.expect("a SUBSCRIBE");
    let topics: Vec<&str> = filters.iter().map(|(filter, _)| filter.as_str()).collect();
    assert_eq!(topics, ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"]);
    assert_eq!(wire.published(), [], "the answer could not arrive");
    encode::suback(&mut wire.to_device, pid, &[0, 0]);
    wire.turn().unwrap();
    let get = ("$iothub/twin/GET/?$rid=0".to_owned(), String::new(), QoS::AtMostOnce, 0);
    assert_eq!(wire.published(), [get]);
    wire.pass(0.25).unwrap();
    wire.deliver("$iothub/twin/res/200/?$rid=0", WHOLE);
    let twin = wire.totals_at_end(Operation::TwinGet);
    assert_eq!((twin.due, twin.outcome(Outcome::Ok)), (1, 1));
    assert_eq!((twin.lag.max(), twin.wait.max()), (Some(1), Some(1)), "it became due at SUBACK");
    assert_eq!(twin.response.max().map(|us| us / 1_000), Some(250));
    assert!(!twin.no_ack, "the flush does not end it");
}

#[test]
fn each_status_has_its_outcome_and_class() {
    for (status, body, outcome, class, example) in [
        (204, "", Outcome::Ok, None, ""),
        (429, "", Outcome::Throttled, Some("twin_429"), "a-00000: twin.report failed with status 429"),
        (
            400,
            r#"{"errorCode":400004,"message":"bad"}"#,
            Outcome::Refused,
            Some("twin_400004"),
            "a-00000: twin.report failed with status 400: errorCode 400004, bad",
        ),
        (
            429,
            r#"{"errorCode":429005}"#,
            Outcome::Throttled,
            Some("twin_429005"),
            "a-00000: twin.report failed with status 429: errorCode 429005",
        ),
        (
            400,
            r#"{"errorCode":429001}"#,
            Outcome::Refused,
            Some("twin_400"),
            "a-00000: twin.report failed with status 400: errorCode 429001",
        ),
        (
            503,
            "\u{0}not json",
            Outcome::Refused,
            Some("twin_503"),
            "a-00000: twin.report failed with status 503",
        ),
        (77, "", Outcome::Refused, Some("twin_unknown"), "a-00000: twin.report failed with status 77"),
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
        // The first report is in an earlier snapshot, so send another.
        wire.next_published();
        wire.deliver(&format!("$iothub/twin/res/{status}/?$rid=1"), body);
        assert_eq!(wire.totals_at_end(Operation::TwinReport).outcome(outcome), 1, "{status}");
    }
}

#[test]
fn whole_twin_without_a_version_is_refused() {
    for body in ["", "null", "{\"desired\":{}}", "[", "{\"desired\":{\"$version\":\"7\"}}"] {
        let mut wire = Wire::listening(TWIN);
        wire.deliver("$iothub/twin/res/200/?$rid=0", body);
        let (twin, errors) = wire.totals_and_errors(Operation::TwinGet);
        assert_eq!(errors, ["twin_body"], "{body}");
        assert_eq!((twin.due, twin.outcome(Outcome::Refused)), (1, 1), "{body}");
    }
}

#[test]
fn missing_answer_times_out_and_counts_as_late_afterwards() {
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
fn request_is_lost_with_its_connection() {
    let mut wire = Wire::listening(TWIN);
    wire.pass(1.0).unwrap();
    assert_eq!(wire.close(Closed::Eof), ConnectionEnd::Lost);
    wire.now += Duration::from_secs(1);
    wire.reconnect();
    wire.suback();
    assert_eq!(wire.published()[0].0, "$iothub/twin/GET/?$rid=1", "ids are not reused");
    wire.deliver("$iothub/twin/res/200/?$rid=0", WHOLE);
    wire.deliver("$iothub/twin/res/200/?$rid=1", WHOLE);
    assert_eq!(wire.hub_counts().late_answers, 1);
    let twin = wire.totals_at_end(Operation::TwinGet);
    assert_eq!((twin.due, twin.outcome(Outcome::Lost), twin.outcome(Outcome::Ok)), (2, 1, 1));
}

#[test]
fn late_or_partly_refused_suback_still_grants() {
    let fleet = format!("{TWIN}\nack_timeout = \"5s\"");
    let mut late = Wire::online(600, &fleet, RARELY);
    late.pass(6.0).unwrap();
    late.suback();
    assert_eq!((late.counts().late_subacks, late.counts().late_acks), (1, 0), "no message was late");
    assert_eq!(late.published().len(), 1, "the whole twin is requested");

    let fleet = TWIN.replace("[\"twin\"]", "[\"c2d\", \"twin\"]");
    for (codes, asks, filter) in [
        ([0x80, 0, 0], 1, "devices/a-00000/messages/devicebound/#"),
        ([0, 0x80, 0], 0, "$iothub/twin/res/#"),
        ([0, 0, 0x80], 1, "$iothub/twin/PATCH/properties/desired/#"),
    ] {
        let mut wire = Wire::online(600, &fleet, RARELY);
        wire.suback_with(|_| codes.to_vec());
        assert_eq!(wire.published().len(), asks, "{filter}");
        let errors = wire.errors();
        let [error] = &errors[..] else { panic!("expected one error class: {errors:?}") };
        let example = format!("a-00000: the server refused the subscription to {filter}");
        assert_eq!((&*error.class, &*error.example), ("subscribe_refused", &*example));
    }
}

#[test]
fn connection_lost_before_suback_does_not_request_twin() {
    let mut wire = Wire::online(60, TWIN, RARELY);
    wire.close(Closed::Reset);
    assert_eq!(wire.totals_at_end(Operation::TwinGet).due, 0);
}

#[test]
fn qos_1_request_ends_with_its_answer_not_its_puback() {
    let fleet = format!("subscribe = [\"twin\"]\nack_timeout = \"5s\"\ntwin = {{ qos = 1 }}\n{REPORT}");
    let mut wire = Wire::listening(&fleet);
    let (.., qos, pid) = wire.next_published();
    assert_eq!(qos, QoS::AtLeastOnce);
    encode::puback(&mut wire.to_device, pid);
    wire.pass(3.0).unwrap();
    wire.deliver("$iothub/twin/res/204/?$rid=0&$version=2", "");
    // The second one is answered but never acknowledged.
    wire.next_published();
    wire.deliver("$iothub/twin/res/204/?$rid=1&$version=3", "");
    wire.pass(6.0).unwrap();
    assert_eq!(wire.device.session.quarantined(), 1, "the packet id stays in use");
    let report = wire.totals_at_end(Operation::TwinReport);
    assert_eq!((report.due, report.outcome(Outcome::Ok)), (2, 2));
    assert_eq!(report.response.max().map(|us| us / 1_000_000), Some(3));
}

#[test]
fn full_window_delays_only_qos_1_requests() {
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
fn request_due_before_suback_waits_without_lag() {
    let fleet = "subscribe = [\"twin\"]\nsend_by = \"8s\"\ntwin = { rate = \"1/s\" }";
    let mut wire = Wire::online(60, fleet, RARELY);
    wire.pass(5.0).unwrap();
    wire.suback();
    let sent = wire.published();
    assert_eq!(sent.len(), 5);
    for (topic, ..) in &sent {
        wire.deliver(&format!("$iothub/twin/res/200/?$rid={}", rid(topic)), WHOLE);
    }
    let twin = wire.totals_at_end(Operation::TwinGet);
    assert_eq!(
        (twin.outcome(Outcome::Ok), twin.lag.max()),
        (5, Some(1)),
        "the hub caused the wait, so there is no lag"
    );
    assert!(twin.wait.max() > Some(4_000_000));

    // Without SUBACK, the requests expire one by one.
    let mut wire = Wire::online(60, fleet, RARELY);
    wire.pass(20.0).unwrap();
    let twin = wire.totals_at_end(Operation::TwinGet);
    assert_eq!((twin.due, twin.outcome(Outcome::Expired), twin.outcome(Outcome::Unfinished)), (20, 12, 8));
}

#[test]
fn desired_versions_are_compared_with_the_whole_twin() {
    let desired = |version: u64| format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
    let mut wire = Wire::online(60, TWIN, RARELY);
    // The session was kept, so changes may arrive before SUBACK.
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
    // Early changes are counted even if no answer arrives.
    wire.close(Closed::Eof);
    wire.reconnect();
    wire.suback();
    wire.deliver(&desired(15), "{}");
    assert_eq!(wire.hub_counts().desired_missed, 2, "the whole twin is in transit");
    wire.close(Closed::Eof);
    assert_eq!(wire.hub_counts().desired_missed, 4);
}

#[test]
fn renewal_waits_for_an_open_request() {
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
fn request_open_at_the_end_is_unfinished() {
    let mut wire = Wire::online(5, TWIN, RARELY);
    wire.suback();
    wire.pass(6.9).unwrap();
    assert_eq!(wire.device.poll_close(), None, "the drain waits for it");
    wire.pass(0.2).unwrap();
    assert_eq!(wire.close(Closed::Local), ConnectionEnd::Finished);
    let twin = wire.totals_at_end(Operation::TwinGet);
    assert_eq!((twin.due, twin.outcome(Outcome::Unfinished)), (1, 1));
}

#[test]
fn closed_loop_of_requests_follows_their_answers() {
    let closed = "[[fleet.a.report]]\narrival = \"closed\"\nthink_time = \"1s\"\npayload = '{}'";
    let mut wire =
        Wire::listening(&format!("subscribe = [\"twin\"]\ntwin = {{ timeout = \"20s\" }}\n{closed}"));
    let (first, ..) = wire.next_published();
    wire.pass(3.0).unwrap();
    assert_eq!(wire.published(), [], "flushed, but not answered");
    wire.deliver(&format!("$iothub/twin/res/204/?$rid={}", rid(&first)), "");
    wire.pass(1.0).unwrap();
    assert_eq!(wire.published().len(), 1);
    wire.pass(20.0).unwrap();
    assert_eq!(wire.published().len(), 0);
    wire.pass(1.0).unwrap();
    assert_eq!(wire.published().len(), 1, "a timeout ends it too");
}
