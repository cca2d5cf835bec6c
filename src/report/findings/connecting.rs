//! Findings about connection attempts: refusals, certificates, a port with another protocol, a server that rejects some devices, an
//! unexpected session. Called by `findings`. Pure. If a device has connected, no finding suggests that the port or the TLS setting is
//! wrong.

use super::finding::finding;
use super::{TargetFacts, clock_steps};
use crate::measure::{Measurement, Operation, Outcome};
use crate::result::model::{Finding, Severity};
use crate::units::{human_count, plural};

/// Returns the findings about failed connection attempts.
pub(super) fn connecting(measurement: &Measurement, target: TargetFacts) -> Vec<Finding> {
    let mut findings = refused(measurement, target);
    findings.extend(certificate_rejected(measurement));
    findings.extend(other_protocol(measurement, target));
    findings.extend(closed_before_connack(measurement, target));
    findings
}

/// Refused connections. An IoT hub sends code 5 for every refusal. A broker uses the codes of MQTT 3.1.1 §3.2.2.3.
fn refused(measurement: &Measurement, target: TargetFacts) -> Vec<Finding> {
    let hub_5 = "The hub refused connections with code 5. An IoT hub sends this code for every refusal: a wrong key, an expired token, an \
                 unknown or a disabled device";
    let broker_5 = "The broker refused connections with code 5, not authorized. Check the user name and password in auth, the client ids, \
                    and the broker's access rules";
    let stepped_5 = "The server refused connections with code 5, some of them before this machine's clock was set forward. Earlier tokens \
                     may already have expired. Synchronize the clock and run again";
    let code_4 = "The server refused connections with code 4, bad user name or password. Check auth and the server's users";
    let code_5 = match target.is_hub {
        _ if clock_steps::step_after_refusals(measurement).is_some() => stepped_5,
        true => hub_5,
        false => broker_5,
    };
    let texts = [("connack_4", code_4), ("connack_5", code_5)];
    let refused = texts.into_iter().map(|(class, text)| (measurement.errors_of(class), text));
    let refused = refused.filter(|(count, _)| *count > 0);
    refused
        .map(|(count, text)| {
            finding(Severity::Warning, text, plural(count, "refused connection", "refused connections"))
        })
        .collect()
}

/// Rejected certificates. The cause and the fix depend on the certificate and the `ca` file, so only the
/// text of the example error states them.
fn certificate_rejected(measurement: &Measurement) -> Option<Finding> {
    let error = measurement.errors.iter().find(|error| error.class == "tls_certificate")?;
    let connections = plural(error.count, "connection", "connections");
    let evidence = format!("{connections}, e.g. {}", error.example);
    Some(finding(Severity::Warning, "The server's certificate was not accepted", evidence))
}

/// Returns true if at least one operation of this kind ended ok.
fn has_worked(measurement: &Measurement, operation: Operation) -> bool {
    measurement.of(operation).outcome(Outcome::Ok) > 0
}

/// A port with another protocol. Suggests turning TLS on or off only if no device has connected with the current setting.
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
        "No TLS handshake succeeded: the server ended the connections during the handshake. Check host and port in [target]. An IoT hub \
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

/// Connections that were closed or reset before CONNACK, although the server accepted other devices. Attempts that the load generator
/// ended, for example because of a rejected certificate, do not count.
fn closed_before_connack(measurement: &Measurement, target: TargetFacts) -> Option<Finding> {
    // Excused attempts count too: a finding does not affect the verdict.
    let count = measurement.count(|counts| counts.closed_before_connack + counts.reset_before_connack);
    let has_worked = has_worked(measurement, Operation::Connect);
    // A limit of the built-in hub, or a fault of the scenario, is known to close connections.
    let is_explained = target.reached_limit || target.faults_closed;
    if count == 0 || is_explained || !(has_worked || target.preflight_passed) {
        return None;
    }
    let accepted = if has_worked { "some devices" } else { "the devices of the preflight check" };
    let text = format!(
        "The server accepted {accepted}. Other connections were closed or reset before CONNACK. The server may have a connection limit \
         (such as mosquitto's max_connections), or it may have restarted. Check its limits and its log"
    );
    let attempts =
        plural(measurement.of(Operation::Connect).due, "connection attempt", "connection attempts");
    Some(finding(Severity::Warning, text, format!("{} of {attempts}", human_count(count))))
}

/// Session Present on a clean session, which violates [MQTT-3.2.2-1] (MQTT 3.1.1 §3.2.2.2).
pub(super) fn unexpected_sessions(measurement: &Measurement) -> Option<Finding> {
    let sessions = measurement.count(|counts| counts.clean_sessions_present);
    (sessions > 0).then(|| {
        let text = "The broker violates MQTT 3.1.1 (section 3.2.2.2): it set Session Present to 1 on connections with a clean session. \
                    hubstorm continued, but other clients may disconnect. Check how the broker, or a proxy in front of it, stores \
                    sessions";
        finding(Severity::Warning, text, plural(sessions, "connection", "connections"))
    })
}
