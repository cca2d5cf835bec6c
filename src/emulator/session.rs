//! One connection of a device, seen from the hub: sans-I/O and strict. Driven by `link::Link` through
//! [`Machine`], owned by `connection`, and in `pair_tests` by a test.
//!
//! It decides about packets and time. Whether the identity is free is asked outside: after a good CONNECT the session says
//! [`Event::Authorised`], reads nothing more, and goes on when [`HubSession::admit`] is called.

use super::Config;
use super::admission::{self, Refusal};
use crate::iothub::limits;
use crate::iothub::topics::{self, Inbound, Subscription};
use crate::sansio::{Close, Closed, Machine, OUTPUT_BYTES_MAX};
use crate::wire::{self, DecodeError, Packet, QoS, Strictness, encode};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The largest frame: a message of the largest size with the longest topic. Larger ones end the connection; that and how
/// Azure ends it is not documented.
const FRAME_BYTES_MAX: usize = limits::TELEMETRY_BYTES_MAX + wire::STRING_BYTES_MAX + 16;

/// Replies that may wait to be written before nothing more is read.
const REPLIES_MAX: usize = 1024;

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
    /// CONNECT is good: make the identity free, then call [`HubSession::admit`].
    Authorised,
    /// CONNECT is refused; the device is being told.
    Refused(Refusal),
    /// The token ran out, with its grace; the connection is being closed.
    Expired,
}

/// What a device is subscribed to, with the granted QoS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscriptions([Option<QoS>; 4]);

impl Subscriptions {
    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The granted QoS of one.
    #[must_use]
    pub fn get(&self, subscription: Subscription) -> Option<QoS> {
        let Subscriptions([c2d, responses, desired, methods]) = *self;
        match subscription {
            Subscription::C2d => c2d,
            Subscription::TwinResponses => responses,
            Subscription::TwinDesired => desired,
            Subscription::Methods => methods,
        }
    }

    fn set(&mut self, subscription: Subscription, granted: Option<QoS>) {
        let Subscriptions([c2d, responses, desired, methods]) = self;
        *match subscription {
            Subscription::C2d => c2d,
            Subscription::TwinResponses => responses,
            Subscription::TwinDesired => desired,
            Subscription::Methods => methods,
        } = granted;
    }
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
    ConnAck { session_present: bool, code: u8 },
    PubAck(u16),
    SubAck { pid: u16, granted: Vec<u8> },
    UnsubAck(u16),
    PingResp,
}

/// One connection of a device, seen from the hub.
#[derive(Debug)]
pub struct HubSession {
    config: Arc<Config>,
    state: State,
    opened: Instant,
    opened_unix: Duration,
    device: Box<str>,
    clean_session: bool,
    subscriptions: Subscriptions,
    /// A will that is telemetry, and no DISCONNECT yet.
    will: bool,
    keep_alive_timeout: Duration,
    heard: Instant,
    /// When the connection ends because of its token; `None`: beyond what the clock can say.
    expires: Option<Instant>,
    replies: VecDeque<Reply>,
    event: Option<Event>,
    telemetry: u64,
}

impl HubSession {
    /// For a connection that was accepted at `now`, which is `unix` since the Unix epoch.
    #[must_use]
    pub fn new(config: Arc<Config>, now: Instant, unix: Duration) -> HubSession {
        HubSession {
            config,
            state: State::Opening,
            opened: now,
            opened_unix: unix,
            device: Box::default(),
            clean_session: true,
            subscriptions: Subscriptions::default(),
            will: false,
            keep_alive_timeout: limits::KEEP_ALIVE_TIMEOUT_MAX,
            heard: now,
            expires: None,
            replies: VecDeque::new(),
            event: None,
            telemetry: 0,
        }
    }

    /// The device id; empty before [`Event::Authorised`].
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

    /// CONNECT's clean-session flag.
    #[must_use]
    pub fn clean_session(&self) -> bool {
        self.clean_session
    }

    /// The subscriptions that outlive the connection: none for a clean session.
    #[must_use]
    pub fn stored(&self) -> Option<Subscriptions> {
        (!self.clean_session && !self.subscriptions.is_empty()).then_some(self.subscriptions)
    }

    /// Telemetry messages accepted since the last call.
    pub fn take_telemetry(&mut self) -> u64 {
        std::mem::take(&mut self.telemetry)
    }

