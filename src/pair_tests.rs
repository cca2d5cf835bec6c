//! The client's session and the hub's, joined by two pipes in virtual time. No sockets, no sleeping: hours pass in
//! milliseconds, and the two meet nowhere else but over a real socket.

use crate::clock::WallClock;
use crate::emulator::Config;
use crate::emulator::directory::{Address, Directory};
use crate::emulator::session::{Event as HubEvent, HubError, HubSession};
use crate::iothub::sas::{self, Key};
use crate::iothub::service::{Feedback, ServiceRequest};
use crate::iothub::{limits, names, topics};
use crate::policy::ping::PingPolicy;
use crate::sansio::{Closed, Machine};
use crate::session::{Credentials, Event, Message, Session, SessionError, Settings, State};
use crate::wire::QoS;
use bytes::BytesMut;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOST: &str = "hub.test";
const DEVICE: &str = "meter-1";
/// When a pair's time begins, in seconds since the Unix epoch.
const UNIX_S: u64 = 1_800_000_000;
const HOUR: Duration = Duration::from_secs(3600);
/// More turns than anything can take at one instant.
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

/// One direction: bytes on their way, and bytes that have come.
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

    /// The next bytes that are due at `now`: all that were sent together, or one byte.
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

/// How a connection ended.
#[derive(Debug, Default)]
struct End {
    at: Duration,
    hub: Option<HubError>,
    client: Option<SessionError>,
}

/// A device and its hub. What the hub keeps between connections is in `directory`.
struct Pair {
    start: Instant,
    now: Instant,
    /// What comes back with a message is its number.
    client: Session<u64>,
    hub: HubSession,
    directory: Arc<Directory>,
    to_hub: Pipe,
    to_client: Pipe,
    /// One way.
    latency: Duration,
    /// Bytes come one at a time.
    bytewise: bool,
    /// The hub does nothing, not even wait.
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

    #[expect(clippy::disallowed_methods, reason = "any instant will do: time is what the test says")]
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

    /// Connected, with a token that outlives every test.
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

    /// A new connection, with a token for `ttl` from now.
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

    /// Lets `duration` pass.
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

    /// Everything that happens at this instant.
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
        panic!("the two go on for ever at one instant");
    }

    /// True when something moved.
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
                assert_eq!(previous, None, "the connection before is over");
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

    /// True when something moved.
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
            // What the client said last is on its way; the hub hears it before the end of the stream.
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

    /// The connection is over: what the hub sent before it ended it still arrives, what was on its way to it does not.
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

    /// The network takes the connection away.
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

#[test]
fn an_hour_of_silence_is_kept_alive() {
    for keep_alive_s in [1, 60, 1177] {
        let mut pair = Pair::online(Settings { keep_alive_s, ..settings() });
        pair.run(HOUR);
        assert!(pair.ends.is_empty(), "{keep_alive_s}: {:?}", pair.ends);
        let pongs = pair.count(|event| matches!(event, Event::Pong { .. }));
        let least = 3600 / usize::from(keep_alive_s) - 2;
        assert!((least.max(1)..=2 * (least + 2)).contains(&pongs), "{keep_alive_s}: {pongs}");
    }
}

#[test]
fn without_keep_alive_the_hub_waits_as_long_as_it_ever_does() {
    let mut pair = Pair::new(Settings { keep_alive_s: 0, ..settings() });
    pair.connect(24 * HOUR);
    pair.run(HOUR);
    assert_eq!(pair.ends.len(), 1);
    assert_eq!(pair.ends[0].hub, Some(HubError::KeepAlive));
    assert_eq!(pair.ends[0].at, limits::KEEP_ALIVE_TIMEOUT_MAX + pair.latency);
}

#[test]
fn a_token_that_is_not_renewed_ends_the_connection_after_its_grace() {
    let mut pair = Pair::new(settings());
    pair.connect(seconds(600));
    pair.run(HOUR);
    assert_eq!(pair.ends.len(), 1);
    assert_eq!(pair.ends[0].at, seconds(600) + limits::EXPIRY_GRACE);
    assert!(pair.hub_events.contains(&HubEvent::Expired));
    assert_eq!(pair.client.state(), State::Closed);
}

