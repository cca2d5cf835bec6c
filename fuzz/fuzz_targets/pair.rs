//! Random operations on a device's session and the hub's session, in virtual time: connects, closes, messages,
//! subscriptions, bytes in pieces of any size, losses, silence, and bytes that neither session has written.
//!
//! The model knows the due messages. It checks that each of them ends exactly once, that the session agrees about which
//! are open, that the hub has every acknowledged message, and that two sessions that receive only each other's bytes
//! report no protocol error.
#![no_main]

use bytes::BytesMut;
use hubstorm::clock::WallClock;
use hubstorm::emulator::directory::Directory;
use hubstorm::emulator::service::PendingRequest;
use hubstorm::emulator::session::{Event as HubEvent, HubError, HubSession};
use hubstorm::emulator::{Address, Config};
use hubstorm::iothub::sas::{self, Key};
use hubstorm::iothub::service::ServiceRequest;
use hubstorm::iothub::{names, topics};
use hubstorm::policy::ping::PingPolicy;
use hubstorm::sansio::{Closed, Machine, OUTPUT_BYTES_MAX};
use hubstorm::session::{Credentials, Event, Message, Session, SessionError, Settings, State};
use hubstorm::wire::QoS;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

const HOST: &str = "hub.test";
const DEVICE: &str = "meter-1";
const UNIX: Duration = Duration::from_secs(1_800_000_000);
const TOKEN_TTL: Duration = Duration::from_secs(600);
const SECOND: Duration = Duration::from_secs(1);

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let mut pair = Pair::new(&mut script);
    while let Some(operation) = script.next() {
        pair.perform(operation, &mut script);
        pair.check();
    }
    pair.finish();
});

/// The fuzzer's bytes, read from the front.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn argument(&mut self) -> usize {
        self.next().map_or(0, usize::from)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let count = self.argument().min(self.0.len());
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }
}

struct Pair {
    start: Instant,
    now: Instant,
    /// The tag of a message is its number.
    client: Session<u64>,
    hub: HubSession,
    directory: Arc<Directory>,
    connections: u64,
    requests: Vec<PendingRequest>,
    connected: bool,
    /// Bytes in transit, and bytes that arrived but are not consumed.
    to_hub: (BytesMut, BytesMut),
    to_client: (BytesMut, BytesMut),
    /// True if the client, or the hub, has received bytes that the other did not send on this connection.
    client_misled: bool,
    hub_misled: bool,
    /// The same for any connection so far.
    ever_misled: bool,
    /// The model: messages that are due and have not ended.
    open: BTreeMap<u64, QoS>,
    published: u64,
    acked_by_hub: u64,
    telemetry: u64,
    in_flight: usize,
}

static CONFIG: LazyLock<Config> = LazyLock::new(|| Config {
    host_names: vec![HOST.to_owned()],
    group_keys: vec![group()],
    ..Config::default()
});

fn group() -> Key {
    Key::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").expect("32 bytes")
}

impl Pair {
    fn new(script: &mut Script<'_>) -> Pair {
        let start = Instant::now();
        let flags = script.argument();
        let settings = Settings {
            keep_alive_s: [0, 5, 60, 1000][flags & 3],
            clean_session: flags & 4 != 0,
            in_flight: 1 + (flags >> 3 & 7) as u16,
            ack_timeout: 10 * SECOND,
            connack_timeout: 10 * SECOND,
            pings: PingPolicy::OWN,
            frame_mib_max: 1,
        };
        let wall = WallClock::of(start, UNIX);
        let directory = Arc::new(Directory::new(Config { wall, ..CONFIG.clone() }));
        Pair {
            start,
            now: start,
            client: Session::new(settings),
            hub: HubSession::new(Arc::clone(&directory), start),
            directory,
            connections: 0,
            requests: Vec::new(),
            connected: false,
            to_hub: Default::default(),
            to_client: Default::default(),
            client_misled: false,
            hub_misled: false,
            ever_misled: false,
            open: BTreeMap::new(),
            published: 0,
            acked_by_hub: 0,
            telemetry: 0,
            in_flight: usize::from(settings.in_flight),
        }
    }

