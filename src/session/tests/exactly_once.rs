//! QoS 2 against a model of a server with persistent sessions: a message is delivered exactly once, however often packets are dropped
//! or repeated. The model follows §4.3.3 of the standard and shares only the codec with the session.

use super::*;
use crate::wire::{Packet, Publish, encode};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A server: its side of the session, and the messages that it has delivered.
#[derive(Default)]
struct Server {
    /// Ids of received messages without PUBREL (method B: delivered immediately).
    received: BTreeSet<u16>,
    delivered: BTreeMap<u64, u32>,
    /// Messages to the client, by packet id: the message's own number until PUBREC arrives, then `None` until PUBCOMP.
    sending: BTreeMap<u16, Option<u64>>,
    next: u64,
    /// Id of the latest message on this connection.
    latest: Option<u16>,
}

impl Server {
    fn publish(&mut self, out: &mut BytesMut) {
        let free = (1..).find(|pid| !self.sending.contains_key(pid)).unwrap();
        self.sending.insert(free, Some(self.next));
        write(out, free, self.next, false);
        self.next += 1;
    }

    /// Continues the open exchanges on a new connection.
    fn resume(&self, out: &mut BytesMut) {
        for (pid, number) in &self.sending {
            match number {
                Some(number) => write(out, *pid, *number, true),
                None => out.extend_from_slice(&encode::pubrel(*pid)),
            }
        }
    }

    /// Repeats PUBREC, even after the exchange is complete, like a server that assumes that PUBREC was lost.
    fn repeat(&self, out: &mut BytesMut) {
        if let Some(pid) = self.latest {
            encode::pubrec(out, pid);
        }
    }

    fn handle(&mut self, packet: Packet, out: &mut BytesMut) {
        match packet {
            Packet::Publish(publish) => {
                if self.received.insert(publish.pid) {
                    *self.delivered.entry(number(&publish)).or_default() += 1;
                } else {
                    assert!(publish.dup, "id {} is used by two messages at the same time", publish.pid);
                }
                self.latest = Some(publish.pid);
                encode::pubrec(out, publish.pid);
            }
            Packet::PubRel(pid) => {
                self.received.remove(&pid);
                encode::pubcomp(out, pid);
            }
            Packet::PubRec(pid) => {
                *self.sending.get_mut(&pid).expect("an id that is in use") = None;
                out.extend_from_slice(&encode::pubrel(pid));
            }
            Packet::PubComp(pid) => {
                assert_eq!(self.sending.remove(&pid), Some(None), "after PUBREC, and once");
            }
            other => panic!("{other:?}"),
        }
    }
}

fn write(out: &mut BytesMut, pid: u16, number: u64, dup: bool) {
    let payload = number.to_be_bytes();
    let publish =
        encode::PublishRef { topic: "t", payload: &payload, qos: QoS::ExactlyOnce, dup, retain: false, pid };
    encode::publish(out, &publish).unwrap();
}

fn number(publish: &Publish) -> u64 {
    u64::from_be_bytes(publish.payload.as_ref().try_into().unwrap())
}

#[derive(Clone, Debug)]
enum Step {
    Publish,
    ServerPublishes,
    ServerRepeats,
    /// This many packets reach the server.
    ToServer(usize),
    /// This many packets reach the client.
    ToClient(usize),
    Wait(u64),
    /// The connection ends, and all bytes in transit are lost.
    Drop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Publish),
        2 => Just(Step::ServerPublishes),
        2 => Just(Step::ServerRepeats),
        5 => (1usize..4).prop_map(Step::ToServer),
        5 => (1usize..4).prop_map(Step::ToClient),
        1 => (1u64..12).prop_map(Step::Wait),
        2 => Just(Step::Drop),
    ]
}

struct World {
    bench: Bench,
    server: Server,
    /// Messages without an outcome.
    open: BTreeSet<u64>,
    acked: BTreeSet<u64>,
    /// Number of times that the client reported each message from the server.
    received: BTreeMap<u64, u32>,
    to_client: BytesMut,
    to_server: BytesMut,
}

