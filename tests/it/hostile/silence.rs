//! Servers that stop in mid-frame or stop answering.

use super::{Case, MESSAGES};
use crate::support::mqtt::PUBLISH;
use crate::support::script::{Step, receives, sends, serves};

#[test]
fn partial_frame_times_out() {
    let case = Case::online([receives(PUBLISH), sends([0x40, 2, 0]), Step::Holds]);
    let seen = case.fleet("ack_timeout = \"200ms\"\nsend_by = \"10s\"").run(99);
    seen.ended("publish", &[("timed_out", 1), ("unfinished", MESSAGES - 1)]);
    seen.errors(&[("ack_stall", "peer"), ("ack_timeout", "peer")]).connections(1);
}

#[test]
fn fin_in_a_partial_frame_is_closed_by_peer() {
    let seen = Case::online([receives(PUBLISH), sends([0x40, 2, 0]), Step::Ends]).run(99);
    seen.ended("publish", &[("lost", 1), ("unfinished", MESSAGES - 1)]).errors(&[("closed_by_peer", "peer")]);
}

#[test]
fn rst_in_a_partial_frame_is_reset() {
    let seen = Case::online([receives(PUBLISH), sends([0x40, 2, 0]), Step::Resets]).run(99);
    seen.ended("publish", &[("lost", 1), ("unfinished", MESSAGES - 1)]).errors(&[("reset", "network")]);
}

#[test]
fn missing_pingresp_times_out() {
    // Nothing is sent for a second while the one message waits for its ack.
    let seen =
        Case::online([receives(PUBLISH), Step::Holds]).fleet("keep_alive = \"1s\"").lasts("4s").run(99);
    seen.ended("ping", &[("timed_out", 1)]).errors(&[("ping_timeout", "peer")]).connections(1);
    assert_eq!(seen.count("publish", "lost"), 1);
}

#[test]
fn puback_for_a_quarantined_id_is_only_late() {
    // The fifth message finds room when the first has timed out, and not before.
    let messages =
        [receives(PUBLISH), receives(PUBLISH), receives(PUBLISH), receives(PUBLISH), receives(PUBLISH)];
    let acks = (1..=5).flat_map(|id| [0x40, 2, 0, id]).collect::<Vec<u8>>();
    let seen = Case::online(messages.into_iter().chain([sends(acks), serves(usize::MAX)]))
        .fleet("in_flight = 4\nack_timeout = \"2s\"")
        .send("every = \"500ms\"\nqos = 1\npayload = \"x\"")
        .lasts("4s")
        .run(99);
    let late = seen.result.fleets[0].counts.late_acks;
    assert!(late >= 1, "{late}");
    seen.ended("publish", &[("ok", 8 - late), ("timed_out", late)]).errors(&[("ack_timeout", "peer")]);
    seen.connections(1);
}
