//! Random orders of events: every message ends exactly once, and no packet id has two messages at the same time.

use super::*;
use crate::wire::Packet;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Step {
    Publish(QoS),
    /// The server acknowledges the n-th unacknowledged id.
    Ack(usize),
    Flush,
    Wait(u64),
    Reconnect {
        session_present: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Publish(QoS::AtLeastOnce)),
        1 => Just(Step::Publish(QoS::AtMostOnce)),
        5 => any::<usize>().prop_map(Step::Ack),
        1 => Just(Step::Flush),
        2 => (1u64..12).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(|session_present| Step::Reconnect { session_present }),
    ]
}

/// The session as seen from outside.
#[derive(Default)]
struct World {
    /// Messages that have not ended.
    open: BTreeSet<u64>,
    /// Unacknowledged ids that the server has received on this connection.
    unacknowledged: BTreeSet<u16>,
}

impl World {
    fn take(&mut self, events: Vec<Event>) {
        for event in events {
            if let Event::Acked { tag, .. } | Event::TimedOut { tag, .. } | Event::Lost { tag, .. } = event {
                assert!(self.open.remove(&tag), "message {} ended twice", tag);
            }
        }
    }

    /// Reads the client's output strictly, as the server would.
    fn read(&mut self, bench: &mut Bench) {
        bench.session.poll_output(bench.now, &mut bench.out);
        while let Some(packet) = wire::decode(&mut bench.out, 1 << 20, Strictness::Strict).unwrap() {
            if let Packet::Publish(publish) = packet
                && publish.qos == QoS::AtLeastOnce
            {
                assert!(
                    self.unacknowledged.insert(publish.pid),
                    "id {} is used by two messages at the same time",
                    publish.pid
                );
            }
        }
        self.take(bench.events());
    }

    fn run(&mut self, bench: &mut Bench, step: Step) {
        match step {
            Step::Publish(qos) => match bench.publish_at(qos) {
                Ok(tag) => assert!(self.open.insert(tag)),
                Err(error) => {
                    assert_eq!((error, bench.session.has_room()), (PublishError::WindowFull, false));
                }
            },
            Step::Ack(n) => {
                if let Some(pid) =
                    self.unacknowledged.iter().nth(n % self.unacknowledged.len().max(1)).copied()
                {
                    self.unacknowledged.remove(&pid);
                    let [high, low] = pid.to_be_bytes();
                    let events = bench.receive(&[0x40, 2, high, low]).unwrap();
                    assert_eq!(events.len(), 1, "acknowledged in time or late");
                    self.take(events);
                }
            }
            Step::Flush => bench.session.handle_flushed(bench.now),
            Step::Wait(seconds) => match bench.advance(Duration::from_secs(seconds)) {
                Ok(()) => {}
                Err(SessionError::AckStall) => self.run(bench, Step::Reconnect { session_present: true }),
                Err(error) => panic!("{error}"),
            },
            Step::Reconnect { session_present } => {
                bench.session.handle_closed(bench.now);
                self.unacknowledged.clear();
                self.take(bench.connect(session_present));
            }
        }
        self.read(bench);
    }
}

proptest! {
    #[test]
    fn every_message_ends_exactly_once(
        clean_session: bool,
        in_flight in 1u16..5,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut bench = Bench::online(Settings { clean_session, in_flight, keep_alive_s: 0, ..CLEAN });
        let mut world = World::default();
        for step in steps {
            world.run(&mut bench, step);
            let open: BTreeSet<u64> = bench.session.open().map(|(tag, _)| *tag).collect();
            prop_assert_eq!(&open, &world.open);
            prop_assert!(bench.session.in_flight() <= usize::from(in_flight));
            prop_assert!(bench.session.quarantined() < usize::from(in_flight));
            // Live and quarantined ids are those that the server has not acknowledged.
            prop_assert_eq!(bench.session.in_flight() + bench.session.quarantined(), world.unacknowledged.len());
        }
        let taken: BTreeSet<u64> = bench.session.take_open().into_iter().collect();
        prop_assert_eq!(taken, std::mem::take(&mut world.open));
        world.run(&mut bench, Step::Reconnect { session_present: false });
        prop_assert_eq!(bench.session.open().count(), 0);
    }
}
