//! Findings about failed connection attempts.

use super::super::{TargetFacts, findings};
use crate::measure::{Culprit, Key, Operation, Outcome, Recorder, Times};
use crate::result::model::Severity;

const HUB: TargetFacts = TargetFacts {
    is_hub: true,
    tls_wanted: true,
    tls_resumption: false,
    cleartext_password: false,
    preflight_passed: false,
    size: None,
    reached_limit: false,
    faults_closed: false,
};
const BROKER: TargetFacts = TargetFacts { is_hub: false, tls_wanted: false, ..HUB };
const BROKER_TLS: TargetFacts = TargetFacts { tls_wanted: true, ..BROKER };

fn key(operation: Operation) -> Key {
    Key { operation, fleet: 0, phase: 0 }
}

fn ok(recorder: &mut Recorder, operation: Operation) {
    recorder.due(key(operation), 0);
    recorder.ok(key(operation), &Times::default());
}

/// Records an attempt whose connection ended in `step`.
fn ended(recorder: &mut Recorder, step: Operation, class: &'static str) {
    for operation in [Operation::Connect, step] {
        recorder.due(key(operation), 0);
        recorder.ended(key(operation), Outcome::Lost, 0, 0);
    }
    recorder.error(class, Culprit::Target, 0, || format!("d-1: {class}"));
    match class {
        "closed_by_peer" => recorder.counts(0).closed_before_connack += 1,
        "reset" => recorder.counts(0).reset_before_connack += 1,
        _ => {}
    }
}

fn texts(target: TargetFacts, record: impl FnOnce(&mut Recorder)) -> Vec<String> {
    let measurement = crate::report::testing::measured(1, 1, record);
    let found = findings(&measurement, target).into_iter();
    found.map(|finding| format!("{} ({})", finding.text, finding.evidence)).collect()
}

#[test]
fn tls_is_advised_only_if_no_device_connected() {
    for (class, is_limit) in [("closed_by_peer", true), ("reset", true), ("protocol_error", false)] {
        let alone = texts(BROKER, |r| ended(r, Operation::ConnectMqtt, class));
        assert!(alone.len() == 1 && alone[0].contains("set tls = true"), "{alone:?}");
        let beside = texts(BROKER, |r| {
            // Record the failure first, to show that the order does not matter.
            ended(r, Operation::ConnectMqtt, class);
            ok(r, Operation::Connect);
        });
        assert_eq!(beside.len(), usize::from(is_limit), "{beside:?}");
        for text in beside {
            assert!(text.contains("(1 of 2 connection attempts)"), "{text}");
            assert!(text.contains("connection limit") && !text.contains("tls ="), "{text}");
        }
    }
}

/// The load generator ends these connections, because it rejects the certificate or because the answer is not
/// CONNACK.
#[test]
fn attempts_ended_by_the_generator_are_not_counted() {
    for (step, class, culprit) in [
        (Operation::ConnectTls, "clock_step", Culprit::Generator),
        (Operation::ConnectTls, "tls_certificate", Culprit::Target),
        (Operation::ConnectMqtt, "protocol_error", Culprit::Target),
        (Operation::ConnectMqtt, "encode", Culprit::Generator),
    ] {
        let texts = texts(BROKER_TLS, |r| {
            ok(r, Operation::ConnectTls);
            ok(r, Operation::Connect);
            for operation in [Operation::Connect, step] {
                r.due(key(operation), 0);
                r.ended(key(operation), Outcome::Lost, 0, 0);
            }
            r.error(class, culprit, 0, || "d-1".to_owned());
        });
        assert!(!texts.iter().any(|text| text.contains("before CONNACK")), "{class}: {texts:?}");
    }
}

/// The broker accepts one connection and ends all others.
#[test]
fn tls_is_not_advised_against_a_passed_preflight_check() {
    for (target, step) in
        [(BROKER, Operation::ConnectMqtt), (BROKER_TLS, Operation::ConnectTls), (HUB, Operation::ConnectTls)]
    {
        let target = TargetFacts { preflight_passed: true, ..target };
        let found = texts(target, |r| ended(r, step, "closed_by_peer"));
        assert!(found.len() == 1 && found[0].contains("connection limit"), "{found:?}");
        assert!(found[0].starts_with("The server accepted the devices of the preflight check"), "{found:?}");
    }
}

#[test]
fn plain_tcp_is_advised_only_if_no_handshake_succeeded() {
    let alone = |target| texts(target, |r| ended(r, Operation::ConnectTls, "closed_by_peer"));
    assert!(alone(BROKER_TLS)[0].contains("set tls = false"), "{:?}", alone(BROKER_TLS));
    assert!(alone(HUB)[0].contains("8883") && !alone(HUB)[0].contains("tls = "), "{:?}", alone(HUB));
    for target in [BROKER_TLS, HUB] {
        let beside = texts(target, |r| {
            ended(r, Operation::ConnectTls, "reset");
            ok(r, Operation::ConnectTls);
            ok(r, Operation::Connect);
        });
        assert!(beside.len() == 1 && beside[0].contains("connection limit"), "{beside:?}");
    }
    let alerts = texts(BROKER_TLS, |r| ended(r, Operation::ConnectTls, "tls"));
    assert_eq!(alerts, [] as [&str; 0], "an alert comes from a server with TLS");
}

#[test]
fn refusal_by_a_broker_does_not_mention_iot_hub() {
    let refused = |target, class| {
        let texts = texts(target, |r| r.error(class, Culprit::Target, 0, String::new));
        let [text] = texts.try_into().unwrap_or_else(|texts| panic!("one finding: {texts:?}"));
        text
    };
    let broker = refused(BROKER, "connack_5");
    assert!(broker.contains("access rules") && !broker.contains("IoT hub"), "{broker}");
    assert!(refused(HUB, "connack_5").contains("An IoT hub sends this code for every refusal"));
    assert!(refused(BROKER, "connack_4").contains("bad user name or password"));
}

#[test]
fn certificate_error_example_is_the_evidence() {
    let texts = texts(HUB, |r| {
        r.error("tls_certificate", Culprit::Target, 0, || {
            "d-1: no trusted root signed it; name the root".to_owned()
        });
    });
    assert_eq!(
        texts,
        [
            "The server's certificate was not accepted (1 connection, e.g. d-1: no trusted root signed it; name the root)"
        ]
    );
}

#[test]
fn session_present_on_a_clean_session_cites_its_rule() {
    let measured = crate::report::testing::measured(1, 1, |recorder| {
        recorder.counts(0).clean_sessions_present = 3;
    });
    let findings = findings(&measured, TargetFacts::default());
    let [finding] = findings.as_slice() else { panic!("one finding: {findings:?}") };
    assert_eq!((finding.severity, finding.evidence.as_str()), (Severity::Warning, "3 connections"));
    assert!(finding.text.contains("3.2.2.2"), "{finding:?}");
}
