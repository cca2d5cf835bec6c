//! `run` against npm's Aedes 1.2, whose sessions are kept in LevelDB, and Paho beside it.
//!
//! - Aedes remembers a session only if it has a subscription: the devices here subscribe.
//! - A message that a later one overtakes is dropped as a duplicate (its issues 955 and 994): each QoS 0 has a subscriber of its
//!   own here, and `tests/support/node/aedes_broker.js` keeps the others in order.
//! - At QoS 1 it acknowledges a message before it stores it, so a `kill -9` may lose what was acknowledged. At QoS 2 it stores the
//!   packet id, then the message, and acknowledges then: only a message that is sent again for a lack of that answer may be missing.

use crate::support::aedes::aedes;
use crate::support::trial::{self, Paho};

#[test]
fn every_qos_over_tls_counts_as_many_as_paho_hears() {
    trial::counts_agree(&aedes(true), 2);
}

#[test]
fn kept_sessions_lose_nothing_when_connections_are_reset() {
    trial::resets_lose_nothing(&aedes(false));
}

#[test]
fn nothing_acknowledged_is_missing_after_a_kill_in_mid_run() {
    let report = trial::kill_in_mid_run(&mut aedes(false), 2, Paho::IsAway);
    // A device has one message in flight: the one whose id Aedes may have stored, and not yet the message.
    assert!(report.of("up/kept/").all(|arrivals| trial::gaps(&arrivals.seqs) <= 1), "{report:?}");
    assert_eq!(report.duplicates("up/"), 0, "{report:?}");
}
