//! Servers that stop reading, or send without end.

use super::{Case, MESSAGES};
use crate::support::hubstorm::totals;
use crate::support::script::{Step, floods, floods_and_reads};

/// Per second, more data than the socket buffers of both ends hold, and more than `RSS_BYTES_MAX`.
const BIG: &str = "rate = \"1000/s\"\nqos = 1\npayload = { size = 262144 }";

#[test]
fn peer_that_stops_reading_is_a_ping_timeout() {
    let run = Case::online([Step::Ignores])
        .fleet("in_flight = 4000\nkeep_alive = \"1s\"")
        .send(BIG)
        .lasts("4s")
        .run(99);
    run.errors(&[("ping_timeout", "peer")]).connections(1);
    assert_eq!(run.count("publish", "ok"), 0);
    assert!(run.count("publish", "lost") >= 10, "{:?}", totals(&run.result, "publish"));
}

#[test]
fn run_ends_although_the_peer_stopped_reading() {
    let run = Case::online([Step::Ignores])
        .fleet("in_flight = 1000\nkeep_alive = \"0s\"")
        .send(BIG)
        .lasts("1s")
        .run(99);
    run.ended("publish", &[("unfinished", 1000)]).errors(&[]).connections(1);
}

/// A small PUBLISH with QoS 1.
const MESSAGE: &[u8] = b"\x32\x06\x00\x01t\x00\x01x";

#[test]
fn flood_without_reading_stays_within_memory() {
    let run = Case::online([floods(MESSAGE.repeat(1000))]).fleet("in_flight = 10").run_flooded();
    run.ended("connect", &[("ok", 1)]).ended("publish", &[("unfinished", MESSAGES)]);
}

/// The peer sends messages faster than the device can acknowledge them.
#[test]
fn flood_with_reading_stays_within_memory() {
    let case = Case::online([floods_and_reads(MESSAGE.repeat(8192))]).fleet("in_flight = 10").lasts("4s");
    let run = case.run_flooded();
    run.ended("connect", &[("ok", 1)]).ended("publish", &[("unfinished", 40)]).errors(&[]);
}
