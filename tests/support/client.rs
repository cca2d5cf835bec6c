//! The product's own `session` on a blocking socket, for tests that a run cannot cover, such as deliveries to a subscriber.

use super::TEST_TIMEOUT;
use bytes::BytesMut;
use hubstorm::clock;
use hubstorm::policy::ping::PingPolicy;
use hubstorm::session::{Credentials, Event, Message, Session, Settings, State};
use hubstorm::wire::encode::WillRef;
use hubstorm::wire::{QoS, SUBACK_FAILURE};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// The address and credentials of a connection, and its will.
pub struct Who<'a> {
    pub address: SocketAddr,
    pub id: &'a str,
    /// Empty for no user name.
    pub user: &'a str,
    pub password: &'a str,
    pub will: Option<WillRef<'a>>,
}

pub struct Peer {
    pub session: Session<u64>,
    stream: Option<TcpStream>,
    input: BytesMut,
    out: BytesMut,
    events: VecDeque<Event<u64>>,
    seq: u64,
}

impl Peer {
    pub fn new(clean_session: bool) -> Peer {
        let settings = Settings {
            keep_alive_s: 0,
            clean_session,
            in_flight: 16,
            ack_timeout: TEST_TIMEOUT,
            connack_timeout: TEST_TIMEOUT,
            pings: PingPolicy::OWN,
            frame_mib_max: 1,
        };
        Peer {
            session: Session::new(settings),
            stream: None,
            input: BytesMut::new(),
            out: BytesMut::new(),
            events: VecDeque::new(),
            seq: 0,
        }
    }

    /// Connects and waits for CONNACK. Returns whether the broker had kept the session.
    pub fn connect(&mut self, who: &Who<'_>) -> bool {
        let stream = TcpStream::connect(who.address).expect("the broker listens");
        stream.set_read_timeout(Some(TEST_TIMEOUT)).expect("a timeout above zero");
        self.stream = Some(stream);
        self.input.clear();
        let credentials = Credentials {
            client_id: who.id,
            username: Some(who.user).filter(|user| !user.is_empty()),
            password: Some(who.password.as_bytes()).filter(|_| !who.user.is_empty()),
        };
        self.session
            .connect_with_will(clock::now(), &credentials, who.will, &mut self.out)
            .expect("short fields");
        match self.event() {
            Event::Connected { session_present } => session_present,
            other => panic!("{other:?}"),
        }
    }

    pub fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.session.subscribe(clock::now(), &[(filter, qos)], &mut self.out).expect("online");
        let event = self.event();
        let Event::Subscribed { granted, .. } = &event else { panic!("{event:?}") };
        assert!(!granted.contains(&SUBACK_FAILURE), "{event:?}");
    }

    pub fn unsubscribe(&mut self, filter: &str) {
        self.session.unsubscribe(clock::now(), &[filter], &mut self.out).expect("online");
        let event = self.event();
        assert!(matches!(event, Event::Unsubscribed { .. }), "{event:?}");
    }

    /// Writes a message without waiting. Returns its number.
    pub fn send(&mut self, topic: &str, payload: &[u8], qos: QoS, retain: bool) -> u64 {
        let now = clock::now();
        self.seq += 1;
        let message = Message { topic, payload, qos, retain };
        self.session.publish(now, &message, self.seq, &mut self.out).expect("room");
        self.flush();
        self.seq
    }

    /// Sends a message at QoS 1 or 2 and waits until it is acknowledged.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS, retain: bool) {
        let seq = self.send(topic, payload, qos, retain);
        let event = self.event();
        assert!(matches!(event, Event::Acked { tag, .. } if tag == seq), "{event:?}");
    }

    /// Asserts that the next event is this message.
    pub fn receives(&mut self, topic: &str, payload: &[u8], qos: QoS, retain: bool) {
        match self.event() {
            Event::Message(publish) => {
                assert_eq!((publish.topic.as_str(), publish.payload.as_ref()), (topic, payload));
                assert_eq!((publish.qos, publish.retain), (qos, retain));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the next event.
    pub fn event(&mut self) -> Event<u64> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.flush();
            if !self.events.is_empty() {
                continue;
            }
            let mut bytes = [0; 4096];
            let stream = self.stream.as_mut().expect("connected");
            let length = stream.read(&mut bytes).expect("the broker sends");
            assert!(length > 0, "the broker keeps the connection");
            self.input.extend_from_slice(&bytes[..length]);
            while self.session.handle_input(clock::now(), &mut self.input).expect("MQTT") {
                self.take_events();
            }
            self.flush();
        }
    }

    /// Resets the connection without DISCONNECT. The kernel sends the reset because received bytes were not read.
    pub fn reset(&mut self) {
        let mut stream = self.stream.take().expect("connected");
        stream.write_all(&[0xc0, 0]).expect("the broker reads");
        assert_eq!(stream.peek(&mut [0]).expect("the broker answers"), 1);
        drop(stream);
        self.session.handle_closed(clock::now());
        self.take_events();
    }

    fn flush(&mut self) {
        if self.session.state() == State::Online {
            self.session.poll_output(clock::now(), &mut self.out);
        }
        self.stream.as_mut().expect("connected").write_all(&self.out.split()).expect("the broker reads");
        self.session.handle_flushed(clock::now());
        self.take_events();
    }

    fn take_events(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.session.poll_event()));
    }
}
