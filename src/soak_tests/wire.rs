//! One direction of a connection, and an independent count of the messages on it.

use super::LATENCY;
use crate::wire::{self, Packet, Publish, Strictness};
use bytes::BytesMut;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// One direction of a connection.
#[derive(Default)]
pub(super) struct Pipe(VecDeque<(Instant, BytesMut)>);

impl Pipe {
    pub(super) fn send(&mut self, now: Instant, bytes: BytesMut) {
        if !bytes.is_empty() {
            self.0.push_back((now + LATENCY, bytes));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.front().map(|(at, _)| *at)
    }

    /// Receives the bytes that have arrived by `now`.
    pub(super) fn receive(&mut self, now: Instant) -> BytesMut {
        let mut bytes = BytesMut::new();
        while self.next().is_some_and(|at| at <= now) {
            bytes.extend_from_slice(&self.0.pop_front().expect("the front was peeked").1);
        }
        bytes
    }
}

/// Returns the PUBLISH packets in the output of one side, which always consists of whole packets.
pub(super) fn messages(bytes: &BytesMut) -> impl Iterator<Item = Publish> {
    let mut bytes = bytes.clone();
    std::iter::from_fn(move || {
        let packet = wire::decode(&mut bytes, 1 << 20, Strictness::Strict).expect("valid packets");
        assert!(packet.is_some() || bytes.is_empty(), "both sides write whole packets");
        packet
    })
    .filter_map(|packet| match packet {
        Packet::Publish(publish) => Some(publish),
        _ => None,
    })
}

/// Number of messages of each kind on the wire, counted independently of devices, hub and service client.
#[derive(Default)]
pub(super) struct Wire(HashMap<&'static str, u64>);

impl Wire {
    const KINDS: [&str; 7] = [
        "/messages/devicebound/",
        "/twin/res/200/",
        "/twin/res/204/",
        "/properties/reported/",
        "/properties/desired/",
        "/methods/POST/",
        "/methods/res/",
    ];

    pub(super) fn note(&mut self, bytes: &BytesMut) {
        for message in messages(bytes) {
            if let Some(kind) = Wire::KINDS.into_iter().find(|kind| message.topic.contains(kind)) {
                *self.0.entry(kind).or_default() += 1;
            }
        }
    }

    pub(super) fn count(&self, kind: &'static str) -> u64 {
        assert!(Wire::KINDS.contains(&kind), "{kind}");
        self.0.get(kind).copied().unwrap_or(0)
    }
}
