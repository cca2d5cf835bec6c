//! The finding about TLS session resumption: how many handshakes resumed a session, or that none did. Part of `findings`.

use super::TargetFacts;
use super::finding::finding;
use crate::measure::{Measurement, Operation};
use crate::result::model::{Finding, Severity};
use crate::units::{human_count, plural};

/// Returns the number of resumed handshakes, if devices resume sessions and some of them connected more than once.
pub(super) fn resumption(measurement: &Measurement, target: TargetFacts) -> Option<Finding> {
    if !target.tls_resumption {
        return None;
    }
    let count = |operation| {
        let parts = measurement.operations.iter().filter(|part| part.operation == operation);
        parts.map(|part| part.totals.response.count()).sum::<u64>()
    };
    let [all, resumed] = [Operation::ConnectTls, Operation::ConnectTlsResumed].map(count);
    let connected_again = measurement.count(|counts| counts.reconnects + counts.renewals);
    let text = match (resumed, connected_again) {
        (0, 0) => return None,
        (0, _) => {
            "No TLS handshake resumed a session: the target issued no session tickets, or did not accept them. Every reconnect cost a \
             full handshake. Start `hubstorm emulator` with --tls-resumption"
        }
        _ => {
            "Some TLS handshakes resumed an earlier session of the same device. connect.tls.resumed has their times"
        }
    };
    let all = plural(all, "TLS handshake", "TLS handshakes");
    Some(finding(Severity::Note, text, format!("{} of {all} resumed a session", human_count(resumed))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Key, Recorder};
    use crate::report::testing::measured;

    #[test]
    fn resumed_handshakes_are_counted() {
        let on = TargetFacts { tls_resumption: true, ..TargetFacts::default() };
        let evidence = |target, again: u64, resumed: u64| {
            let record = |recorder: &mut Recorder| {
                recorder.counts(0).reconnects = again;
                for number in 0..(5 + again) {
                    let key = Key { operation: Operation::ConnectTls, fleet: 0, phase: 0 };
                    recorder.duration(key, 1_000, 1_000);
                    if number < resumed {
                        let key = Key { operation: Operation::ConnectTlsResumed, ..key };
                        recorder.duration(key, 1_000, 1_000);
                    }
                }
            };
            resumption(&measured(1, 1, record), target).map(|finding| finding.evidence)
        };
        assert_eq!(evidence(on, 0, 0), None, "no device connected again");
        assert_eq!(evidence(on, 3, 0).as_deref(), Some("0 of 8 TLS handshakes resumed a session"));
        assert_eq!(evidence(on, 3, 2).as_deref(), Some("2 of 8 TLS handshakes resumed a session"));
        assert_eq!(evidence(TargetFacts::default(), 3, 0), None, "resumption is off");
    }
}
