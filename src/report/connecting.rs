//! Findings about devices that cannot connect: refusals, certificates, a port with another protocol, a server that turns some
//! devices away. A part of `findings`; pure over the measurement. No advice contradicts the run: once a device has connected,
//! port and TLS are right.

use super::clock_steps;
use super::findings::{TargetFacts, finding};
use crate::measure::{Measurement, Operation, Outcome};
use crate::result::model::{Finding, Severity};
use crate::units::{human_count, plural};

/// The findings about failed connection attempts.
pub(super) fn connecting(measurement: &Measurement, target: TargetFacts) -> Vec<Finding> {
    let mut findings = refused(measurement, target);
    findings.extend(untrusted(measurement));
    findings.extend(other_protocol(measurement, target));
    findings.extend(turned_away(measurement, target));
    findings
}

/// An IoT hub sends code 5 for every refusal. For a broker the codes mean what MQTT 3.1.1 §3.2.2.3 says.
fn refused(measurement: &Measurement, target: TargetFacts) -> Vec<Finding> {
    let hub_5 = "The hub refused connections with code 5. An IoT hub sends this code for every refusal: a wrong key, an expired token, an \
                 unknown or a disabled device";
    let broker_5 = "The broker refused connections with code 5, not authorized. Check the user name and password in auth, the client ids, \
                    and the broker's access rules";
    let stepped_5 = "The server refused connections with code 5, some of them before this machine's clock was set forward. Tokens made \
                     before that may already have expired. Synchronize the clock and run again";
    let code_4 = "The server refused connections with code 4, bad user name or password. Check auth, and the server's users";
    let code_5 = match target.is_hub {
        _ if clock_steps::refused_before(measurement).is_some() => stepped_5,
        true => hub_5,
        false => broker_5,
    };
    let texts = [("connack_4", code_4), ("connack_5", code_5)];
    let refused = texts.into_iter().map(|(class, text)| (measurement.errors_of(class), text));
    let refused = refused.filter(|(count, _)| *count > 0);
    refused
        .map(|(count, text)| finding(Severity::Warning, text, format!("{} refused", human_count(count))))
        .collect()
}

/// The example gives the cause and the fix, because they depend on the certificate and on the `ca` file.
fn untrusted(measurement: &Measurement) -> Option<Finding> {
    let untrusted = measurement.errors.iter().find(|error| error.class == "tls_certificate")?;
    let connections = plural(untrusted.count, "connection", "connections");
    let evidence = format!("{connections}, e.g. {}", untrusted.example);
    Some(finding(Severity::Warning, "The server's certificate was not accepted", evidence))
}

fn has_worked(measurement: &Measurement, operation: Operation) -> bool {
    measurement.of(operation).outcome(Outcome::Ok) > 0
}

/// Advice to turn TLS on or off, only if no device has shown that the present setting works, in the preflight check or later.
fn other_protocol(measurement: &Measurement, target: TargetFacts) -> Option<Finding> {
    let (step, classes): (Operation, &[&str]) = if target.tls_wanted {
        (Operation::ConnectTls, &["closed_by_peer", "reset"])
    } else {
        (Operation::Connect, &["closed_by_peer", "reset", "protocol_error"])
    };
    let count: u64 = classes.iter().map(|class| measurement.errors_of(class)).sum();
    let has_worked = target.preflight_passed || has_worked(measurement, step);
    if count == 0 || has_worked || (target.is_hub && !target.tls_wanted) {
        return None;
    }
    let text = if target.is_hub {
        "No TLS handshake succeeded: the server ended the connections during the handshake. Check host and port in [target]: an IoT hub \
         serves MQTT over TLS on port 8883"
    } else if target.tls_wanted {
        "No TLS handshake succeeded: the server ended the connections during the handshake. The port may not use TLS. Use the server's \
         TLS port, or set tls = false in [target]"
    } else {
        "No device connected over plain TCP: the server ended the connections, or its answer was not MQTT. The port may expect TLS. If \
         so, set tls = true in [target]"
    };
    Some(finding(Severity::Warning, text, plural(count, "connection attempt", "connection attempts")))
}