    fn perform(&mut self, operation: u8, script: &mut Script<'_>) {
        if !self.connected {
            // While offline, only time can pass or the client can connect.
            match operation % 4 {
                0 => self.now += SECOND * script.argument() as u32,
                _ => self.connect(),
            }
            return;
        }
        match operation % 16 {
            0 | 1 => {
                self.publish(if operation % 2 == 0 { QoS::AtLeastOnce } else { QoS::AtMostOnce }, script)
            }
            2 if operation & 0x80 == 0 => self.subscribe(operation >> 4),
            2 => self.unsubscribe(operation >> 4),
            3 => self.turn_client(),
            4 => self.turn_hub(),
            5 => deliver(&mut self.to_hub, script.argument()),
            6 => deliver(&mut self.to_client, script.argument()),
            7 => {
                self.now += SECOND * script.argument() as u32 / 8;
                self.turn_hub();
                self.turn_client();
            }
            8 => self.close(),
            9 => self.say(|client, now, out| client.disconnect(now, out)),
            10 => {
                self.client.handle_flushed(self.now);
                self.take_events();
            }
            11 => {
                self.to_client.1.extend_from_slice(script.bytes());
                self.client_misled = true;
                self.ever_misled = true;
            }
            12 => {
                self.to_hub.1.extend_from_slice(script.bytes());
                self.hub_misled = true;
                self.ever_misled = true;
            }
            13 if operation & 0x80 == 0 => {
                self.hub.take_over();
            }
            13 => self.request(operation >> 4, script),
            14 => {
                // The taken messages end without an event, and the session still sends them again.
                for seq in self.client.take_open() {
                    self.open.remove(&seq).expect("a taken message was open");
                }
            }
            _ => {
                // All bytes in transit arrive and are answered.
                for _ in 0..4 {
                    deliver(&mut self.to_hub, usize::MAX);
                    self.turn_hub();
                    deliver(&mut self.to_client, usize::MAX);
                    self.turn_client();
                }
            }
        }
    }

    fn connect(&mut self) {
        let unix = UNIX + (self.now - self.start);
        let expiry = (unix + TOKEN_TTL).as_secs();
        let token = sas::token(&group().derive(DEVICE), &names::resource(HOST, DEVICE), expiry, None);
        let name = names::user_name(HOST, DEVICE);
        let offer =
            Credentials { client_id: DEVICE, username: Some(&name), password: Some(token.as_bytes()) };
        self.hub = HubSession::new(Arc::clone(&self.directory), self.now);
        self.connections += 1;
        (self.to_hub, self.to_client) = Default::default();
        (self.client_misled, self.hub_misled) = (false, false);
        self.connected = true;
        self.say(|client, now, out| client.connect(now, &offer, out).expect("a CONNECT that MQTT can carry"));
    }

    fn publish(&mut self, qos: QoS, script: &mut Script<'_>) {
        let payload = vec![b'x'; script.argument()];
        let (topic, seq) = (topics::telemetry(DEVICE), self.published);
        let message = Message { topic: &topic, payload: &payload, qos, retain: false };
        let room = self.client.has_room();
        let taken = self.client.publish(self.now, &message, seq, &mut self.to_hub.0).is_ok();
        let online = self.client.state() == State::Online;
        assert_eq!(taken, online && (room || qos == QoS::AtMostOnce), "a message is taken if there is room");
        if taken {
            self.open.insert(seq, qos);
            self.published += 1;
        }
    }

    fn subscribe(&mut self, which: u8) {
        let c2d = topics::c2d(DEVICE);
        let others = if which & 1 == 0 { topics::TWIN_RESPONSES } else { topics::METHODS };
        let qos = if which & 2 == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let filters = [(c2d.as_str(), QoS::AtLeastOnce), (others, qos), (topics::TWIN_DESIRED, qos)];
        // Refused offline, or with too many requests in flight. The result does not matter.
        self.say(|client, now, out| drop(client.subscribe(now, &filters, out)));
    }

    /// Unsubscribes from some of the possible subscriptions.
    fn unsubscribe(&mut self, which: u8) {
        let c2d = topics::c2d(DEVICE);
        let filters = [c2d.as_str(), topics::TWIN_RESPONSES, topics::METHODS, topics::TWIN_DESIRED];
        let filters = &filters[usize::from(which & 3)..];
        self.say(|client, now, out| drop(client.unsubscribe(now, filters, out)));
    }

    /// A service client sends a request, and the connection is woken.
    fn request(&mut self, what: u8, script: &mut Script<'_>) {
        let text = "x".repeat(script.argument());
        let request = match what % 4 {
            0 => ServiceRequest::InvokeMethod {
                name: "m".to_owned(),
                payload: (!text.is_empty()).then(|| text.into()),
                response_timeout: Duration::from_millis(10_000),
                connect_timeout: Duration::from_millis(script.argument() as u64 * 100),
            },
            1 => ServiceRequest::UpdateDesired { patch: [("key".to_owned(), text.into())].into_iter().collect() },
            2 => ServiceRequest::SendMessage {
                message_id: None,
                properties: Default::default(),
                payload: text,
                ttl: Some(Duration::from_millis(script.argument() as u64 * 1000)),
                ack: Default::default(),
            },
            _ => ServiceRequest::CloseConnection,
        };
        let pending = self.directory.request(self.now, UNIX + (self.now - self.start), DEVICE, request);
        if pending.wake.is_some() {
            self.hub.wake();
        }
        self.requests.push(pending);
    }

