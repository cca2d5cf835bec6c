//! Packets that no server may send, and unusual packets that are allowed.

use super::{ACCEPTED, Case, FIRST_ACK, MESSAGES};
use crate::support::hubstorm::all_ok;
use crate::support::mqtt::{CONNECT, PUBLISH, PUBREL};
use crate::support::script::{Step, dribbles, floods, receives, sends, serves};
use crate::support::tls::Identity;

/// Asserts that the connection ends with a protocol error if the peer sends these bytes after a message. The message is lost.
#[track_caller]
pub(super) fn breaks_the_protocol(bytes: &[u8]) {
    let run = Case::online([receives(PUBLISH), sends(bytes), Step::Holds]).run(99);
    run.ended("connect", &[("ok", 1)]).ended("publish", &[("lost", 1), ("unfinished", MESSAGES - 1)]);
    run.errors(&[("protocol_error", "peer")]).connections(1);
}

#[test]
fn puback_for_an_unused_id_is_a_protocol_error() {
    breaks_the_protocol(&[0x40, 2, 0x7f, 0xff]);
}

#[test]
fn puback_for_id_0_is_a_protocol_error() {
    breaks_the_protocol(&[0x40, 2, 0, 0]);
}

#[test]
fn pubrec_for_qos_1_is_a_protocol_error() {
    breaks_the_protocol(&[0x50, 2, 0, 1]);
}

/// The peer repeats PUBREC at once, and again after the message is complete. Each PUBREC is answered with PUBREL, and the peer may answer
/// each PUBREL with PUBCOMP.
#[test]
fn repeated_pubrec_is_answered_each_time() {
    let [rec, comp] = [0x50, 0x70].map(|first| move |id: u8| [first, 2, 0, id]);
    let at_once = [sends([rec(1), rec(1)].concat()), receives(PUBREL), receives(PUBREL)];
    let late = [sends([rec(1), rec(2)].concat()), receives(PUBREL), receives(PUBREL)];
    let mut steps = vec![receives(PUBLISH)];
    steps.extend(at_once);
    steps.extend([sends([comp(1), comp(1)].concat()), receives(PUBLISH)]);
    steps.extend(late);
    steps.push(sends([comp(1), comp(2)].concat()));
    for id in 3..=6 {
        steps.extend([receives(PUBLISH), sends(rec(id)), receives(PUBREL), sends(comp(id))]);
    }
    steps.push(serves(usize::MAX));
    let run = Case::online(steps).send("every = \"100ms\"\nqos = 2\npayload = \"x\"").run(0);
    run.ended("publish", &[("ok", MESSAGES)]).errors(&[]).connections(1);
}

#[test]
fn pingresp_without_pingreq_is_a_protocol_error() {
    breaks_the_protocol(&[0xd0, 0]);
}

#[test]
fn suback_without_subscribe_is_a_protocol_error() {
    breaks_the_protocol(&[0x90, 3, 0xff, 0, 0]);
}

#[test]
fn client_packet_from_the_server_is_a_protocol_error() {
    breaks_the_protocol(&[0xe0, 0]);
}

#[test]
fn qos_3_is_a_protocol_error() {
    breaks_the_protocol(b"\x36\x06\x00\x01t\x00\x01x");
}

#[test]
fn topic_that_is_not_utf_8_is_a_protocol_error() {
    breaks_the_protocol(b"\x30\x04\x00\x02\xff\xfe");
}

#[test]
fn topic_longer_than_its_packet_is_a_protocol_error() {
    breaks_the_protocol(b"\x30\x03\x00\x09t");
}

#[test]
fn reserved_packet_type_is_a_protocol_error() {
    breaks_the_protocol(&[0x00, 0]);
}

/// If the device trusted the length, it would buffer the whole packet.
#[test]
fn announced_256_mib_packet_is_a_protocol_error() {
    let announced = sends([0x30, 0xff, 0xff, 0xff, 0x7f]);
    let run = Case::online([receives(PUBLISH), announced, floods(vec![0; 64 * 1024])]).run(99);
    run.ended("connect", &[("ok", 1)]).ended("publish", &[("lost", 1), ("unfinished", MESSAGES - 1)]);
    run.errors(&[("protocol_error", "peer")]).connections(1);
}

#[test]
fn length_of_five_bytes_is_a_protocol_error() {
    breaks_the_protocol(&[0x30, 0xff, 0xff, 0xff, 0xff, 1]);
}

#[test]
fn flood_of_pubacks_is_a_protocol_error() {
    let run = Case::online([receives(PUBLISH), floods([0x40, 2, 0x7f, 0xff].repeat(4096))]).run(99);
    run.ended("publish", &[("lost", 1), ("unfinished", MESSAGES - 1)]).errors(&[("protocol_error", "peer")]);
}

#[test]
fn second_puback_is_a_protocol_error() {
    let run = Case::online([receives(PUBLISH), sends([FIRST_ACK, FIRST_ACK].concat()), Step::Holds]).run(99);
    run.ended("publish", &[("ok", 1), ("unfinished", MESSAGES - 1)]).errors(&[("protocol_error", "peer")]);
}

/// MQTT forbids these bits, but a device may ignore them.
#[test]
fn reserved_bits_are_ignored() {
    let steps = [receives(CONNECT), sends([0x20, 2, 0xfe, 0]), receives(PUBLISH), sends([0x4f, 2, 0, 1])];
    let run = Case::plain(steps.into_iter().chain([serves(usize::MAX)])).run(0);
    assert_eq!(all_ok(&run.result, "publish"), MESSAGES);
    run.errors(&[]).connections(1);
}

#[test]
fn packets_may_arrive_one_byte_at_a_time() {
    let steps = [receives(CONNECT), dribbles(ACCEPTED), dribbles(*b"\x30\x04\x00\x01tx"), serves(1)];
    for run in [Case::plain(steps.clone()).run(0), Case::secure(Identity::good(), steps).run(0)] {
        assert_eq!(all_ok(&run.result, "publish"), MESSAGES);
        run.errors(&[]).connections(1);
    }
}
