//! What the result says about connections that turned out to be dead, and about brokers that break the rules for sessions. A part
//! of `findings`; pure over what was measured.

use super::findings::finding;
use crate::measure::Measurement;
use crate::result::model::{Finding, Severity};
use crate::units::{human_count, plural};

/// Both, as far as there is something to say.
pub(super) fn sessions(measurement: &Measurement) -> Vec<Finding> {
    [unheard(measurement), unwanted_sessions(measurement)].into_iter().flatten().collect()
}

/// A QoS 0 message is ok when it is handed to the network. On a dead connection that is all that is known of it.
fn unheard(measurement: &Measurement) -> Option<Finding> {
    let unheard = measurement.count(|counts| counts.qos0_on_dead_connections);
    (unheard > 0).then(|| {
        let text = "Messages with QoS 0 count as ok although their connection turned out to be dead and nothing was received after \
                    them. They may not have arrived. Send with QoS 1 to know, or set a shorter keep_alive to find dead connections sooner";
        let ok = measurement.sum(|part| part.operation.is_message() && !part.operation.has_ack()).ok();
        let ok = plural(ok, "ok message", "ok messages");
        finding(Severity::Warning, text, format!("{} of {ok} with QoS 0", human_count(unheard)))
    })
}

/// MQTT 3.1.1 §3.2.2.2: for a clean session the server must set Session Present to 0 [MQTT-3.2.2-1].
fn unwanted_sessions(measurement: &Measurement) -> Option<Finding> {
    let sessions = measurement.count(|counts| counts.clean_sessions_present);
    (sessions > 0).then(|| {
        let text = "The broker violates MQTT 3.1.1 (section 3.2.2.2): for connections with a clean session it set Session Present to 1. \
                    These connections went on, but clients may disconnect in this case. Check how the broker or a proxy in front \
                    of it stores sessions";
        finding(Severity::Warning, text, plural(sessions, "connection", "connections"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Key, Operation, Times};

    #[test]
    fn qos_0_messages_on_dead_connections_are_named_and_counted() {
        let measured = |unheard| {
            crate::report::testing::measured(1, 1, |recorder| {
                for operation in [Operation::PublishQos0, Operation::Publish] {
                    let key = Key { operation, fleet: 0, phase: 0 };
                    recorder.due(key, 0);
                    recorder.ok(key, &Times::default());
                }
                recorder.counts(0).qos0_on_dead_connections = unheard;
            })
        };
        assert_eq!(sessions(&measured(0)), []);
        let findings = sessions(&measured(1));
        let [finding] = findings.as_slice() else { panic!("one finding: {findings:?}") };
        assert_eq!(
            (finding.severity, finding.evidence.as_str()),
            (Severity::Warning, "1 of 1 ok message with QoS 0")
        );
        assert!(finding.text.contains("QoS 1"), "{finding:?}");
    }

    #[test]
    fn a_session_that_nobody_wanted_names_its_rule() {
        let measured = crate::report::testing::measured(1, 1, |recorder| {
            recorder.counts(0).clean_sessions_present = 3;
        });
        let findings = sessions(&measured);
        let [finding] = findings.as_slice() else { panic!("one finding: {findings:?}") };
        assert_eq!((finding.severity, finding.evidence.as_str()), (Severity::Warning, "3 connections"));
        assert!(finding.text.contains("3.2.2.2"), "{finding:?}");
    }
}
