//! Tracked sends, and the expected number of copies of each message.

use super::ExpectedStream;
use crate::plan::{Plan, test_support};

const S: u64 = 1_000_000_000;

fn load(text: &str) -> Result<Plan, String> {
    test_support::load(&format!("[target]\nkind = \"mqtt\"\nhost = \"127.0.0.1\"\n{text}"))
}

fn plan(text: &str) -> Plan {
    load(text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Returns a plan that lasts 10 s, with ten senders and three subscribers.
fn between(topic: &str, payload: &str, subscribe: &str) -> Plan {
    plan(&format!(
        "[fleet.out]\ndevices = 10\n[[fleet.out.send]]\nevery = \"1s\"\ntopic = \"{topic}\"\npayload = {payload}\n\
         [fleet.in]\ndevices = 3\nid = \"in-{{index}}\"\nsubscribe = {subscribe}\n\
         [[phase]]\nname = \"p\"\nduration = \"10s\"\n"
    ))
}

const STAMPED: &str = "\"x${stamp}\"";

fn copies(plan: &Plan, index: u32, due_ns: u64) -> Vec<(usize, u16, u64)> {
    plan.deliveries.copies(0, 0, index, due_ns).collect()
}

#[test]
fn every_subscriber_receives_from_every_sender() {
    let plan = between("a/${device}", STAMPED, "[\"a/+\", \"a/#\", \"b\"]");
    let deliveries = &plan.deliveries;
    assert!(deliveries.receives(1) && !deliveries.receives(0));
    assert!(deliveries.sends_tracked(0) && !deliveries.sends_tracked(1));
    assert_eq!(copies(&plan, 7, 5 * S), [(0, 1, 3)], "each device once, however many filters match");
    assert_eq!((deliveries.copies_planned(0, 0), deliveries.pairs()), (Some([3, 3]), 30));
    let expected = ExpectedStream { send: 0, kept: false };
    assert_eq!(deliveries.expected_stream(9, 0, 1, 2), Some(expected));
    for (sender, stream, fleet) in [(9, 1, 1), (10, 0, 1), (u32::MAX, 0, 1), (9, 0, 0), (9, u16::MAX, 9)] {
        assert_eq!(deliveries.expected_stream(sender, stream, fleet, 2), None, "{sender} {stream} {fleet}");
    }
}

#[test]
fn filter_with_the_device_id_matches_one_sender() {
    let plan = between("to/in-${index}", STAMPED, "[\"to/${device}\"]");
    assert_eq!(copies(&plan, 2, 5 * S), [(0, 1, 1)]);
    assert_eq!(copies(&plan, 3, 5 * S), [], "no device has the id in-3");
    assert_eq!((plan.deliveries.copies_planned(0, 0), plan.deliveries.pairs()), (Some([0, 1]), 3));
    assert!((plan.deliveries.copies_mean(0, 0, Some(1)) - 0.3).abs() < 1e-9);
    assert!(
        plan.deliveries.expected_stream(2, 0, 1, 2).is_some()
            && plan.deliveries.expected_stream(2, 0, 1, 1).is_none()
    );
}

#[test]
fn sends_without_receiver_or_stamp_are_not_tracked() {
    for (topic, payload) in
        [("b", STAMPED), ("a/x", "\"no stamp\""), ("a/x", "{ size = 37 }"), ("$SYS/x", STAMPED)]
    {
        let plan = between(topic, payload, "[\"a/#\", \"+/x\"]");
        assert!(!plan.deliveries.is_tracked(0, 0) && !plan.deliveries.receives(1), "{topic} {payload}");
    }
    assert!(between("a/x", "{ size = 38 }", "[\"a/#\"]").deliveries.is_tracked(0, 0));
}

#[test]
fn copies_follow_the_planned_online_devices() {
    let ramp = "[fleet.out]\ndevices = 1\n[[fleet.out.send]]\nevery = \"1s\"\ntopic = \"a\"\npayload = '${stamp}'\n\
                [fleet.in]\ndevices = 10\nsubscribe = [\"a\"]\nclean_session = CLEAN\n\
                [[phase]]\nname = \"up\"\nduration = \"10s\"\nonline = \"0% -> 100%\"\n\
                [[phase]]\nname = \"down\"\nduration = \"10s\"\nonline = \"100% -> 0%\"\n\
                [[phase]]\nname = \"off\"\nduration = \"10s\"\nonline = \"0%\"\n\
                [[phase]]\nname = \"on\"\nduration = \"10s\"\n";
    let clean = plan(&ramp.replace("CLEAN", "true"));
    let kept = plan(&ramp.replace("CLEAN", "false"));
    let present = |plan: &Plan, due_s: u64| copies(plan, 0, due_s * S)[0].2;
    // The n-th device connects at n - 0.5 s and can receive messages one second later.
    let counts = |plan: &Plan| [0, 2, 5, 10, 15, 19, 25, 32, 39, 50].map(|due_s| present(plan, due_s));
    assert_eq!(counts(&clean), [0, 1, 4, 9, 4, 0, 0, 10, 10, 10]);
    assert_eq!(
        counts(&kept),
        [0, 1, 4, 9, 10, 10, 10, 10, 10, 10],
        "the broker keeps messages for offline devices"
    );
    for due_s in 0..40 {
        let expecting = (0..10).filter(|index| clean.deliveries.expects(1, *index, false, due_s * S)).count();
        assert_eq!(expecting as u64, present(&clean, due_s), "`expects` and `copies` agree");
    }
}

#[test]
fn broker_does_not_keep_messages_at_qos_0() {
    let plan = |filter: &str, qos: u8| {
        let text = format!(
            "[fleet.out]\ndevices = 1\n[[fleet.out.send]]\nqos = {qos}\nevery = \"1s\"\ntopic = \"a\"\n\
             payload = '${{stamp}}'\n[fleet.in]\ndevices = 1\nclean_session = false\nsubscribe = [{filter}]\n\
             [[phase]]\nname = \"p\"\nduration = \"10s\"\n"
        );
        plan(&text).deliveries.expected_stream(0, 0, 1, 0).unwrap().kept
    };
    let (unkept, kept) = ("{ filter = \"a\", qos = 0 }", "{ filter = \"a\", qos = 1 }");
    assert!(plan(kept, 1) && plan(&format!("{unkept}, \"+\""), 2));
    assert!(!plan(kept, 0) && !plan(unkept, 1));
}

#[test]
fn stamp_in_a_will_is_rejected() {
    let will = "[fleet.a]\ndevices = 1\nwill = { topic = \"t\", payload = \"${stamp}\" }\n\
                [[phase]]\nname = \"p\"\nduration = \"10s\"\n";
    let error = load(will).map(|_| ()).unwrap_err();
    assert!(error.contains("${stamp} is only for messages to a plain broker"), "{error}");
}