/// The server accepts some devices, and connections of others are closed or reset before CONNACK. Attempts that the load generator
/// ended do not count: a certificate that it rejected, an answer that was not CONNACK.
fn turned_away(measurement: &Measurement, target: TargetFacts) -> Option<Finding> {
    // Excused attempts count too: a finding does not affect the verdict.
    let count = measurement.count(|counts| counts.closed_before_connack + counts.reset_before_connack);
    let has_worked = has_worked(measurement, Operation::Connect);
    if count == 0 || !(has_worked || target.preflight_passed) {
        return None;
    }
    let accepted = if has_worked { "some devices" } else { "the devices of the preflight check" };
    let text = format!(
        "The server accepted {accepted}. Other connections were closed or reset before CONNACK. The server may have a connection limit \
         (such as mosquitto's max_connections), or it restarted. Check its limits and log"
    );
    let attempts =
        plural(measurement.of(Operation::Connect).due, "connection attempt", "connection attempts");
    Some(finding(Severity::Warning, text, format!("{} of {attempts}", human_count(count))))
}

#[cfg(test)]
mod tests {
    use super::super::findings::findings;
    use super::*;
    use crate::measure::{Culprit, Key, Recorder, Times};

    const HUB: TargetFacts =
        TargetFacts { is_hub: true, tls_wanted: true, cleartext_password: false, preflight_passed: false };
    const BROKER: TargetFacts = TargetFacts { is_hub: false, tls_wanted: false, ..HUB };
    const BROKER_TLS: TargetFacts = TargetFacts { tls_wanted: true, ..BROKER };

    fn key(operation: Operation) -> Key {
        Key { operation, fleet: 0, phase: 0 }
    }

    fn ok(recorder: &mut Recorder, operation: Operation) {
        recorder.due(key(operation), 0);
        recorder.ok(key(operation), &Times::default());
    }

    /// An attempt whose connection ended in `step`.
    fn ended(recorder: &mut Recorder, step: Operation, class: &'static str) {
        for operation in [Operation::Connect, step] {
            recorder.due(key(operation), 0);
            recorder.ended(key(operation), Outcome::Lost, 0, 0);
        }
        recorder.error(class, Culprit::Peer, 0, || format!("d-1: {class}"));
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
    fn tls_is_advised_only_while_no_device_has_connected() {
        for (class, is_limit) in [("closed_by_peer", true), ("reset", true), ("protocol_error", false)] {
            let alone = texts(BROKER, |r| ended(r, Operation::ConnectMqtt, class));
            assert!(alone.len() == 1 && alone[0].contains("set tls = true"), "{alone:?}");
            let beside = texts(BROKER, |r| {
                // The failure comes first: the order must not matter.
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

    /// The load generator ends these connections itself: it does not accept the certificate, or the answer is not CONNACK.
    #[test]
    fn attempts_that_the_generator_ended_are_not_the_servers() {
        for (step, class, culprit) in [
            (Operation::ConnectTls, "clock_step", Culprit::Us),
            (Operation::ConnectTls, "tls_certificate", Culprit::Peer),
            (Operation::ConnectMqtt, "protocol_error", Culprit::Peer),
            (Operation::ConnectMqtt, "encode", Culprit::Us),
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

    /// The broker takes one connection, and then ends all others.
    #[test]
    fn tls_is_not_advised_against_a_passed_preflight_check() {
        for (target, step) in [
            (BROKER, Operation::ConnectMqtt),
            (BROKER_TLS, Operation::ConnectTls),
            (HUB, Operation::ConnectTls),
        ] {
            let target = TargetFacts { preflight_passed: true, ..target };
            let found = texts(target, |r| ended(r, step, "closed_by_peer"));
            assert!(found.len() == 1 && found[0].contains("connection limit"), "{found:?}");
            assert!(
                found[0].starts_with("The server accepted the devices of the preflight check"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn plain_tcp_is_advised_only_while_no_handshake_has_succeeded() {
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
    fn refusals_by_a_broker_do_not_mention_iot_hubs() {
        let refused = |target, class| {
            let texts = texts(target, |r| r.error(class, Culprit::Peer, 0, String::new));
            let [text] = texts.try_into().unwrap_or_else(|texts| panic!("one finding: {texts:?}"));
            text
        };
        let broker = refused(BROKER, "connack_5");
        assert!(broker.contains("access rules") && !broker.contains("IoT hub"), "{broker}");
        assert!(refused(HUB, "connack_5").contains("An IoT hub sends this code for every refusal"));
        assert!(refused(BROKER, "connack_4").contains("bad user name or password"));
    }

    #[test]
    fn the_example_explains_the_certificate() {
        let texts = texts(HUB, |r| {
            r.error("tls_certificate", Culprit::Peer, 0, || {
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
}
