//! Back-off: devices make few connection attempts to a hub that refuses, closes or resets every connection.

use super::{Case, HostileRun};
use crate::support::address::own_address;
use crate::support::hubstorm::totals;
use crate::support::mqtt::CONNECT;
use crate::support::script::{Step, closes, receives, sends};

const BACKS_OFF: &str =
    r#"reconnect = { kind = "exponential", base = "100ms", max = "60s", jitter = "none" }"#;

/// Asserts that a device makes at most four attempts in a second. The delays before the next ones are at least 100, 200, 400 and 800 ms.
#[track_caller]
fn backs_off(case: Case) -> HostileRun {
    let run = case.fleet(BACKS_OFF).lasts("1s").run(99);
    let (attempts, _) = totals(&run.result, "connect");
    assert!((2..=4).contains(&attempts), "{attempts} attempts");
    run
}

#[test]
fn closed_port_is_retried_with_back_off() {
    let free = crate::support::address::listen(own_address()).local_addr().expect("it was bound");
    backs_off(Case::at(free)).errors(&[("tcp_refused", "peer")]);
}

#[test]
fn refusals_are_retried_with_back_off() {
    let case = Case::plain([receives(CONNECT), sends([0x20, 2, 0, 3]), closes()]);
    backs_off(case).errors(&[("connack_3", "peer")]);
}

#[test]
fn resets_are_retried_with_back_off() {
    let case = Case::plain([receives(CONNECT), Step::Resets]);
    backs_off(case).errors(&[("reset", "network")]);
}

#[test]
fn close_after_connack_is_retried_with_back_off() {
    let run = backs_off(Case::online([Step::Ends]));
    run.errors(&[("closed_by_peer", "peer")]);
    let (attempts, outcomes) = totals(&run.result, "connect");
    assert_eq!(outcomes.get("ok"), Some(&attempts), "the server accepted every attempt");
    let finding = run.result.findings.iter().any(|finding| finding.text.contains("share an id"));
    assert_eq!(finding, attempts >= 3, "{:#?}", run.result.findings);
}

#[test]
fn reset_after_connack_is_retried_with_back_off() {
    let run = backs_off(Case::online([Step::Resets]));
    run.errors(&[("reset", "network")]);
    let (attempts, _) = totals(&run.result, "connect");
    let finding = run.result.findings.iter().find(|finding| finding.text.contains("closed or reset within"));
    let evidence = finding.map(|finding| finding.evidence.as_str());
    assert_eq!(evidence, (attempts >= 3).then_some("1 of 1 device"), "{:#?}", run.result.findings);
}