    /// The identity is free: answers CONNECT. `stored` is what an earlier session of the device left behind.
    pub fn admit(&mut self, now: Instant, stored: Option<Subscriptions>) {
        if self.state != State::Claiming {
            return;
        }
        self.state = State::Online;
        self.heard = now;
        let stored = stored.filter(|stored| !self.clean_session && !stored.is_empty());
        self.subscriptions = stored.unwrap_or_default();
        self.replies.push_back(Reply::ConnAck { session_present: stored.is_some(), code: 0 });
    }

    /// Another connection of the same device takes over: this one ends.
    pub fn take_over(&mut self) {
        self.state = State::Closing;
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
            (_, Packet::Publish(publish)) => self.handle_publish(&publish)?,
            (_, Packet::Subscribe(subscribe)) => self.handle_subscribe(&subscribe)?,
            (_, Packet::Unsubscribe { pid, filters }) => {
                for filter in &filters {
                    if let Some(subscription) = topics::subscription(&self.device, filter) {
                        self.subscriptions.set(subscription, None);
                    }
                }
                self.replies.push_back(Reply::UnsubAck(pid));
            }
            (_, Packet::PingReq) => self.replies.push_back(Reply::PingResp),
            (_, Packet::Disconnect) => {
                self.will = false; // MQTT 3.1.1 §3.14.4.
                self.state = State::Closing;
            }
            // The end of a cloud-to-device message; none is sent yet.
            (_, Packet::PubAck(_)) => {}
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
        let unix = self.opened_unix + now.saturating_duration_since(self.opened);
        match admission::admit(&self.config, connect, unix.as_secs()) {
            Ok(admitted) => {
                self.state = State::Claiming;
                self.device = admitted.device;
                self.clean_session = connect.clean_session;
                self.will = connect.will.as_ref().is_some_and(|will| {
                    matches!(topics::inbound(&self.device, &will.topic), Some(Inbound::Telemetry { .. }))
                });
                self.keep_alive_timeout = limits::keep_alive_timeout(connect.keep_alive_s);
                let end = Duration::from_secs(admitted.expiry_unix).saturating_add(self.config.expiry_grace);
                self.expires = now.checked_add(end.saturating_sub(unix));
                self.event = Some(Event::Authorised);
            }
            Err(refusal) => {
                self.state = State::Closing;
                self.replies.push_back(Reply::ConnAck { session_present: false, code: refusal.code() });
                self.event = Some(Event::Refused(refusal));
            }
        }
    }

    fn handle_publish(&mut self, publish: &wire::Publish) -> Result<(), HubError> {
        if publish.qos == QoS::ExactlyOnce {
            return Err(HubError::QosTwo);
        }
        match topics::inbound(&self.device, &publish.topic).ok_or(HubError::ForeignTopic)? {
            Inbound::Telemetry { bag } => {
                let bytes = publish.payload.len() + bag.len();
                if bytes > limits::TELEMETRY_BYTES_MAX {
                    return Err(HubError::TooLarge(bytes));
                }
                self.telemetry += 1;
            }
            // Accepted and not answered: see the room's docs.
            Inbound::TwinGet { .. } | Inbound::TwinReported { .. } | Inbound::MethodResponse { .. } => {}
        }
        if publish.qos == QoS::AtLeastOnce {
            self.replies.push_back(Reply::PubAck(publish.pid));
        }
        Ok(())
    }

    fn handle_subscribe(&mut self, subscribe: &wire::Subscribe) -> Result<(), HubError> {
        // There are fewer kinds of subscriptions than allowed ones, so only one packet can pass the limit.
        if subscribe.filters.len() > limits::SUBSCRIPTIONS_MAX {
            return Err(HubError::TooManySubscriptions(subscribe.filters.len()));
        }
        let mut granted = Vec::with_capacity(subscribe.filters.len());
        for (filter, qos) in &subscribe.filters {
            let subscription = topics::subscription(&self.device, filter).ok_or(HubError::ForeignFilter)?;
            let qos = (*qos).min(QoS::AtLeastOnce);
            self.subscriptions.set(subscription, Some(qos));
            granted.push(qos as u8);
        }
        self.replies.push_back(Reply::SubAck { pid: subscribe.pid, granted });
        Ok(())
    }
}