#[test]
fn an_hour_of_renewals_never_meets_an_expiry_and_loses_nothing() {
    let mut pair = Pair::new(Settings { clean_session: false, ..settings() });
    for seq in 0..8 {
        pair.connect(seconds(600));
        pair.run(seconds(1));
        pair.publish(seq);
        pair.run(seconds(470));
        let mut out = BytesMut::new();
        pair.client.disconnect(pair.now, &mut out);
        pair.to_hub.send(pair.now + pair.latency, out);
        pair.run(seconds(1));
    }
    assert_eq!((pair.ends.len(), pair.acked(), pair.telemetry), (8, 8, 8));
    assert!(!pair.hub_events.contains(&HubEvent::Expired));
    assert!(pair.ends.iter().all(|end| end.hub.is_none() && end.client.is_none()), "{:?}", pair.ends);
    assert_eq!(pair.count(|event| matches!(event, Event::Lost { .. } | Event::TimedOut { .. })), 0);
}

#[test]
fn a_refusal_carries_its_code() {
    let mut pair = Pair::with(settings(), Vec::new());
    pair.connect(HOUR);
    pair.run(seconds(1));
    assert!(
        matches!(pair.events[..], [Event::Refused { code: 5, session_present: false }]),
        "{:?}",
        pair.events
    );
    assert_eq!(pair.ends.len(), 1);
}

#[test]
fn after_a_takeover_a_kept_session_sends_again_what_was_not_acknowledged() {
    let mut pair = Pair::online(Settings { clean_session: false, ..settings() });
    pair.subscribe();
    pair.run(seconds(1));
    assert!(
        matches!(pair.events.last(), Some(Event::Subscribed { granted, .. }) if *granted == [1, 0]),
        "{:?}",
        pair.events
    );
    // The hub is told to make room before the message reaches it.
    pair.publish(1);
    pair.hub.take_over();
    pair.run(seconds(1));
    assert_eq!((pair.ends.len(), pair.acked()), (1, 0));
    assert_eq!(pair.count(|event| matches!(event, Event::Lost { .. })), 0);
    pair.connect(HOUR);
    pair.run(seconds(1));
    assert_eq!(pair.count(|event| matches!(event, Event::Connected { session_present: true })), 1);
    assert_eq!(pair.count(|event| matches!(event, Event::Acked { resent: true, tag, .. } if *tag == 1)), 1);
    assert_eq!(pair.telemetry, 1);
}

#[test]
fn after_a_drop_a_clean_session_has_lost_what_was_not_acknowledged() {
    let mut pair = Pair::online(settings());
    pair.publish(1);
    pair.drop_connection();
    assert_eq!(pair.count(|event| matches!(event, Event::Lost { tag, .. } if *tag == 1)), 1);
    pair.connect(HOUR);
    pair.run(seconds(60));
    assert_eq!((pair.acked(), pair.telemetry), (0, 0));
}

#[test]
fn without_a_session_at_the_hub_what_was_kept_is_lost() {
    let mut pair = Pair::online(Settings { clean_session: false, ..settings() });
    pair.publish(1);
    pair.drop_connection();
    assert_eq!(pair.count(|event| matches!(event, Event::Lost { .. })), 0);
    // No subscription, so the hub has no session to come back to.
    pair.connect(HOUR);
    pair.run(seconds(60));
    assert_eq!(pair.count(|event| matches!(event, Event::Connected { session_present: false })), 2);
    assert_eq!(pair.count(|event| matches!(event, Event::Lost { tag, .. } if *tag == 1)), 1);
    assert_eq!(pair.telemetry, 0);
}

#[test]
fn a_frozen_hub_shows_as_timeouts_and_its_acks_as_late() {
    let mut pair = Pair::online(Settings { keep_alive_s: 600, ..settings() });
    pair.frozen = true;
    pair.publish(1);
    pair.run(seconds(29));
    assert_eq!(pair.count(|event| matches!(event, Event::TimedOut { .. })), 0);
    pair.run(seconds(2));
    assert_eq!(pair.count(|event| matches!(event, Event::TimedOut { tag, .. } if *tag == 1)), 1);
    assert_eq!((pair.client.quarantined(), pair.client.has_room()), (1, true));
    pair.frozen = false;
    pair.publish(2);
    pair.run(seconds(1));
    assert_eq!(pair.count(|event| matches!(event, Event::LateAck)), 1);
    assert_eq!((pair.acked(), pair.client.quarantined(), pair.telemetry), (1, 0, 2));
}