impl World {
    fn take(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Acked { tag, .. } => {
                    assert!(self.open.remove(&tag), "message {} ended twice", tag);
                    self.acked.insert(tag);
                }
                Event::TimedOut { tag, .. } => {
                    assert!(self.open.remove(&tag), "message {} ended twice", tag);
                }
                Event::Message(publish) => *self.received.entry(number(&publish)).or_default() += 1,
                Event::Resent | Event::LateAck | Event::Connected { session_present: true } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Puts the client's output in transit.
    fn write(&mut self) {
        let written = self.bench.written();
        self.to_server.extend_from_slice(&written);
        let events = self.bench.events();
        self.take(events);
    }

    fn serve(&mut self, packets: usize) -> bool {
        for _ in 0..packets {
            match wire::decode(&mut self.to_server, 1 << 20, Strictness::Strict).unwrap() {
                Some(packet) => self.server.handle(packet, &mut self.to_client),
                None => return false,
            }
        }
        true
    }

    fn deliver(&mut self, packets: usize) -> bool {
        let mut rest = self.to_client.clone();
        for _ in 0..packets {
            if wire::decode(&mut rest, 1 << 20, Strictness::Strict).unwrap().is_none() {
                break;
            }
        }
        let bytes = self.to_client.split_to(self.to_client.len() - rest.len());
        let events = self.bench.receive(&bytes).unwrap();
        self.take(events);
        !bytes.is_empty()
    }

    fn drop_connection(&mut self) {
        self.bench.session.handle_closed(self.bench.now);
        let events = self.bench.connect(true);
        self.take(events);
        self.server.latest = None;
        (self.to_server, self.to_client) = (BytesMut::new(), BytesMut::new());
        self.server.resume(&mut self.to_client);
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Publish if self.bench.session.has_room() => {
                let (seq, now) = (self.bench.seq, self.bench.now);
                self.bench.seq += 1;
                let tag = seq;
                let payload = seq.to_be_bytes();
                let message = Message { topic: "t", payload: &payload, qos: QoS::ExactlyOnce, retain: false };
                self.bench.session.publish(now, &message, tag, &mut self.bench.out).unwrap();
                self.open.insert(seq);
            }
            Step::Publish => {}
            Step::ServerRepeats => self.server.repeat(&mut self.to_client),
            Step::ServerPublishes => self.server.publish(&mut self.to_client),
            Step::ToServer(packets) => drop(self.serve(*packets)),
            Step::ToClient(packets) => drop(self.deliver(*packets)),
            Step::Wait(seconds) => match self.bench.advance(Duration::from_secs(*seconds)) {
                Ok(()) => {}
                Err(SessionError::AckStall) => self.drop_connection(),
                Err(error) => panic!("{error}"),
            },
            Step::Drop => self.drop_connection(),
        }
        self.write();
    }
}

proptest! {
    #[test]
    fn every_message_is_delivered_exactly_once(in_flight in 1u16..5, steps in prop::collection::vec(step(), 0..150)) {
        let settings = Settings { in_flight, keep_alive_s: 0, ..PERSISTENT };
        let mut world = World {
            bench: Bench::online(settings),
            server: Server::default(),
            open: BTreeSet::new(),
            acked: BTreeSet::new(),
            received: BTreeMap::new(),
            to_client: BytesMut::new(),
            to_server: BytesMut::new(),
        };
        world.bench.out.clear();
        for step in &steps {
            world.run(step);
            prop_assert!(world.acked.iter().all(|seq| world.server.delivered.get(seq) == Some(&1)));
        }
        // A final connection without losses must complete every exchange.
        world.run(&Step::Drop);
        loop {
            world.write();
            let (up, down) = (world.serve(1), world.deliver(1));
            if !up && !down {
                break;
            }
        }
        let once = |count: u64| (0..count).map(|number| (number, 1)).collect::<BTreeMap<u64, u32>>();
        prop_assert_eq!(&world.server.delivered, &once(world.bench.seq));
        prop_assert_eq!(&world.received, &once(world.server.next));
        prop_assert!(world.open.is_empty() && world.server.sending.is_empty() && world.server.received.is_empty());
        prop_assert_eq!((world.bench.session.in_flight(), world.bench.session.quarantined()), (0, 0));
    }
}
