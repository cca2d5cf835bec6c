//! Direct methods: answers, delays, reconnects, and calls that cannot be answered.

use super::*;

#[test]
fn methods_are_answered_as_the_scenario_defines() {
    let mut wire = Wire::listening(METHODS);
    // A call without a payload has an empty body.
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
        "a call without an answer does not count as an operation"
    );
}

#[test]
fn method_delay_is_part_of_response_and_not_of_lag() {
    let mut wire = Wire::listening(METHODS);
    wire.deliver(&call("slow", "1"), "{}");
    wire.pass(1.0).unwrap();
    wire.deliver(&call("read", "2"), "{}");
    assert_eq!(wire.published().len(), 1, "the quick call does not wait for the slow one");
    // The worker is 500 ms late for the slow call.
    wire.now += Duration::from_millis(1_500);
    wire.turn().unwrap();
    assert_eq!(wire.published().len(), 1);
    let method = wire.totals_at_end(Operation::Method);
    assert_eq!(method.response.max().map(|us| us / 10_000), Some(250));
    assert_eq!(method.lag.max().map(|us| us / 10_000), Some(50));
    assert_eq!(method.wait.max().map(|us| us / 10_000), Some(200));
}

#[test]
fn qos_1_answer_ends_with_its_puback() {
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
fn method_can_make_the_device_reconnect() {
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
fn reconnect_by_method_is_not_offline_time() {
    let mut wire = Wire::listening(METHODS);
    wire.deliver(&call("reboot", "1"), "{}");
    wire.pass(1.0).unwrap();
    wire.close(Closed::Local);
    wire.reconnect();
    assert_eq!(wire.totals_at_end(Operation::Online).due, 1, "only the planned connection");
}

#[test]
fn last_calls_are_still_answered() {
    let called = "\n[[drive]]\ncall = \"method\"\nfleet = \"a\"\nname = \"read\"\nrate = \"1/s\"";
    for (drive, stays) in [("", false), (called, true)] {
        let mut wire = Wire::online(5, METHODS, &format!("{RARELY}{drive}"));
        wire.suback();
        wire.pass(5.0).unwrap();
        assert_eq!(wire.device.poll_close().is_none(), stays, "{drive}");
        if stays {
            wire.deliver(&call("read", "1"), "{}");
            assert_eq!(wire.published().len(), 1);
            wire.pass(1.0).unwrap();
            assert_eq!(wire.device.poll_close(), Some(Close::AfterFlush), "then it disconnects");
        }
    }
}

#[test]
fn pending_calls_are_bounded_and_lost_with_the_connection() {
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
fn hostile_calls_are_counted_and_harmless() {
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

#[test]
fn device_without_hub_messages_allocates_no_hub_state() {
    let wire = Wire::listening(METHODS);
    assert!(wire.device.iot_hub.is_none());
}