impl Machine for HubSession {
    type Error = HubError;

    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), HubError> {
        while !matches!(self.state, State::Claiming | State::Closing) {
            match wire::decode(input, FRAME_BYTES_MAX, Strictness::Strict)? {
                Some(packet) => self.handle_packet(now, packet)?,
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
            State::Opening if now >= self.opened + self.config.connect_arrival_timeout => {
                Err(HubError::ConnectTimeout)
            }
            State::Online if now >= self.heard + self.keep_alive_timeout => Err(HubError::KeepAlive),
            State::Online if self.expires.is_some_and(|expires| now >= expires) => {
                self.state = State::Closing;
                self.event = Some(Event::Expired);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn handle_flushed(&mut self, _now: Instant) {}

    fn handle_closed(&mut self, _now: Instant, _why: Closed) {
        // "Communicate with an IoT hub using the MQTT protocol": a will is telemetry. One that was never admitted has none.
        let will = std::mem::take(&mut self.will) && self.state != State::Claiming;
        self.telemetry += u64::from(will);
        self.state = State::Closing;
    }

    fn poll_output(&mut self, _now: Instant, out: &mut BytesMut) {
        while out.len() < OUTPUT_BYTES_MAX {
            let Some(reply) = self.replies.pop_front() else { return };
            match reply {
                Reply::ConnAck { session_present, code } => encode::connack(out, session_present, code),
                Reply::PubAck(pid) => encode::puback(out, pid),
                Reply::SubAck { pid, granted } => encode::suback(out, pid, &granted),
                Reply::UnsubAck(pid) => encode::unsuback(out, pid),
                Reply::PingResp => encode::pingresp(out),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Opening => Some(self.opened + self.config.connect_arrival_timeout),
            State::Online => {
                let keep_alive = self.heard + self.keep_alive_timeout;
                Some(self.expires.map_or(keep_alive, |expires| expires.min(keep_alive)))
            }
            State::Claiming | State::Closing => None,
        }
    }

    fn wants_input(&self) -> bool {
        self.state != State::Claiming && self.replies.len() < REPLIES_MAX
    }

    fn poll_close(&self) -> Option<Close> {
        (self.state == State::Closing).then_some(Close::AfterFlush)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::iothub::sas::{self, Key};
    use crate::iothub::{names, topics};
    use crate::wire::encode::{ConnectRef, PublishRef, WillRef};

    const UNIX: u64 = 1_800_000_000;
    const TTL_S: u64 = 3600;

    /// Subscriptions that are not empty.
    pub(crate) fn subscribed() -> Subscriptions {
        let mut subscriptions = Subscriptions::default();
        subscriptions.set(Subscription::C2d, Some(QoS::AtLeastOnce));
        subscriptions
    }

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
                ..Config::default()
            };
            let session = HubSession::new(Arc::new(config), opened, seconds(UNIX));
            Hub { session, opened, now: opened }
        }

        /// Connected, with CONNACK taken.
        fn online(keep_alive_s: u16, clean_session: bool) -> Hub {
            let mut hub = Hub::new();
            hub.connect(keep_alive_s, clean_session, "d1").unwrap();
            assert_eq!(hub.session.poll_event(), Some(Event::Authorised));
            hub.session.admit(hub.now, None);
            assert_eq!(hub.output(), [0x20, 2, 0, 0]);
            hub
        }

        fn connect(&mut self, keep_alive_s: u16, clean_session: bool, key_of: &str) -> Result<(), HubError> {
            let key = self.session.config.group_keys[0].derive(key_of);
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
            let key = hub.session.config.group_keys[0].derive("d1");
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
        hub.session.admit(hub.now, None);
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
        for (clean_session, stored, present) in
            [(false, Some(subscribed()), 1), (true, Some(subscribed()), 0), (false, None, 0)]
        {
            let mut hub = Hub::new();
            hub.connect(60, clean_session, "d1").unwrap();
            hub.session.admit(hub.now, stored);
            assert_eq!(hub.output(), [0x20, 2, present, 0]);
            assert_eq!(hub.session.stored().is_some(), present == 1);
        }
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
        // Accepted, and not telemetry.
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
                hub.session.admit(hub.now, None);
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
                HubError::TooLarge(limits::TELEMETRY_BYTES_MAX + 3),
            ),
            (hub.subscribe(&[("a/b", QoS::AtMostOnce)]), HubError::ForeignFilter),
            (hub.subscribe(&[(topics::METHODS, QoS::AtMostOnce); 6]), HubError::TooManySubscriptions(6)),
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
    fn the_filters_of_a_device_are_granted_with_qos_1_at_most() {
        let mut hub = Hub::online(60, false);
        assert!(hub.session.stored().is_none());
        let c2d = topics::c2d("d1");
        hub.subscribe(&[(&c2d, QoS::ExactlyOnce), (topics::TWIN_RESPONSES, QoS::AtMostOnce)]).unwrap();
        assert_eq!(hub.output(), [0x90, 4, 0, 3, 1, 0]);
        let stored = hub.session.stored().unwrap();
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
        assert!(hub.session.stored().is_none());
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
        hub.session.admit(hub.now, None);
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