#[test]
fn a_hub_that_acknowledges_nothing_any_more_ends_in_an_ack_stall() {
    let mut pair = Pair::online(Settings { keep_alive_s: 600, in_flight: 3, ..settings() });
    pair.frozen = true;
    for seq in 0..3 {
        pair.publish(seq);
    }
    assert!(!pair.client.has_room());
    pair.run(seconds(31));
    assert_eq!(pair.count(|event| matches!(event, Event::TimedOut { .. })), 3);
    assert!(matches!(pair.ends[..], [End { client: Some(SessionError::AckStall), .. }]), "{:?}", pair.ends);
}

#[test]
fn a_frozen_hub_does_not_answer_pings_either() {
    let mut pair = Pair::online(settings());
    pair.frozen = true;
    pair.run(seconds(120));
    assert!(
        matches!(pair.ends[..], [End { client: Some(SessionError::PingTimeout), .. }]),
        "{:?}",
        pair.ends
    );
}

/// Connections that are lost with messages and acknowledgements on their way: what comes again is the same packet with DUP set, and
/// nothing is left behind.
#[test]
fn messages_to_a_kept_session_arrive_over_any_losses() {
    let mut pair = Pair::online(Settings { clean_session: false, ..settings() });
    pair.subscribe();
    pair.run(seconds(1));
    let mut pending = Vec::new();
    for n in 0..40_u64 {
        let message = ServiceRequest::SendMessage {
            message_id: None,
            properties: BTreeMap::new(),
            payload: n.to_string(),
            ttl: None,
            ack: Feedback::None,
        };
        pending.push(pair.directory.request(pair.now, pair.unix(), DEVICE, message));
        pair.hub.wake();
        // Now the message is lost, now its acknowledgement, now nothing.
        pair.run(Duration::from_millis(n % 14));
        if n % 3 != 0 {
            pair.drop_connection();
            pair.connect(HOUR);
        }
    }
    pair.run(seconds(200));
    assert!(pending.iter_mut().all(|pending| pending.result.try_recv().is_ok_and(|result| result.is_ok())));
    let messages: Vec<(u64, bool)> = pair
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Message(it) => Some((std::str::from_utf8(&it.payload).ok()?.parse().ok()?, it.dup)),
            _ => None,
        })
        .collect();
    let first: Vec<u64> = (0..40).filter_map(|n| Some(messages.iter().find(|(it, _)| *it == n)?.0)).collect();
    assert_eq!(first, (0..40).collect::<Vec<_>>(), "each came");
    assert!(messages.len() > 40, "some came again");
    for (at, (n, dup)) in messages.iter().enumerate() {
        let before = messages[..at].iter().any(|(it, _)| it == n);
        assert!(*dup || !before, "{n} came again without DUP");
    }
    let twin = pair
        .directory
        .request(pair.now, pair.unix(), DEVICE, ServiceRequest::ReadTwin)
        .result
        .try_recv()
        .unwrap();
    assert_eq!(twin.unwrap().payload.unwrap()["cloudToDeviceMessageCount"], 0);
}

/// Latency is part of what is measured; the size of the pieces in which bytes come is not.
#[test]
fn bytes_one_at_a_time_change_nothing() {
    let story = |bytewise: bool, latency: Duration| {
        let mut pair = Pair::new(Settings { clean_session: false, ..settings() });
        pair.bytewise = bytewise;
        pair.latency = latency;
        for _ in 0..2 {
            pair.connect(HOUR);
            pair.run(seconds(1));
            pair.subscribe();
            for seq in 0..8 {
                pair.publish(seq);
            }
            pair.run(seconds(200));
            pair.publish(8);
            pair.drop_connection();
        }
        let start = pair.start;
        let told: Vec<String> = pair
            .events
            .iter()
            .map(|event| match event {
                Event::Acked { tag, sent, resent } => {
                    format!("acked {} {:?} {resent}", tag, *sent - start)
                }
                Event::Pong { sent } => format!("pong {:?}", *sent - start),
                Event::Subscribed { sent, granted, .. } => {
                    format!("subscribed {:?} {granted:?}", *sent - start)
                }
                Event::Lost { tag, .. } => format!("lost {}", tag),
                Event::TimedOut { tag, .. } => format!("timed out {}", tag),
                other => format!("{other:?}"),
            })
            .collect();
        (told, pair.telemetry)
    };
    for latency in [Duration::ZERO, Duration::from_millis(150)] {
        let (told, telemetry) = story(false, latency);
        assert_eq!((told.clone(), telemetry), story(true, latency));
        assert_eq!(telemetry, 17, "{told:?}");
    }
}
