//! Findings about dead connections, and about brokers that violate MQTT's session rules. A part of `findings`; pure over the
//! measurement.

use super::findings::finding;
use crate::measure::Measurement;
use crate::result::model::{Finding, Severity};
use crate::units::{human_count, plural};

/// The findings of this module.
pub(super) fn sessions(measurement: &Measurement) -> Vec<Finding> {
    [unheard(measurement), unwanted_sessions(measurement)].into_iter().flatten().collect()
}

/// A QoS 0 message is ok when the kernel takes it. On a dead connection nothing more is known about it.
fn unheard(measurement: &Measurement) -> Option<Finding> {
    let unheard = measurement.count(|counts| counts.qos0_on_dead_connections);
    (unheard > 0).then(|| {
        let text = "QoS 0 messages count as ok although their connection turned out to be dead: nothing was received after they were \
                    sent. They may not have arrived. Use QoS 1 to be sure, or a shorter keep_alive to find dead connections sooner";
        let ok = measurement.sum(|part| part.operation.is_message() && !part.operation.has_ack()).ok();
        let ok = plural(ok, "ok message", "ok messages");
        finding(Severity::Warning, text, format!("{} of {ok} with QoS 0", human_count(unheard)))
    })
}

/// MQTT 3.1.1 §3.2.2.2: for a clean session the server must set Session Present to 0 [MQTT-3.2.2-1].
fn unwanted_sessions(measurement: &Measurement) -> Option<Finding> {
    let sessions = measurement.count(|counts| counts.clean_sessions_present);
    (sessions > 0).then(|| {
        let text = "The broker violates MQTT 3.1.1 (section 3.2.2.2): it set Session Present to 1 on connections with a clean session. \
                    hubstorm continued, but other clients may disconnect. Check how the broker, or a proxy in front of it, stores \
                    sessions";
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
    fn session_present_on_a_clean_session_names_its_rule() {
        let measured = crate::report::testing::measured(1, 1, |recorder| {
            recorder.counts(0).clean_sessions_present = 3;
        });
        let findings = sessions(&measured);
        let [finding] = findings.as_slice() else { panic!("one finding: {findings:?}") };
        assert_eq!((finding.severity, finding.evidence.as_str()), (Severity::Warning, "3 connections"));
        assert!(finding.text.contains("3.2.2.2"), "{finding:?}");
    }
}
