//! One connection of a device, seen from the hub: sans-I/O and strict. Driven by `link::Link` through
//! [`Machine`], owned by `connection`, and in `pair_tests` by a test.
//!
//! It decides about packets and time. Making the identity free is done outside: after a good CONNECT the session says
//! [`Event::Authorised`] and reads nothing more. Its owner calls [`HubSession::claim`], ends the connection that this names,
//! calls [`HubSession::admit`], and once the connection is over [`HubSession::release`].
//!
//! What outlives a connection is in the [`Directory`]; what goes on over it besides telemetry is in `exchange`.

mod exchange;

use exchange::InFlight;

use super::admission::{self, Refusal};
use super::directory::{Address, Directory};
use super::telemetry::Telemetry;
use super::unadmitted::{CONNECT_BYTES_MAX, fit};
use crate::iothub::names::DEVICE_ID_CHARS_MAX;
use crate::iothub::size::message_bytes;
use crate::iothub::topics::{self, Inbound};
use crate::iothub::{limits, properties};
use crate::sansio::{Close, Closed, Machine, OUTPUT_BYTES_MAX};
use crate::wire::{self, DecodeError, Packet, QoS, Strictness, encode};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The largest frame: a message of the largest size with the longest topic. Larger ones end the connection; that and how
/// Azure ends it is not documented.
const FRAME_BYTES_MAX: usize = limits::TELEMETRY_BYTES_MAX + wire::STRING_BYTES_MAX + 16;

/// The first byte of CONNECT (MQTT 3.1.1 §3.1.1).
const CONNECT: u8 = 0x10;

/// Replies that may wait to be written before nothing more is read.
const REPLIES_MAX: usize = 1024;

/// The same in bytes, of those that are not of a few bytes.
const REPLY_BYTES_MAX: usize = 256 * 1024;

/// Why the hub drops a connection without a word; MQTT 3.1.1 has none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// What came is not MQTT 3.1.1.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// The first packet is not CONNECT (MQTT 3.1.1 §3.1).
    #[error("the first packet is not CONNECT")]
    NotConnect,
    /// CONNECT did not come in time.
    #[error("no CONNECT came in time")]
    ConnectTimeout,
    /// A packet that this client may not send, or not now.
    #[error("a {0} that a device must not send here")]
    Unexpected(&'static str),
    /// Nothing was heard for one and a half times the keep-alive.
    #[error("nothing was heard within the keep-alive time")]
    KeepAlive,
    /// A publish with QoS 2.
    #[error("a publish with QoS 2")]
    QosTwo,
    /// A publish to a topic that is not the device's.
    #[error("a publish to a topic that is not the device's")]
    ForeignTopic,
    /// More than a message may have.
    #[error("a message of {0} bytes")]
    TooLarge(usize),
    /// A character in a property bag that must be percent-encoded.
    #[error("a property bag with {0:?}, which must be percent-encoded")]
    Unescaped(char),
    /// A request id so long that its answer has no topic.
    #[error("a request id that leaves no room for an answer")]
    RequestId,
    /// A subscription to a filter that a hub does not grant.
    #[error("a subscription to a filter that a hub does not grant")]
    ForeignFilter,
    /// More than five subscriptions.
    #[error("{0} subscriptions")]
    TooManySubscriptions(usize),
}

/// What the owner has to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// CONNECT is good: call [`HubSession::claim`], make the identity free, then call [`HubSession::admit`].
    Authorised,
    /// CONNECT is refused; the device is being told.
    Refused(Refusal),
    /// The token ran out, with its grace; the connection is being closed.
    Expired,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// CONNECT has not come.
    Opening,
    /// CONNECT was good; the identity may still belong to another connection.
    Claiming,
    /// CONNACK 0 was given.
    Online,
    /// The end is decided; whatever still comes is thrown away.
    Closing,
}

/// A packet that waits to be written, in the order of what it answers.
#[derive(Debug)]
enum Reply {
    ConnAck {
        session_present: bool,
        code: u8,
    },
    PubAck(u16),
    SubAck {
        pid: u16,
        granted: Vec<u8>,
    },
    UnsubAck(u16),
    PingResp,
    /// A whole frame.
    Frame(Box<[u8]>),
}

/// One connection of a device, seen from the hub.
#[derive(Debug)]
pub struct HubSession {
    directory: Arc<Directory>,
    state: State,
    opened: Instant,
    device: Box<str>,
    address: Option<Address>,
    clean_session: bool,
    has_api_version: bool,
    /// A will that is telemetry, until DISCONNECT. Azure does not document what it does with another topic, or with a property bag that
    /// would end a connection. Here such a will is not published.
    will: Option<Box<Telemetry>>,
    keep_alive_timeout: Duration,
    heard: Instant,
    /// When the connection ends because of its token; `None`: beyond what the clock can say.
    expires: Option<Instant>,
    replies: VecDeque<Reply>,
    /// In [`Reply::Frame`]s.
    reply_bytes: usize,
    /// Of the last answer or notification that the hub sent at QoS 1.
    last_pid: u16,
    /// There may be something to tell the device.
    woken: bool,
    /// Methods that the device was told of.
    calls: Vec<InFlight>,
    /// When a cloud-to-device message is to be delivered again.
    retry_at: Option<Instant>,
    event: Option<Event>,
    abandoned: bool,
    telemetry: u64,
}

