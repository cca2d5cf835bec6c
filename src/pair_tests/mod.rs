//! Tests of the client's session against the emulator's, connected by two pipes in virtual time: without sockets, so that hours
//! pass in milliseconds. The `session` and `emulator` rooms meet only here, in `soak_tests`, in `app::closed_loop_tests`, and over real sockets.

mod bytewise;
mod connections;
mod frozen_hub;
mod lost_connections;

use crate::clock::WallClock;
use crate::emulator::directory::Directory;
use crate::emulator::session::{Event as HubEvent, HubError, HubSession};
use crate::emulator::{Address, Config};
use crate::iothub::sas::{self, Key};
use crate::iothub::{limits, names, topics};
use crate::policy::ping::PingPolicy;
use crate::sansio::{Closed, Machine};
use crate::session::{Credentials, Event, Message, Session, SessionError, Settings, State};
use crate::wire::QoS;
use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOST: &str = "hub.test";
const DEVICE: &str = "meter-1";

/// Start of virtual time, in seconds since the Unix epoch.
const UNIX_S: u64 = 1_800_000_000;

const HOUR: Duration = Duration::from_secs(3600);

/// Maximum number of turns at one instant.
const TURNS_MAX: usize = 10_000;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn settings() -> Settings {
    Settings {
        keep_alive_s: 60,
        clean_session: true,
        in_flight: 8,
        ack_timeout: seconds(30),
        connack_timeout: seconds(30),
        pings: PingPolicy::OWN,
        frame_mib_max: 1,
    }
}

/// One direction of a connection: bytes in transit and arrived bytes.
#[derive(Default)]
struct Pipe {
    flying: VecDeque<(Instant, BytesMut)>,
    arrived: BytesMut,
}

impl Pipe {
    fn send(&mut self, at: Instant, bytes: BytesMut) {
        if !bytes.is_empty() {
            self.flying.push_back((at, bytes));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.flying.front().map(|(at, _)| *at)
    }

    /// Receives the next bytes that have arrived by `now`: those that were sent together, or a single byte.
    fn receive(&mut self, now: Instant, bytewise: bool) -> bool {
        let Some((at, bytes)) = self.flying.front_mut() else { return false };
        if *at > now {
            return false;
        }
        let some = if bytewise { bytes.split_to(1) } else { std::mem::take(bytes) };
        if bytes.is_empty() {
            self.flying.pop_front();
        }
        self.arrived.extend_from_slice(&some);
        true
    }
}

/// When a connection ended, and the error on each side.
#[derive(Debug, Default)]
struct End {
    at: Duration,
    hub: Option<HubError>,
    client: Option<SessionError>,
}

/// A device and its hub. `directory` is the hub's state between connections.
struct Pair {
    start: Instant,
    now: Instant,
    /// A message's tag is its sequence number.
    client: Session<u64>,
    hub: HubSession,
    directory: Arc<Directory>,
    to_hub: Pipe,
    to_client: Pipe,
    /// One-way latency.
    latency: Duration,
    /// Whether bytes arrive one at a time.
    bytewise: bool,
    /// Whether the hub is frozen: it does nothing, and its timers do not run.
    frozen: bool,
    connected: bool,
    ends: Vec<End>,
    events: Vec<Event<u64>>,
    hub_events: Vec<HubEvent>,
    telemetry: u64,
}

impl Pair {
    fn new(settings: Settings) -> Pair {
        Pair::with(settings, vec![group()])
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time starts at any instant")]
    fn with(settings: Settings, group_keys: Vec<Key>) -> Pair {
        let start = Instant::now();
        let wall = WallClock::of(start, seconds(UNIX_S));
        let host_names = vec![HOST.to_owned()];
        let config = Config { host_names, group_keys, wall, ..Config::default() };
        let directory = Arc::new(Directory::new(config));
        Pair {
            start,
            now: start,
            client: Session::new(settings),
            hub: HubSession::new(Arc::clone(&directory), start),
            directory,
            to_hub: Pipe::default(),
            to_client: Pipe::default(),
            latency: Duration::from_millis(5),
            bytewise: false,
            frozen: false,
            connected: false,
            ends: Vec::new(),
            events: Vec::new(),
            hub_events: Vec::new(),
            telemetry: 0,
        }
    }

    /// Returns a connected pair with a token that outlives every test.
    fn online(settings: Settings) -> Pair {
        let mut pair = Pair::new(settings);
        pair.connect(24 * HOUR);
        pair.run(seconds(1));
        assert_eq!(pair.client.state(), State::Online);
        pair
    }

    fn unix(&self) -> Duration {
        self.directory.config().wall.unix(self.now)
    }

    /// Opens a new connection with a token that is valid for `ttl` from now.
    fn connect(&mut self, ttl: Duration) {
        let key = group().derive(DEVICE);
        let expiry = (self.unix() + ttl).as_secs();
        let token = sas::token(&key, &names::resource(HOST, DEVICE), expiry, None);
        let name = names::user_name(HOST, DEVICE);
        let credentials =
            Credentials { client_id: DEVICE, username: Some(&name), password: Some(token.as_bytes()) };
        self.hub = HubSession::new(Arc::clone(&self.directory), self.now);
        self.to_hub = Pipe::default();
        self.to_client = Pipe::default();
        self.connected = true;
        let mut out = BytesMut::new();
        self.client.connect(self.now, &credentials, &mut out).unwrap();
        self.to_hub.send(self.now + self.latency, out);
    }

    fn publish(&mut self, seq: u64) {
        let topic = topics::telemetry(DEVICE);
        let message = Message { topic: &topic, payload: b"{}", qos: QoS::AtLeastOnce, retain: false };
        let mut out = BytesMut::new();
        self.client.publish(self.now, &message, seq, &mut out).unwrap();
        self.to_hub.send(self.now + self.latency, out);
    }

    fn subscribe(&mut self) {
        let c2d = topics::c2d(DEVICE);
        let mut out = BytesMut::new();
        let filters = [(c2d.as_str(), QoS::AtLeastOnce), (topics::TWIN_RESPONSES, QoS::AtMostOnce)];
        self.client.subscribe(self.now, &filters, &mut out).unwrap();
        self.to_hub.send(self.now + self.latency, out);
    }

    /// Advances time by `duration`.
    fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            self.settle();
            let frozen = self.frozen;
            let hub = [self.to_hub.next(), self.hub.poll_timeout()].into_iter().flatten().filter(|_| !frozen);
            let client = [self.to_client.next(), self.client.poll_timeout()].into_iter().flatten();
            let next = hub.chain(client).min().filter(|_| self.connected);
            match next {
                Some(next) if next <= until => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = until;
    }

    /// Runs everything that happens at this instant.
    fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            if !self.connected {
                return;
            }
            let hub = !self.frozen && self.turn_hub();
            let client = self.connected && self.turn_client();
            if !hub && !client {
                return;
            }
        }
        panic!("endless loop at one instant");
    }