    fn say(&mut self, command: impl FnOnce(&mut Session<u64>, Instant, &mut BytesMut)) {
        command(&mut self.client, self.now, &mut self.to_hub.0);
    }

    fn turn_client(&mut self) {
        if !self.connected {
            return;
        }
        let mut result = Ok(true);
        while matches!(result, Ok(true)) && self.client.wants_input() {
            result = self.client.handle_input(self.now, &mut self.to_client.1);
            self.take_events();
        }
        let result = result.and_then(|_| self.client.handle_timeout(self.now));
        self.take_events();
        if let Err(error) = result {
            let honest = matches!(
                error,
                SessionError::ConnackTimeout | SessionError::PingTimeout | SessionError::AckStall
            );
            assert!(honest || self.client_misled || self.hub_misled, "{error}");
            return self.close();
        }
        if self.to_hub.0.len() < OUTPUT_BYTES_MAX {
            self.client.poll_output(self.now, &mut self.to_hub.0);
            self.take_events();
        }
        let past = self.client.poll_timeout().is_some_and(|at| at <= self.now);
        assert!(!past, "a handled timeout is not requested again");
    }

    fn turn_hub(&mut self) {
        if !self.connected {
            return;
        }
        let mut result = Ok(());
        if self.hub.wants_input() {
            result = self.hub.handle_input(self.now, &mut self.to_hub.1);
        }
        let result = result.and_then(|()| self.hub.handle_timeout(self.now));
        self.telemetry += self.hub.take_telemetry();
        while let Some(event) = self.hub.poll_event() {
            if event == HubEvent::Authorized {
                let previous = self.hub.claim(Address { shard: 0, connection: self.connections });
                assert_eq!(previous, None, "the previous connection has ended");
                self.hub.admit(self.now);
            } else if let HubEvent::Refused(refusal) = event {
                assert!(self.hub_misled, "{refusal:?}");
            }
        }
        if self.to_client.0.len() < OUTPUT_BYTES_MAX {
            self.hub.poll_output(self.now, &mut self.to_client.0);
        }
        if let Err(error) = result {
            let honest = matches!(error, HubError::ConnectTimeout | HubError::KeepAlive);
            assert!(honest || self.hub_misled || self.client_misled, "{error}");
            return self.close();
        }
        if self.hub.poll_close().is_some() && self.to_client.0.is_empty() && self.to_client.1.is_empty() {
            self.close();
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            let (tag, acked) = match event {
                Event::Acked { tag, .. } => (tag, true),
                Event::TimedOut { tag, .. } | Event::Lost { tag, .. } => (tag, false),
                _ => continue,
            };
            let qos = self.open.remove(&tag).expect("an ended message was open");
            self.acked_by_hub += u64::from(acked && qos == QoS::AtLeastOnce);
        }
    }

    fn close(&mut self) {
        if !std::mem::replace(&mut self.connected, false) {
            return;
        }
        self.hub.handle_closed(self.now, Closed::Local);
        self.hub.release();
        self.client.handle_closed(self.now);
        self.take_events();
    }

    fn check(&self) {
        let open: Vec<u64> = self.client.open().map(|(tag, _)| *tag).collect();
        assert_eq!(open.len(), self.open.len(), "each message is open once");
        assert!(open.iter().all(|seq| self.open.contains_key(seq)));
        assert!(self.client.in_flight() <= self.in_flight);
        if !self.ever_misled {
            assert!(self.acked_by_hub <= self.telemetry, "the hub has every acknowledged message");
        }
    }

    /// Ends the run: no message stays open.
    fn finish(&mut self) {
        self.close();
        for seq in self.client.take_open() {
            self.open.remove(&seq).expect("a taken message was open");
        }
        assert!(self.open.is_empty(), "{:?} never ended", self.open);
        assert_eq!(self.client.open().count(), 0);
        for request in &mut self.requests {
            if let Some(deadline) = request.deadline {
                self.directory.expire_call(DEVICE, deadline.call);
            }
            assert!(request.result.try_recv().is_ok(), "each request has one result");
        }
    }
}

/// Moves some bytes from transit to the other end.
fn deliver((flying, arrived): &mut (BytesMut, BytesMut), bytes: usize) {
    let bytes = bytes.min(flying.len());
    arrived.extend_from_slice(&flying.split_to(bytes));
}