impl HubSession {
    /// The session of a connection that was accepted at `now`.
    #[must_use]
    pub fn new(directory: Arc<Directory>, now: Instant) -> HubSession {
        HubSession {
            directory,
            state: State::Opening,
            opened: now,
            device: Box::default(),
            address: None,
            clean_session: true,
            has_api_version: false,
            will: None,
            keep_alive_timeout: limits::KEEP_ALIVE_TIMEOUT_MAX,
            heard: now,
            expires: None,
            replies: VecDeque::new(),
            reply_bytes: 0,
            last_pid: 0,
            woken: false,
            calls: Vec::new(),
            retry_at: None,
            event: None,
            abandoned: false,
            telemetry: 0,
        }
    }

    /// The device id; empty before [`Event::Authorised`]. After [`Event::Refused`] the client id, cut to the length of a device id.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// True between CONNACK 0 and the end.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.state == State::Online
    }

    /// True between [`Event::Authorised`] and [`HubSession::admit`].
    #[must_use]
    pub fn is_claiming(&self) -> bool {
        self.state == State::Claiming
    }

    /// Telemetry messages accepted since the last call.
    pub fn take_telemetry(&mut self) -> u64 {
        std::mem::take(&mut self.telemetry)
    }

    /// Takes the device for this connection, which is `by`. Returns the connection that has to be over, released included, before
    /// [`HubSession::admit`].
    pub fn claim(&mut self, by: Address) -> Option<Address> {
        self.address = Some(by);
        self.directory.claim(&self.device, by)
    }

    /// The identity is free: answers CONNECT.
    pub fn admit(&mut self, now: Instant) {
        let (State::Claiming, Some(address)) = (self.state, self.address) else { return };
        let Some(session_present) = self.directory.begin(&self.device, address, self.clean_session) else {
            return self.refuse(Refusal::Disabled);
        };
        self.state = State::Online;
        self.heard = now;
        // Whatever waits comes at once, before the device subscribes again.
        self.woken = true;
        self.replies.push_back(Reply::ConnAck { session_present, code: 0 });
    }

    /// There is something to tell the device; poll its output.
    pub fn wake(&mut self) {
        self.woken = true;
    }

    /// The connection is over: gives the device back, and leaves behind what another session may go on with.
    pub fn release(&mut self) {
        if let Some(address) = self.address.take() {
            self.directory.release(&self.device, address, self.clean_session);
        }
    }

    /// Another connection of the same device takes over: this one ends. One that was never admitted has no will.
    pub fn take_over(&mut self) {
        if self.state == State::Claiming {
            self.will = None;
        }
        self.state = State::Closing;
    }

    /// Resets the connection to make room for another one, before it was admitted.
    pub fn abandon(&mut self) {
        self.state = State::Closing;
        self.will = None;
        self.abandoned = true;
    }

    /// The next thing to act on.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    fn handle_packet(&mut self, now: Instant, packet: Packet) -> Result<(), HubError> {
        self.heard = now;
        match (self.state, packet) {
            (State::Opening, Packet::Connect(connect)) => self.handle_connect(now, &connect),
            (State::Opening, _) => return Err(HubError::NotConnect),
            (_, Packet::Publish(publish)) => self.handle_publish(now, &publish)?,
            (_, Packet::Subscribe(subscribe)) => self.handle_subscribe(&subscribe)?,
            (_, Packet::Unsubscribe { pid, filters }) => {
                self.unsubscribe(&filters);
                self.replies.push_back(Reply::UnsubAck(pid));
            }
            (_, Packet::PingReq) => self.replies.push_back(Reply::PingResp),
            (_, Packet::Disconnect) => {
                self.will = None; // MQTT 3.1.1 §3.14.4.
                self.state = State::Closing;
            }
            (_, Packet::PubAck(pid)) => self.handle_puback(pid),
            (_, Packet::Connect(_)) => return Err(HubError::Unexpected("second CONNECT")),
            (_, Packet::PubRec(_) | Packet::PubRel(_) | Packet::PubComp(_)) => {
                return Err(HubError::Unexpected("packet of QoS 2"));
            }
            (_, Packet::ConnAck { .. } | Packet::SubAck { .. } | Packet::UnsubAck(_) | Packet::PingResp) => {
                return Err(HubError::Unexpected("packet of a server"));
            }
        }
        Ok(())
    }

    fn handle_connect(&mut self, now: Instant, connect: &wire::Connect) {
        let unix = self.unix(now);
        let config = self.directory.config();
        match admission::admit(config, connect, unix.as_secs()) {
            Ok(admitted) => {
                self.state = State::Claiming;
                self.device = admitted.device;
                self.clean_session = connect.clean_session;
                self.has_api_version = admitted.has_api_version;
                self.will = connect.will.as_ref().and_then(|will| self.will_of(will));
                self.keep_alive_timeout = limits::keep_alive_timeout(connect.keep_alive_s);
                // From here on it is a duration, so that a later clock step neither ends all connections nor keeps them open.
                let end = Duration::from_secs(admitted.expiry_unix).saturating_add(config.expiry_grace);
                self.expires = now.checked_add(end.saturating_sub(unix));
                self.event = Some(Event::Authorised);
            }
            Err(refusal) => {
                self.device = connect.client_id.chars().take(DEVICE_ID_CHARS_MAX).collect();
                self.refuse(refusal);
            }
        }
    }

    fn will_of(&self, will: &wire::Will) -> Option<Box<Telemetry>> {
        let Some(Inbound::Telemetry { bag }) = topics::inbound(&self.device, &will.topic) else {
            return None;
        };
        if self.unescaped(bag).is_some() {
            return None;
        }
        Some(Box::new(Telemetry {
            device: self.device.to_string(),
            bag: bag.to_owned(),
            payload: will.payload.to_vec(),
            retain: false,
            will: true,
        }))
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.state = State::Closing;
        self.will = None;
        self.replies.push_back(Reply::ConnAck { session_present: false, code: refusal.code() });
        self.event = Some(Event::Refused(refusal));
    }

    fn handle_publish(&mut self, now: Instant, publish: &wire::Publish) -> Result<(), HubError> {
        if publish.qos == QoS::ExactlyOnce {
            return Err(HubError::QosTwo);
        }
        let inbound = topics::inbound(&self.device, &publish.topic).ok_or(HubError::ForeignTopic)?;
        if let Inbound::Telemetry { bag } = inbound {
            if let Some(c) = self.unescaped(bag) {
                return Err(HubError::Unescaped(c));
            }
            HubSession::check_size(publish.payload.len(), bag)?;
            self.telemetry += 1;
            if self.directory.telemetry().is_on() {
                self.keep(publish, bag);
            }
        }
        if publish.qos == QoS::AtLeastOnce {
            self.replies.push_back(Reply::PubAck(publish.pid));
        }
        match inbound {
            Inbound::Telemetry { .. } => Ok(()),
            Inbound::TwinGet { query } => self.handle_twin_get(query),
            Inbound::TwinReported { query } => self.handle_twin_reported(now, query, &publish.payload),
            Inbound::MethodResponse { answer } => self.handle_method_response(answer, &publish.payload),
        }
    }

    /// The first character in a bag that must be escaped; `None` if the hub is lenient.
    fn unescaped(&self, bag: &str) -> Option<char> {
        properties::unescaped(bag).filter(|_| !self.directory.config().lenient_properties)
    }

    /// Computes the exact size only if body and encoded bag exceed the limit: it is never larger than their sum.
    fn check_size(body_bytes: usize, bag: &str) -> Result<(), HubError> {
        if body_bytes + bag.len() <= limits::TELEMETRY_BYTES_MAX {
            return Ok(());
        }
        let bytes = message_bytes(body_bytes, bag);
        if bytes > limits::TELEMETRY_BYTES_MAX { Err(HubError::TooLarge(bytes)) } else { Ok(()) }
    }

    #[cold]
    fn keep(&self, publish: &wire::Publish, bag: &str) {
        self.directory.telemetry().keep(Telemetry {
            device: self.device.to_string(),
            bag: bag.to_owned(),
            payload: publish.payload.to_vec(),
            retain: publish.retain,
            will: false,
        });
    }

    fn unix(&self, now: Instant) -> Duration {
        self.directory.config().wall.unix(now)
    }
}

