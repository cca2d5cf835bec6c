//! `run` against npm's Aedes 1.2, which stores sessions in LevelDB, with Paho as a second subscriber.
//!
//! - Aedes stores a session only if it has a subscription, so the devices here subscribe.
//! - It drops a message as a duplicate if a later one overtakes it (its issues 955 and 994). So QoS 0 has separate subscribers here,
//!   and `tests/support/node/aedes_broker.js` preserves the order of the other messages.
//! - It may drop new messages while it sends stored ones to a subscriber that has reconnected. So Paho is not connected while Aedes
//!   is killed, and connects after the run.
//! - At QoS 1 it acknowledges a message before it stores it, so a `kill -9` may lose acknowledged messages. At QoS 2 it stores the
//!   packet id, then the message, and then acknowledges. If it is killed in between, it later drops the message as a duplicate:
//!   a device with one message in flight loses at most that one.

use crate::support::aedes::aedes;
use crate::support::trial::{self, Paho};

#[test]
fn counts_at_every_qos_over_tls_agree_with_paho() {
    trial::counts_agree(&aedes(true), 2);
}

#[test]
fn persistent_sessions_lose_nothing_after_resets() {
    trial::resets_lose_nothing(&aedes(false));
}

#[test]
fn acknowledged_messages_survive_a_kill_during_the_run() {
    let report = trial::kill_in_mid_run(&mut aedes(false), 2, Paho::IsAway);
    assert!(report.of("up/kept/").all(|arrivals| trial::gaps(&arrivals.seqs) <= 1), "{report:?}");
    assert_eq!(report.duplicates("up/"), 0, "{report:?}");
}