    /// Returns true if anything happened.
    fn turn_hub(&mut self) -> bool {
        let mut moved = self.to_hub.receive(self.now, self.bytewise);
        let result = self
            .hub
            .handle_input(self.now, &mut self.to_hub.arrived)
            .and_then(|()| self.hub.handle_timeout(self.now));
        self.telemetry += self.hub.take_telemetry();
        if let Some(event) = self.hub.poll_event() {
            moved = true;
            self.hub_events.push(event);
            if event == HubEvent::Authorized {
                let previous = self.hub.claim(Address { shard: 0, connection: self.ends.len() as u64 });
                assert_eq!(previous, None, "the previous connection has ended");
                self.hub.admit(self.now);
            }
        }
        let mut out = BytesMut::new();
        self.hub.poll_output(self.now, &mut out);
        moved |= !out.is_empty();
        self.to_client.send(self.now + self.latency, out);
        if result.is_err() || (self.hub.poll_close().is_some() && !moved) {
            self.end(result.err(), None);
        }
        moved
    }

    /// Returns true if anything happened.
    fn turn_client(&mut self) -> bool {
        let mut moved = self.to_client.receive(self.now, self.bytewise);
        let mut result = Ok(());
        loop {
            match self.client.handle_input(self.now, &mut self.to_client.arrived) {
                Ok(true) => self.take_events(),
                Ok(false) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        result = result.and_then(|()| self.client.handle_timeout(self.now));
        self.take_events();
        let mut out = BytesMut::new();
        self.client.poll_output(self.now, &mut out);
        self.client.handle_flushed(self.now);
        self.take_events();
        moved |= !out.is_empty();
        self.to_hub.send(self.now + self.latency, out);
        if let Err(error) = result {
            self.end(None, Some(error));
        } else if self.client.poll_close().is_some() && !moved {
            // The client's last bytes reach the hub before the end of the stream.
            while self.to_hub.receive(self.now + self.latency, false) {}
            let _ = self.hub.handle_input(self.now, &mut self.to_hub.arrived);
            self.end(None, None);
        }
        moved
    }

    fn take_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            self.events.push(event);
        }
    }

    /// Ends the connection. Bytes that the hub has already sent still arrive; bytes in transit to the hub do not.
    fn end(&mut self, hub: Option<HubError>, client: Option<SessionError>) {
        self.connected = false;
        self.hub.handle_closed(self.now, Closed::Local);
        self.hub.release();
        if client.is_none() {
            while self.to_client.receive(self.now + self.latency, false) {}
            while matches!(self.client.handle_input(self.now, &mut self.to_client.arrived), Ok(true)) {
                self.take_events();
            }
        }
        self.client.handle_closed(self.now);
        self.take_events();
        self.ends.push(End { at: self.now - self.start, hub, client });
    }

    /// Drops the connection in the network.
    fn drop_connection(&mut self) {
        self.to_hub = Pipe::default();
        self.to_client = Pipe::default();
        self.end(None, None);
    }

    fn count(&self, matching: impl Fn(&Event<u64>) -> bool) -> usize {
        self.events.iter().filter(|event| matching(event)).count()
    }

    fn acked(&self) -> usize {
        self.count(|event| matches!(event, Event::Acked { .. }))
    }
}

fn group() -> Key {
    Key::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()
}