impl Machine for HubSession {
    type Error = HubError;

    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), HubError> {
        while self.state != State::Closing && self.wants_input() {
            let opening = self.state == State::Opening;
            if opening && input.first().is_some_and(|&first| first != CONNECT) {
                return Err(HubError::NotConnect);
            }
            let frame_bytes_max = if opening { CONNECT_BYTES_MAX } else { FRAME_BYTES_MAX };
            // Device ids may have `#` and `+` and are raw in topics, which are read by known prefix.
            match wire::decode(input, frame_bytes_max, Strictness::StrictButWildcards)? {
                Some(packet) => self.handle_packet(now, packet)?,
                None if opening => {
                    fit(input);
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
        if self.state == State::Closing {
            input.clear();
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), HubError> {
        match self.state {
            State::Opening if now >= self.opened + self.directory.config().connect_arrival_timeout => {
                Err(HubError::ConnectTimeout)
            }
            State::Online if now >= self.heard + self.keep_alive_timeout => Err(HubError::KeepAlive),
            State::Online if self.expires.is_some_and(|expires| now >= expires) => {
                self.state = State::Closing;
                self.event = Some(Event::Expired);
                Ok(())
            }
            State::Online => {
                self.handle_exchange_timeout(now);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn handle_flushed(&mut self, _now: Instant) {}

    fn handle_closed(&mut self, _now: Instant, _why: Closed) {
        // "Communicate with an IoT hub using the MQTT protocol": a will is telemetry. One that was never admitted has none.
        if let Some(will) = self.will.take().filter(|_| self.state != State::Claiming) {
            self.telemetry += 1;
            if self.directory.telemetry().is_on() {
                self.directory.telemetry().keep(*will);
            }
        }
        self.state = State::Closing;
        self.fail_calls();
    }

    fn poll_output(&mut self, now: Instant, out: &mut BytesMut) {
        while out.len() < OUTPUT_BYTES_MAX {
            let Some(reply) = self.replies.pop_front() else {
                if self.woken && self.tell(now, out) {
                    continue;
                }
                return;
            };
            match reply {
                Reply::ConnAck { session_present, code } => encode::connack(out, session_present, code),
                Reply::PubAck(pid) => encode::puback(out, pid),
                Reply::SubAck { pid, granted } => encode::suback(out, pid, &granted),
                Reply::UnsubAck(pid) => encode::unsuback(out, pid),
                Reply::PingResp => encode::pingresp(out),
                Reply::Frame(frame) => {
                    self.reply_bytes -= frame.len();
                    out.extend_from_slice(&frame);
                }
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Opening => Some(self.opened + self.directory.config().connect_arrival_timeout),
            State::Online => {
                let keep_alive = self.heard + self.keep_alive_timeout;
                [Some(keep_alive), self.expires, self.exchange_timeout()].into_iter().flatten().min()
            }
            State::Claiming | State::Closing => None,
        }
    }

    fn wants_input(&self) -> bool {
        self.state != State::Claiming
            && self.replies.len() < REPLIES_MAX
            && self.reply_bytes < REPLY_BYTES_MAX
    }

    fn poll_close(&self) -> Option<Close> {
        let close = if self.abandoned { Close::Reset } else { Close::AfterFlush };
        (self.state == State::Closing).then_some(close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallClock;
    use crate::emulator::Config;
    use crate::emulator::device::Subscriptions;
    use crate::iothub::sas::{self, Key};
    use crate::iothub::topics::Subscription;
    use crate::iothub::{names, topics};
    use crate::wire::encode::{ConnectRef, PublishRef, WillRef};

    const UNIX: u64 = 1_800_000_000;
    const TTL_S: u64 = 3600;

    const ADDRESS: Address = Address { shard: 0, connection: 0 };

    #[expect(clippy::disallowed_methods, reason = "any instant will do: time is what the test says")]
    fn start() -> Instant {
        Instant::now()
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// A session, the time, and what it wrote.
    struct Hub {
        session: HubSession,
        opened: Instant,
        now: Instant,
    }

    impl Hub {
        fn new() -> Hub {
            let opened = start();
            let group = Key::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
            let config = Config {
                host_names: vec!["hub.test".to_owned()],
                group_keys: vec![group],
                wall: WallClock::of(opened, seconds(UNIX)),
                ..Config::default()
            };
            Hub::of(Arc::new(Directory::new(config)), opened)
        }

        fn of(directory: Arc<Directory>, opened: Instant) -> Hub {
            let session = HubSession::new(directory, opened);
            Hub { session, opened, now: opened }
        }

        fn admit(&mut self) {
            assert_eq!(self.session.claim(ADDRESS), None);
            self.session.admit(self.now);
        }

        /// The connection ends, and another one begins.
        fn again(mut self) -> Hub {
            self.session.handle_closed(self.now, Closed::Eof);
            self.session.release();
            Hub::of(Arc::clone(&self.session.directory), self.now)
        }

        fn subscriptions(&self) -> Subscriptions {
            self.session.directory.visit("d1", |entry| entry.device.subscriptions)
        }

        /// Connected, with CONNACK taken.
        fn online(keep_alive_s: u16, clean_session: bool) -> Hub {
            let mut hub = Hub::new();
            hub.connect(keep_alive_s, clean_session, "d1").unwrap();
            assert_eq!(hub.session.poll_event(), Some(Event::Authorised));
            hub.admit();
            assert_eq!(hub.output(), [0x20, 2, 0, 0]);
            hub
        }

        fn connect(&mut self, keep_alive_s: u16, clean_session: bool, key_of: &str) -> Result<(), HubError> {
            let key = self.session.directory.config().group_keys[0].derive(key_of);
            let token = sas::token(&key, "hub.test/devices/d1", UNIX + TTL_S, None);
            let name = names::user_name("hub.test", "d1");
            let connect = ConnectRef {
                client_id: "d1",
                keep_alive_s,
                clean_session,
                username: Some(&name),
                password: Some(token.as_bytes()),
                will: None,
            };
            self.input(|out| encode::connect(out, &connect).unwrap())
        }

        /// Online, with a will for that topic.
        fn with_will(topic: &str) -> Hub {
            let mut hub = Hub::new();
            let key = hub.session.directory.config().group_keys[0].derive("d1");
            let token = sas::token(&key, "hub.test/devices/d1", UNIX + TTL_S, None);
            let name = names::user_name("hub.test", "d1");
            let will = WillRef { topic, payload: b"gone", qos: QoS::AtLeastOnce, retain: true };
            let connect = ConnectRef {
                client_id: "d1",
                keep_alive_s: 60,
                clean_session: true,
                username: Some(&name),
                password: Some(token.as_bytes()),
                will: Some(will),
            };
            hub.input(|out| encode::connect(out, &connect).unwrap()).unwrap();
            hub
        }

        fn input(&mut self, write: impl FnOnce(&mut BytesMut)) -> Result<(), HubError> {
            let mut bytes = BytesMut::new();
            write(&mut bytes);
            self.session.handle_input(self.now, &mut bytes)?;
            assert!(bytes.is_empty() || self.session.is_claiming());
            Ok(())
        }

        fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS) -> Result<(), HubError> {
            let publish = PublishRef { topic, payload, qos, dup: false, retain: false, pid: 7 };
            self.input(|out| encode::publish(out, &publish).unwrap())
        }

        fn subscribe(&mut self, filters: &[(&str, QoS)]) -> Result<(), HubError> {
            self.input(|out| encode::subscribe(out, 3, filters).unwrap())
        }

        fn output(&mut self) -> Vec<u8> {
            let mut out = BytesMut::new();
            self.session.poll_output(self.now, &mut out);
            out.to_vec()
        }

        /// Moves the time and runs what is due.
        fn at(&mut self, since_opened: Duration) -> Result<(), HubError> {
            self.now = self.opened + since_opened;
            self.session.handle_timeout(self.now)
        }
    }

    #[test]
    fn a_good_connect_is_answered_when_the_identity_is_free_and_not_before() {
        let mut hub = Hub::new();
        hub.connect(60, true, "d1").unwrap();
        assert_eq!((hub.session.poll_event(), hub.session.device()), (Some(Event::Authorised), "d1"));
        assert!(!hub.session.wants_input() && hub.output().is_empty());
        // What is sent behind CONNECT without waiting is read later, not lost and not refused.
        let mut early = BytesMut::from(&[0xC0, 0][..]);
        hub.session.handle_input(hub.now, &mut early).unwrap();
        assert_eq!(early.len(), 2);
        hub.admit();
        hub.session.handle_input(hub.now, &mut early).unwrap();
        assert_eq!(hub.output(), [0x20, 2, 0, 0, 0xD0, 0]);
        assert!(hub.session.is_online());
    }

    #[test]
    fn a_bad_connect_is_answered_with_5_and_closed() {
        let mut hub = Hub::new();
        hub.connect(60, true, "d2").unwrap();
        assert_eq!(hub.session.poll_event(), Some(Event::Refused(Refusal::Signature)));
        assert_eq!(hub.output(), [0x20, 2, 0, 5]);
        assert_eq!(hub.session.poll_close(), Some(Close::AfterFlush));
        hub.input(|out| out.extend_from_slice(b"whatever comes behind it")).unwrap();
        assert!(hub.output().is_empty());
    }

    #[test]
    fn session_present_needs_something_stored_and_a_session_that_is_not_clean() {
        let mut hub = Hub::online(60, false);
        for (clean_session, subscribe, present) in
            [(false, true, 0), (false, true, 1), (true, true, 0), (false, false, 0), (false, false, 0)]
        {
            hub = hub.again();
            hub.connect(60, clean_session, "d1").unwrap();
            hub.admit();
            assert_eq!(hub.output(), [0x20, 2, present, 0]);
            if subscribe {
                hub.subscribe(&[(topics::METHODS, QoS::AtMostOnce)]).unwrap();
                hub.output();
            }
        }
        let directory = Arc::clone(&hub.session.directory);
        drop(hub.again());
        assert!(directory.is_empty());
    }

    #[test]
    fn telemetry_is_counted_and_acknowledged_in_order() {
        let mut hub = Hub::online(60, true);
        let topic = topics::telemetry("d1");
        hub.publish(&topic, b"x", QoS::AtMostOnce).unwrap();
        assert!(hub.output().is_empty());
        for pid in [9, 4] {
            let publish = PublishRef {
                topic: &topic,
                payload: b"x",
                qos: QoS::AtLeastOnce,
                dup: true,
                retain: true,
                pid,
            };
            hub.input(|out| encode::publish(out, &publish).unwrap()).unwrap();
        }
        hub.input(encode::pingreq).unwrap();
        assert_eq!(hub.output(), [0x40, 2, 0, 9, 0x40, 2, 0, 4, 0xD0, 0]);
        assert_eq!((hub.session.take_telemetry(), hub.session.take_telemetry()), (3, 0));
        // Accepted, and not telemetry; nobody listens for the answer.
        hub.publish("$iothub/twin/GET/?$rid=1", b"", QoS::AtLeastOnce).unwrap();
        assert_eq!((hub.output(), hub.session.take_telemetry()), (vec![0x40, 2, 0, 7], 0));
    }

    #[test]
    fn a_retained_message_is_telemetry_like_any_other() {
        let mut hub = Hub::online(60, true);
        let topic = topics::telemetry("d1");
        let publish = PublishRef {
            topic: &topic,
            payload: b"",
            qos: QoS::AtLeastOnce,
            dup: false,
            retain: true,
            pid: 7,
        };
        hub.input(|out| encode::publish(out, &publish).unwrap()).unwrap();
        assert_eq!((hub.output(), hub.session.take_telemetry()), (vec![0x40, 2, 0, 7], 1));
    }

    #[test]
    fn a_will_is_telemetry_once_the_device_is_gone_without_a_goodbye() {
        let telemetry = topics::telemetry("d1");
        let end = |topic: &str, admitted: bool, goodbye: bool| {
            let mut hub = Hub::with_will(topic);
            if admitted {
                hub.admit();
            }
            if goodbye {
                hub.input(encode::disconnect).unwrap();
            }
            assert_eq!(hub.session.take_telemetry(), 0);
            hub.session.handle_closed(hub.now, Closed::Reset);
            hub.session.handle_closed(hub.now, Closed::Reset);
            hub.session.take_telemetry()
        };
        assert_eq!(end(&telemetry, true, false), 1);
        assert_eq!(end(&telemetry, true, true), 0);
        assert_eq!(end(&telemetry, false, false), 0, "it was never online");
        assert_eq!(end("gone/d1", true, false), 0, "what Azure does with another topic is not documented");
    }

    /// The result of these bytes on a new connection.
    fn begins_with(bytes: &[u8]) -> Result<(), HubError> {
        let mut hub = Hub::new();
        hub.session.handle_input(hub.now, &mut BytesMut::from(bytes))
    }

    #[test]
    fn a_first_byte_other_than_connects_ends_the_connection() {
        for first in (0..=u8::MAX).filter(|&first| first != CONNECT) {
            assert_eq!(begins_with(&[first]), Err(HubError::NotConnect), "{first:#x}");
        }
        assert_eq!(begins_with(&[CONNECT]), Ok(()));
    }

    #[test]
    fn a_connect_that_is_too_large_ends_with_its_header() {
        let announce = |frame_bytes: usize| {
            let remaining = frame_bytes - 4;
            let byte = |shift: usize| u8::try_from(remaining >> shift & 0x7f).unwrap();
            begins_with(&[CONNECT, byte(0) | 0x80, byte(7) | 0x80, byte(14)])
        };
        assert_eq!(announce(CONNECT_BYTES_MAX), Ok(()));
        let (frame_bytes, frame_bytes_max) = (CONNECT_BYTES_MAX + 1, CONNECT_BYTES_MAX);
        let too_large = DecodeError::TooLarge { frame_bytes, frame_bytes_max };
        assert_eq!(announce(frame_bytes), Err(HubError::Decode(too_large)));
    }

    #[test]
    fn what_azure_answers_by_closing_closes() {
        let mut hub = Hub::online(60, true);
        let topic = topics::telemetry("d1");
        let body = vec![0; limits::TELEMETRY_BYTES_MAX];
        hub.publish(&topic, &body, QoS::AtLeastOnce).unwrap();
        for (result, error) in [
            (hub.publish(&topic, b"", QoS::ExactlyOnce), HubError::QosTwo),
            (hub.publish("devices/d2/messages/events/", b"", QoS::AtLeastOnce), HubError::ForeignTopic),
            (hub.publish("a/b", b"", QoS::AtMostOnce), HubError::ForeignTopic),
            (
                hub.publish("devices/d1/messages/events/a=1", &body, QoS::AtLeastOnce),
                HubError::TooLarge(limits::TELEMETRY_BYTES_MAX + 2),
            ),
            (hub.subscribe(&[("a/b", QoS::AtMostOnce)]), HubError::ForeignFilter),
            (hub.connect(60, true, "d1"), HubError::Unexpected("second CONNECT")),
            (hub.input(|out| encode::connack(out, false, 0)), HubError::Unexpected("packet of a server")),
            (
                hub.input(|out| out.extend_from_slice(&[0x62, 2, 0, 1])),
                HubError::Unexpected("packet of QoS 2"),
            ),
            (Hub::new().input(encode::pingreq), HubError::NotConnect),
        ] {
            assert_eq!(result.unwrap_err(), error);
        }
        let frame = vec![0; FRAME_BYTES_MAX];
        assert!(matches!(hub.publish(&topic, &frame, QoS::AtMostOnce), Err(HubError::Decode(_))));
    }

    #[test]
    fn a_message_of_262_144_bytes_passes_and_one_more_does_not() {
        // 2 bytes of a user property; 16 and 5 bytes of system property values; 5 bytes whose encoding is longer.
        for (bag, bytes) in
            [("", 0), ("a=1", 2), ("%24.ct=application%2Fjson&$.ce=utf-8", 21), ("n%C3%A4=%26%20", 5)]
        {
            let mut hub = Hub::online(60, true);
            let topic = format!("devices/d1/messages/events/{bag}");
            let body = vec![0; 262_145 - bytes];
            hub.publish(&topic, &body[1..], QoS::AtLeastOnce).unwrap();
            let error = hub.publish(&topic, &body, QoS::AtLeastOnce).unwrap_err();
            assert_eq!(error, HubError::TooLarge(262_145), "{bag}");
        }
    }

    #[test]
    fn the_filters_of_a_device_are_granted_with_qos_1_at_most() {
        let mut hub = Hub::online(60, false);
        let c2d = topics::c2d("d1");
        hub.subscribe(&[(&c2d, QoS::ExactlyOnce), (topics::TWIN_RESPONSES, QoS::AtMostOnce)]).unwrap();
        assert_eq!(hub.output(), [0x90, 4, 0, 3, 1, 0]);
        let stored = hub.subscriptions();
        assert_eq!(stored.get(Subscription::C2d), Some(QoS::AtLeastOnce));
        assert_eq!(stored.get(Subscription::TwinResponses), Some(QoS::AtMostOnce));
        // UNSUBSCRIBE of both, and of one that was never there (MQTT 3.1.1 §3.10.4: acknowledged all the same).
        let mut body = vec![0, 9];
        for filter in [c2d.as_str(), topics::TWIN_RESPONSES, "x"] {
            body.extend_from_slice(&u16::try_from(filter.len()).unwrap().to_be_bytes());
            body.extend_from_slice(filter.as_bytes());
        }
        let length = u8::try_from(body.len()).unwrap();
        hub.input(|out| {
            out.extend_from_slice(&[0xA2, length]);
            out.extend_from_slice(&body);
        })
        .unwrap();
        assert_eq!(hub.output(), [0xB0, 2, 0, 9]);
        assert!(hub.subscriptions().is_empty());
    }

    #[test]
    fn five_subscriptions_are_counted_over_the_connections_life() {
        let mut hub = Hub::online(60, true);
        let at_most_once = |filter| [(filter, QoS::AtMostOnce)];
        hub.subscribe(&[(topics::METHODS, QoS::AtMostOnce); 6]).unwrap();
        for filter in [
            "devices/d1/messages/devicebound/#",
            "devices/+/messages/devicebound/#",
            topics::TWIN_RESPONSES,
            topics::TWIN_DESIRED,
        ] {
            hub.subscribe(&at_most_once(filter)).unwrap();
        }
        let sixth = hub.subscribe(&at_most_once("$iothub/credential/#"));
        assert_eq!(sixth.unwrap_err(), HubError::TooManySubscriptions(6));
        assert_eq!(hub.subscriptions().len(), 5);
    }

    const GET: &str = "$iothub/twin/GET/?$rid=";
    const PATCH: &str = "$iothub/twin/PATCH/properties/reported/?$rid=";

    /// What the hub published since, as topic, payload and QoS.
    fn published(hub: &mut Hub) -> Vec<(String, String, QoS)> {
        let mut out = BytesMut::from(&hub.output()[..]);
        let mut published = Vec::new();
        while let Some(packet) = wire::decode(&mut out, FRAME_BYTES_MAX, Strictness::Strict).unwrap() {
            if let Packet::Publish(publish) = packet {
                let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
                published.push((publish.topic, payload, publish.qos));
            }
        }
        published
    }

    #[test]
    fn a_twin_is_read_and_changed_at_the_qos_of_the_subscription() {
        let mut hub = Hub::online(60, false);
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            hub.subscribe(&[(topics::TWIN_RESPONSES, qos)]).unwrap();
            hub.publish(&format!("{GET}0a&x=%20"), b"ignored", QoS::AtMostOnce).unwrap();
            hub.publish(PATCH, br#"{"a":1}"#, QoS::AtMostOnce).unwrap();
            let (view, version) = match qos {
                QoS::AtMostOnce => (r#"{"desired":{"$version":1},"reported":{"$version":1}}"#, 2),
                _ => (r#"{"desired":{"$version":1},"reported":{"$version":2,"a":1}}"#, 3),
            };
            assert_eq!(
                published(&mut hub),
                [
                    ("$iothub/twin/res/200/?$rid=0a".to_owned(), view.to_owned(), qos),
                    (format!("$iothub/twin/res/204/?$rid=&$version={version}"), String::new(), qos),
                ]
            );
        }
        // The twin outlives the connection and the session.
        let mut hub = hub.again();
        hub.connect(60, true, "d1").unwrap();
        hub.admit();
        hub.subscribe(&[(topics::TWIN_RESPONSES, QoS::AtMostOnce)]).unwrap();
        hub.publish(&format!("{GET}1"), b"", QoS::AtMostOnce).unwrap();
        assert_eq!(published(&mut hub)[0].1, r#"{"desired":{"$version":1},"reported":{"$version":3,"a":1}}"#);
    }

    #[test]
    fn a_twin_request_that_cannot_be_met_is_answered_with_its_error_if_somebody_listens() {
        let mut hub = Hub::online(60, true);
        hub.publish(&format!("{PATCH}1"), b"{", QoS::AtMostOnce).unwrap();
        hub.publish(&format!("{GET}1"), b"", QoS::AtMostOnce).unwrap();
        assert_eq!(published(&mut hub), []);
        hub.subscribe(&[(topics::TWIN_RESPONSES, QoS::AtMostOnce)]).unwrap();
        for (query, body, status, code) in [
            ("1", "{", 400, 400_004),
            ("1", "[]", 400, 400_004),
            ("1", r#"{"$version":1}"#, 400, 400_004),
            ("1", r#"{"a":[{"b":null}]}"#, 400, 400_004),
            ("1&$version=9", "{}", 412, 412_001),
            ("1&$version=x", "{}", 412, 412_001),
        ] {
            hub.publish(&format!("{PATCH}{query}"), body.as_bytes(), QoS::AtMostOnce).unwrap();
            let answers = published(&mut hub);
            let [(topic, answer, _)] = &answers[..] else { panic!("{answers:?}") };
            assert_eq!(*topic, format!("$iothub/twin/res/{status}/?$rid=1"));
            let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
            assert_eq!(answer["errorCode"], code, "{body}");
        }
        hub.session.has_api_version = false;
        hub.publish(&format!("{PATCH}1"), b"{}", QoS::AtMostOnce).unwrap();
        assert!(published(&mut hub)[0].1.contains("400001"));
        let nowhere = hub.publish("$iothub/twin/GET/?rid=1", b"", QoS::AtMostOnce);
        assert_eq!(nowhere, Err(HubError::ForeignTopic));
        let long = format!("{GET}{}", "r".repeat(wire::STRING_BYTES_MAX - GET.len()));
        assert_eq!(hub.publish(&long, b"", QoS::AtMostOnce), Err(HubError::RequestId));
    }

    #[test]
    fn answers_that_nobody_reads_stop_the_reading() {
        let mut hub = Hub::online(60, true);
        hub.subscribe(&[(topics::TWIN_RESPONSES, QoS::AtMostOnce)]).unwrap();
        for key in 0..7 {
            let patch = format!(r#"{{"{key}":"{}"}}"#, "v".repeat(4000));
            hub.publish(&format!("{PATCH}1"), patch.as_bytes(), QoS::AtMostOnce).unwrap();
        }
        let mut gets = BytesMut::new();
        for _ in 0..100 {
            let topic = format!("{GET}1");
            let publish = PublishRef {
                topic: &topic,
                payload: b"",
                qos: QoS::AtMostOnce,
                dup: false,
                retain: false,
                pid: 0,
            };
            encode::publish(&mut gets, &publish).unwrap();
        }
        hub.session.handle_input(hub.now, &mut gets).unwrap();
        assert!(!hub.session.wants_input() && !gets.is_empty());
        assert!(hub.session.reply_bytes < REPLY_BYTES_MAX + 32 * 1024, "{}", hub.session.reply_bytes);
        let mut answers = 0;
        while !gets.is_empty() || hub.session.reply_bytes > 0 {
            answers += published(&mut hub).len();
            hub.session.handle_input(hub.now, &mut gets).unwrap();
        }
        assert_eq!(answers, 7 + 100);
    }

    #[test]
    fn connect_has_to_come_in_time() {
        let mut hub = Hub::new();
        let limit = limits::CONNECT_ARRIVAL_TIMEOUT;
        assert_eq!(hub.session.poll_timeout(), Some(hub.opened + limit));
        hub.at(limit - Duration::from_millis(1)).unwrap();
        assert_eq!(hub.at(limit), Err(HubError::ConnectTimeout));
    }

    #[test]
    fn silence_ends_at_one_and_a_half_times_the_keep_alive() {
        let mut hub = Hub::online(60, true);
        hub.at(seconds(89)).unwrap();
        hub.input(encode::pingreq).unwrap();
        hub.at(seconds(89 + 90) - Duration::from_millis(1)).unwrap();
        assert_eq!(hub.session.poll_timeout(), Some(hub.opened + seconds(89 + 90)));
        assert_eq!(hub.at(seconds(89 + 90)), Err(HubError::KeepAlive));
        assert_eq!(Hub::online(0, true).at(seconds(1767)), Err(HubError::KeepAlive));
    }

    #[test]
    fn the_connection_ends_when_its_token_and_the_grace_have_run_out() {
        let mut hub = Hub::online(1000, true);
        let end = seconds(TTL_S) + limits::EXPIRY_GRACE;
        for minute in (10..65).step_by(10) {
            hub.at(seconds(minute * 60)).unwrap();
            hub.input(encode::pingreq).unwrap();
        }
        assert_eq!(hub.session.poll_timeout(), Some(hub.opened + end));
        hub.at(end - Duration::from_millis(1)).unwrap();
        assert!(hub.session.is_online());
        hub.at(end).unwrap();
        assert_eq!(hub.session.poll_event(), Some(Event::Expired));
        assert_eq!(hub.session.poll_close(), Some(Close::AfterFlush));
    }

    #[test]
    fn takeover_and_goodbye_close_in_order() {
        let mut hub = Hub::online(60, true);
        hub.publish(&topics::telemetry("d1"), b"", QoS::AtLeastOnce).unwrap();
        hub.session.take_over();
        assert_eq!(hub.session.poll_close(), Some(Close::AfterFlush));
        assert_eq!(hub.output(), [0x40, 2, 0, 7], "what was accepted is still acknowledged");
        let mut hub = Hub::online(60, true);
        hub.input(encode::disconnect).unwrap();
        assert_eq!(hub.session.poll_close(), Some(Close::AfterFlush));
        // Taken over before it was admitted: it never gets a CONNACK.
        let mut hub = Hub::new();
        hub.connect(60, true, "d1").unwrap();
        hub.session.take_over();
        hub.admit();
        assert!(hub.output().is_empty());
    }

    #[test]
    fn a_peer_that_reads_nothing_is_not_read_for_ever() {
        let mut hub = Hub::online(60, true);
        for _ in 0..REPLIES_MAX {
            assert!(hub.session.wants_input());
            hub.input(encode::pingreq).unwrap();
        }
        assert!(!hub.session.wants_input());
        hub.output();
        assert!(hub.session.wants_input());
    }
}
