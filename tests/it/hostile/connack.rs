//! Servers that refuse CONNECT, answer it wrongly, or end the connection instead.

use super::protocol::breaks_the_protocol;
use super::{ACCEPTED, Case, MESSAGES, SHORT_CONNECT_TIMEOUT, cannot_connect};
use crate::support::mqtt::CONNECT;
use crate::support::script::{Step, receives, sends, serves};

#[track_caller]
fn refuses_with(code: u8, class: &str) {
    let case = Case::plain([receives(CONNECT), sends([0x20, 2, 0, code]), Step::Holds]);
    cannot_connect(case, "refused", class, "peer");
}

#[test]
fn connack_1_is_refused() {
    refuses_with(1, "connack_1");
}

#[test]
fn connack_2_is_refused() {
    refuses_with(2, "connack_2");
}

#[test]
fn connack_3_is_refused() {
    refuses_with(3, "connack_3");
}

#[test]
fn connack_4_is_refused() {
    refuses_with(4, "connack_4");
}

#[test]
fn connack_5_is_refused() {
    refuses_with(5, "connack_5");
}

#[test]
fn unknown_connack_code_is_refused() {
    refuses_with(0x87, "connack_unknown");
}

#[test]
fn partial_connack_times_out() {
    let case =
        Case::plain([receives(CONNECT), sends([0x20, 2, 0]), Step::Holds]).fleet(SHORT_CONNECT_TIMEOUT);
    cannot_connect(case, "timed_out", "connack_timeout", "peer");
}

#[test]
fn short_connack_is_a_protocol_error() {
    let case = Case::plain([receives(CONNECT), sends([0x20, 1, 0]), Step::Holds]);
    cannot_connect(case, "lost", "protocol_error", "peer");
}

#[test]
fn packet_before_connack_is_a_protocol_error() {
    let case = Case::plain([receives(CONNECT), sends(*b"\x30\x04\x00\x01tx"), Step::Holds]);
    cannot_connect(case, "lost", "protocol_error", "peer");
}

#[test]
fn tls_alert_on_plain_tcp_is_a_protocol_error() {
    let case = Case::plain([receives(CONNECT), sends([0x15, 3, 3, 0, 2, 2, 70]), Step::Holds]);
    cannot_connect(case, "lost", "protocol_error", "peer").finding("set tls = true");
}

#[test]
fn close_before_connack_is_lost() {
    cannot_connect(Case::plain([receives(CONNECT), Step::Ends]), "lost", "closed_by_peer", "peer")
        .example("the server closed the connection before CONNACK")
        .finding("set tls = true");
}

#[test]
fn reset_before_connack_is_lost() {
    cannot_connect(Case::plain([receives(CONNECT), Step::Resets]), "lost", "reset", "network")
        .example("the connection was reset before CONNACK")
        .finding("set tls = true");
}

#[test]
fn second_connack_is_a_protocol_error() {
    breaks_the_protocol(&ACCEPTED);
}

/// Session Present on a clean session violates MQTT 3.1.1 §3.2.2.2. The connection continues, and a finding reports it.
#[test]
fn session_present_on_a_clean_session_is_a_finding() {
    let case = Case::plain([receives(CONNECT), sends([0x20, 2, 1, 0]), serves(usize::MAX)]);
    let run = case.run(0);
    run.ended("publish", &[("ok", MESSAGES)]).errors(&[]).connections(1);
    assert_eq!(run.result.fleets[0].counts.clean_sessions_present, 1);
    let findings = &run.result.findings;
    assert!(findings.iter().any(|finding| finding.text.contains("3.2.2.2")), "{findings:#?}");
}
