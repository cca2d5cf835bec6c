//! Back-off: a hub that refuses, closes or resets every connection gets few connection attempts.

use super::{Case, HostileRun};
use crate::support::address::own_address;
use crate::support::hubstorm::totals;
use crate::support::mqtt::CONNECT;
use crate::support::script::{Step, closes, receives, sends};

const BACKS_OFF: &str =
    r#"reconnect = { kind = "exponential", base = "100ms", max = "60s", jitter = "none" }"#;

/// In a second there is time for four attempts: 100, 200, 400 and 800 ms lie between them and the next, at least.
#[track_caller]
fn is_not_hammered(case: Case) -> HostileRun {
    let seen = case.fleet(BACKS_OFF).lasts("1s").run(99);
    let (attempts, _) = totals(&seen.result, "connect");
    assert!((2..=4).contains(&attempts), "{attempts} attempts");
    seen
}

#[test]
fn closed_port_is_retried_with_back_off() {
    let free = crate::support::address::listen(own_address()).local_addr().expect("it was bound");
    is_not_hammered(Case::at(free)).errors(&[("tcp_refused", "peer")]);
}

#[test]
fn refusals_are_retried_with_back_off() {
    let case = Case::plain([receives(CONNECT), sends([0x20, 2, 0, 3]), closes()]);
    is_not_hammered(case).errors(&[("connack_3", "peer")]);
}

#[test]
fn resets_are_retried_with_back_off() {
    let case = Case::plain([receives(CONNECT), Step::Resets]);
    is_not_hammered(case).errors(&[("reset", "network")]);
}

#[test]
fn close_after_connack_is_retried_with_back_off() {
    let seen = is_not_hammered(Case::online([Step::Ends]));
    seen.errors(&[("closed_by_peer", "peer")]);
    let (attempts, outcomes) = totals(&seen.result, "connect");
    assert_eq!(outcomes.get("ok"), Some(&attempts), "each was accepted");
    let told = seen.result.findings.iter().any(|finding| finding.text.contains("share an id"));
    assert_eq!(told, attempts >= 3, "{:#?}", seen.result.findings);
}

#[test]
fn reset_after_connack_is_retried_with_back_off() {
    let seen = is_not_hammered(Case::online([Step::Resets]));
    seen.errors(&[("reset", "network")]);
    let (attempts, _) = totals(&seen.result, "connect");
    let told = seen.result.findings.iter().find(|finding| finding.text.contains("closed or reset within"));
    let evidence = told.map(|finding| finding.evidence.as_str());
    assert_eq!(evidence, (attempts >= 3).then_some("1 of 1 device"), "{:#?}", seen.result.findings);
}
