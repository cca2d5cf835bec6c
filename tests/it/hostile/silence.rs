//! Servers that stop in the middle of a frame, or stop answering.

use super::{Case, MESSAGES};
use crate::support::mqtt::PUBLISH;
use crate::support::script::{Step, receives, sends, serves};

#[test]
fn partial_frame_times_out() {
    let case = Case::online([receives(PUBLISH), sends([0x40, 2, 0]), Step::Holds]);
    let run = case.fleet("ack_timeout = \"200ms\"\nsend_by = \"10s\"").run(99);
    run.ended("publish", &[("timed_out", 1), ("unfinished", MESSAGES - 1)]);
    run.errors(&[("ack_stall", "peer"), ("ack_timeout", "peer")]).connections(1);
}

#[test]
fn fin_in_a_partial_frame_is_closed_by_peer() {
    let run = Case::online([receives(PUBLISH), sends([0x40, 2, 0]), Step::Ends]).run(99);
    run.ended("publish", &[("lost", 1), ("unfinished", MESSAGES - 1)]).errors(&[("closed_by_peer", "peer")]);
}

#[test]
fn rst_in_a_partial_frame_is_reset() {
    let run = Case::online([receives(PUBLISH), sends([0x40, 2, 0]), Step::Resets]).run(99);
    run.ended("publish", &[("lost", 1), ("unfinished", MESSAGES - 1)]).errors(&[("reset", "network")]);
}

#[test]
fn missing_pingresp_times_out() {
    // The device sends nothing for a second, because its only message waits for its acknowledgment.
    let run = Case::online([receives(PUBLISH), Step::Holds]).fleet("keep_alive = \"1s\"").lasts("4s").run(99);
    run.ended("ping", &[("timed_out", 1)]).errors(&[("ping_timeout", "peer")]).connections(1);
    assert_eq!(run.count("publish", "lost"), 1);
}

#[test]
fn puback_for_a_quarantined_id_is_only_late() {
    // The window has room for the fifth message only after the first has timed out.
    let messages =
        [receives(PUBLISH), receives(PUBLISH), receives(PUBLISH), receives(PUBLISH), receives(PUBLISH)];
    let acks = (1..=5).flat_map(|id| [0x40, 2, 0, id]).collect::<Vec<u8>>();
    let run = Case::online(messages.into_iter().chain([sends(acks), serves(usize::MAX)]))
        .fleet("in_flight = 4\nack_timeout = \"2s\"")
        .send("every = \"500ms\"\nqos = 1\npayload = \"x\"")
        .lasts("4s")
        .run(99);
    let late = run.result.fleets[0].counts.late_acks;
    assert!(late >= 1, "{late}");
    run.ended("publish", &[("ok", 8 - late), ("timed_out", late)]).errors(&[("ack_timeout", "peer")]);
    run.connections(1);
}
